//! A task that feeds one process for its life or for a window.
//!
//! ```text
//!   Idle ──first record, or the end of input──▶ Fed ──window over or inputs exhausted──▶ Closing
//!     ▲                                          │ exits with success before that: done, or an error        │
//!     └──────────── commit, next window ◀────────┴─────────────────── exits with success ◀─────────────────┘
//! ```
//! With a journal every piece of input is admitted by a commit before it is fed, and so acknowledged; a child that dies is
//! replaced once, and the new one is given the window's input again. What it prints must begin with what was committed.
//! With `restart` that goes on for as long as it takes, after a wait (`Backoff`); in memory the input is kept here for that.
//!
//! Limits: at most [`FEED_BYTES`] (and one piece) are on their way to the child; `replay_bytes` of input in one window.

mod told;

use super::Base;
use crate::backoff::Backoff;
use crate::check::{Inconsistency, same};
use crate::config::{STREAM_FED_BYTES, STREAM_PIECE_BYTES as PIECE_BYTES, StreamSpec, Window};
use crate::ctx::Ctx;
use crate::event::{Action, Failure, FailureKind, InputDone, Output, Report, StreamAction, StreamStep};
use crate::fault::Bug;
use crate::recovery::TaskState;
use crate::time::Time;
use crate::timers::WakeReason;
use crate::words::number;
use worker_proto::Batch;

/// What may be on its way to the child before another piece is fed, in bytes of cost.
const FEED_BYTES: u64 = STREAM_FED_BYTES - PIECE_BYTES;

#[derive(Debug)]
pub(crate) struct StreamTask {
    spec: StreamSpec,
    window: u64,
    phase: Phase,
    /// Fed and not yet taken by the child, in bytes of cost.
    on_the_way: u64,
    /// Records fed in this window.
    fed: u64,
    /// Bytes of them.
    fed_bytes: u64,
    /// How far the window's process has read.
    read: Progress,
    /// How much of the window was counted as taken.
    counted: Progress,
    /// It had unread input at the last news of its reading.
    is_behind: bool,
    positions: Vec<InputDone>,
    /// Cost of what was given to this window.
    admitted_cost: u64,
    /// The window's child died, and another was given everything again.
    replayed: bool,
    /// The window has to be run again from its beginning as soon as the node runs.
    resume: bool,
    /// An earlier life has begun the window, and this one has given it to no program yet.
    restored: bool,
    /// Standard input is closed after what was admitted.
    cut: bool,
    stopped: bool,
    /// The window's process has printed something.
    printed: bool,
    /// Records that it has printed, those apart that are as another printed them before.
    printed_records: u64,
    /// The window's time was over while the user held the task up.
    overdue: bool,
    /// The window's input in memory, where there is no journal to read it back from.
    kept: Vec<Batch>,
    /// Waits before a failed program is started again, where it is.
    restart: Option<Backoff>,
    /// Why the window's last program failed.
    last_failure: Option<String>,
}

/// How far a process has read its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    records: u64,
    bytes: u64,
}

/// Where the present window's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Fed {
        since: Time,
    },
    Closing {
        since: Time,
    },
    /// It failed, and is started again then.
    Backoff {
        until: Time,
    },
}

impl StreamTask {
    pub(super) fn new(spec: StreamSpec) -> Self {
        Self {
            restart: spec.restart.as_ref().map(|wait| Backoff::new(wait.initial, wait.max)),
            spec,
            window: 0,
            phase: Phase::Idle,
            on_the_way: 0,
            fed: 0,
            fed_bytes: 0,
            read: Progress::default(),
            counted: Progress::default(),
            is_behind: false,
            positions: Vec::new(),
            admitted_cost: 0,
            replayed: false,
            resume: false,
            restored: false,
            cut: false,
            stopped: false,
            printed: false,
            printed_records: 0,
            overdue: false,
            kept: Vec::new(),
            last_failure: None,
        }
    }

    /// Goes on with the window that was under way.
    pub(super) fn restore(&mut self, base: &mut Base, ctx: &mut Ctx, state: &TaskState) {
        self.window = state.windows;
        if let Some(window) = state.window.filter(|_| !state.ended) {
            self.window = window.window;
            (self.fed, self.admitted_cost, self.cut) = (window.records, window.cost, window.cut);
            self.printed_records = window.printed_records;
            self.fed_bytes = window.cost.saturating_sub(window.records * Batch::END_BYTES);
            // An earlier life has counted it.
            self.counted = Progress { records: self.fed, bytes: self.fed_bytes };
            (self.resume, self.restored) = (true, true);
        }
        ctx.task_changed(base.id);
    }

    /// Starts the window's child anew and gives it everything again.
    fn run_again(&mut self, base: &mut Base, ctx: &mut Ctx) {
        self.resume = false;
        self.on_the_way = 0;
        (self.read, self.is_behind) = (Progress::default(), false);
        base.counters.programs += 1;
        // Given again by a new life it has not failed.
        base.counters.retried_records += if self.restored { 0 } else { self.fed };
        self.restored = false;
        ctx.act(Action::task(base.id, self.start(base, true)));
        for batch in self.kept.clone() {
            self.feed(base, ctx, batch);
        }
        if self.cut {
            self.phase = Phase::Closing { since: ctx.now };
            ctx.act(Action::task(base.id, StreamAction::Close { window: self.window }));
        } else {
            self.phase = Phase::Fed { since: ctx.now };
            match self.spec.window {
                // The window was full, and the note of its cut was lost.
                Some(Window::Records(max)) if self.fed >= max => self.close(base, ctx),
                Some(Window::Every(every)) => ctx.timers.set(WakeReason::Window(base.id), ctx.now + every),
                Some(Window::Records(_)) | None => {}
            }
        }
    }

    pub(super) fn step(&mut self, base: &mut Base, ctx: &mut Ctx) {
        // Who is held up starts nothing, and has no program begin to sum up.
        if self.stopped || base.paused.is_some() || matches!(self.phase, Phase::Backoff { .. }) {
            return;
        }
        if self.resume {
            self.run_again(base, ctx);
        }
        let overdue = std::mem::take(&mut self.overdue);
        if matches!(self.phase, Phase::Fed { .. }) && (overdue || self.is_window_full()) {
            // The process died between the window's last input and its cut.
            self.close(base, ctx);
        }
        while !matches!(self.phase, Phase::Closing { .. })
            && self.on_the_way < FEED_BYTES
            && base.has_input(ctx)
        {
            if ctx.storage_full || !base.may_work(ctx) {
                return;
            }
            let room = match self.spec.window {
                Some(Window::Records(max)) => max.saturating_sub(self.fed),
                Some(Window::Every(_)) | None => u64::MAX,
            };
            let Some(piece) = base.take_uncounted(ctx, PIECE_BYTES, room) else { break };
            self.ensure_started(base, ctx);
            self.fed += piece.batch.len() as u64;
            self.fed_bytes += piece.batch.bytes() as u64;
            self.admitted_cost += piece.batch.cost();
            let positions = Base::positions(ctx, [&piece]);
            let too_early = ctx.planted.is(Bug::FedBeforeAdmitted);
            if too_early {
                self.feed(base, ctx, piece.batch.clone());
            }
            if ctx.journaled {
                let step = StreamStep::Admit { window: self.window, batches: vec![piece.batch.clone()] };
                base.commit_step(ctx, positions, Output::default(), false, Some(step));
            } else {
                merge(&mut self.positions, positions);
                self.kept.extend(self.restart.is_some().then(|| piece.batch.clone()));
            }
            if !too_early {
                self.feed(base, ctx, piece.batch);
            }
            self.limit_replay(base, ctx);
            if self.is_window_full() {
                self.close(base, ctx);
            }
        }
        if base.is_exhausted() {
            match self.phase {
                Phase::Closing { .. } | Phase::Backoff { .. } => {}
                // Programs such as `wc -l` have something to say about no input at all, once.
                Phase::Idle if self.window > 0 => base.commit_end(ctx, Vec::new(), Output::default()),
                Phase::Idle | Phase::Fed { .. } => {
                    self.ensure_started(base, ctx);
                    self.close(base, ctx);
                }
            }
        }
    }

    /// What is kept to be given again has a limit.
    fn limit_replay(&self, base: &Base, ctx: &mut Ctx) {
        let is_kept = (ctx.journaled || self.restart.is_some()) && !ctx.planted.is(Bug::ReplayUnlimited);
        if is_kept && self.admitted_cost > self.spec.replay_bytes {
            let when = if ctx.journaled { "after a crash" } else { "when it fails" };
            let why = format!(
                "its input since the window began has {} bytes, more than replay_limit ({}) lets it keep to run its program \
                 again {when}; raise replay_limit, or set a window",
                number(self.admitted_cost),
                number(self.spec.replay_bytes)
            );
            ctx.fail_task(&base.name, why);
        }
    }

    fn is_window_full(&self) -> bool {
        matches!(self.spec.window, Some(Window::Records(max)) if self.fed >= max)
    }

    fn ensure_started(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if self.phase != Phase::Idle {
            return;
        }
        self.window += 1;
        self.begin_count();
        self.on_the_way = 0;
        self.admitted_cost = 0;
        (self.printed, self.printed_records) = (false, 0);
        (self.replayed, self.cut, self.overdue) = (false, false, false);
        self.phase = Phase::Fed { since: ctx.now };
        base.counters.programs += 1;
        ctx.act(Action::task(base.id, self.start(base, false)));
        if let Some(Window::Every(every)) = self.spec.window {
            ctx.timers.set(WakeReason::Window(base.id), ctx.now + every);
        }
    }

    fn start(&self, base: &Base, replay: bool) -> StreamAction {
        StreamAction::Start { window: self.window, replay, header: base.heads.taken().cloned() }
    }

    /// Nothing was fed yet.
    fn begin_count(&mut self) {
        (self.fed, self.fed_bytes, self.is_behind) = (0, 0, false);
        (self.read, self.counted) = (Progress::default(), Progress::default());
    }

    fn feed(&mut self, base: &Base, ctx: &mut Ctx, batch: Batch) {
        self.on_the_way += batch.cost();
        ctx.act(Action::task(base.id, StreamAction::Feed { window: self.window, batch }));
    }

    fn close(&mut self, base: &mut Base, ctx: &mut Ctx) {
        self.cut = true;
        if ctx.journaled && !ctx.planted.is(Bug::CutLost) {
            let step = StreamStep::Cut { window: self.window };
            base.commit_step(ctx, Vec::new(), Output::default(), false, Some(step));
        }
        self.phase = Phase::Closing { since: ctx.now };
        ctx.timers.clear(WakeReason::Window(base.id));
        ctx.act(Action::task(base.id, StreamAction::Close { window: self.window }));
    }

    /// The window's time is over.
    pub(crate) fn window_due(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if base.paused.is_some() {
            self.overdue = true;
        } else if matches!(self.phase, Phase::Fed { .. }) {
            self.close(base, ctx);
        }
    }

    /// The child has taken what cost so much; the task is stepped after every event.
    pub(crate) fn taken(&mut self, window: u64, cost: u64) {
        if window == self.window {
            self.on_the_way = self.on_the_way.saturating_sub(cost);
        }
    }

    /// The child has read so much since its start. What it reads again after a failure is counted once.
    pub(crate) fn has_read(&mut self, base: &mut Base, window: u64, so_far: (u64, u64), is_behind: bool) {
        let (records, bytes) = so_far;
        if window != self.window || !self.runs() {
            return;
        }
        self.read = Progress { records: records.min(self.fed), bytes: bytes.min(self.fed_bytes) };
        self.is_behind = is_behind;
        let more = |read: u64, counted: &mut u64| {
            let more = read.saturating_sub(*counted);
            *counted += more;
            more
        };
        base.counters.records_in += more(self.read.records, &mut self.counted.records);
        base.counters.bytes_in += more(self.read.bytes, &mut self.counted.bytes);
    }

    pub(crate) fn printed(&mut self, base: &mut Base, ctx: &mut Ctx, window: u64, output: Output) {
        if window == self.window && self.runs() {
            self.printed = true;
            self.printed_records += output.records;
            let printed = output.printed.filter(|_| ctx.journaled);
            let step = printed.map(|printed| StreamStep::Printed { window, printed });
            base.commit_step(ctx, Vec::new(), output, false, step);
        } else {
            ctx.discard(output);
        }
    }

    pub(crate) fn exited(
        &mut self,
        base: &mut Base,
        ctx: &mut Ctx,
        window: u64,
        result: Result<Output, Failure>,
        early: bool,
    ) {
        if window != self.window || !self.runs() {
            ctx.discard(result.unwrap_or_default());
            return;
        }
        let output = match result {
            Ok(output) => output,
            Err(failure) => return self.child_failed(base, ctx, failure),
        };
        ctx.timers.clear(WakeReason::Window(base.id));
        if !early {
            self.has_read(base, window, (self.fed, self.fed_bytes), false);
        }
        self.phase = Phase::Idle;
        // Who ends early has not taken what it did not read.
        let (records, cost) = match early {
            true => (self.read.records, self.read.bytes + self.read.records * Batch::END_BYTES),
            false => (self.fed, self.admitted_cost),
        };
        base.taken_outside(records, cost);
        self.begin_count();
        (self.on_the_way, self.last_failure) = (0, None);
        self.kept = Vec::new();
        if let Some(backoff) = &mut self.restart {
            backoff.reset();
        }
        let inputs = std::mem::take(&mut self.positions);
        if early && self.spec.early_exit_is_done {
            let done = self.done(ctx);
            return base.finish_early(ctx, output, done);
        }
        if early {
            let why = "the program ended before it had read all its input; if that is meant, set early_exit = \"done\" \
                       in the pipeline file (worker run … --print-toml makes one)";
            return ctx.fail_task(&base.name, why.into());
        }
        let step = self.done(ctx);
        if base.is_exhausted() {
            base.commit_end_step(ctx, inputs, output, step);
        } else {
            base.commit_step(ctx, inputs, output, false, step);
            self.step(base, ctx);
        }
    }

    /// The end of the present window, for the journal.
    pub(super) fn done(&self, ctx: &Ctx) -> Option<StreamStep> {
        ctx.journaled.then_some(StreamStep::Done { window: self.window })
    }

    /// The node stops. What the program of a sink was given is done if it ends well now, as at a window's cut; if it does not, a
    /// later life gives it again.
    pub(crate) fn finish(&mut self, base: &mut Base, ctx: &mut Ctx) {
        self.stopped = true;
        if matches!(self.phase, Phase::Backoff { .. }) {
            ctx.timers.clear(WakeReason::Retry(base.id));
            self.phase = Phase::Idle;
            // In memory there is no later life to give it again.
            if !ctx.journaled {
                self.run_again(base, ctx);
            }
        }
        if matches!(self.phase, Phase::Fed { .. }) {
            self.close(base, ctx);
        }
    }

    /// With a journal the window is run again, once: a program that dies of its input would die of it again. With `restart` it is
    /// run again as often as it takes: what fails may be what the program talks to.
    fn child_failed(&mut self, base: &mut Base, ctx: &mut Ctx, failure: Failure) {
        let restarts = self.restart.is_some() && !self.stopped;
        if !ctx.journaled && !restarts {
            let message =
                format!("{}; in memory mode a stream's program cannot be run again", failure.message);
            return ctx.fail_task(&base.name, message);
        }
        if self.stopped {
            (self.phase, self.on_the_way) = (Phase::Idle, 0);
            if ctx.planted.is(Bug::FailedStopIsDone) {
                let (inputs, step) = (std::mem::take(&mut self.positions), self.done(ctx));
                base.commit_step(ctx, inputs, Output::default(), false, step);
            }
            return ctx.act(Report::BatchFailed {
                task: base.id,
                batch: self.window,
                records: self.fed,
                attempt: 1,
                why: failure.message,
            });
        }
        if failure.kind == FailureKind::Injected && ctx.journaled {
            ctx.timers.clear(WakeReason::Window(base.id));
            (self.resume, self.phase, self.on_the_way) = (true, Phase::Idle, 0);
            return self.step(base, ctx);
        }
        let hopeless =
            matches!(failure.kind, FailureKind::CannotStart | FailureKind::Worker | FailureKind::Diverged);
        if hopeless || (self.replayed && !restarts) {
            let again = if hopeless { "" } else { "; it was given its input a second time and failed again" };
            return ctx.fail_task(&base.name, format!("{}{again}", failure.message));
        }
        self.replayed = true;
        ctx.timers.clear(WakeReason::Window(base.id));
        let attempt = self.restart.as_ref().map_or(0, Backoff::failed) + 1;
        self.last_failure = Some(failure.message.clone());
        ctx.act(Report::BatchFailed {
            task: base.id,
            batch: self.window,
            records: self.fed,
            attempt,
            why: failure.message,
        });
        if let Some(backoff) = &mut self.restart {
            let until = ctx.now + backoff.fail(&mut ctx.rng);
            (self.phase, self.on_the_way) = (Phase::Backoff { until }, 0);
            return ctx.timers.set(WakeReason::Retry(base.id), until);
        }
        if base.paused.is_some() {
            (self.resume, self.phase, self.on_the_way) = (true, Phase::Idle, 0);
            return;
        }
        self.run_again(base, ctx);
    }

    /// The wait before the program is started again is over.
    pub(crate) fn retry_due(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if matches!(self.phase, Phase::Backoff { .. }) {
            (self.phase, self.resume) = (Phase::Idle, true);
        }
        self.step(base, ctx);
    }

    pub(crate) fn abandon(&mut self, base: &Base, ctx: &mut Ctx) {
        if self.runs() {
            ctx.act(Action::task(base.id, StreamAction::Kill));
        }
        self.phase = Phase::Idle;
        self.on_the_way = 0;
        self.stopped = ctx.journaled;
        ctx.timers.clear(WakeReason::Window(base.id));
        ctx.timers.clear(WakeReason::Retry(base.id));
    }

    /// Without a process nothing is on its way to one.
    pub(super) fn check(&self) -> Result<(), Inconsistency> {
        if self.runs() { Ok(()) } else { same("on the way to no program", self.on_the_way, 0) }
    }

    /// There is a process.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.phase, Phase::Fed { .. } | Phase::Closing { .. })
    }

    /// Through where input was fed and is not committed.
    pub(super) fn positions(&self) -> impl Iterator<Item = &InputDone> {
        self.positions.iter()
    }
}

fn merge(positions: &mut Vec<InputDone>, later: Vec<InputDone>) {
    for input in later {
        match positions.iter_mut().find(|p| p.link == input.link && p.epoch == input.epoch) {
            Some(mine) => *mine = input,
            None => positions.push(input),
        }
    }
}
