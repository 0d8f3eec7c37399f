//! What is heard of the window's process: what it takes, reads and prints, and that it has ended.

use super::{Phase, Progress, StreamTask};
use crate::ctx::Ctx;
use crate::event::{Failure, Output, StreamStep};
use crate::task::Base;
use crate::timers::WakeReason;
use worker_proto::Batch;

impl StreamTask {
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
                       for its stage (on the command line --early-exit)";
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
}
