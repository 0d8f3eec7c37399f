//! Where the unacknowledged tuples of an outbox are: in memory, or outside it.

use super::Outbox;
use crate::event::Place;
use crate::fault::Bug;
use worker_proto::{Batch, Seq};

/// Batches up to this cost, in bytes, are joined while they wait.
const SMALL_BYTES: u64 = 4 * 1024;

/// How many entries past the cursor are looked at when stored ones are fetched.
const PREFETCH_ENTRIES: usize = 64;

/// Something the owner must do for an outbox.
#[derive(Clone, Debug)]
pub enum Request {
    /// Put a batch outside memory, then call [`Outbox::stored`].
    Store {
        /// Its first tuple.
        first_seq: Seq,
        /// The records.
        batch: Batch,
    },
    /// Get a batch back, then call [`Outbox::loaded`].
    Load {
        /// Its first tuple.
        first_seq: Seq,
        /// Where it is; without meaning for tuples in a journal.
        place: Place,
        /// How many records it has.
        records: u64,
    },
    /// With a journal: tuples through here are not needed any more.
    Release {
        /// Through this position.
        through: Seq,
    },
    /// Forget what is stored there.
    Discard {
        /// Where.
        place: Place,
    },
}

/// The place of tuples that link and position find in the journal.
pub(super) const JOURNALED: Place = Place(0);

#[derive(Debug)]
pub(super) struct HeldBatch {
    pub(super) first: Seq,
    pub(super) records: u64,
    pub(super) cost: u64,
    pub(super) held: Held,
}

#[derive(Debug)]
pub(super) enum Held {
    Memory(Batch),
    Storing(Batch),
    Stored(Place),
    Loading(Place),
    /// Got back past the budget because it is what is sent next: it stays outside too, so that its copy can be dropped.
    Copied(Batch, Place),
}

impl Held {
    /// The records, while they are in memory.
    pub(super) fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Memory(batch) | Self::Storing(batch) | Self::Copied(batch, _) => Some(batch),
            Self::Stored(_) | Self::Loading(_) => None,
        }
    }
}

impl HeldBatch {
    /// Leaves out what is acknowledged: the journal need not have it any more.
    fn begin_behind(&mut self, through: Seq) {
        let skip = through.next().since(self.first);
        self.first = self.first.plus(skip);
        self.records -= skip;
    }

    pub(super) fn last(&self) -> Seq {
        self.first.plus(self.records - 1)
    }
}

impl Outbox {
    /// The next thing the owner must do.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// The batch that starts at `first_seq` is at `place` now.
    pub fn stored(&mut self, first_seq: Seq, place: Place) {
        match self.index_of(first_seq) {
            Some(i) if matches!(self.entries[i].held, Held::Storing(_)) => {
                let cost = self.entries[i].cost;
                self.storing_cost -= cost;
                self.stored_cost += cost;
                self.entries[i].held = Held::Stored(place);
            }
            Some(_) | None => self.requests.push_back(Request::Discard { place }),
        }
        self.prefetch();
    }

    /// The batch that starts at `first_seq` is here again. Past the budget it is kept only if it is what is sent next.
    pub fn loaded(&mut self, first_seq: Seq, batch: Batch) {
        let Some(i) = self.index_of(first_seq) else { return };
        if let Held::Loading(place) = self.entries[i].held {
            let cost = batch.cost();
            self.stored_cost -= self.entries[i].cost;
            self.entries[i].cost = cost;
            if self.memory_cost + cost <= self.memory_max {
                self.memory_cost += cost;
                self.entries[i].held = Held::Memory(batch);
                self.discard(place);
            } else if i == self.at {
                self.memory_cost += cost;
                self.entries[i].held = Held::Copied(batch, place);
            } else {
                // The cursor went elsewhere meanwhile, or what was pushed took the room.
                self.stored_cost += cost;
                self.entries[i].held = Held::Stored(place);
            }
        }
        self.prefetch();
    }

    /// Whether the batch that starts at `first_seq` is still to be put outside memory.
    #[must_use]
    pub fn is_storing(&self, first_seq: Seq) -> bool {
        self.index_of(first_seq).is_some_and(|i| matches!(self.entries[i].held, Held::Storing(_)))
    }

    /// Adds a small batch to the last entry, if that is small, in memory and was never sent: many single records would
    /// otherwise take far more memory than they are charged with.
    pub(super) fn joins_last(&mut self, first: Seq, batch: &Batch) -> bool {
        let limit = self.small_max();
        let Some(last) = self.entries.back_mut() else { return false };
        let Held::Memory(held) = &mut last.held else { return false };
        if last.first <= self.sent_max.max(self.cursor) || last.cost + batch.cost() > limit {
            return false;
        }
        debug_assert_eq!(last.first.plus(last.records), first, "pushes are in order");
        *held = held.joined(batch);
        last.records += batch.len() as u64;
        last.cost += batch.cost();
        self.memory_cost += batch.cost();
        true
    }

    /// Asks to store the last entry before another follows it, if it stayed in memory only because it was small; past the
    /// budget even if it was sent, for small ones that are sent as they come would otherwise add up to the credit there is.
    pub(super) fn seal_last(&mut self) {
        let over = self.memory_cost > self.memory_max;
        let older_outside = self.storing_cost + self.stored_cost > 0;
        let unsent = self.sent_max.max(self.cursor);
        // With a journal what was sent past the budget is dropped already.
        let leaves = |last: &HeldBatch| {
            if last.first > unsent { over || older_outside } else { over && !self.journaled }
        };
        let Some(last) = self.entries.back_mut().filter(|last| leaves(last)) else { return };
        if let (Held::Memory(_), true) = (&last.held, self.journaled) {
            self.memory_cost -= last.cost;
            self.stored_cost += last.cost;
            last.held = Held::Stored(JOURNALED);
        } else if let Held::Memory(batch) = &last.held {
            let batch = batch.clone();
            self.memory_cost -= last.cost;
            self.storing_cost += last.cost;
            self.requests.push_back(Request::Store { first_seq: last.first, batch: batch.clone() });
            last.held = Held::Storing(batch);
        }
    }

    /// Keeps a new entry in memory while there is room and nothing older is outside, or while it is small and may still grow
    /// (see [`Self::seal_last`]); else asks to store it.
    pub(super) fn place_new(&mut self, first: Seq, cost: u64, held: Held) -> Held {
        let Held::Memory(batch) = held else {
            self.stored_cost += cost;
            return held;
        };
        let older_outside = self.storing_cost + self.stored_cost > 0;
        let fits = !older_outside && (self.memory_cost == 0 || self.memory_cost + cost <= self.memory_max);
        if fits || cost <= self.small_max() {
            self.memory_cost += cost;
            return Held::Memory(batch);
        }
        if self.journaled {
            self.stored_cost += cost;
            return Held::Stored(JOURNALED);
        }
        self.storing_cost += cost;
        self.requests.push_back(Request::Store { first_seq: first, batch: batch.clone() });
        Held::Storing(batch)
    }

    /// Forgets entries that end at or before `through`.
    pub(super) fn release(&mut self, through: Seq) {
        if through <= self.through {
            return;
        }
        self.through = through;
        self.released();
        while let Some(entry) = self.entries.front() {
            if entry.last() > through {
                break;
            }
            let Some(entry) = self.entries.pop_front() else { break };
            self.at = self.at.saturating_sub(1);
            match entry.held {
                Held::Memory(_) => self.memory_cost -= entry.cost,
                Held::Storing(_) => self.storing_cost -= entry.cost,
                Held::Stored(place) | Held::Loading(place) => {
                    self.stored_cost -= entry.cost;
                    self.discard(place);
                }
                Held::Copied(_, place) => {
                    self.memory_cost -= entry.cost;
                    self.discard(place);
                }
            }
        }
        if self.cursor < through {
            self.cursor = through;
            self.find_cursor();
        }
    }

    /// With a journal what is acknowledged is finished, and need not be kept.
    pub(super) fn released(&mut self) {
        if !self.journaled {
            return;
        }
        self.finished = self.finished.max(self.through);
        let sent = self.planted.is(Bug::UnacknowledgedDropped).then_some(self.cursor);
        let through = self.through.max(sent.unwrap_or_default());
        match self.requests.back_mut() {
            Some(Request::Release { through: last }) => *last = through,
            Some(_) | None => self.requests.push_back(Request::Release { through }),
        }
    }

    /// Asks for stored entries from the cursor on, within the memory budget; always for the one at the cursor: what waits to
    /// be sent must not wait for what was sent. It leaves again when the cursor does ([`Self::keep_or_drop`]).
    pub(super) fn prefetch(&mut self) {
        if self.window.is_none() || self.stored_cost == 0 {
            return;
        }
        let mut planned = self.memory_cost;
        for i in self.at..self.entries.len().min(self.at + PREFETCH_ENTRIES) {
            let entry = &mut self.entries[i];
            match entry.held {
                Held::Memory(_) | Held::Storing(_) | Held::Copied(..) => {}
                Held::Loading(_) => planned += entry.cost,
                Held::Stored(place) => {
                    if i != self.at && planned + entry.cost > self.memory_max {
                        return;
                    }
                    planned += entry.cost;
                    entry.held = Held::Loading(place);
                    if self.journaled {
                        entry.begin_behind(self.through);
                    }
                    let records = entry.records;
                    self.requests.push_back(Request::Load { first_seq: entry.first, place, records });
                }
            }
            if planned > self.memory_max {
                return;
            }
        }
    }

    /// The cursor leaves an entry: past the budget what is outside too is dropped from memory, and read back should it have to
    /// be sent again; within it what is in memory need not be outside.
    pub(super) fn keep_or_drop(&mut self, at: usize) {
        let over = self.memory_cost > self.memory_max;
        let Some(entry) = self.entries.get_mut(at) else { return };
        let outside = match &entry.held {
            Held::Copied(_, place) => *place,
            Held::Memory(_) if self.journaled => JOURNALED,
            Held::Memory(_) | Held::Storing(_) | Held::Stored(_) | Held::Loading(_) => return,
        };
        if over {
            self.memory_cost -= entry.cost;
            self.stored_cost += entry.cost;
            entry.held = Held::Stored(outside);
        } else if let Held::Copied(batch, _) = &entry.held {
            entry.held = Held::Memory(batch.clone());
            self.discard(outside);
        }
    }

    /// Outside it is not needed any more; of a journal's tuples that is said by [`Request::Release`].
    fn discard(&mut self, place: Place) {
        if !self.journaled {
            self.requests.push_back(Request::Discard { place });
        }
    }

    /// Up to this cost, in bytes, a batch is small.
    fn small_max(&self) -> u64 {
        SMALL_BYTES.min(self.memory_max / 4)
    }

    fn index_of(&self, first: Seq) -> Option<usize> {
        self.entries.binary_search_by_key(&first, |e| e.first).ok()
    }
}
