//! What a node asks of its driver.

use super::{ConnId, NodeError, Place, TaskAction};
use crate::config::{NodeIx, TaskId};
use crate::recovery::PeerState;
use worker_proto::{Batch, LinkId, Seq};

/// Something the driver must do, sorted by what it is done to. Actions are done in the order in which they come.
#[derive(Clone, Debug)]
pub enum Action {
    /// To a connection.
    Conn(ConnId, ConnAction),
    /// To what is stored of a link's tuples.
    Link(LinkId, LinkAction),
    /// For a task.
    Task(TaskId, TaskAction),
    /// For the node as a whole.
    Node(NodeAction),
}

impl Action {
    /// What a task asks of its driver, such as `Action::task(id, SinkAction::Close)`.
    pub fn task(task: TaskId, action: impl Into<TaskAction>) -> Self {
        Action::Task(task, action.into())
    }
}

/// What is done to a connection, whose number was new with [`ConnAction::Dial`] or given by [`Node::accept`](crate::Node::accept).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnAction {
    /// Make it; answer [`ConnEvent::Dialed`](super::ConnEvent::Dialed) or [`ConnEvent::Closed`](super::ConnEvent::Closed).
    Dial {
        /// To whom.
        peer: NodeIx,
    },
    /// [`Node::poll_transmit`](crate::Node::poll_transmit) has something for it again.
    Wake,
    /// Send what `poll_transmit` still gives, then close; answer [`ConnEvent::Closed`](super::ConnEvent::Closed).
    Close,
}

/// What is done with a link's tuples outside memory. With a journal they are in that of the task that sends on the link.
#[derive(Clone, Debug)]
pub enum LinkAction {
    /// Put a batch outside memory; answer [`LinkEvent::Stored`](super::LinkEvent::Stored).
    Store {
        /// First sequence number of the batch.
        first_seq: Seq,
        /// The records.
        batch: Batch,
    },
    /// Get a batch back into memory; answer [`LinkEvent::Loaded`](super::LinkEvent::Loaded).
    Load {
        /// First sequence number of the batch.
        first_seq: Seq,
        /// Where it is. With a journal this does not count: link, position and number of records say it.
        place: Place,
        /// How many records it has.
        records: u64,
    },
    /// What was stored there is not needed any more.
    Discard {
        /// Where.
        place: Place,
    },
    /// Tuples are not needed any more.
    Acknowledged {
        /// Through this position.
        through: Seq,
    },
    /// A receiving process died with records it had accepted and not finished; nothing has to be done.
    Lost {
        /// At most this many.
        records: u64,
    },
}

/// What is done for the node as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAction {
    /// Something worth telling a person; nothing has to be done.
    Report(Report),
    /// With a journal: keep this, durably, in place of what was kept of the peer; answer
    /// [`NodeEvent::PeerKept`](super::NodeEvent::PeerKept).
    KeepPeer {
        /// Of whom.
        peer: NodeIx,
        /// What.
        state: PeerState,
        /// Counts what is kept of this peer in this life of the node.
        version: u64,
    },
    /// The pipeline has failed: stop everything, exit 1. Open connections get a `GoAway` first. Nothing else follows.
    Halt {
        /// What failed.
        error: NodeError,
    },
    /// Every task here is done, every link finished, every goodbye said. Nothing else follows.
    Finished,
}

impl From<Report> for Action {
    fn from(report: Report) -> Self {
        Action::Node(NodeAction::Report(report))
    }
}

/// Something worth telling a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A peer answered and takes tuples.
    PeerUp {
        /// Its name.
        peer: String,
    },
    /// A peer cannot be reached or its connection was lost; it is dialled again.
    PeerDown {
        /// Its name.
        peer: String,
        /// Why.
        why: String,
    },
    /// All is done here but this peer said no goodbye in time; it is not waited for.
    PeerGone {
        /// Its name.
        peer: String,
    },
    /// A connection was turned away or dropped, or a link of it refused. What is said here the peer is not told.
    PeerRefused {
        /// The node's name, where it is one of the pipeline's; nothing of a name that somebody has chosen.
        peer: Option<String>,
        /// The class of the reason, of a few.
        class: &'static str,
        /// The reason; what it quotes of others is printable.
        why: String,
    },
    /// A peer's process is a new one.
    PeerRestarted {
        /// Its name.
        peer: String,
    },
    /// The reader of a sink has gone. In memory the sink is done; with a journal it takes nothing more in this life, and the node is
    /// to be stopped in good order.
    ReaderGone {
        /// Whose.
        task: TaskId,
    },
    /// A batch failed and is tried again or halved.
    BatchFailed {
        /// Whose.
        task: TaskId,
        /// Which batch, window or life of the program.
        batch: u64,
        /// How many records.
        records: u64,
        /// Which attempt it was.
        attempt: u32,
        /// Why.
        why: String,
    },
}
