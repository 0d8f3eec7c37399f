//! Who carries out which action, and in which order: the same in a run and in a simulation.
//!
//! With journals a task's tuples outside memory are in its own journal, and its work waits until the journal has what was asked
//! of it before: the note of what is in flight, and the commits whose state a program begins with. In memory mode the spill
//! stands in for the journal, and a commit is durable at once unless it has dead letters to be kept first.

use worker_core::Node;
use worker_core::config::{Graph, NodeIx, TaskId};
use worker_core::event::{
    Action, Attempt, BatchAction, Commit, ConnAction, ConnId, DeadLetter, Event, JournalAction, LinkAction,
    NodeAction, NodeError, Place, RecordsAction, Report, TaskAction, TaskEvent,
};
use worker_core::recovery::PeerState;
use worker_proto::{Batch, LinkId, Seq};

/// When work may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    AtOnce,
    /// When the task's journal has what was asked of it until now: the program may kill this process as soon as it is asked.
    Noted,
}

/// What carries out actions. Nothing here may wait; orders for one journal, one connection or one task are done in their order.
pub trait Carrier {
    /// Why something cannot be carried out.
    type Error;

    /// Whether every task of the node has a journal.
    fn is_journaled(&self) -> bool;

    fn connection(&mut self, conn: ConnId, action: ConnAction) -> Result<(), Self::Error>;

    /// Work of a task's program, source or sink: never [`TaskAction::Journal`].
    fn work(&mut self, task: TaskId, work: TaskAction, when: When) -> Result<(), Self::Error>;

    /// Records are dead-lettered by a commit that is asked for.
    fn dead_lettered(&mut self, task: TaskId, letters: &[DeadLetter]) -> Result<(), Self::Error>;

    /// To a task's journal, in order.
    fn journal(&mut self, task: TaskId, order: ToJournal) -> Result<(), Self::Error>;

    /// To the spill, in order.
    fn spill(&mut self, order: ToSpill) -> Result<(), Self::Error>;

    /// In memory mode the state changes of a commit take effect at once.
    fn apply_state(&mut self, task: TaskId, commit: &Commit) -> Result<(), Self::Error>;

    /// This follows at once, without anything being done for it.
    fn follows(&mut self, node: &mut Node, event: Event) -> Result<(), Self::Error>;

    fn lost(&mut self, link: LinkId, records: u64) -> Result<(), Self::Error>;

    fn report(&mut self, report: Report) -> Result<(), Self::Error>;

    /// Answered by [`NodeEvent::PeerKept`](worker_core::event::NodeEvent::PeerKept).
    fn keep_peer(&mut self, peer: NodeIx, state: PeerState, version: u64) -> Result<(), Self::Error>;

    /// The node is finished, or has failed: nothing follows.
    fn ended(&mut self, result: Result<(), NodeError>) -> Result<(), Self::Error>;
}

/// What a journal is told.
#[derive(Clone, Debug)]
pub enum ToJournal {
    /// Answered by [`TaskEvent::Persisted`].
    Commit(Commit),
    Note(Attempt),
    Acknowledged(LinkId, Seq),
    /// So many records from this number on, answered by [`LinkEvent::Loaded`](worker_core::event::LinkEvent::Loaded).
    Load(LinkId, Seq, u64),
    /// Output that was put there before it was committed, and will not be.
    Unstage(Place),
}

/// What the spill is told.
#[derive(Clone, Debug)]
pub enum ToSpill {
    /// Answered by [`LinkEvent::Stored`](worker_core::event::LinkEvent::Stored).
    Store(LinkId, Seq, Batch),
    /// Answered by [`LinkEvent::Loaded`](worker_core::event::LinkEvent::Loaded).
    Load(LinkId, Seq, Place),
    Discard(Place),
    /// Keep a commit's dead letters; answered by [`TaskEvent::Persisted`].
    KeepDead(TaskId, Box<Commit>),
}

/// Passes one action on to who carries it out.
///
/// # Errors
/// The carrier's.
pub fn dispatch<C: Carrier>(
    node: &mut Node,
    graph: &Graph,
    action: Action,
    to: &mut C,
) -> Result<(), C::Error> {
    match action {
        Action::Conn(conn, action) => to.connection(conn, action),
        Action::Link(link, action) => dispatch_to_link(graph, link, action, to),
        Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
            persist(node, task, commit, to)
        }
        Action::Task(task, TaskAction::Journal(JournalAction::Note(attempt))) if to.is_journaled() => {
            to.journal(task, ToJournal::Note(attempt))
        }
        // Who dies in memory mode has nobody who could know what of.
        Action::Task(_, TaskAction::Journal(JournalAction::Note(_))) => Ok(()),
        Action::Task(task, work) => {
            let when = if to.is_journaled() { when(&work) } else { When::AtOnce };
            to.work(task, work, when)
        }
        Action::Node(NodeAction::Report(report)) => to.report(report),
        Action::Node(NodeAction::KeepPeer { peer, state, version }) => to.keep_peer(peer, state, version),
        Action::Node(NodeAction::Halt { error }) => to.ended(Err(error)),
        Action::Node(NodeAction::Finished) => to.ended(Ok(())),
    }
}

/// With a journal. A stream's input is in the journal by a commit of its own, and its program asks the journal by itself.
fn when(work: &TaskAction) -> When {
    match work {
        TaskAction::Batch(BatchAction::Run(_))
        | TaskAction::Records(
            RecordsAction::Start { .. }
            | RecordsAction::Request { .. }
            | RecordsAction::Tick { .. }
            | RecordsAction::End { .. },
        ) => When::Noted,
        TaskAction::Batch(BatchAction::Kill)
        | TaskAction::Records(RecordsAction::Kill)
        | TaskAction::Source(_)
        | TaskAction::Stream(_)
        | TaskAction::Sink(_)
        | TaskAction::Journal(_) => When::AtOnce,
    }
}

fn persist<C: Carrier>(node: &mut Node, task: TaskId, commit: Commit, to: &mut C) -> Result<(), C::Error> {
    if !commit.dead.is_empty() {
        to.dead_lettered(task, &commit.dead)?;
    }
    if to.is_journaled() {
        return to.journal(task, ToJournal::Commit(commit));
    }
    to.apply_state(task, &commit)?;
    if commit.dead.is_empty() {
        to.follows(node, Event::Task(task, TaskEvent::Persisted { commit: commit.id }))
    } else {
        to.spill(ToSpill::KeepDead(task, Box::new(commit)))
    }
}

fn dispatch_to_link<C: Carrier>(
    graph: &Graph,
    link: LinkId,
    action: LinkAction,
    to: &mut C,
) -> Result<(), C::Error> {
    let sender = graph.link(link).from;
    match action {
        LinkAction::Lost { records } => to.lost(link, records),
        LinkAction::Store { first_seq, batch } => to.spill(ToSpill::Store(link, first_seq, batch)),
        LinkAction::Load { first_seq, records, .. } if to.is_journaled() => {
            to.journal(sender, ToJournal::Load(link, first_seq, records))
        }
        LinkAction::Load { first_seq, place, .. } => to.spill(ToSpill::Load(link, first_seq, place)),
        LinkAction::Discard { place } if to.is_journaled() => to.journal(sender, ToJournal::Unstage(place)),
        LinkAction::Discard { place } => to.spill(ToSpill::Discard(place)),
        LinkAction::Acknowledged { through } if to.is_journaled() => {
            to.journal(sender, ToJournal::Acknowledged(link, through))
        }
        LinkAction::Acknowledged { .. } => Ok(()),
    }
}
