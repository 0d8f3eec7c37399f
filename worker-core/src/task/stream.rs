//! A task that feeds one process for its life or for a window.
//!
//! ```text
//!   Idle ──first record, or the end of input──▶ Fed ──window over or inputs exhausted──▶ Closing
//!     ▲                                          │ exits with success before that: done, or an error        │
//!     └──────────── commit, next window ◀────────┴─────────────────── exits with success ◀─────────────────┘
//! ```
//! Limit: at most [`FEED_BYTES`] (and one piece) are on their way to the child.

use super::Base;
use crate::config::{StreamSpec, Window};
use crate::event::{Action, Failure, InputDone, Output};
use crate::node::Ctx;
use crate::time::Time;
use crate::timers::WakeReason;
use worker_proto::Batch;

/// What may be on its way to the child, in bytes of cost.
const FEED_BYTES: u64 = 1024 * 1024;

/// Largest piece fed at once, in bytes of cost.
const PIECE_BYTES: u64 = 256 * 1024;

#[derive(Debug)]
pub(crate) struct StreamTask {
    spec: StreamSpec,
    window: u64,
    phase: Phase,
    /// Fed and not yet taken by the child, in bytes of cost.
    on_the_way: u64,
    /// Records fed in this window.
    fed: u64,
    positions: Vec<InputDone>,
}

/// Where the present window's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Fed { since: Time },
    Closing { since: Time },
}

impl StreamTask {
    pub(super) fn new(spec: StreamSpec) -> Self {
        Self { spec, window: 0, phase: Phase::Idle, on_the_way: 0, fed: 0, positions: Vec::new() }
    }

    pub(super) fn step(&mut self, base: &mut Base, ctx: &mut Ctx) {
        while !matches!(self.phase, Phase::Closing { .. }) && self.on_the_way < FEED_BYTES && base.has_input()
        {
            if !base.may_work(ctx) {
                return;
            }
            let room = match self.spec.window {
                Some(Window::Records(max)) => max.saturating_sub(self.fed),
                Some(Window::Every(_)) | None => u64::MAX,
            };
            let Some(piece) = base.take(ctx, PIECE_BYTES, room) else { break };
            self.ensure_started(base, ctx);
            self.fed += piece.batch.len() as u64;
            merge(&mut self.positions, Base::positions([&piece]));
            self.feed(base, ctx, piece.batch);
            if matches!(self.spec.window, Some(Window::Records(max)) if self.fed >= max) {
                self.close(base, ctx);
            }
        }
        if base.is_exhausted() {
            match self.phase {
                Phase::Closing { .. } => {}
                // Programs such as `wc -l` have something to say about no input at all, once.
                Phase::Idle if self.window > 0 => base.commit_end(ctx, Vec::new(), Output::default()),
                Phase::Idle | Phase::Fed { .. } => {
                    self.ensure_started(base, ctx);
                    self.close(base, ctx);
                }
            }
        }
    }

    fn ensure_started(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if self.phase != Phase::Idle {
            return;
        }
        self.window += 1;
        self.fed = 0;
        self.on_the_way = 0;
        self.phase = Phase::Fed { since: ctx.now };
        base.counters.runs += 1;
        ctx.act(Action::StreamStart { task: base.id, window: self.window });
        if let Some(Window::Every(every)) = self.spec.window {
            ctx.timers.set(WakeReason::Window(base.id), ctx.now + every);
        }
    }

    fn feed(&mut self, base: &Base, ctx: &mut Ctx, batch: Batch) {
        self.on_the_way += batch.cost();
        ctx.act(Action::StreamFeed { task: base.id, window: self.window, batch });
    }

    fn close(&mut self, base: &Base, ctx: &mut Ctx) {
        self.phase = Phase::Closing { since: ctx.now };
        ctx.timers.clear(WakeReason::Window(base.id));
        ctx.act(Action::StreamClose { task: base.id, window: self.window });
    }

    /// The window's time is over.
    pub(crate) fn window_due(&mut self, base: &Base, ctx: &mut Ctx) {
        if matches!(self.phase, Phase::Fed { .. }) {
            self.close(base, ctx);
        }
    }

    /// The child has taken what cost so much; the task is stepped after every event.
    pub(crate) fn taken(&mut self, window: u64, cost: u64) {
        if window == self.window {
            self.on_the_way = self.on_the_way.saturating_sub(cost);
        }
    }

    pub(crate) fn printed(&mut self, base: &mut Base, ctx: &mut Ctx, window: u64, output: Output) {
        if window == self.window && self.phase != Phase::Idle {
            base.commit(ctx, Vec::new(), output, false);
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
        if window != self.window || self.phase == Phase::Idle {
            ctx.discard(result.unwrap_or_default());
            return;
        }
        let output = match result {
            Ok(output) => output,
            Err(failure) => {
                let message =
                    format!("{}; in memory mode a stream's program cannot be run again", failure.message);
                return ctx.fail_task(&base.name, message);
            }
        };
        ctx.timers.clear(WakeReason::Window(base.id));
        self.phase = Phase::Idle;
        self.fed = 0;
        let inputs = std::mem::take(&mut self.positions);
        if early && self.spec.early_exit_is_done {
            return base.finish_early(ctx, output);
        }
        if early {
            let why = "the program ended before it had read all its input; if that is meant, set early_exit = \"done\" \
                       in the pipeline file (worker run … --print-toml makes one)";
            return ctx.fail_task(&base.name, why.into());
        }
        if base.is_exhausted() {
            base.commit_end(ctx, inputs, output);
        } else {
            base.commit(ctx, inputs, output, false);
            self.step(base, ctx);
        }
    }

    pub(crate) fn abandon(&mut self, base: &Base, ctx: &mut Ctx) {
        if self.phase != Phase::Idle {
            ctx.act(Action::Kill { task: base.id });
        }
        self.phase = Phase::Idle;
        ctx.timers.clear(WakeReason::Window(base.id));
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// What is on its way to the child, in bytes of cost.
    pub(crate) fn on_the_way(&self) -> u64 {
        self.on_the_way
    }

    /// Whether the child has been given all it may be given for now.
    pub(crate) fn is_full(&self) -> bool {
        self.on_the_way >= FEED_BYTES
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
