//! What keeps the tuples of an outbox that are outside memory.

use super::buffer::{Residence, SendBuffer};
use crate::event::Place;
use std::collections::VecDeque;
use worker_proto::{Batch, Seq};

/// Something the owner must do for an outbox.
#[derive(Clone, Debug)]
pub enum Request {
    /// Put a batch outside memory, then call [`Outbox::stored`](super::Outbox::stored).
    Store {
        /// Its first tuple.
        first_seq: Seq,
        /// The records.
        batch: Batch,
    },
    /// Get a batch back, then call [`Outbox::loaded`](super::Outbox::loaded).
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

/// What "outside memory" means for an outbox, and what is still to be asked of it.
#[derive(Debug)]
pub(super) struct Backing {
    keeper: Keeper,
    requests: VecDeque<Request>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    /// Keeps the batches it is given, each until it is discarded; finds them by the places it gave.
    Spill,
    /// The sending task's: has every tuple before it is pushed, keeps it until its position is released, and finds it by link
    /// and position. As the receiver has one too, what is acknowledged is finished.
    Journal,
}

/// The place of tuples that a journal finds by link and position.
const JOURNALED: Place = Place(0);

impl Backing {
    pub(super) fn spill() -> Self {
        Self { keeper: Keeper::Spill, requests: VecDeque::new() }
    }

    pub(super) fn journal() -> Self {
        Self { keeper: Keeper::Journal, requests: VecDeque::new() }
    }

    /// The next thing the owner must do.
    pub(super) fn poll(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Whether something is to be asked.
    pub(super) fn has_request(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Whether what is acknowledged is finished, too: no death of the receiver can lose it.
    pub(super) fn acknowledged_is_finished(&self) -> bool {
        self.keeper == Keeper::Journal
    }

    /// Where a batch goes that leaves memory.
    pub(super) fn put_outside(&mut self, first_seq: Seq, batch: Batch) -> Residence {
        match self.keeper {
            Keeper::Spill => {
                self.requests.push_back(Request::Store { first_seq, batch: batch.clone() });
                Residence::Storing(batch)
            }
            Keeper::Journal => Residence::Stored(JOURNALED),
        }
    }

    /// Where a batch is that was outside when this life began.
    pub(super) fn left_outside(&self) -> Residence {
        Residence::Stored(JOURNALED)
    }

    /// Where a batch in memory can be got from again, if it is dropped.
    pub(super) fn copy_of(&self, residence: &Residence) -> Option<Place> {
        match (residence, self.keeper) {
            (Residence::Copied(_, place), _) => Some(*place),
            (Residence::Memory(_), Keeper::Journal) => Some(JOURNALED),
            (Residence::Memory(_), Keeper::Spill)
            | (Residence::Storing(_) | Residence::Stored(_) | Residence::Loading(_), _) => None,
        }
    }

    /// Whether a batch that was sent may still have to be put outside: a journal's was dropped when the cursor left it.
    pub(super) fn wants_sent(&self) -> bool {
        self.keeper == Keeper::Spill
    }

    /// Asks for the batch at `at`, which is at `place`. A journal gives only what is not acknowledged.
    pub(super) fn fetch(&mut self, buffer: &mut SendBuffer, at: usize, place: Place, through: Seq) {
        match self.keeper {
            Keeper::Spill => {}
            Keeper::Journal => buffer.begin_behind(at, through),
        }
        buffer.put(at, Residence::Loading(place));
        let Some(held) = buffer.get(at) else { return };
        self.requests.push_back(Request::Load { first_seq: held.first, place, records: held.records });
    }

    /// The batch at `place` is not needed outside any more; of a journal's tuples that is said by [`Self::release`].
    pub(super) fn discard(&mut self, place: Place) {
        match self.keeper {
            Keeper::Spill => self.requests.push_back(Request::Discard { place }),
            Keeper::Journal => {}
        }
    }

    /// Tuples through here are not needed any more; of a spill's batches that is said by [`Self::discard`].
    pub(super) fn release(&mut self, through: Seq) {
        match (self.keeper, self.requests.back_mut()) {
            (Keeper::Spill, _) => {}
            (Keeper::Journal, Some(Request::Release { through: last })) => *last = through,
            (Keeper::Journal, _) => self.requests.push_back(Request::Release { through }),
        }
    }
}
