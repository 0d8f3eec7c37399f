//! What always holds of a journal.

use super::fold::Fold;
use super::image::{Image, OutputImage};
use super::live::{Live, Use};
use super::roll::Made;
use super::storage::Storage;
use super::writer::Journal;

impl<S: Storage, F: Fold> Journal<S, F> {
    /// Counts every sum again, and holds positions, outputs and segments against each other. Takes time in proportion to what
    /// is live: for tests, simulations and, once a segment, builds with debug assertions.
    ///
    /// # Errors
    /// Names the first thing that is wrong: a bug of this crate.
    pub fn check(&self) -> Result<(), String> {
        self.check_positions()?;
        self.images.check()?;
        let mut counted = self.images.counted_live();
        self.staged.values().for_each(|at| counted.add(at, Use::Staged));
        self.images.live.check(&counted)?;
        self.images
            .live
            .needs()
            .iter()
            .try_for_each(|(number, _)| self.check_is_there(*number, "what is live"))?;
        let made = std::iter::once(&self.checkpoints.durable).chain(&self.checkpoints.waiting);
        made.flat_map(|made| &made.needs).try_for_each(|number| self.check_is_there(*number, "a checkpoint"))
    }

    /// Segments follow each other; what waits to be durable is not, in order.
    fn check_positions(&self) -> Result<(), String> {
        let active = &self.active.header;
        rule(self.durable <= self.end(), || format!("durable to {:?}, of {:?}", self.durable, self.end()))?;
        let sealed = self.sealed.iter().map(|(number, segment)| (*number, segment.base));
        let segments: Vec<_> = sealed.chain([(active.number, active.base)]).collect();
        rule(segments.is_sorted() && segments.is_sorted_by_key(|(_, base)| *base), || {
            format!("segments are not in order: {segments:?}")
        })?;
        let ends: Vec<_> = self.checkpoints.waiting.iter().map(|made: &Made| made.end).collect();
        let wait = ends.is_sorted() && ends.first().is_none_or(|end| *end > self.durable);
        rule(wait, || format!("checkpoints to {ends:?} wait, durable to {:?}", self.durable))
    }

    fn check_is_there(&self, number: u64, who: &str) -> Result<(), String> {
        let is_there = number == self.active.header.number || self.sealed.contains_key(&number);
        rule(is_there, || format!("segment {number} is gone, but {who} needs it"))
    }
}

impl Image {
    /// Adds what may be read, but for what is staged.
    pub(super) fn add_live(&self, live: &mut Live) {
        for held in self.outputs.values().flat_map(|output| output.held.iter()) {
            live.add(&held.at, Use::Output);
        }
        if let Some(window) = &self.window {
            window.admitted.iter().for_each(|admitted| live.add_admitted(admitted));
            window.printed_locations().for_each(|at| live.add(at, Use::Window));
        }
    }
}

impl OutputImage {
    /// What is held is what is not acknowledged, without gaps.
    pub(super) fn check(&self) -> Result<(), String> {
        let (through, end) = (self.through, self.end.unwrap_or(self.next));
        let mut next = self.held.front().map_or(end, |held| held.first);
        let from = next;
        for held in &self.held {
            rule(held.first == next, || format!("expected tuple {next}, {held:?} is held"))?;
            rule(held.last() > through, || format!("{through} is acknowledged, {held:?} is held"))?;
            next = held.last().next();
        }
        rule(next == end, || format!("held up to {next}, not to {end}"))?;
        rule(from <= through.next(), || format!("{through} is acknowledged, held from {from}"))
    }
}

/// Fails unless a rule holds.
pub(super) fn rule(holds: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found()) }
}
