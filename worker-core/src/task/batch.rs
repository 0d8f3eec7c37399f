//! A task that runs a fresh process per batch, retries batches that fail, and halves those that keep failing.
//!
//! ```text
//!   Idle ──batch formed──▶ Queued ──slot──▶ Running ──ok──▶ commit, next segment or Idle
//!                            ▲                │ failed
//!                            ├──── Backoff ◀──┤ attempts left
//!                            └──── (at once) ◀┘ none left: halved, left half first; a single record is dead-lettered
//! ```
//! Limits: one batch being formed and one in flight, each of at most `max_bytes` (one larger record excepted). The size
//! a batch aims at grows while starting programs costs over 5 % of the work ([`Target`]).

mod check;
mod heading;
mod target;

use super::Base;
use super::order::{Boundary, Passing};
use super::quarantine::Quarantine;
use super::segment::Segment;
use super::systematic::{Condemns, Systematic, Verdict, advised};
use crate::backoff::Backoff;
use crate::config::{BatchSpec, OnError};
use crate::ctx::Ctx;
use crate::event::{
    Action, Attempt, BatchAction, Contents, DeadLetter, Failure, FailureKind, Output, Report, Spent, WorkId,
};
use crate::fault::Bug;
use crate::inbox::{Piece, Pieces};
use crate::recovery::TaskState;
use crate::time::Time;
use crate::timers::WakeReason;
use std::collections::VecDeque;
use target::Target;

#[derive(Debug)]
pub(crate) struct BatchTask {
    spec: BatchSpec,
    forming: Pieces,
    target: Target,
    segments: VecDeque<Segment>,
    phase: Phase,
    backoff: Backoff,
    works: u64,
    batches: u64,
    systematic: Systematic,
    last_failure: Option<Failure>,
    quarantine: Quarantine,
    /// The end of the chunk that the segments are of: what is forming is of the next.
    boundary: Option<Boundary>,
    passing: Passing,
    /// Its program was run for the header alone.
    has_asked: bool,
}

/// Where the first segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is none.
    Idle,
    /// Ready, waits for its outputs to have room.
    Blocked { since: Time },
    /// Waits for a slot.
    Queued { since: Time },
    /// Runs.
    Running { work: WorkId, since: Time },
    /// Waits before the next attempt.
    Backoff { until: Time },
}

impl BatchTask {
    pub(super) fn new(spec: BatchSpec) -> Self {
        let backoff = Backoff::new(spec.retry.initial, spec.retry.max);
        Self {
            target: Target::new(spec.max_bytes),
            systematic: Systematic::new(spec.max_dead),
            spec,
            forming: Pieces::default(),
            segments: VecDeque::new(),
            phase: Phase::Idle,
            backoff,
            works: 0,
            batches: 0,
            last_failure: None,
            quarantine: Quarantine::default(),
            boundary: None,
            passing: Passing::default(),
            has_asked: false,
        }
    }

    pub(super) fn restore(&mut self, base: &mut Base, ctx: &mut Ctx, state: &TaskState, in_flight: u64) {
        self.quarantine = Quarantine::after(base, state.attempt, in_flight, ctx);
    }

    pub(super) fn step(&mut self, base: &mut Base, ctx: &mut Ctx) {
        self.condemn_undecided(base, ctx);
        self.form(base, ctx);
        if ctx.journaled && ctx.draining {
            return;
        }
        while self.segments.is_empty() && self.end_chunk(base, ctx) {
            self.form(base, ctx);
        }
        if self.segments.is_empty() && self.is_formed(base, ctx) {
            self.close_batch(ctx, base);
        }
        if matches!(self.phase, Phase::Idle | Phase::Blocked { .. }) && !self.segments.is_empty() {
            self.request_slot(base, ctx);
        }
        let leaves = ctx.leaving && !base.has_input(ctx);
        if self.segments.is_empty() && self.forming.is_empty() && (base.is_exhausted() || leaves) {
            self.decide(base, ctx);
        }
        let is_over = self.is_idle() && base.is_exhausted() && !ctx.is_halted();
        if is_over && !self.awaits_header(base, ctx) {
            self.quarantine.over();
            base.commit_end(ctx, Vec::new(), Output::default());
        }
        let rests = self.segments.is_empty() && self.forming.is_empty() && !ctx.is_halted();
        self.watch(base, ctx, rests);
    }

    /// Takes tuples for the next batch while the present one runs; a batch ends where a chunk does.
    fn form(&mut self, base: &mut Base, ctx: &mut Ctx) {
        base.hear_headers(ctx);
        if self.forming.is_empty() && self.boundary.is_none() && base.is_at_boundary(ctx) {
            self.boundary = base.take_boundary(ctx);
            if ctx.planted.is(Bug::BoundaryAhead) {
                self.end_chunk(base, ctx);
            }
        }
        let records_max = self.spec.max_records.min(self.quarantine.records_max());
        let bytes_max = self.bytes_max(base);
        while self.forming.cost() < bytes_max && self.forming.records() < records_max {
            let cost = bytes_max - self.forming.cost();
            let records = records_max - self.forming.records();
            let Some(piece) = base.take(ctx, cost, records) else { break };
            if self.forming.is_empty() {
                ctx.timers.set(WakeReason::Linger(base.id), ctx.now + self.spec.linger);
            }
            self.forming.push(piece);
        }
    }

    /// What a batch has at most. One that ends where a chunk does may be half as large again as others, so that no small rest of the
    /// chunk is left to a program of its own.
    fn bytes_max(&self, base: &Base) -> u64 {
        let target = self.target.bytes();
        if base.order.passes() { (target + target / 2).min(self.spec.max_bytes) } else { target }
    }

    /// Nothing of the chunk at hand is left but its end, which goes on, behind what is held back. Says whether there was one.
    fn end_chunk(&mut self, base: &mut Base, ctx: &mut Ctx) -> bool {
        let Some(boundary) = self.boundary.take() else { return false };
        let undecided = self.systematic.undecided().count();
        self.passing.end_chunk(base, ctx, boundary, undecided);
        true
    }

    fn is_formed(&self, base: &Base, ctx: &Ctx) -> bool {
        if self.forming.is_empty() {
            return false;
        }
        self.forming.cost() >= self.target.bytes()
            || self.forming.records() >= self.spec.max_records.min(self.quarantine.records_max())
            || base.is_exhausted()
            || base.is_at_boundary(ctx)
            || ctx.draining
            || ctx.finishing
            || ctx.timers.at(WakeReason::Linger(base.id)).is_none()
    }

    fn close_batch(&mut self, ctx: &mut Ctx, base: &mut Base) {
        ctx.timers.clear(WakeReason::Linger(base.id));
        self.batches += 1;
        let segment = Segment::new(std::mem::take(&mut self.forming), self.batches, ctx.journaled);
        let alone = segment.pieces.front().filter(|_| segment.records() == 1);
        if let Some(letter) = alone.and_then(|piece| self.quarantine.condemned(piece, ctx)) {
            if self.spec.on_error == OnError::Halt {
                let why = format!("{} (on_error = \"halt\")", letter.reason);
                return self.fails_with(base, ctx, segment, why);
            }
            let Some(piece) = segment.pieces.front() else { return };
            // What is held back before it is committed before it.
            return if self.systematic.holds_any() {
                self.systematic.hold(piece.clone(), letter);
            } else {
                self.dead_letter(base, ctx, piece, letter);
            };
        }
        self.segments.push_back(segment);
        self.backoff.reset();
        self.form(base, ctx);
    }

    fn request_slot(&mut self, base: &Base, ctx: &mut Ctx) {
        if base.may_work(ctx) {
            let first = self.segments.front().and_then(Segment::first);
            if let Some(until) = self.quarantine.not_before(first, ctx) {
                self.phase = Phase::Backoff { until };
                return ctx.timers.set(WakeReason::Retry(base.id), until);
            }
            self.phase = Phase::Queued { since: ctx.now };
            ctx.slots.request(base.id);
            if self.quarantine.is_tried_alone(first, ctx) {
                self.quarantine.wait_to_be_alone(base, ctx);
            }
        } else if self.phase == Phase::Idle {
            self.phase = Phase::Blocked { since: ctx.now };
        }
    }

    /// This task's turn for a slot has come; says whether it used it.
    pub(crate) fn slot_granted(&mut self, base: &mut Base, ctx: &mut Ctx) -> bool {
        if !matches!(self.phase, Phase::Queued { .. }) {
            return false;
        }
        if !base.may_work(ctx) || (ctx.journaled && ctx.draining) {
            self.phase = Phase::Blocked { since: ctx.now };
            return false;
        }
        let Some(segment) = self.segments.front_mut() else { return false };
        ctx.timers.clear(WakeReason::Retry(base.id));
        segment.attempts += 1;
        segment.tried += 1;
        self.works += 1;
        let work = WorkId(self.works);
        base.counters.programs += 1;
        if segment.attempts > 1 || segment.bisecting {
            base.counters.retried_records += segment.records();
        }
        let run = segment.to_run(work, base.heads.taken().cloned());
        self.phase = Phase::Running { work, since: ctx.now };
        base.note(ctx, self.in_flight());
        ctx.act(Action::task(base.id, BatchAction::Run(run)));
        true
    }

    /// A run has ended; says whether it was the present one, whose slot is free now.
    pub(crate) fn run_done(
        &mut self,
        base: &mut Base,
        ctx: &mut Ctx,
        work: WorkId,
        result: Result<Output, Failure>,
        spent: Spent,
    ) -> bool {
        if !matches!(self.phase, Phase::Running { work: current, .. } if current == work) {
            ctx.discard(result.unwrap_or_default());
            return false;
        }
        self.phase = Phase::Idle;
        base.busy += spent.total;
        if result.is_ok() || !ctx.planted.is(Bug::SlotLeaked) {
            ctx.slots.release(base.id);
        }
        ctx.nothing_in_flight(base.id);
        let Some(segment) = self.segments.pop_front() else { return true };
        if segment.records() == 0 {
            self.header_asked(base, ctx, segment, result);
        } else {
            self.ran(base, ctx, segment, result, spent);
        }
        if !ctx.is_halted() {
            self.step(base, ctx);
        }
        true
    }

    /// A program has run over records.
    fn ran(
        &mut self,
        base: &mut Base,
        ctx: &mut Ctx,
        segment: Segment,
        result: Result<Output, Failure>,
        spent: Spent,
    ) {
        match result.and_then(|output| base.under_one_header(ctx, output)) {
            Ok(output) => {
                self.target.adapt(spent, segment.pieces.cost());
                ctx.stages.aims_at(base.id, self.target.bytes());
                ctx.has_succeeded(base.id);
                self.condemn_undecided(base, ctx);
                self.backoff.reset();
                self.last_failure = None;
                let positions = Base::positions(ctx, &segment.pieces);
                self.quarantine.passed(&segment.pieces);
                base.in_flight = self.quarantine.at_rest();
                base.taken_outside(segment.records(), segment.pieces.cost());
                base.commit(ctx, positions, output, false);
            }
            Err(failure) => self.failed(base, ctx, segment, failure),
        }
    }

    fn failed(&mut self, base: &mut Base, ctx: &mut Ctx, segment: Segment, failure: Failure) {
        base.nothing_in_flight(ctx);
        match failure.kind {
            FailureKind::CannotStart | FailureKind::Worker => {
                return self.fails_with(base, ctx, segment, failure.message);
            }
            FailureKind::Exit(_)
            | FailureKind::Signal(_)
            | FailureKind::Timeout
            | FailureKind::Output
            | FailureKind::EarlyExit
            | FailureKind::Diverged
            | FailureKind::Records
            | FailureKind::WorkerDied => {}
            FailureKind::Injected => return self.segments.push_front(segment.not_tried()),
        }
        self.last_failure = Some(failure.clone());
        ctx.act(Report::BatchFailed {
            task: base.id,
            batch: segment.batch_id,
            records: segment.records(),
            attempt: segment.attempts,
            why: failure.message.clone(),
        });
        let is_theirs = failure.kind == FailureKind::Records;
        let has_attempts = segment.attempts < self.spec.retry.max_attempts && !is_theirs;
        if has_attempts && (!segment.bisecting || segment.records() == 1) {
            self.try_later(base, ctx, segment);
        } else if self.systematic.is_open(base, ctx) && failure.kind == FailureKind::Timeout && failure.silent
        {
            let why = format!(
                "{}; it took nothing and printed nothing, {} times, and nothing has succeeded before",
                failure.message, segment.attempts
            );
            self.fails_with(base, ctx, segment, why);
        } else if segment.records() > 1 {
            self.backoff.reset();
            let (left, right) = segment.halve(self.batches + 1, self.batches + 2, ctx.journaled);
            self.batches += 2;
            self.segments.push_front(right);
            self.segments.push_front(left);
        } else {
            self.failed_alone(base, ctx, segment, failure);
        }
    }

    fn try_later(&mut self, base: &Base, ctx: &mut Ctx, segment: Segment) {
        let until = ctx.now + self.backoff.fail(&mut ctx.rng);
        self.phase = Phase::Backoff { until };
        ctx.timers.set(WakeReason::Retry(base.id), until);
        self.segments.push_front(segment);
    }

    /// A single record fails: it is dead-lettered, unless the fault is the stage's or the user wants to stop.
    fn failed_alone(&mut self, base: &mut Base, ctx: &mut Ctx, segment: Segment, failure: Failure) {
        if self.spec.on_error == OnError::Halt && !ctx.planted.is(Bug::HaltIgnored) {
            let why = format!("{} (on_error = \"halt\")", failure.message);
            return self.fails_with(base, ctx, segment, why);
        }
        let Some(piece) = segment.pieces.front() else { return };
        let letter = DeadLetter {
            record: piece.batch.compact().payload().clone(),
            batch_id: Some(segment.batch_id),
            cause: Some(failure.kind),
            reason: failure.message.clone(),
            attempts: segment.tried,
            stderr_tail: failure.stderr_tail.clone(),
            origin: Some((piece.link, piece.first_seq)),
            contents: Contents::Record,
            header: None,
        };
        self.backoff.reset();
        // Whatever becomes of others, no program can be given this one. What is held back before it is committed before it.
        if failure.kind == FailureKind::Records {
            return match self.systematic.holds_any() {
                true => self.systematic.hold(piece.clone(), letter),
                false => self.dead_letter(base, ctx, piece, letter),
            };
        }
        match self.systematic.failed(base, ctx, &advised(&failure), piece, letter) {
            Verdict::Condemned(letter) => self.dead_letter(base, ctx, piece, letter),
            Verdict::Undecided => {}
            Verdict::StageFails(why) => self.fails_with(base, ctx, segment, why),
        }
    }

    /// The pipeline fails with these records: they are not done, and stay among what is not.
    fn fails_with(&mut self, base: &Base, ctx: &mut Ctx, segment: Segment, why: String) {
        self.segments.push_front(segment);
        ctx.fail_task(&base.name, why);
    }

    /// What is at the program now, as the journal has to know it: something may be while what was held back is condemned.
    fn in_flight(&self) -> Attempt {
        let Some(segment) = self.segments.front().filter(|_| self.is_running()) else {
            return self.quarantine.at_rest();
        };
        self.quarantine.in_flight(segment.records(), segment.first())
    }

    /// The wait before the next attempt is over.
    pub(crate) fn retry_due(&mut self, base: &mut Base, ctx: &mut Ctx) {
        match self.phase {
            Phase::Backoff { .. } => {
                self.phase = Phase::Idle;
                self.step(base, ctx);
            }
            Phase::Queued { .. } => self.quarantine.waited(base, ctx),
            Phase::Idle | Phase::Blocked { .. } | Phase::Running { .. } => {}
        }
    }

    /// Drops everything: nobody takes the output any more.
    pub(crate) fn abandon(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if matches!(self.phase, Phase::Running { .. }) {
            ctx.act(Action::task(base.id, BatchAction::Kill));
            ctx.slots.release(base.id);
            base.nothing_in_flight(ctx);
        }
        self.quarantine.over();
        ctx.no_longer_alone(base.id);
        self.phase = Phase::Idle;
        self.segments.clear();
        self.systematic.forget(base, ctx);
        ctx.has_done_all(base.id);
        self.forming = Pieces::default();
        self.boundary = None;
        self.passing.forget();
        ctx.timers.clear(WakeReason::Linger(base.id));
        ctx.timers.clear(WakeReason::Retry(base.id));
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.only_holds_back() && !self.systematic.holds_any()
    }

    /// Idle, but for records whose failures are undecided.
    pub(crate) fn only_holds_back(&self) -> bool {
        self.segments.is_empty() && self.forming.is_empty()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Attempts of the batch in hand, and how many records it has.
    pub(crate) fn in_hand(&self) -> Option<(u32, usize)> {
        let segment = self.hand()?;
        Some((segment.attempts, usize::try_from(segment.records()).unwrap_or(usize::MAX)))
    }

    /// The batch that is run, or is next.
    pub(crate) fn hand(&self) -> Option<&Segment> {
        self.segments.front()
    }

    /// Records taken and not committed.
    pub(crate) fn held_records(&self) -> u64 {
        let undecided = self.systematic.undecided().count() as u64;
        self.segments.iter().map(Segment::records).sum::<u64>() + self.forming.records() + undecided
    }

    /// A batch is being gathered.
    pub(crate) fn gathers(&self) -> bool {
        !self.segments.is_empty() || !self.forming.is_empty()
    }

    /// Records that failed and wait for one success.
    pub(crate) fn undecided_records(&self) -> usize {
        self.systematic.undecided().count()
    }

    /// Cost of what was taken and not committed, in bytes.
    pub(crate) fn held_cost(&self) -> u64 {
        let undecided = self.systematic.undecided().map(|piece| piece.batch.cost()).sum::<u64>();
        self.segments.iter().map(|s| s.pieces.cost()).sum::<u64>() + self.forming.cost() + undecided
    }

    pub(crate) fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }
}

impl Condemns for BatchTask {
    fn systematic(&mut self) -> &mut Systematic {
        &mut self.systematic
    }

    fn passing(&mut self) -> &mut Passing {
        &mut self.passing
    }

    fn dead_letter(&mut self, base: &mut Base, ctx: &mut Ctx, piece: &Piece, letter: DeadLetter) {
        let positions = Base::positions(ctx, [piece]);
        self.quarantine.passed([piece]);
        base.in_flight = self.in_flight();
        base.commit(ctx, positions, Base::only_dead(letter), false);
    }
}
