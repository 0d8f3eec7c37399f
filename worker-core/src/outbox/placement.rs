//! Which of the unacknowledged tuples are in memory, within its budget, and which are outside.

use super::Outbox;
use super::backing::Request;
use super::buffer::{HeldBatch, Residence};
use crate::event::{Body, Place};
use crate::fault::Bug;
use worker_proto::{Batch, Seq};

/// Batches up to this cost, in bytes, are joined while they wait.
const SMALL_BYTES: u64 = 4 * 1024;

/// How many batches past the cursor are looked at when stored ones are fetched.
const PREFETCH_BATCHES: usize = 64;

impl Outbox {
    /// The next thing the owner must do.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.backing.poll()
    }

    /// Whether there is something that the owner must do.
    pub(crate) fn has_request(&self) -> bool {
        self.backing.has_request()
    }

    /// The batch that starts at `first_seq` is at `place` now.
    pub fn stored(&mut self, first_seq: Seq, place: Place) {
        match self.storing_at(first_seq) {
            Some(at) => self.held.put(at, Residence::Stored(place)),
            None => self.backing.discard(place),
        }
        self.prefetch();
    }

    /// The batch that starts at `first_seq` is here again. Past the budget it is kept only if it is what is sent next.
    pub fn loaded(&mut self, first_seq: Seq, batch: Batch) {
        let Some(at) = self.held.index_of(first_seq) else { return };
        if let Some(HeldBatch { residence: Residence::Loading(place), records, .. }) = self.held.get(at) {
            debug_assert_eq!(*records, batch.len() as u64, "what is read back is what was asked for");
            let (place, cost) = (*place, batch.cost());
            self.held.set_cost(at, cost, batch.boundaries());
            if self.held.costs().memory + cost <= self.memory_max {
                self.held.put(at, Residence::Memory(batch));
                self.backing.discard(place);
            } else if at == self.at {
                self.held.put(at, Residence::Copied(batch, place));
            } else {
                // The cursor went elsewhere meanwhile, or what was pushed took the room.
                self.held.put(at, Residence::Stored(place));
            }
        }
        self.prefetch();
    }

    /// Whether the batch that starts at `first_seq` is still to be put outside memory.
    #[must_use]
    pub fn is_storing(&self, first_seq: Seq) -> bool {
        self.storing_at(first_seq).is_some()
    }

    fn storing_at(&self, first_seq: Seq) -> Option<usize> {
        let at = self.held.index_of(first_seq)?;
        matches!(self.held.get(at)?.residence, Residence::Storing(_)).then_some(at)
    }

    /// Adds a small batch to the last one, if that is small, in memory and was never sent: many single records would
    /// otherwise take far more memory than they are charged with.
    pub(super) fn joins_last(&mut self, body: &Body) -> bool {
        let Body::Memory(batch) = body else { return false };
        let limit = self.small_max();
        let joins = self.held.last().is_some_and(|last| {
            let is_new = last.first > self.sent_max.max(self.cursor);
            is_new && matches!(last.residence, Residence::Memory(_)) && last.cost + batch.cost() <= limit
        });
        if joins {
            self.held.join_last(batch);
        }
        joins
    }

    /// Puts the last batch outside before another follows it, if it stayed in memory only because it was small; past the
    /// budget even if it was sent, for small ones that are sent as they come would otherwise add up to the credit there is.
    pub(super) fn seal_last(&mut self) {
        if self.drops() {
            return;
        }
        let over = self.held.costs().memory > self.memory_max;
        let Some(last) = self.held.last() else { return };
        let was_sent = last.first <= self.sent_max.max(self.cursor);
        let leaves =
            if was_sent { over && self.backing.wants_sent() } else { over || self.held.any_outside() };
        if let (Residence::Memory(batch), true) = (&last.residence, leaves) {
            let outside = self.backing.put_outside(last.first, batch.clone());
            self.held.put(self.held.len() - 1, outside);
        }
    }

    /// Keeps a new batch in memory while there is room and nothing older is outside, or while it is small and may still grow
    /// (see [`Self::seal_last`]); else puts it outside.
    pub(super) fn place_new(&mut self, first: Seq, body: Body) -> HeldBatch {
        let (records, boundaries) = (body.records(), body.boundaries());
        let (cost, residence) = match body {
            Body::Stored { place, cost, .. } => (cost, Residence::Stored(place)),
            Body::Memory(batch) => {
                let (cost, memory) = (batch.cost(), self.held.costs().memory);
                let fits = !self.held.any_outside() && (memory == 0 || memory + cost <= self.memory_max);
                let stays = fits || self.drops() || cost <= self.small_max();
                let residence =
                    if stays { Residence::Memory(batch) } else { self.backing.put_outside(first, batch) };
                (cost, residence)
            }
        };
        HeldBatch { first, records, cost, boundaries, residence }
    }

    /// Takes what nobody wants any more: it counts as finished.
    pub(super) fn pass_over(&mut self, body: Body) {
        if let Body::Stored { place, .. } = body {
            self.backing.discard(place);
        }
        self.settle_all();
    }

    /// Everything pushed counts as finished.
    pub(super) fn settle_all(&mut self) {
        debug_assert!(self.cancelled && self.held.is_empty(), "somebody waits for it: {self:?}");
        self.through = self.held_next.before();
        self.finished = self.through;
        self.released();
    }

    /// Forgets batches that end at or before `through`.
    pub(super) fn release(&mut self, through: Seq) {
        if through <= self.through {
            return;
        }
        debug_assert!(through < self.held_next, "what is acknowledged was pushed");
        self.through = through;
        self.released();
        while let Some(released) = self.held.pop_through(through) {
            self.at = self.at.saturating_sub(1);
            match released.residence {
                Residence::Memory(_) | Residence::Storing(_) => {}
                Residence::Stored(place) | Residence::Loading(place) | Residence::Copied(_, place) => {
                    self.backing.discard(place);
                }
            }
        }
        if self.cursor < through {
            self.cursor = through;
            self.find_cursor();
        }
    }

    /// More is acknowledged.
    pub(super) fn released(&mut self) {
        if self.backing.acknowledged_is_finished() {
            self.finished = self.finished.max(self.through);
        }
        let sent = self.planted.is(Bug::UnacknowledgedDropped).then_some(self.cursor);
        self.backing.release(self.through.max(sent.unwrap_or_default()));
    }

    /// Asks for stored batches from the cursor on, within the memory budget; always for the one at the cursor: what waits to
    /// be sent must not wait for what was sent. It leaves again when the cursor does ([`Self::keep_or_drop`]).
    pub(super) fn prefetch(&mut self) {
        if self.window.is_none() || self.held.costs().stored == 0 {
            return;
        }
        let mut planned = self.held.costs().memory;
        for at in self.at..self.held.len().min(self.at + PREFETCH_BATCHES) {
            let Some(HeldBatch { cost, residence, .. }) = self.held.get(at) else { return };
            match *residence {
                Residence::Memory(_) | Residence::Storing(_) | Residence::Copied(..) => {}
                Residence::Loading(_) => planned += cost,
                Residence::Stored(place) => {
                    planned += cost;
                    if at != self.at && planned > self.memory_max {
                        return;
                    }
                    self.backing.fetch(&mut self.held, at, place, self.through);
                }
            }
            if planned > self.memory_max {
                return;
            }
        }
    }

    /// The cursor leaves a batch: past the budget what is outside too is dropped from memory, and read back should it have to
    /// be sent again; within it what is in memory need not be outside.
    pub(super) fn keep_or_drop(&mut self, at: usize) {
        let Some(held) = self.held.get(at) else { return };
        let Some(outside) = self.backing.copy_of(&held.residence) else { return };
        if self.held.costs().memory > self.memory_max {
            self.held.put(at, Residence::Stored(outside));
        } else if let Residence::Copied(batch, _) = &held.residence {
            let batch = batch.clone();
            self.held.put(at, Residence::Memory(batch));
            self.backing.discard(outside);
        }
    }

    /// Up to this cost, in bytes, a batch is small.
    fn small_max(&self) -> u64 {
        SMALL_BYTES.min(self.memory_max / 4)
    }
}
