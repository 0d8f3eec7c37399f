//! Tasks: what takes tuples from inboxes, has work done by the driver, and commits the results.

mod base;
pub(crate) mod batch;
mod finish;
pub(crate) mod segment;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stream;

pub(crate) use base::{Base, Life};

use crate::config::{TaskId, TaskKind, TaskSpec};
use crate::event::CommitId;
use crate::node::Ctx;
use batch::BatchTask;
use sink::SinkTask;
use source::SourceTask;
use stream::StreamTask;
use worker_proto::LinkId;

/// One task of this node.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) base: Base,
    pub(crate) kind: Kind,
}

/// What is particular to each kind of task.
#[derive(Debug)]
pub(crate) enum Kind {
    Source(SourceTask),
    Batch(Box<BatchTask>),
    Stream(StreamTask),
    Sink(SinkTask),
}

impl Task {
    pub(crate) fn new(id: TaskId, spec: &TaskSpec, inputs: Vec<LinkId>, outputs: Vec<LinkId>) -> Self {
        let kind = match &spec.kind {
            TaskKind::Source => Kind::Source(SourceTask::default()),
            TaskKind::Batch(batch) => Kind::Batch(Box::new(BatchTask::new(batch.clone()))),
            TaskKind::Stream(stream) => Kind::Stream(StreamTask::new(stream.clone())),
            TaskKind::Sink => Kind::Sink(SinkTask::default()),
        };
        Self { base: Base::new(id, spec, inputs, outputs), kind }
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
        match &mut self.kind {
            Kind::Source(source) => source.step(&mut self.base, ctx),
            Kind::Batch(batch) => batch.step(&mut self.base, ctx),
            Kind::Stream(stream) => stream.step(&mut self.base, ctx),
            Kind::Sink(sink) => sink.step(&mut self.base, ctx),
        }
    }

    /// A commit of this task is durable.
    pub(crate) fn persisted(&mut self, ctx: &mut Ctx, commit: CommitId) {
        self.base.persisted(ctx, commit);
    }

    /// Nobody takes this task's outputs any more: it stops, and its own upstreams with it.
    fn cancel(&mut self, ctx: &mut Ctx) {
        match &mut self.kind {
            Kind::Source(source) => source.stop(&self.base, ctx),
            Kind::Batch(batch) => {
                batch.abandon(&self.base, ctx);
                self.base.finish_early(ctx, crate::event::Output::default());
            }
            Kind::Stream(stream) => {
                stream.abandon(&self.base, ctx);
                self.base.finish_early(ctx, crate::event::Output::default());
            }
            Kind::Sink(_) => {}
        }
    }

    /// Whether the task holds accepted input that is not finished, or outputs on their way.
    pub(crate) fn is_quiet(&self) -> bool {
        let idle = match &self.kind {
            Kind::Source(source) => source.is_stopped(),
            Kind::Batch(batch) => batch.is_idle(),
            Kind::Stream(_) => true,
            Kind::Sink(sink) => sink.is_idle(),
        };
        idle && self.base.is_quiet()
    }
}
