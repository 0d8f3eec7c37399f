//! Tasks: what takes tuples from inboxes, has work done by the driver, and commits the results.

mod base;
pub(crate) mod batch;
mod check;
mod demand;
mod events;
mod finish;
mod header;
mod order;
mod quarantine;
pub(crate) mod records;
pub(crate) mod segment;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stream;
mod systematic;

pub(crate) use base::{Base, Life};
pub(crate) use demand::Demand;
pub(crate) use header::Heads;
pub(crate) use order::{ORDER_IS_LOST, Order};

use crate::config::{TaskId, TaskKind, TaskSpec};
use crate::ctx::Ctx;
use crate::recovery::TaskState;
use batch::BatchTask;
use records::RecordsTask;
use sink::SinkTask;
use source::SourceTask;
use stream::{Phase as StreamPhase, StreamTask};
use systematic::Condemns as _;
use worker_proto::LinkId;

/// One task of this node.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) base: Base,
    pub(crate) kind: TaskMachine,
}

/// What is particular to each kind of task.
#[derive(Debug)]
pub(crate) enum TaskMachine {
    Source(SourceTask),
    Batch(Box<BatchTask>),
    Stream(Box<StreamTask>),
    Records(Box<RecordsTask>),
    Sink(SinkTask),
}

impl Task {
    pub(crate) fn new(
        id: TaskId,
        spec: &TaskSpec,
        inputs: Vec<LinkId>,
        outputs: Vec<LinkId>,
        ways: (Order, Heads, Demand),
    ) -> Self {
        let kind = match &spec.kind {
            TaskKind::Source => TaskMachine::Source(SourceTask::default()),
            TaskKind::Batch(batch) => TaskMachine::Batch(Box::new(BatchTask::new(batch.clone()))),
            TaskKind::Stream(stream) => TaskMachine::Stream(Box::new(StreamTask::new(stream.clone()))),
            TaskKind::Records(records) => TaskMachine::Records(Box::new(RecordsTask::new(records.clone()))),
            TaskKind::Sink => TaskMachine::Sink(SinkTask::default()),
        };
        Self { base: Base::new(id, spec, inputs, outputs, ways), kind }
    }

    /// Goes on where the task's journal says. `in_flight` counts the records that were in flight on the node when its process
    /// died.
    pub(crate) fn restore(&mut self, ctx: &mut Ctx, state: &TaskState, in_flight: u64) {
        self.base.restore(ctx, state);
        ctx.stages.restored(self.base.id, self.base.has_succeeded_before(), state.ended);
        if let Some(header) = &state.headers.given {
            ctx.has_header(self.base.id, header);
        }
        if state.ended {
            return;
        }
        match &mut self.kind {
            TaskMachine::Batch(batch) => batch.restore(&mut self.base, ctx, state, in_flight),
            TaskMachine::Records(records) => records.restore(&mut self.base, ctx, state, in_flight),
            TaskMachine::Stream(stream) => stream.restore(&mut self.base, ctx, state),
            TaskMachine::Source(_) | TaskMachine::Sink(_) => {}
        }
    }

    /// The user wants an orderly stop.
    pub(crate) fn drain(&mut self, ctx: &mut Ctx) {
        match &mut self.kind {
            TaskMachine::Source(source) => source.stop(&self.base, ctx),
            TaskMachine::Stream(stream) if ctx.journaled && self.base.is_sink() => {
                stream.finish(&mut self.base, ctx);
            }
            // What it was asked is answered first; the rest is another life's.
            TaskMachine::Records(records) if ctx.journaled && self.base.is_sink() => {
                records.finish(&mut self.base, ctx);
            }
            // With a journal a window that is under way is run again from its beginning.
            TaskMachine::Stream(stream) if ctx.journaled => stream.abandon(&self.base, ctx),
            TaskMachine::Records(records) if ctx.journaled => records.abandon(&mut self.base, ctx),
            TaskMachine::Batch(_)
            | TaskMachine::Stream(_)
            | TaskMachine::Records(_)
            | TaskMachine::Sink(_) => {}
        }
        // In memory there is no later life: what waits to be tried again is tried now.
        if !ctx.journaled && self.base.life == Life::Running {
            self.retry_due(ctx);
        }
    }

    /// The process is about to end in good order: what is in flight does not die of it.
    pub(crate) fn leave(&mut self, ctx: &mut Ctx) {
        let in_flight = match &self.kind {
            TaskMachine::Batch(batch) => batch.is_running(),
            TaskMachine::Records(records) => records.asked_records() > 0,
            TaskMachine::Source(_) | TaskMachine::Stream(_) | TaskMachine::Sink(_) => false,
        };
        if in_flight {
            self.base.nothing_in_flight(ctx);
        }
    }

    /// Whether nothing of the task is under way: with a journal a node may stop then.
    pub(crate) fn is_at_rest(&self) -> bool {
        let idle = match &self.kind {
            TaskMachine::Source(source) => source.is_stopped() || self.base.life != Life::Running,
            TaskMachine::Batch(batch) => !batch.is_running(),
            TaskMachine::Stream(stream) => !self.base.is_sink() || stream.phase() == StreamPhase::Idle,
            TaskMachine::Records(records) => {
                // The end of a sink has effects as its records have.
                records.asked_records() == 0 && !(self.base.is_sink() && records.is_ending())
            }
            TaskMachine::Sink(sink) => sink.is_at_rest(&self.base),
        };
        idle && !self.base.is_committing()
    }

    /// The wait before a program is tried again is over.
    pub(crate) fn retry_due(&mut self, ctx: &mut Ctx) {
        match &mut self.kind {
            TaskMachine::Batch(batch) => batch.retry_due(&mut self.base, ctx),
            TaskMachine::Stream(stream) => stream.retry_due(&mut self.base, ctx),
            TaskMachine::Records(records) => records.retry_due(&mut self.base, ctx),
            TaskMachine::Source(_) | TaskMachine::Sink(_) => {}
        }
    }

    /// Nothing has come for a while that would say whose fault the held back records are.
    pub(crate) fn verdict_due(&mut self, ctx: &mut Ctx) {
        match &mut self.kind {
            TaskMachine::Batch(batch) => batch.verdict_due(&mut self.base, ctx),
            TaskMachine::Records(records) => records.verdict_due(&mut self.base, ctx),
            TaskMachine::Stream(_) | TaskMachine::Source(_) | TaskMachine::Sink(_) => {}
        }
    }

    /// Does what can be done now. Called after anything the task depends on has changed.
    pub(crate) fn step(&mut self, ctx: &mut Ctx) {
        self.base.settle(ctx);
        if self.base.life != Life::Running || ctx.is_halted() {
            return;
        }
        if self.base.everything_cancelled(ctx) {
            self.cancel(ctx);
            return;
        }
        self.base.hear_headers(ctx);
        match &mut self.kind {
            TaskMachine::Source(source) => source.step(&mut self.base, ctx),
            TaskMachine::Batch(batch) => batch.step(&mut self.base, ctx),
            TaskMachine::Stream(stream) => stream.step(&mut self.base, ctx),
            TaskMachine::Records(records) => records.step(&mut self.base, ctx),
            TaskMachine::Sink(sink) => sink.step(&mut self.base, ctx),
        }
    }

    /// Nobody takes this task's outputs any more: it stops, and its own upstreams with it.
    fn cancel(&mut self, ctx: &mut Ctx) {
        match &mut self.kind {
            TaskMachine::Source(source) => source.cancel(&self.base, ctx),
            TaskMachine::Batch(batch) => {
                batch.abandon(&mut self.base, ctx);
                self.base.finish_early(ctx, crate::event::Output::default(), None);
            }
            TaskMachine::Stream(stream) => {
                let done = stream.done(ctx);
                stream.abandon(&self.base, ctx);
                self.base.finish_early(ctx, crate::event::Output::default(), done);
            }
            TaskMachine::Records(records) => {
                records.abandon(&mut self.base, ctx);
                self.base.finish_early(ctx, crate::event::Output::default(), None);
            }
            TaskMachine::Sink(_) => {}
        }
    }

    /// Whether the task holds accepted input that is not finished, or outputs on their way.
    pub(crate) fn is_quiet(&self) -> bool {
        let idle = match &self.kind {
            TaskMachine::Source(source) => source.is_stopped(),
            TaskMachine::Batch(batch) => batch.is_idle(),
            TaskMachine::Stream(_) => true,
            TaskMachine::Records(records) => records.is_idle(),
            TaskMachine::Sink(sink) => sink.is_idle(),
        };
        idle && self.base.is_quiet()
    }

    /// With a journal: whether all that the task has taken is done with, but for what only an end of its input could decide.
    pub(crate) fn is_emptied(&self) -> bool {
        let idle = match &self.kind {
            TaskMachine::Source(source) => source.is_stopped() || self.base.life != Life::Running,
            TaskMachine::Batch(batch) => batch.only_holds_back() && !batch.is_running(),
            TaskMachine::Stream(stream) => stream.has_read_all(),
            TaskMachine::Records(records) => records.only_holds_back(),
            TaskMachine::Sink(sink) => sink.is_idle(),
        };
        idle && self.base.is_quiet()
    }

    /// The same, but for records whose failures are undecided.
    pub(crate) fn only_holds_back(&self) -> bool {
        match &self.kind {
            TaskMachine::Batch(batch) => batch.only_holds_back() && self.base.is_quiet(),
            TaskMachine::Records(records) => records.only_holds_back() && self.base.is_quiet(),
            TaskMachine::Source(_) | TaskMachine::Stream(_) | TaskMachine::Sink(_) => self.is_quiet(),
        }
    }
}
