//! What goes into a [`Node`](crate::Node) and what comes out of it.

mod action;
mod commit;
mod output;
mod task;
mod work;

pub use crate::stall::Blocker;
pub use action::{Action, ConnAction, LinkAction, NodeAction, Report};
pub use commit::{Attempt, Commit, Headers, InputDone, Printed, StreamStep, Turn};
pub use output::{Body, Chunk, Contents, DeadLetter, Failure, FailureKind, Origin, Output, Spent};
pub use task::{BatchEvent, RecordsEvent, SinkEvent, SourceEvent, StreamEvent, TaskEvent};
pub use work::{
    Amount, BatchAction, JournalAction, RecordsAction, Run, SinkAction, SourceAction, StreamAction,
    TaskAction,
};

use crate::config::{NodeIx, TaskId};
use std::time::Duration;
use worker_proto::{Batch, Frame, LinkId, Seq};

/// A connection's number within this process; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One run of a batch child or one write of a sink, unique within its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// A commit's number within its task, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// Where the driver put a batch outside memory; the driver's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

/// Something that happened, sorted by what it happened to.
#[derive(Clone, Debug)]
pub enum Event {
    /// To a connection.
    Conn(ConnId, ConnEvent),
    /// To what is stored of a link's tuples.
    Link(LinkId, LinkEvent),
    /// To a task's work, or in its way.
    Task(TaskId, TaskEvent),
    /// To the node as a whole.
    Node(NodeEvent),
}

impl Event {
    /// What a task's driver says, such as `Event::task(id, SinkEvent::Closed)`.
    pub fn task(task: TaskId, event: impl Into<TaskEvent>) -> Self {
        Event::Task(task, event.into())
    }
}

/// Who is at the other end of a connection that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// He has proved nothing: the name that he gives is taken for his.
    Claimed,
    /// He has proved to be this node, and may speak as no other.
    Proved(NodeIx),
}

/// What happens to a connection. Its last event is [`ConnEvent::Closed`].
#[derive(Clone, Debug)]
pub enum ConnEvent {
    /// The dial that [`ConnAction::Dial`] asked for has a byte stream.
    Dialed,
    /// A frame arrived. Heartbeats need not be passed on.
    Frame(Frame),
    /// It is gone, or its dial failed.
    Closed {
        /// The kind of reason.
        loss: Loss,
        /// The reason, for people.
        why: String,
    },
}

/// What happens to batches of a link outside memory.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// What [`LinkAction::Store`] asked for is outside memory.
    Stored {
        /// First sequence number of the batch.
        first_seq: Seq,
        /// Where it is.
        place: Place,
    },
    /// What [`LinkAction::Load`] asked for.
    Loaded {
        /// First sequence number of the batch.
        first_seq: Seq,
        /// The batch, as stored.
        batch: Batch,
    },
}

/// What concerns all tasks of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// The disk that commits go to is full and lives on its reserve, or has room again.
    StorageFull {
        /// Which of both.
        full: bool,
    },
    /// What [`NodeAction::KeepPeer`] asked for is on stable storage.
    PeerKept {
        /// Of whom.
        peer: NodeIx,
        /// Which.
        version: u64,
    },
    /// This process was stopped, by a signal or a freezer, and goes on. Its time stood meanwhile.
    WasStopped {
        /// For how long.
        lasted: Duration,
    },
    /// The user wants an orderly stop: sources end here, what was accepted is finished.
    Drain,
    /// The user wants no new input: sources end here, and the node goes on until nothing is under way. Alone it ends then; of several
    /// that keep journals nobody knows what the others still send, and each says of itself that it is drained.
    Finish,
}

/// What ended a connection, or kept it from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It was never made.
    Unreachable,
    /// It was never made, for nothing answers there.
    NoAnswer,
    /// It was never made, for the machine says that nobody listens there.
    NobodyListens,
    /// Nothing was heard of the peer for too long.
    Silent,
    /// A side closed it, or the network did.
    Lost,
}

/// Why a node stops, split by fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A task cannot go on.
    #[error("{task}: {why}")]
    Task {
        /// `stage/partition`.
        task: String,
        /// What happened and what to do.
        why: String,
    },
    /// A peer refuses us for good, or we it.
    #[error("node {peer}: {why}")]
    Peer {
        /// The peer's name.
        peer: String,
        /// What happened and what to do.
        why: String,
    },
    /// Another node says that the pipeline has failed.
    #[error("node {peer} stopped the pipeline: {why}")]
    Remote {
        /// Who said so.
        peer: String,
        /// Its reason.
        why: String,
    },
}
