//! A run over no records, for the header that it prints.
//!
//! ```text
//!   idle at its end ──all that the stage has here is durable, and no batch has printed a header──▶ one task asks, the others end
//!   asks ──ends well──▶ what it printed is the header, or there is none      ──exits otherwise──▶ there is none
//!     ▲  └─killed on purpose──▶ at once, uncounted      └─a signal, a timeout, output that breaks a rule──▶ Backoff, then the run fails
//!     └───────────┴──────────────────────────────────────────────┘
//! ```
//! So no batch on this node, in this life or a later one, is held against such a header: whatever has records comes before it.

use super::BatchTask;
use crate::ctx::Ctx;
use crate::event::{Failure, FailureKind, Output, Report};
use crate::inbox::Pieces;
use crate::stages::Asks;
use crate::task::Base;
use crate::task::segment::Segment;
use crate::words::plural;

impl BatchTask {
    /// At the end of its input nobody knows the header of what the stage gives. Once no task of it here can have one from a batch,
    /// for those have printed nothing or there was none, one of them runs its program once more, over no records. Says whether
    /// there is something to wait for.
    pub(super) fn awaits_header(&mut self, base: &Base, ctx: &mut Ctx) -> bool {
        if self.has_asked || !base.lacks_header(ctx) {
            return false;
        }
        // What is not durable yet may be run again in a later life, and print one then.
        if base.is_committing() {
            return true;
        }
        ctx.has_done_all(base.id);
        match ctx.stages.asks(base.id) {
            Asks::NoneYet => true,
            Asks::Another => false,
            Asks::This => {
                self.has_asked = true;
                self.batches += 1;
                self.segments.push_back(Segment::new(Pieces::default(), self.batches, ctx.journaled));
                self.backoff.reset();
                self.request_slot(base, ctx);
                true
            }
        }
    }

    /// That run is over: its header counts, and nothing else of it. Where the program itself has ended it with an error there is no
    /// header; where something else has, that says nothing about it.
    pub(super) fn header_asked(
        &mut self,
        base: &mut Base,
        ctx: &mut Ctx,
        segment: Segment,
        result: Result<Output, Failure>,
    ) {
        base.in_flight = self.quarantine.at_rest();
        let failure = match result {
            Ok(mut output) => {
                let header = output.header.take();
                ctx.discard(output);
                if header.is_some() {
                    base.commit(ctx, Vec::new(), Output { header, ..Output::default() }, false);
                }
                return;
            }
            Err(failure) => failure,
        };
        match failure.kind {
            FailureKind::CannotStart | FailureKind::Worker => {
                self.fails_with(base, ctx, segment, failure.message);
            }
            FailureKind::Injected => self.segments.push_front(segment.not_tried()),
            FailureKind::Exit(_) | FailureKind::EarlyExit | FailureKind::Records => {
                let then = "so there is no header";
                report(base, ctx, &segment, &failure, then);
            }
            FailureKind::Signal(_)
            | FailureKind::Timeout
            | FailureKind::Output
            | FailureKind::Diverged
            | FailureKind::WorkerDied
                if segment.attempts < self.spec.retry.max_attempts =>
            {
                report(base, ctx, &segment, &failure, "it is tried again");
                self.last_failure = Some(failure);
                self.try_later(base, ctx, segment);
            }
            FailureKind::Signal(_)
            | FailureKind::Timeout
            | FailureKind::Output
            | FailureKind::Diverged
            | FailureKind::WorkerDied => {
                let why = format!(
                    "no batch has printed a header, and run over no records, for the header that it prints then, the program failed {}: \
                     {}; so the header is not known: let the program print it, or exit, where it is given no record, or leave \
                     output_header out",
                    plural(segment.attempts.into(), "time"),
                    failure.message
                );
                self.fails_with(base, ctx, segment, why);
            }
        }
    }
}

fn report(base: &Base, ctx: &mut Ctx, segment: &Segment, failure: &Failure, then: &str) {
    let (batch, attempt) = (segment.batch_id, segment.attempts);
    let why = format!("{}; {then}", failure.message);
    ctx.act(Report::BatchFailed { task: base.id, batch, records: 0, attempt, why });
}
