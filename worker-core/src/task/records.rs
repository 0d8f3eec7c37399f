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

mod answers;
mod asking;
mod check;
mod failing;
mod told;

use super::Base;
use super::order::Passing;
use super::quarantine::Quarantine;
use super::systematic::{Condemns, Systematic};
use crate::backoff::Backoff;
use crate::config::RecordsSpec;
use crate::ctx::Ctx;
use crate::event::{Action, DeadLetter, Failure, RecordsAction};
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
        self.proceed(base, ctx);
        if ctx.alone.has_turn(base.id) && self.asked.is_empty() {
            ctx.no_longer_alone(base.id);
        }
    }

    fn proceed(&mut self, base: &mut Base, ctx: &mut Ctx) {
        let held_up = self.stopped || base.paused.is_some();
        self.condemn_undecided(base, ctx);
        if held_up || matches!(self.phase, Phase::Backoff { .. } | Phase::Ending { .. }) {
            return;
        }
        while self.asked.is_empty() && self.waiting.is_empty() && base.is_at_boundary(ctx) {
            self.end_chunk(base, ctx);
        }
        if ctx.alone.may_begin(base.id) {
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

    /// The wait before the program is started again, or asked, is over.
    pub(crate) fn retry_due(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if matches!(self.phase, Phase::Backoff { .. }) {
            self.phase = Phase::Idle;
        }
        if ctx.alone.waits(base.id) {
            self.quarantine.waited(base, ctx);
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
        self.take_back(base, ctx);
        self.quarantine.over();
        ctx.no_longer_alone(base.id);
        self.waiting = Pieces::default();
        self.passing.forget();
        self.systematic.forget(base, ctx);
        ctx.timers.clear(WakeReason::Tick(base.id));
        ctx.timers.clear(WakeReason::Retry(base.id));
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
        self.quarantine.passed([piece]);
        base.in_flight = self.in_flight();
        base.commit(ctx, positions, Base::only_dead(letter), false);
    }
}
