//! A window of input: its program is started, fed and given the end of its input.

use super::{Phase, Progress, StreamTask};
use crate::config::Window;
use crate::ctx::Ctx;
use crate::event::{Action, Output, StreamAction, StreamStep};
use crate::fault::Bug;
use crate::task::Base;
use crate::timers::WakeReason;
use crate::words::number;
use worker_proto::Batch;

impl StreamTask {
    pub(super) fn ensure_started(&mut self, base: &mut Base, ctx: &mut Ctx) {
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

    pub(super) fn start(&self, base: &Base, replay: bool) -> StreamAction {
        StreamAction::Start { window: self.window, replay, header: base.heads.taken().cloned() }
    }

    /// Nothing was fed yet.
    pub(super) fn begin_count(&mut self) {
        (self.fed, self.fed_bytes, self.is_behind) = (0, 0, false);
        (self.read, self.counted) = (Progress::default(), Progress::default());
    }

    pub(super) fn feed(&mut self, base: &Base, ctx: &mut Ctx, batch: Batch) {
        self.on_the_way += batch.cost();
        ctx.act(Action::task(base.id, StreamAction::Feed { window: self.window, batch }));
    }

    pub(super) fn is_window_full(&self) -> bool {
        matches!(self.spec.window, Some(Window::Records(max)) if self.fed >= max)
    }

    /// The window's time is over.
    pub(crate) fn window_due(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if base.paused.is_some() {
            self.overdue = true;
        } else if matches!(self.phase, Phase::Fed { .. }) {
            self.close(base, ctx);
        }
    }

    /// A window is over before its time. Says whether there was one: without windows only the end of the input ends it.
    pub(crate) fn cut(&mut self, base: &mut Base, ctx: &mut Ctx) -> bool {
        let has_any = self.spec.window.is_some() && self.fed > 0 && !base.is_sink();
        let cuts = has_any && matches!(self.phase, Phase::Fed { .. });
        if cuts {
            self.close(base, ctx);
        }
        cuts
    }

    pub(super) fn close(&mut self, base: &mut Base, ctx: &mut Ctx) {
        self.cut = true;
        if ctx.journaled && !ctx.planted.is(Bug::CutLost) {
            let step = StreamStep::Cut { window: self.window };
            base.commit_step(ctx, Vec::new(), Output::default(), false, Some(step));
        }
        self.phase = Phase::Closing { since: ctx.now };
        ctx.timers.clear(WakeReason::Window(base.id));
        ctx.act(Action::task(base.id, StreamAction::Close { window: self.window }));
    }

    /// What is kept to be given again has a limit.
    pub(super) fn limit_replay(&self, base: &Base, ctx: &mut Ctx) {
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
}
