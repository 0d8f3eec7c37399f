//! A process that failed: its window is given to another from its beginning, or the task fails.

use super::{Phase, Progress, StreamTask};
use crate::backoff::Backoff;
use crate::config::Window;
use crate::ctx::Ctx;
use crate::event::{Action, Failure, FailureKind, Output, Report, StreamAction};
use crate::fault::Bug;
use crate::task::Base;
use crate::timers::WakeReason;

impl StreamTask {
    /// With a journal the window is run again, once: a program that dies of its input would die of it again. With `restart` it is
    /// run again as often as it takes: what fails may be what the program talks to.
    pub(super) fn child_failed(&mut self, base: &mut Base, ctx: &mut Ctx, failure: Failure) {
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

    /// Starts the window's child anew and gives it everything again.
    pub(super) fn run_again(&mut self, base: &mut Base, ctx: &mut Ctx) {
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
}
