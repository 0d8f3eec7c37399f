//! Finding the record of which the worker itself dies.
//!
//! Before a program is given records the journal notes how many, and a commit says how many of them are left. A life that
//! finds some knows what was in flight when the one before it died, and gives that task's programs half as many at once; nobody else
//! is held up by that. Only a record that was alone in flight on its node in [`DEATHS_ALONE`] lives in a row is dead-lettered, so one that
//! was in flight by itself in two deaths in a row is tried while nothing else is ([`Alone`](crate::alone::Alone)). Each life
//! tries it again, and later than the one before ([`PATIENCE`]): whatever kills workers for another reason, even soon after
//! every start, does not find the same record in flight each time.

use super::Base;
use crate::ctx::Ctx;
use crate::event::{Attempt, Contents, DeadLetter, FailureKind};
use crate::fault::Bug;
use crate::inbox::Piece;
use crate::time::Time;
use crate::timers::WakeReason;
use std::time::Duration;
use worker_proto::{LinkId, Seq};

/// So many deaths in a row with one record alone in flight are its fault.
const DEATHS_ALONE: u32 = 3;

/// How old a life is before it tries a record of which one or two in a row may have died.
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How long a record waits for what else is in flight, while nothing else begins. Then it is tried beside that: what takes longer must
/// not hold up the whole node, and a death counts for nothing then.
const ALONE_WAIT: Duration = Duration::from_secs(5);

/// What a task does after a death of the worker that it may have caused.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// At most so many records at once; 0: no quarantine.
    at_once: u64,
    /// The first record that was in flight, until it is committed.
    first: Option<(LinkId, Seq)>,
    /// So many records more, from the first on, until it is over.
    left: u64,
    /// In how many lives in a row the process died while the first was alone in flight.
    alone: u32,
    /// The first was in flight by itself in two deaths in a row, whatever other tasks had: it is tried alone on the node.
    again: bool,
    /// It has waited long enough for that.
    has_waited: bool,
}

impl Quarantine {
    /// What the last life leaves to this one; `in_flight` counts the records in flight on the whole node when it died.
    /// Nothing is in flight when a life begins, so what was noted as that is only suspected from now on.
    pub(super) fn after(base: &mut Base, attempt: Attempt, in_flight: u64, ctx: &mut Ctx) -> Self {
        let suspects = attempt.records.max(attempt.suspects);
        if suspects == 0 {
            return Self::default();
        }
        let alone = match (attempt.records, in_flight) {
            // It was not tried in the last life, which something else ended: it stays what it was.
            (0, _) => attempt.alone,
            (_, 1) => attempt.alone + 1,
            _ => 0,
        };
        let again = (suspects, attempt.suspects) == (1, 1);
        let at_once = (suspects / 2).max(1);
        let quarantine =
            Self { at_once, first: attempt.first, left: suspects, alone, again, has_waited: false };
        base.note(ctx, quarantine.at_rest());
        quarantine
    }

    /// What the next life has to know while nothing is in flight: what this one did not get to try is suspected still.
    pub(super) fn at_rest(&self) -> Attempt {
        let suspects = if self.is_on() { self.left } else { 0 };
        let first = self.first.filter(|_| suspects > 0);
        Attempt { records: 0, first, alone: self.alone(first), suspects }
    }

    /// What the next life has to know while these are in flight: whether they were suspected before they were tried.
    pub(super) fn in_flight(&self, records: u64, first: Option<(LinkId, Seq)>) -> Attempt {
        let suspects = if self.is_on() { records } else { 0 };
        Attempt { records, first, alone: self.alone(first), suspects }
    }

    /// How many records a program may be given at once.
    pub(super) fn records_max(&self) -> u64 {
        if self.is_on() { self.at_once } else { u64::MAX }
    }

    pub(super) fn is_on(&self) -> bool {
        self.at_once > 0
    }

    /// In how many lives in a row the process died while the record at `first` was alone in flight.
    pub(super) fn alone(&self, first: Option<(LinkId, Seq)>) -> u32 {
        if self.is_on() && self.left == 1 && first.is_some() && first == self.first { self.alone } else { 0 }
    }

    /// Whether the record at `first` waits until nothing else is in flight on the node.
    pub(super) fn is_tried_alone(&self, first: Option<(LinkId, Seq)>, ctx: &Ctx) -> bool {
        let is_first = self.is_on() && self.left == 1 && first.is_some() && first == self.first;
        is_first
            && !ctx.planted.is(Bug::TriedBesideOthers)
            && (self.again || self.alone > 0)
            && !self.has_waited
    }

    /// A task waits with its record until nothing else is in flight, for a while.
    pub(super) fn wait_to_be_alone(&self, base: &Base, ctx: &mut Ctx) {
        ctx.alone.wants(base.id);
        ctx.timers.set(WakeReason::Retry(base.id), ctx.now + ALONE_WAIT);
    }

    /// It has waited for so long that it is tried beside what is in flight.
    pub(super) fn waited(&mut self, base: &Base, ctx: &mut Ctx) {
        self.has_waited = true;
        ctx.no_longer_alone(base.id);
    }

    /// When the record at `first` may be tried, if not now.
    pub(super) fn not_before(&self, first: Option<(LinkId, Seq)>, ctx: &Ctx) -> Option<Time> {
        let at = match self.alone(first) {
            1 => ctx.begun + PATIENCE[0],
            2 => ctx.begun + PATIENCE[1],
            _ => return None,
        };
        Some(at).filter(|at| *at > ctx.now)
    }

    /// The letter for a record, alone in its piece, that is not tried again.
    pub(super) fn condemned(&self, piece: &Piece, ctx: &Ctx) -> Option<DeadLetter> {
        let origin = (piece.link, piece.first_seq);
        let alone = self.alone(Some(origin));
        let enough = match alone {
            _ if ctx.planted.is(Bug::NeverCondemned) => false,
            1.. if ctx.planted.is(Bug::CondemnedEarly) => true,
            deaths => deaths >= DEATHS_ALONE,
        };
        (enough && piece.batch.len() == 1).then(|| DeadLetter {
            record: piece.batch.compact().payload().clone(),
            reason: format!(
                "the worker itself died {alone} times in a row while this record alone was being processed \
                 (out of memory, perhaps)"
            ),
            attempts: alone,
            stderr_tail: String::new(),
            batch_id: None,
            cause: Some(FailureKind::WorkerDied),
            origin: Some(origin),
            contents: Contents::Record,
            header: None,
        })
    }

    /// These records are committed. Those that came before the first that was in flight, by other links, say nothing.
    pub(super) fn passed<'a>(&mut self, pieces: impl IntoIterator<Item = &'a Piece>) {
        if !self.is_on() {
            return;
        }
        for piece in pieces {
            if self.first.is_some_and(|(link, seq)| piece.link == link && piece.last_seq() >= seq) {
                self.first = None;
            }
            if self.first.is_none() {
                self.left = self.left.saturating_sub(piece.batch.len() as u64);
            }
        }
        if self.left == 0 {
            self.over();
        }
    }

    /// The task looks for nothing any more.
    pub(super) fn over(&mut self) {
        self.at_once = 0;
    }
}
