//! Who carries out which action.

use super::engine::{End, Engine};
use super::ports::Port;
use std::sync::Arc;
use worker_core::Node;
use worker_core::config::TaskId;
use worker_core::event::{
    Action, BatchAction, Commit, ConnAction, Event, JournalAction, LinkAction, NodeAction, RecordsAction,
    SinkAction, SourceAction, StreamAction, TaskAction, TaskEvent,
};
use worker_proto::LinkId;

impl Engine {
    /// Passes an action on. Called under the node's lock, so that actions are carried out in their order; must not block.
    pub(super) fn dispatch(self: &Arc<Self>, node: &mut Node, action: Action) {
        match action {
            Action::Conn(conn, ConnAction::Dial { peer }) => self.connections.dial(self, conn, peer),
            Action::Conn(conn, ConnAction::Wake) => self.connections.wake(conn),
            Action::Conn(conn, ConnAction::Close) => self.connections.close(conn),
            Action::Link(link, action) => self.dispatch_to_link(link, action),
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                self.persist(node, task, commit);
            }
            Action::Task(task, action) => self.dispatch_to_task(task, action),
            Action::Node(NodeAction::Report(report)) => self.report(&report),
            Action::Node(NodeAction::Halt { error }) => self.end(End::Failed(error)),
            Action::Node(NodeAction::Finished) => self.end(End::Finished),
        }
    }

    fn persist(self: &Arc<Self>, node: &mut Node, task: TaskId, commit: Commit) {
        self.show_dead(&self.graph.task(task).name, &commit.dead);
        if let Some(Port::Records(records)) = self.port(task) {
            records.committed(&commit);
        }
        if let Some(journal) = self.journal(task) {
            journal.commit(commit);
        } else if commit.dead.is_empty() {
            node.handle(self.now(), Event::Task(task, TaskEvent::Persisted { commit: commit.id }));
        } else {
            self.spill.keep_dead(task, commit);
        }
    }

    fn dispatch_to_link(&self, link: LinkId, action: LinkAction) {
        let journal = self.journal(self.graph.link(link).from);
        match (action, journal) {
            (LinkAction::Store { first_seq, batch }, _) => self.spill.store(link, first_seq, batch),
            (LinkAction::Load { first_seq, records, .. }, Some(journal)) => {
                journal.load(link, first_seq, records);
            }
            (LinkAction::Load { first_seq, place, .. }, None) => self.spill.load(link, first_seq, place),
            (LinkAction::Discard { place }, Some(journal)) => journal.unstage(place),
            (LinkAction::Discard { place }, None) => self.spill.discard(place),
            (LinkAction::Acknowledged { through }, Some(journal)) => journal.acknowledged(link, through),
            (LinkAction::Acknowledged { .. }, None) => {}
            (LinkAction::Lost { records }, _) => {
                let link = self.graph.link_name(link);
                tracing::warn!(
                    parent: None,
                    link,
                    records,
                    "a receiving process died: at most this many records it had accepted are lost"
                );
            }
        }
    }

    /// Work is asked of a port of its own kind only: ports are made after the same plan as the node's tasks.
    fn dispatch_to_task(self: &Arc<Self>, task: TaskId, action: TaskAction) {
        match (action, self.port(task)) {
            (TaskAction::Source(SourceAction::Read { chunks }), Some(Port::Source(source))) => {
                source.read(chunks);
            }
            (TaskAction::Source(SourceAction::Stop), Some(Port::Source(source))) => source.stop(),
            (TaskAction::Batch(BatchAction::Run(run)), Some(Port::Batch(batch))) => {
                self.taps.taken(task, &run.input);
                batch.run(self, run, self.journal(task).map(|journal| journal.fence()));
            }
            (TaskAction::Batch(BatchAction::Kill), Some(Port::Batch(batch))) => batch.kill(),
            (TaskAction::Stream(action), Some(Port::Stream(stream))) => match action {
                StreamAction::Start { window, replay } => stream.begin(self, window, replay),
                StreamAction::Feed { window, batch } => {
                    self.taps.taken(task, std::slice::from_ref(&batch));
                    stream.feed(window, batch);
                }
                StreamAction::Close { window } => stream.close(window),
                StreamAction::Kill => stream.kill(),
            },
            (TaskAction::Records(action), Some(Port::Records(records))) => match action {
                RecordsAction::Start { life } => records.begin(self, life),
                RecordsAction::Request { life, link, first_seq, batch } => {
                    self.taps.taken(task, std::slice::from_ref(&batch));
                    records.request(life, link, first_seq, batch);
                }
                RecordsAction::Tick { life } => records.tick(life),
                RecordsAction::End { life } => records.end(life),
                RecordsAction::Kill => records.kill(),
            },
            (TaskAction::Sink(SinkAction::Write { work, batches }), Some(Port::Sink(sink))) => {
                self.taps.taken(task, &batches);
                sink.write(work, batches);
            }
            (TaskAction::Sink(SinkAction::Close), Some(Port::Sink(sink))) => sink.close(),
            (TaskAction::Journal(JournalAction::Note(attempt)), _) => {
                if let Some(journal) = self.journal(task) {
                    journal.note(attempt);
                }
            }
            (action, _) => debug_assert!(false, "task {} has no port for {action:?}", task.0),
        }
    }

    fn journal(&self, task: TaskId) -> Option<&Arc<super::journal::TaskJournal>> {
        self.journals.get(task.0 as usize)?.as_ref()
    }

    fn port(&self, task: TaskId) -> Option<&Port> {
        self.ports.get(task.0 as usize)?.as_ref()
    }
}
