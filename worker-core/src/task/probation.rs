//! Finding the record of which the worker itself dies.
//!
//! Before a program is given records the journal notes how many. A life that finds such a note, not settled by a commit,
//! knows what was in flight when the one before it died, and gives its programs half as many at once, one program at a time.
//! Only a record that was alone in flight on its node in [`DEATHS_ALONE`] lives in a row is put aside: whatever kills a worker
//! for another reason does not find the same record alone each time, and each life tries it again.

use crate::event::{Attempt, DeadLetter, FailureKind};
use crate::inbox::Piece;
use crate::node::Ctx;
use worker_proto::{LinkId, Seq};

/// So many deaths in a row with one record alone in flight are its fault.
const DEATHS_ALONE: u32 = 3;

/// What a task does after a death of the worker that it may have caused.
#[derive(Debug, Default)]
pub(super) struct Probation {
    /// At most so many records at once; 0: no probation.
    at_once: u64,
    /// So many records more, until it is over.
    left: u64,
    /// The record that was alone in flight, and in how many lives in a row.
    suspect: Option<((LinkId, Seq), u32)>,
}

impl Probation {
    /// What the last life leaves to this one; `in_flight` counts the records in flight on the whole node when it died.
    pub(super) fn after(attempt: Attempt, in_flight: u64, ctx: &mut Ctx) -> Self {
        if attempt.records == 0 {
            return Self::default();
        }
        ctx.probations += 1;
        let alone = if in_flight == 1 { attempt.alone + 1 } else { 0 };
        Self {
            at_once: (attempt.records / 2).max(1),
            left: attempt.records,
            suspect: attempt.first.filter(|_| attempt.records == 1).map(|first| (first, alone)),
        }
    }

    /// How many records a program may be given at once.
    pub(super) fn records_max(&self) -> u64 {
        if self.at_once == 0 { u64::MAX } else { self.at_once }
    }

    pub(super) fn is_on(&self) -> bool {
        self.at_once > 0
    }

    /// In how many lives in a row the process died while the record at `first` was alone in flight.
    pub(super) fn alone(&self, first: Option<(LinkId, Seq)>) -> u32 {
        self.suspect.filter(|(at, _)| Some(*at) == first).map_or(0, |(_, alone)| alone)
    }

    /// The letter for a record, alone in its piece, that is not tried again.
    pub(super) fn condemned(&self, piece: &Piece) -> Option<DeadLetter> {
        let origin = (piece.link, piece.first_seq);
        let alone = self.alone(Some(origin));
        (alone >= DEATHS_ALONE && piece.batch.len() == 1).then(|| DeadLetter {
            record: piece.batch.compact().payload().clone(),
            reason: format!(
                "the worker itself died {alone} times in a row while this record alone was being processed \
                 (out of memory, perhaps)"
            ),
            attempts: alone,
            stderr_tail: String::new(),
            cause: Some(FailureKind::WorkerDied),
            origin: Some(origin),
        })
    }

    /// So many records are committed.
    pub(super) fn passed(&mut self, records: u64, ctx: &mut Ctx) {
        if !self.is_on() {
            return;
        }
        self.suspect = None;
        self.left = self.left.saturating_sub(records);
        if self.left == 0 {
            self.at_once = 0;
            ctx.probations -= 1;
        }
    }
}
