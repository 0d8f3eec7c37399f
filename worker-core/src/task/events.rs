//! What a task's driver says goes to what is particular to the task's kind, if it is of that kind.

use super::batch::BatchTask;
use super::records::RecordsTask;
use super::sink::SinkTask;
use super::source::SourceTask;
use super::stream::StreamTask;
use super::{Base, Task, TaskMachine};
use crate::ctx::Ctx;
use crate::event::{BatchEvent, Blocker, RecordsEvent, SinkEvent, SourceEvent, StreamEvent, TaskEvent};

impl Task {
    pub(crate) fn handle(&mut self, ctx: &mut Ctx, event: TaskEvent) {
        let base = &mut self.base;
        match event {
            TaskEvent::Failed { why } => return ctx.fail_task(&base.name, why),
            TaskEvent::Blocked { by } => {
                // A stopped or hanging program uses no processor.
                let idle = by.as_ref().is_some_and(Blocker::is_idle_program);
                ctx.slots.idles(base.id, idle);
                return base.blocker = by;
            }
            TaskEvent::Pause { paused } => base.pause(paused, ctx),
            TaskEvent::Persisted { commit } => base.persisted(ctx, commit),
            TaskEvent::Source(event) => {
                if let TaskMachine::Source(source) = &mut self.kind {
                    source_says(source, base, ctx, event);
                }
            }
            TaskEvent::Batch(event) => {
                if let TaskMachine::Batch(batch) = &mut self.kind {
                    batch_says(batch, base, ctx, event);
                }
            }
            TaskEvent::Stream(event) => {
                if let TaskMachine::Stream(stream) = &mut self.kind {
                    stream_says(stream, base, ctx, event);
                }
            }
            TaskEvent::Records(event) => {
                if let TaskMachine::Records(records) = &mut self.kind {
                    records_say(records, base, ctx, event);
                }
            }
            TaskEvent::Sink(event) => {
                if let TaskMachine::Sink(sink) = &mut self.kind {
                    sink_says(sink, base, ctx, event);
                }
            }
        }
        ctx.task_changed(self.base.id);
    }
}

fn source_says(source: &mut SourceTask, base: &mut Base, ctx: &mut Ctx, event: SourceEvent) {
    match event {
        SourceEvent::Read { output } => source.read(base, ctx, output),
        SourceEvent::Closing => source.closing(base, ctx),
        SourceEvent::Ended { complete } => source.ended(base, ctx, complete),
    }
}

fn batch_says(batch: &mut BatchTask, base: &mut Base, ctx: &mut Ctx, event: BatchEvent) {
    match event {
        BatchEvent::Done { work, result, spent } => batch.run_done(base, ctx, work, result, spent),
    };
}

fn stream_says(stream: &mut StreamTask, base: &mut Base, ctx: &mut Ctx, event: StreamEvent) {
    match event {
        StreamEvent::Fed { window, cost } => stream.taken(window, cost),
        StreamEvent::Read { window, records, bytes, is_behind } => {
            stream.has_read(base, window, (records, bytes), is_behind);
        }
        StreamEvent::Output { window, output } => stream.printed(base, ctx, window, output),
        StreamEvent::Exited { window, result, early } => stream.exited(base, ctx, window, result, early),
    }
}

fn records_say(records: &mut RecordsTask, base: &mut Base, ctx: &mut Ctx, event: RecordsEvent) {
    match event {
        RecordsEvent::Answered { life, records: answered, output, ended } => {
            records.answered(base, ctx, life, answered, output, ended);
        }
        RecordsEvent::Failed { life, failure } => records.failed(base, ctx, life, failure),
    }
}

fn sink_says(sink: &mut SinkTask, base: &mut Base, ctx: &mut Ctx, event: SinkEvent) {
    match event {
        SinkEvent::Written { work, position } => sink.written(base, ctx, work, position),
        SinkEvent::Partly { work, records, bytes } => sink.partly(base, ctx, work, records, bytes),
        SinkEvent::Closed => sink.closed(base, ctx),
        SinkEvent::ReaderGone => sink.reader_gone(base, ctx),
    }
}
