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

mod failing;
mod heard;
mod told;
mod window;

use super::Base;
use crate::backoff::Backoff;
use crate::check::{Inconsistency, same};
use crate::config::{STREAM_FED_BYTES, STREAM_PIECE_BYTES as PIECE_BYTES, StreamSpec, Window};
use crate::ctx::Ctx;
use crate::event::{Action, InputDone, Output, StreamAction, StreamStep};
use crate::fault::Bug;
use crate::recovery::TaskState;
use crate::time::Time;
use crate::timers::WakeReason;
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
                let step = StreamStep::Admit { window: self.window, pieces: vec![piece.clone()] };
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
