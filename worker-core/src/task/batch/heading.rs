//! A run over no records, for the header that it prints.

use super::BatchTask;
use crate::ctx::Ctx;
use crate::event::{Failure, FailureKind, Output, Report};
use crate::inbox::Pieces;
use crate::task::Base;
use crate::task::segment::Segment;

impl BatchTask {
    /// At the end of its input nobody knows the header of what the stage gives, for its batches have printed nothing or there was none:
    /// its program is run once more, over no records. Says whether it is.
    pub(super) fn asks_for_header(&mut self, base: &Base, ctx: &mut Ctx) -> bool {
        if self.has_asked || !base.lacks_header(ctx) {
            return false;
        }
        self.has_asked = true;
        self.batches += 1;
        self.segments.push_back(Segment::new(Pieces::default(), self.batches, ctx.journaled));
        self.request_slot(base, ctx);
        true
    }

    /// That run is over: its header counts, and nothing else of it. Where it has failed there is no header.
    pub(super) fn header_asked(
        &self,
        base: &mut Base,
        ctx: &mut Ctx,
        batch: u64,
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
        if matches!(failure.kind, FailureKind::CannotStart | FailureKind::Worker) {
            return ctx.fail_task(&base.name, failure.message);
        }
        ctx.act(Report::BatchFailed { task: base.id, batch, records: 0, attempt: 1, why: failure.message });
    }
}
