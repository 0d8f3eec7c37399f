//! Giving disk back: segments that nobody needs go, and what little is needed of others moves forward.

use super::error::JournalError;
use super::fold::Fold;
use super::format::{self, RecordKind};
use super::live::LiveSegment;
use super::record::{CopiedHead, Location, Payload};
use super::segments::Active;
use super::storage::{Storage, StorageError, StorageFile};
use super::writer::Journal;
use std::collections::{BTreeMap, BTreeSet};
use worker_proto::{LinkId, Seq};

/// How many files of finished segments are kept to be used again.
const SPARES_MAX: usize = 2;

/// Live batches move when segments take more than this many times what is live…
const LIVE_FACTOR: u64 = 4;

/// …and so many segments more.
const SEGMENTS_SPARED: u64 = 4;

/// What a segment that begins takes over from others is at most this share of its room.
const TAKEN_OVER_SHARE: u64 = 4;

/// What is moved at least with each commit, in bytes, if anything is to be moved.
const MOVE_BYTES_MIN: u64 = 64 << 10;

impl<S: Storage, F: Fold> Journal<S, F> {
    /// Removes every segment that no durable checkpoint needs and of which nothing is live.
    ///
    /// What a later checkpoint does not need may be needed by the durable one: it alone is there after a crash.
    pub(super) fn collect(&mut self) {
        let durable = &self.checkpoints.durable;
        let finished: Vec<u64> = self
            .sealed
            .keys()
            .copied()
            .take_while(|number| *number < durable.segment)
            .filter(|number| durable.needs.binary_search(number).is_err())
            .filter(|number| self.images.live.segment(*number).is_none())
            .collect();
        for number in finished {
            let Some(segment) = self.sealed.remove(&number) else { continue };
            if self.becomes_room(number, &segment) {
                continue;
            }
            let reusable = segment.bytes == self.segment_bytes_max && segment.file.is_only_handle();
            if reusable && self.spares.len() < SPARES_MAX {
                self.spares.push((number, segment.bytes));
            } else if self.storage.remove(&format::file_name(number)).is_err() {
                // It is tried again with the next checkpoint.
                self.sealed.insert(number, segment);
            }
        }
        debug_assert_eq!(self.check(), Ok(()), "when segments were removed");
    }

    /// Moves live outputs out of mostly dead segments, in proportion to what was appended.
    ///
    /// A failure is no reason to fail what was asked for: the outputs stay where they are.
    pub(super) fn copy_forward(&mut self, appended_bytes: u64) {
        let mut left = (2 * appended_bytes).max(MOVE_BYTES_MIN);
        loop {
            // How much is spread over how many segments matters only when there is one more, or one was emptied.
            if self.moving.is_empty() && std::mem::take(&mut self.may_be_spread) && self.is_spread() {
                self.choose_to_move();
            }
            let Some((link, first)) = self.moving.pop_front() else { return };
            self.may_be_spread |= self.moving.is_empty();
            match self.move_output(link, first) {
                Ok(bytes) if bytes < left => left -= bytes.max(1),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Copies into a segment that begins what is live in others: gives where each batch was and where it is. Only a checkpoint, which follows
    /// it, can say that it has moved.
    ///
    /// # Errors
    /// There is no room. What cannot be read stays where it is.
    pub(super) fn take_over(
        &self,
        next: &mut Active<S::File>,
        segments: &BTreeSet<u64>,
    ) -> Result<Vec<(Location, Location)>, StorageError> {
        let mut moved = Vec::new();
        if segments.is_empty() {
            return Ok(moved);
        }
        let there = self.images.locations().filter(|at| segments.contains(&at.segment));
        let batches: BTreeMap<_, _> = there.map(|at| (at.key(), *at)).collect();
        for at in batches.into_values() {
            let Ok(batch) = self.extent(&at).and_then(|extent| extent.read()) else { continue };
            let mut payload = Payload::default();
            let span = payload.push_batch(&batch);
            let payload = payload.with_head(&CopiedHead { span, output: None });
            let offset = next.append(RecordKind::Copied, self.durable, &payload)? + payload.head_bytes();
            moved.push((at, Location { segment: next.header.number, offset, span }));
        }
        Ok(moved)
    }

    /// The oldest mostly dead segments that a stream's window needs, with so little live that a segment of so many bytes takes it over.
    /// What a task's window needs lies among what other tasks of the journal had, so it would hold all of their segments.
    pub(super) fn held_by_windows(&self, bytes: u64) -> BTreeSet<u64> {
        let mut bytes_max = bytes / TAKEN_OVER_SHARE;
        let mut segments = BTreeSet::new();
        for (number, segment) in self.sealed.iter().filter(|_| self.is_spread()) {
            let Some(live) = self.images.live.segment(*number) else { continue };
            if live.fixed == 0 || live.bytes * 2 > segment.bytes {
                continue;
            }
            let Some(left) = bytes_max.checked_sub(live.bytes) else { break };
            bytes_max = left;
            segments.insert(*number);
        }
        segments
    }

    fn is_spread(&self) -> bool {
        let allowed = LIVE_FACTOR * self.live_bytes() + SEGMENTS_SPARED * self.active.bytes;
        self.pinned_bytes() > allowed
    }

    /// The oldest segment of which less than half is live, and all of that can move.
    fn choose_to_move(&mut self) {
        let mostly_dead = |live: &LiveSegment, bytes: u64| live.fixed == 0 && live.bytes * 2 <= bytes;
        let chosen = self.sealed.iter().find_map(|(number, segment)| {
            self.images.live.segment(*number).filter(|live| mostly_dead(live, segment.bytes)).map(|_| *number)
        });
        let Some(number) = chosen else { return };
        self.moving.extend(self.images.held_in(number));
    }

    /// Moves the output that begins with `first`, unless it is not needed any more; gives its size in bytes.
    fn move_output(&mut self, link: LinkId, first: Seq) -> Result<u64, JournalError> {
        let held = self.images.held_at(link, first).map(|h| h.at);
        let Some(at) = held.filter(|at| at.segment != self.active.header.number) else { return Ok(0) };
        let batch = self.extent(&at)?.read()?;
        let mut payload = Payload::default();
        let span = payload.push_batch(&batch);
        let payload = payload.with_head(&CopiedHead { span, output: Some((link, first)) });
        let offset = self.write(self.active.of, RecordKind::Copied, &payload)? + payload.head_bytes();
        self.images.moved(link, first, Location { segment: self.active.header.number, offset, span });
        Ok(span.bytes())
    }
}
