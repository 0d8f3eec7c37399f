//! Who carries out which action.

use super::engine::{End, Engine};
use super::ports::Port;
use std::sync::Arc;
use worker_core::Node;
use worker_core::config::TaskId;
use worker_core::event::{Action, Event};

impl Engine {
    /// Passes an action on. Called under the node's lock, so that actions are carried out in their order; must not block.
    pub(super) fn dispatch(self: &Arc<Self>, node: &mut Node, action: Action) {
        match action {
            Action::Dial { conn, peer } => self.connections.dial(self, conn, peer),
            Action::Wake { conn } => self.connections.wake(conn),
            Action::Close { conn } => self.connections.close(conn),
            Action::Persist { task, commit } => {
                self.show_dead(&self.graph.task(task).name, &commit.dead);
                self.with_records(task, |records| records.committed(&commit));
                if let Some(journal) = self.journal(task) {
                    journal.commit(commit);
                } else if commit.dead.is_empty() {
                    node.handle(self.now(), Event::Persisted { task, commit: commit.id });
                } else {
                    self.spill.keep_dead(task, commit);
                }
            }
            Action::Store { link, first_seq, batch } => self.spill.store(link, first_seq, batch),
            Action::Load { link, first_seq, place, records } => {
                match self.journal(self.graph.link(link).from) {
                    Some(journal) => journal.load(link, first_seq, records),
                    None => self.spill.load(link, first_seq, place),
                }
            }
            Action::Discard { place } => {
                match super::journal::TaskJournal::owner(place).and_then(|task| self.journal(task)) {
                    Some(journal) => journal.unstage(place),
                    None => self.spill.discard(place),
                }
            }
            Action::Note { task, attempt } => {
                if let Some(journal) = self.journal(task) {
                    journal.note(attempt);
                }
            }
            Action::Acknowledged { link, through } => {
                if let Some(journal) = self.journal(self.graph.link(link).from) {
                    journal.acknowledged(link, through);
                }
            }
            Action::Lost { link, records } => {
                let link = self.graph.link_name(link);
                tracing::warn!(
                    parent: None,
                    link,
                    records,
                    "a receiving process died: at most this many records it had accepted are lost"
                );
            }
            Action::Report(report) => self.report(&report),
            Action::Halt { error } => self.end(End::Failed(error)),
            Action::Finished => self.end(End::Finished),
            Action::Run(_)
            | Action::StreamStart { .. }
            | Action::StreamFeed { .. }
            | Action::StreamClose { .. }
            | Action::RecordsStart { .. }
            | Action::Request { .. }
            | Action::RecordsTick { .. }
            | Action::RecordsEnd { .. }
            | Action::Kill { .. }
            | Action::Read { .. }
            | Action::StopSource { .. }
            | Action::Write { .. }
            | Action::CloseSink { .. } => self.dispatch_to_task(action),
        }
    }

    fn dispatch_to_task(self: &Arc<Self>, action: Action) {
        match action {
            Action::Run(run) => {
                self.taps.taken(run.task, &run.input);
                if let Some(Port::Batch(batch)) = self.port(run.task) {
                    let noted = self.journal(run.task).map(|journal| journal.fence());
                    batch.run(self, run, noted);
                }
            }
            Action::StreamStart { task, window, replay } => {
                self.with_stream(task, |stream| stream.begin(self, window, replay))
            }
            Action::StreamFeed { task, window, batch } => {
                self.taps.taken(task, std::slice::from_ref(&batch));
                self.with_stream(task, |stream| stream.feed(window, batch));
            }
            Action::StreamClose { task, window } => self.with_stream(task, |stream| stream.close(window)),
            Action::Kill { task } => match self.port(task) {
                Some(Port::Batch(batch)) => batch.kill(),
                Some(Port::Stream(stream)) => stream.kill(),
                Some(Port::Records(records)) => records.kill(),
                Some(Port::Source(_) | Port::Sink(_)) | None => {}
            },
            Action::Read { task, chunks } => {
                if let Some(Port::Source(source)) = self.port(task) {
                    source.read(chunks);
                }
            }
            Action::StopSource { task } => {
                if let Some(Port::Source(source)) = self.port(task) {
                    source.stop();
                }
            }
            Action::Write { task, work, batches } => {
                self.taps.taken(task, &batches);
                if let Some(Port::Sink(sink)) = self.port(task) {
                    sink.write(work, batches);
                }
            }
            Action::CloseSink { task } => {
                if let Some(Port::Sink(sink)) = self.port(task) {
                    sink.close();
                }
            }
            Action::RecordsStart { task, life } => {
                self.with_records(task, |records| records.begin(self, life))
            }
            Action::Request { task, life, link, first_seq, batch } => {
                self.taps.taken(task, std::slice::from_ref(&batch));
                self.with_records(task, |records| records.request(life, link, first_seq, batch));
            }
            Action::RecordsTick { task, life } => self.with_records(task, |records| records.tick(life)),
            Action::RecordsEnd { task, life } => self.with_records(task, |records| records.end(life)),
            Action::Dial { .. }
            | Action::Note { .. }
            | Action::Acknowledged { .. }
            | Action::Wake { .. }
            | Action::Close { .. }
            | Action::Persist { .. }
            | Action::Store { .. }
            | Action::Load { .. }
            | Action::Discard { .. }
            | Action::Lost { .. }
            | Action::Report(_)
            | Action::Halt { .. }
            | Action::Finished => {}
        }
    }

    fn journal(&self, task: TaskId) -> Option<&std::sync::Arc<super::journal::TaskJournal>> {
        self.journals.get(task.0 as usize)?.as_ref()
    }

    fn port(&self, task: TaskId) -> Option<&Port> {
        self.ports.get(task.0 as usize)?.as_ref()
    }

    fn with_stream(&self, task: TaskId, f: impl FnOnce(&super::stream::StreamPort)) {
        if let Some(Port::Stream(stream)) = self.port(task) {
            f(stream);
        }
    }

    fn with_records(&self, task: TaskId, f: impl FnOnce(&super::records::RecordsPort)) {
        if let Some(Port::Records(records)) = self.port(task) {
            f(records);
        }
    }
}
