//! A task whose program answers each record: requests under way, and the way back when it dies.
//!
//! ```text
//!   Idle ──first record, or the end of input──▶ Running ──inputs exhausted──▶ Ending ──end answered──▶ end commit
//!     ▲                                          │ failed          │ failed
//!     └──── Backoff ◀── attempts left ───────────┴─────────────────┘
//! ```
//! Answers come as a growing prefix of the requests: what is behind it when the program dies is asked again, of a new one
//! that was given the state of the last commit. A program that keeps dying is asked half as many at once, without waits, until one
//! record is alone: that has all its attempts, with waits of its own, and is dead-lettered behind them.
//!
//! Limits: `in_flight` records and `in_flight_bytes` (one larger record excepted) are unanswered; as many again may wait to be
//! asked after a failure.

mod check;

use super::Base;
use super::order::Passing;
use super::quarantine::Quarantine;
use super::systematic::{Condemns, Systematic, Verdict, advised};
use crate::backoff::Backoff;
use crate::config::{OnError, RecordsSpec};
use crate::ctx::Ctx;
use crate::event::{
    Action, Attempt, Contents, DeadLetter, Failure, FailureKind, Output, RecordsAction, Report,
};
use crate::inbox::{Piece, Pieces};
use crate::recovery::TaskState;
use crate::time::Time;
use crate::timers::WakeReason;

#[derive(Debug)]
pub(crate) struct RecordsTask {
    spec: RecordsSpec,
    life: u64,
    phase: Phase,
    /// Asked in this life and not answered, in order.
    asked: Pieces,
    /// Taken, to be asked again before anything else.
    waiting: Pieces,
    /// How many may be asked at once now.
    window: u64,
    /// Lives in a row that answered nothing.
    failures: u32,
    /// Lives in a row that had one and the same record alone in flight and did not answer it.
    alone: u32,
    /// So many records more are of a group that kept failing: it is halved without waits.
    suspects: u64,
    backoff: Backoff,
    systematic: Systematic,
    last_failure: Option<Failure>,
    quarantine: Quarantine,
    passing: Passing,
    stopped: bool,
}

/// Where the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is none.
    Idle,
    /// It runs.
    Running { since: Time },
    /// It was told that no more records come.
    Ending { since: Time },
    /// It is started again then.
    Backoff { until: Time },
}

impl RecordsTask {
    pub(super) fn new(spec: RecordsSpec) -> Self {
        Self {
            window: spec.in_flight,
            backoff: Backoff::new(spec.retry.initial, spec.retry.max),
            systematic: Systematic::new(spec.max_dead),
            spec,
            life: 0,
            phase: Phase::Idle,
            asked: Pieces::default(),
            waiting: Pieces::default(),
            failures: 0,
            alone: 0,
            suspects: 0,
            last_failure: None,
            quarantine: Quarantine::default(),
            passing: Passing::default(),
            stopped: false,
        }
    }

    pub(super) fn restore(&mut self, base: &mut Base, ctx: &mut Ctx, state: &TaskState, in_flight: u64) {
        self.quarantine = Quarantine::after(base, state.attempt, in_flight, ctx);
    }

    pub(super) fn step(&mut self, base: &mut Base, ctx: &mut Ctx) {
        let held_up = self.stopped || base.paused.is_some();
        self.condemn_undecided(base, ctx);
        if held_up || matches!(self.phase, Phase::Backoff { .. } | Phase::Ending { .. }) {
            return;
        }
        while self.asked.is_empty() && self.waiting.is_empty() && base.is_at_boundary(ctx) {
            self.end_chunk(base, ctx);
        }
        if self.asked.records() > 0 || ctx.may_ask() {
            self.ask_more(base, ctx);
        }
        if ctx.is_halted() {
            return;
        }
        let leaves = ctx.leaving && !base.has_input(ctx);
        if self.waiting.is_empty() && self.asked.is_empty() && (base.is_exhausted() || leaves) {
            self.decide(base, ctx);
            if ctx.is_halted() {
                return;
            }
        }
        let rests = self.waiting.is_empty() && self.asked.is_empty();
        self.watch(base, ctx, rests);
        if self.waiting.is_empty() && base.is_exhausted() && !self.systematic.holds_any() {
            self.ensure_started(base, ctx);
            self.phase = Phase::Ending { since: ctx.now };
            ctx.timers.clear(WakeReason::Tick(base.id));
            ctx.act(Action::task(base.id, RecordsAction::End { life: self.life }));
        }
    }

    /// Everything of the chunk at hand is answered: its end goes on, behind what is held back.
    fn end_chunk(&mut self, base: &mut Base, ctx: &mut Ctx) {
        let Some(boundary) = base.take_boundary(ctx) else { return };
        let undecided = self.systematic.undecided().count();
        self.passing.end_chunk(base, ctx, boundary, undecided);
    }

    /// Asks as much as may be asked, behind a note of it.
    fn ask_more(&mut self, base: &mut Base, ctx: &mut Ctx) {
        let mut requests = Vec::new();
        let before = self.asked.records();
        while let Some(piece) = self.next(base, ctx) {
            if let Some(letter) = self.quarantine.condemned(&piece, ctx) {
                if self.spec.on_error == OnError::Halt {
                    self.waiting.push_front(piece);
                    return ctx.fail_task(&base.name, format!("{} (on_error = \"halt\")", letter.reason));
                }
                // What is held back before it is committed before it.
                if self.systematic.holds_any() {
                    self.systematic.hold(piece, letter);
                } else {
                    self.dead_letter(base, ctx, &piece, letter);
                    self.one_suspect_less();
                }
                continue;
            }
            self.ensure_started(base, ctx);
            if let Some(until) = self.quarantine.not_before(Some((piece.link, piece.first_seq)), ctx) {
                // Its program is started meanwhile, so that the record is not in flight for longer than it must be.
                self.waiting.push_front(piece);
                ctx.timers.set(WakeReason::Retry(base.id), until);
                break;
            }
            let (task, life, link, first_seq) = (base.id, self.life, piece.link, piece.first_seq);
            requests.push(Action::task(
                task,
                RecordsAction::Request { life, link, first_seq, batch: piece.batch.clone() },
            ));
            self.asked.push(piece);
        }
        if before == 0 && self.asked.records() > 0 {
            ctx.asking += 1;
        }
        if self.asked.records() > before {
            base.note(ctx, self.in_flight());
        }
        requests.into_iter().for_each(|request| ctx.act(request));
    }

    fn in_flight(&self) -> Attempt {
        let Some(first) = self.asked.front().map(|p| (p.link, p.first_seq)) else {
            return self.quarantine.at_rest();
        };
        let (records, alone) = (self.asked.records(), self.quarantine.alone(Some(first)));
        Attempt { records, first: Some(first), alone, suspects: 0 }
    }

    /// What may be asked next: what a life before was asked, then what the inboxes have.
    fn next(&mut self, base: &mut Base, ctx: &mut Ctx) -> Option<Piece> {
        let most = self.window.min(self.quarantine.records_max());
        let records = most.saturating_sub(self.asked.records());
        let cost = self.spec.in_flight_bytes.saturating_sub(self.asked.cost());
        if records == 0 || cost == 0 {
            return None;
        }
        if !self.waiting.is_empty() {
            return self.waiting.take(cost, records);
        }
        if base.has_input(ctx) && base.may_work(ctx) { base.take(ctx, cost, records) } else { None }
    }

    fn ensure_started(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if self.phase != Phase::Idle {
            return;
        }
        self.life += 1;
        self.phase = Phase::Running { since: ctx.now };
        base.counters.programs += 1;
        ctx.act(Action::task(base.id, RecordsAction::Start { life: self.life }));
        if let Some(tick) = self.spec.tick {
            ctx.timers.set(WakeReason::Tick(base.id), ctx.now + tick);
        }
    }

    pub(crate) fn tick_due(&mut self, base: &Base, ctx: &mut Ctx) {
        if let (Phase::Running { .. }, Some(tick)) = (self.phase, self.spec.tick) {
            // What it makes of ticks must not pile up before destinations that take nothing: one is left out then.
            if base.may_work(ctx) {
                ctx.act(Action::task(base.id, RecordsAction::Tick { life: self.life }));
            }
            ctx.timers.set(WakeReason::Tick(base.id), ctx.now + tick);
        }
    }

    /// The prefix of answered requests grew.
    pub(crate) fn answered(
        &mut self,
        base: &mut Base,
        ctx: &mut Ctx,
        life: u64,
        records: u64,
        output: Output,
        ended: bool,
    ) {
        if life != self.life || !matches!(self.phase, Phase::Running { .. } | Phase::Ending { .. }) {
            return ctx.discard(output);
        }
        let failed = output.dead.iter().filter(|letter| letter.origin.is_some()).count() as u64;
        let (records, output) = if records > failed || !output.chunks.is_empty() {
            ctx.has_succeeded(base.id);
            self.condemn_undecided(base, ctx);
            (records, output)
        } else if records > 0 && self.systematic.is_open(base, ctx) {
            let rest = self.hold_answered(base, ctx, output);
            if ctx.is_halted() {
                return;
            }
            (0, rest)
        } else {
            (records, output)
        };
        let pieces = self.take_answered(records);
        let inputs = Base::positions(ctx, &pieces);
        let failed = output.dead.iter().filter(|letter| letter.origin.is_some()).count() as u64;
        base.taken_outside(pieces.records().saturating_sub(failed), pieces.cost());
        if !pieces.is_empty() {
            self.progress(records, &pieces, ctx);
            if self.asked.is_empty() {
                ctx.asked_nothing();
            }
            base.in_flight = self.in_flight();
        }
        if ended && self.systematic.holds_any() {
            // It has ended well with nothing but failures: what those are is decided first.
            self.phase = Phase::Idle;
            return self.step(base, ctx);
        }
        if ended && matches!(self.phase, Phase::Ending { .. }) && self.asked.is_empty() {
            self.phase = Phase::Idle;
            self.stopped = true;
            self.quarantine.over(ctx);
            return base.commit_end(ctx, inputs, output);
        }
        let says_nothing = output.chunks.is_empty() && output.dead.is_empty() && output.position.is_none();
        if records > 0 || !says_nothing {
            base.commit(ctx, inputs, output, false);
        }
        if self.stopped && self.asked.is_empty() {
            return self.abandon(base, ctx);
        }
        self.step(base, ctx);
    }

    /// The program says of records that they failed, and has not succeeded with one yet: they are held back. Gives what else
    /// there is of its output.
    fn hold_answered(&mut self, base: &mut Base, ctx: &mut Ctx, mut output: Output) -> Output {
        let (letters, rest) = output.dead.into_iter().partition::<Vec<_>, _>(|l| l.origin.is_some());
        output.dead = rest;
        for letter in letters {
            let Some(piece) = self.asked.take(u64::MAX, 1) else { break };
            let why = letter.reason.clone();
            if let Verdict::StageFails(why) = self.systematic.failed(base, ctx, &why, &piece, letter) {
                ctx.fail_task(&base.name, why);
                return Output::default();
            }
        }
        self.answers_again();
        if self.asked.is_empty() {
            ctx.asked_nothing();
        }
        base.note(ctx, self.in_flight());
        output
    }

    /// The first requests, which are answered now. A program that claims to have answered more than it was asked has not.
    fn take_answered(&mut self, records: u64) -> Pieces {
        let mut answered = Pieces::default();
        while let Some(piece) = self.asked.take(u64::MAX, records - answered.records()) {
            answered.push(piece);
        }
        answered
    }

    fn answers_again(&mut self) {
        (self.failures, self.alone) = (0, 0);
        self.last_failure = None;
        self.backoff.reset();
    }

    fn progress(&mut self, records: u64, pieces: &Pieces, ctx: &mut Ctx) {
        self.answers_again();
        self.suspects = self.suspects.saturating_sub(records);
        if self.suspects == 0 {
            self.window = (self.window * 2).min(self.spec.in_flight);
        }
        self.quarantine.passed(pieces, ctx);
    }

    /// The program died, broke the protocol or hung.
    pub(crate) fn failed(&mut self, base: &mut Base, ctx: &mut Ctx, life: u64, failure: Failure) {
        if life != self.life || !matches!(self.phase, Phase::Running { .. } | Phase::Ending { .. }) {
            return;
        }
        ctx.timers.clear(WakeReason::Tick(base.id));
        if self.asked.records() > 0 {
            base.nothing_in_flight(ctx);
        }
        if matches!(failure.kind, FailureKind::CannotStart | FailureKind::Worker) {
            return ctx.fail_task(&base.name, failure.message);
        }
        if self.stopped {
            self.take_back(ctx);
            self.phase = Phase::Idle;
            return self.abandon(base, ctx);
        }
        let in_flight = self.asked.records();
        if failure.kind == FailureKind::Injected {
            base.counters.retried_records += in_flight;
            self.take_back(ctx);
            self.phase = Phase::Idle;
            return self.step(base, ctx);
        }
        self.failures += 1;
        ctx.act(Report::BatchFailed {
            task: base.id,
            batch: self.life,
            records: in_flight,
            attempt: self.failures,
            why: failure.message.clone(),
        });
        base.counters.retried_records += in_flight;
        self.last_failure = Some(failure.clone());
        self.take_back(ctx);
        self.phase = Phase::Idle;
        if self.has_attempts(in_flight) {
            let until = ctx.now + self.backoff.fail(&mut ctx.rng);
            self.phase = Phase::Backoff { until };
            return ctx.timers.set(WakeReason::Retry(base.id), until);
        }
        match in_flight {
            0 => {
                let why =
                    format!("{} (nothing was asked of it; {} runs ended so)", failure.message, self.failures);
                return ctx.fail_task(&base.name, why);
            }
            1 => self.failed_alone(base, ctx, failure),
            _ => {
                self.suspects = self.suspects.max(in_flight);
                self.window = in_flight / 2;
            }
        }
        if !ctx.is_halted() {
            self.step(base, ctx);
        }
    }

    /// Whether what so many records were in flight for is tried again as it is: a whole group and a record alone have all their
    /// attempts, half a group has one.
    fn has_attempts(&mut self, in_flight: u64) -> bool {
        let most = self.spec.retry.max_attempts;
        let is_whole = self.suspects == 0 && self.failures < most;
        self.alone = if in_flight == 1 { self.alone + 1 } else { 0 };
        if is_whole || in_flight != 1 || self.alone >= most {
            return is_whole;
        }
        if self.alone == 1 {
            self.backoff.reset();
        }
        // Nothing else is asked beside it.
        (self.suspects, self.window) = (self.suspects.max(1), 1);
        true
    }

    /// What was asked and not answered is asked again, before anything else.
    fn take_back(&mut self, ctx: &mut Ctx) {
        if !self.asked.is_empty() {
            ctx.asked_nothing();
        }
        self.waiting.put_back(std::mem::take(&mut self.asked));
    }

    fn failed_alone(&mut self, base: &mut Base, ctx: &mut Ctx, failure: Failure) {
        if self.spec.on_error == OnError::Halt {
            return ctx.fail_task(&base.name, format!("{} (on_error = \"halt\")", failure.message));
        }
        let Some(piece) = self.waiting.take(u64::MAX, 1) else { return };
        let letter = DeadLetter {
            record: piece.batch.compact().payload().clone(),
            batch_id: None,
            cause: Some(failure.kind),
            reason: failure.message.clone(),
            attempts: self.failures,
            stderr_tail: failure.stderr_tail.clone(),
            origin: Some((piece.link, piece.first_seq)),
            contents: Contents::Record,
            header: None,
        };
        (self.failures, self.alone) = (0, 0);
        self.backoff.reset();
        match self.systematic.failed(base, ctx, &advised(&failure), &piece, letter) {
            Verdict::Condemned(letter) => self.dead_letter(base, ctx, &piece, letter),
            Verdict::Undecided => {}
            Verdict::StageFails(why) => {
                self.waiting.push_front(piece);
                return ctx.fail_task(&base.name, why);
            }
        }
        self.one_suspect_less();
    }

    fn one_suspect_less(&mut self) {
        self.suspects = self.suspects.saturating_sub(1);
        if self.suspects == 0 {
            self.window = (self.window * 2).min(self.spec.in_flight);
        }
    }

    /// The wait before the program is started again, or asked, is over.
    pub(crate) fn retry_due(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if matches!(self.phase, Phase::Backoff { .. }) {
            self.phase = Phase::Idle;
        }
        self.step(base, ctx);
    }

    /// The node stops: nothing more is asked, and the program leaves when it has answered what it was asked.
    pub(crate) fn finish(&mut self, base: &mut Base, ctx: &mut Ctx) {
        self.stopped = true;
        ctx.timers.clear(WakeReason::Tick(base.id));
        if self.asked.is_empty() && !self.is_ending() {
            self.abandon(base, ctx);
        }
    }

    /// The program was asked for its end, and has not answered that.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    /// Kills the program; what it was asked and did not answer is nobody's any more, or the next life's.
    pub(crate) fn abandon(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if matches!(self.phase, Phase::Running { .. } | Phase::Ending { .. }) {
            ctx.act(Action::task(base.id, RecordsAction::Kill));
        }
        self.phase = Phase::Idle;
        self.stopped = true;
        if self.asked.records() > 0 {
            base.nothing_in_flight(ctx);
        }
        self.take_back(ctx);
        self.quarantine.over(ctx);
        self.waiting = Pieces::default();
        self.passing.forget();
        self.systematic.forget(base, ctx);
        ctx.timers.clear(WakeReason::Tick(base.id));
        ctx.timers.clear(WakeReason::Retry(base.id));
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.only_holds_back() && !self.systematic.holds_any()
    }

    /// Idle, but for records whose failures are undecided.
    pub(crate) fn only_holds_back(&self) -> bool {
        self.asked.is_empty() && self.waiting.is_empty()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Records asked and not answered.
    pub(crate) fn asked_records(&self) -> u64 {
        self.asked.records()
    }

    /// Runs that ended without an answer, and how many records wait.
    pub(crate) fn in_hand(&self) -> (u32, usize) {
        (self.failures, usize::try_from(self.waiting.records()).unwrap_or(usize::MAX))
    }

    /// Records taken and not committed.
    pub(crate) fn held_records(&self) -> u64 {
        self.asked.records() + self.waiting.records() + self.systematic.undecided().count() as u64
    }

    /// Records that failed and wait for one success.
    pub(crate) fn undecided_records(&self) -> usize {
        self.systematic.undecided().count()
    }

    /// Cost of what was taken and not committed, in bytes.
    pub(crate) fn held_cost(&self) -> u64 {
        let undecided = self.systematic.undecided().map(|piece| piece.batch.cost()).sum::<u64>();
        self.asked.cost() + self.waiting.cost() + undecided
    }

    pub(crate) fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }
}

impl Condemns for RecordsTask {
    fn systematic(&mut self) -> &mut Systematic {
        &mut self.systematic
    }

    fn passing(&mut self) -> &mut Passing {
        &mut self.passing
    }

    fn dead_letter(&mut self, base: &mut Base, ctx: &mut Ctx, piece: &Piece, letter: DeadLetter) {
        let positions = Base::positions(ctx, [piece]);
        self.quarantine.passed([piece], ctx);
        base.in_flight = self.in_flight();
        base.commit(ctx, positions, Base::only_dead(letter), false);
    }
}
