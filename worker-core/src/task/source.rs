//! A task that reads from outside.
//!
//! ```text
//!   reading ──stop()──▶ stopping ──SourceEnded──▶ ended
//!                          └──Closing──▶ closing ──▲
//! ```
//! Limit: `CHUNKS_AHEAD` chunks are allowed at a time, and only while the outboxes have room; one where its rate is limited.

use super::Base;
use crate::check::{Inconsistency, rule};
use crate::ctx::Ctx;
use crate::event::{Action, Output, SourceAction};

/// How many chunks the driver may read before the core has seen them.
const CHUNKS_AHEAD: u32 = 4;

#[derive(Debug, Default)]
pub(crate) struct SourceTask {
    allowed: u32,
    stopping: bool,
    /// It reads on though it was told to stop: what it gives is the last that its outside has to say.
    closing: bool,
    /// Nobody takes its output any more.
    cancelled: bool,
    ended: bool,
}

impl SourceTask {
    pub(super) fn step(&mut self, base: &mut Base, ctx: &mut Ctx) {
        let may_read = match (self.stopping, self.closing && !self.cancelled) {
            (false, _) => base.may_work(ctx),
            // Its receivers may have stopped already: it ends in its spill, which the next life sends on.
            (true, true) => base.may_end(ctx),
            (true, false) => false,
        };
        if self.ended || ctx.storage_full || self.allowed > CHUNKS_AHEAD / 2 || !may_read {
            return;
        }
        let (all, most) = match (ctx.rates.is_limited(base.id), self.allowed) {
            (false, _) => (CHUNKS_AHEAD, None),
            // What it may read next is known when it is known what it has read.
            (true, 1..) => return,
            (true, 0) => match ctx.allowance(base.id).amount() {
                Some(most) => (1, Some(most)),
                None => return,
            },
        };
        let chunks = all - self.allowed;
        self.allowed = all;
        ctx.act(Action::task(base.id, SourceAction::Read { chunks, most }));
    }

    pub(crate) fn read(&mut self, base: &mut Base, ctx: &mut Ctx, output: Output) {
        self.allowed = self.allowed.saturating_sub(1);
        if self.ended || base.life != super::Life::Running {
            ctx.discard(output);
            return;
        }
        ctx.rates.took(base.id, output.records, output.bytes);
        base.counters.records_in += output.records + output.left_out;
        base.counters.left_out_records += output.left_out;
        base.commit(ctx, Vec::new(), output, false);
        self.step(base, ctx);
    }

    /// The source has read all, or stopped. With a journal to be stopped is no end of input: the next life reads on.
    pub(crate) fn ended(&mut self, base: &mut Base, ctx: &mut Ctx, complete: bool) {
        if !self.ended && base.life == super::Life::Running {
            self.ended = true;
            // With a journal only a real end is one, or that nobody takes its output any more.
            if ctx.journaled && !complete && !self.cancelled {
                return;
            }
            base.commit_end(ctx, Vec::new(), Output::default());
        }
    }

    pub(crate) fn stop(&mut self, base: &Base, ctx: &mut Ctx) {
        if !self.stopping && !self.ended {
            self.stopping = true;
            ctx.act(Action::task(base.id, SourceAction::Stop));
        }
    }

    /// It has been told to stop, and is not at its end yet.
    pub(crate) fn closing(&mut self, base: &mut Base, ctx: &mut Ctx) {
        self.closing = !ctx.planted.is(crate::fault::Bug::LastWordsLost);
        self.step(base, ctx);
    }

    /// Nobody takes its output any more: it ends where it is.
    pub(crate) fn cancel(&mut self, base: &Base, ctx: &mut Ctx) {
        if !std::mem::replace(&mut self.cancelled, true) && !self.ended {
            self.stopping = true;
            ctx.act(Action::task(base.id, SourceAction::Cancel));
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.ended
    }

    pub(super) fn check(&self) -> Result<(), Inconsistency> {
        rule("chunks allowed", self.allowed <= CHUNKS_AHEAD, || format!("{} of {CHUNKS_AHEAD}", self.allowed))
    }

    /// The driver may read now, so a wait is the outside's.
    pub(crate) fn waits_for_outside(&self) -> bool {
        !self.ended && self.allowed > 0
    }
}
