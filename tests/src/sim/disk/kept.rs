//! What a task reads back of its journal while it runs.

use super::super::check::{Check, Checked, Violation, require};
use super::super::plan::DiskBug;
use super::{DiskEntry, TaskDisk, WindowKept, last};
use worker_core::event::StreamStep;
use worker_proto::{Batch, LinkId, Seq};

impl TaskDisk {
    /// Exactly the tuples `[first, first + records)`.
    pub(in crate::sim) fn load(&mut self, link: LinkId, first: Seq, records: u64) -> Checked<Batch> {
        let batch = self.load_kept(link, first, records)?;
        if self.bug == Some(DiskBug::LoadsAnother) {
            let other = self
                .outputs_kept
                .iter()
                .find(|((l, at), other)| (*l, *at) != (link, first) && other.len() as u64 >= records);
            if let Some((_, other)) = other {
                return Ok(other.slice(0..batch.len()));
            }
        }
        // What waits for room is not in it yet.
        if let (Some(real), true) = (&mut self.real, self.waiting.is_empty()) {
            let read = real.load(link, first, records)?;
            require(read.iter().eq(batch.iter()), Check::Store, || {
                format!("link {link}: {first} and on is {batch:?}, {read:?} is read")
            })?;
        }
        Ok(batch)
    }

    fn load_kept(&self, link: LinkId, first: Seq, records: u64) -> Checked<Batch> {
        let end = first.plus(records);
        let mut joined: Option<Batch> = None;
        let mut next = first;
        for (&(_, at), batch) in
            self.outputs_kept.range((link, Seq(0))..(link, end)).filter(|(k, b)| last(k.1, b) >= first)
        {
            let from = usize::try_from(next.since(at)).expect("few records");
            let to = usize::try_from(end.since(at)).expect("few records").min(batch.len());
            require(at <= next, Check::Store, || {
                format!("link {link}: {next} is not in the journal any more")
            })?;
            let part = batch.slice(from..to);
            next = at.plus(to as u64);
            joined = Some(joined.map_or(part.clone(), |before| before.joined(&part)));
        }
        require(next == end, Check::Store, || {
            format!("link {link}: {next} of {first} to {end} is not in the journal")
        })?;
        joined.ok_or_else(|| Violation::new(Check::Store, "a load of nothing"))
    }

    /// What was admitted to a window and printed of it, in the order of appending.
    pub(in crate::sim) fn window(&mut self, window: u64) -> Checked<WindowKept> {
        let mut kept = WindowKept::default();
        for commit in self.entries.iter().filter_map(DiskEntry::commit) {
            match &commit.stream {
                Some(StreamStep::Admit { window: w, pieces }) if *w == window => {
                    kept.inputs.extend(pieces.iter().map(|piece| piece.batch.clone()));
                }
                Some(StreamStep::Printed { window: w, printed }) if *w == window => {
                    kept.printed.push(*printed);
                }
                Some(_) | None => {}
            }
        }
        if let (Some(real), true) = (&mut self.real, self.waiting.is_empty()) {
            real.check_window(window, &kept)?;
        }
        self.spoil(&mut kept);
        Ok(kept)
    }

    /// Only for a bug: a record less or more than was admitted.
    fn spoil(&self, kept: &mut WindowKept) {
        let Some(last) = kept.inputs.pop() else { return };
        let end = last.len();
        match self.bug {
            Some(DiskBug::ReplayMissesLast) => kept.inputs.push(last.slice(0..end - 1)),
            Some(DiskBug::ReplayRepeatsLast) => kept.inputs.extend([last.clone(), last.slice(end - 1..end)]),
            Some(_) | None => kept.inputs.push(last),
        }
    }
}
