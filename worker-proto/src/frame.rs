//! What travels on a connection.

use crate::{Batch, ConnNo, Epoch, Fingerprint, Incarnation, JournalId, LinkId, Seq};

/// One message on a connection. The dialling node sends `Hello`, `Open`, `Batch`, `End` and `Bye`; the accepting node
/// answers with `Welcome`, `Opened`, `Refused`, `Ack` and `Bye`; both may send `Ping`, `Pong` and `GoAway`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// First frame of the dialling node.
    Hello(Hello),
    /// Accepts a `Hello`.
    Welcome(Welcome),
    /// Binds a link to this connection.
    Open(Open),
    /// Answers `Open`: where the receiver stands.
    Opened(Opened),
    /// Answers `Open`, or cancels an open link: this link takes nothing (more).
    Refused(Refused),
    /// Tuples of one link.
    Batch(BatchFrame),
    /// Acknowledges tuples of one link and grants credit.
    Ack(Ack),
    /// The link's input has really ended; takes a sequence number like a tuple.
    End(End),
    /// Dialling node: all my links are finished. Accepting node: understood.
    Bye,
    /// Asks for a `Pong`.
    Ping(u64),
    /// Answers the `Ping` of the same number.
    Pong(u64),
    /// The sender of this frame closes the connection, and why.
    GoAway(GoAway),
}

/// Who dials, as what, with which pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Protocol version, [`crate::limits::PROTOCOL`].
    pub protocol: u16,
    /// Pipeline name: nodes of different pipelines never talk.
    pub cluster: String,
    /// The dialling node's name.
    pub node: String,
    /// The node it wants to reach.
    pub to: String,
    /// The dialling process's life.
    pub incarnation: Incarnation,
    /// This connection among those that process dialled to `to`.
    pub conn_no: ConnNo,
    /// Of the pipeline's meaning.
    pub pipeline: Fingerprint,
    /// Of the task → node map.
    pub placement: Fingerprint,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The accepting node's name.
    pub node: String,
    /// The accepting process's life.
    pub incarnation: Incarnation,
}

/// The sending end's position when a link is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Which link.
    pub link: LinkId,
    /// The sending task's life.
    pub epoch: Epoch,
    /// The sending task's journal.
    pub journal: JournalId,
    /// First tuple the sender still holds: all before it were acknowledged.
    pub first_unacked: Seq,
    /// The sequence number the sender will assign next.
    pub next: Seq,
}

/// The receiving end's position when a link is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which link.
    pub link: LinkId,
    /// The epoch of the `Open` this answers.
    pub epoch: Epoch,
    /// Acknowledged through: releases tuples.
    pub committed: Seq,
    /// Received through: where to send on from; may go back, releases nothing.
    pub received: Seq,
    /// Effects done through; at most `committed`.
    pub finished: Seq,
    /// The receiver already has the link's end.
    pub ended: bool,
    /// The receiving task's journal.
    pub journal: JournalId,
    /// Bytes of batch cost (see [`Batch::cost`]) the receiver takes, counted from this `Opened`.
    pub credit: u64,
}

/// Why a link takes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which link.
    pub link: LinkId,
    /// The epoch of the `Open` this answers.
    pub epoch: Epoch,
    /// The class of the reason.
    pub why: RefusedWhy,
    /// For people; nodes leave it empty, for a peer is told nothing that it may not know already.
    pub message: String,
}

/// Classes of reasons to refuse a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedWhy {
    /// Permanent: a newer life of the sending task exists.
    StaleEpoch,
    /// Permanent: the sender's journal is not the one this link began with.
    UnknownJournal,
    /// Permanent: positions contradict each other.
    Position,
    /// Permanent: no such link ends here, or its sender is not placed on the peer.
    UnknownLink,
    /// Transient: not ready yet.
    NotReady,
    /// The receiving task wants no more input: everything sent counts as finished.
    Done,
}

/// Tuples `first_seq ..` of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchFrame {
    /// Which link.
    pub link: LinkId,
    /// The sending task's life.
    pub epoch: Epoch,
    /// Position of the first record.
    pub first_seq: Seq,
    /// The records; never empty.
    pub batch: Batch,
}

/// Where the receiving end stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which link.
    pub link: LinkId,
    /// The epoch acknowledged.
    pub epoch: Epoch,
    /// Acknowledged through: releases tuples.
    pub through: Seq,
    /// Effects done through; at most `through`.
    pub finished: Seq,
    /// Bytes of batch cost the receiver takes in total since `Opened`.
    pub credit: u64,
}

/// The end of a link's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Which link.
    pub link: LinkId,
    /// The sending task's life.
    pub epoch: Epoch,
    /// The end's own sequence number: last tuple's plus one.
    pub seq: Seq,
}

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// The class of the reason.
    pub why: GoAwayWhy,
    /// For people; empty but where a peer with business here is told why the pipeline has failed.
    pub message: String,
}

/// Classes of reasons to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoAwayWhy {
    /// Transient: a newer connection of the same process took over.
    Superseded,
    /// Transient, for a while: another living process has the dialling node's name.
    NameInUse,
    /// Permanent: protocol versions differ.
    Protocol,
    /// Permanent: the dialled process is not the node wanted, or belongs to another pipeline.
    WrongPeer,
    /// Permanent: the dialling node is not in the cluster file.
    UnknownNode,
    /// Permanent: the pipelines' fingerprints differ.
    Pipeline,
    /// Permanent: the task → node maps differ.
    Placement,
    /// Transient: the peer broke a rule of the protocol.
    Violation,
    /// Transient: nothing was heard for too long, or the handshake took too long.
    Timeout,
    /// Transient: the node is shutting down in good order.
    Leaving,
    /// Permanent: the pipeline has failed; the message says why.
    Failed,
    /// Permanent for whom it is said to, and for nobody else: another process has replaced that one, or its state is not the one that was
    /// known here. It ends; the pipeline goes on.
    Fenced,
    /// Transient: the node takes no more of that for now.
    Busy,
}

impl RefusedWhy {
    /// Its name in metrics and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StaleEpoch => "stale_epoch",
            Self::UnknownJournal => "unknown_journal",
            Self::Position => "position",
            Self::UnknownLink => "unknown_link",
            Self::NotReady => "not_ready",
            Self::Done => "done",
        }
    }
}

impl GoAwayWhy {
    /// Its name in metrics and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::NameInUse => "name_in_use",
            Self::Protocol => "protocol",
            Self::WrongPeer => "wrong_peer",
            Self::UnknownNode => "unknown_node",
            Self::Pipeline => "pipeline",
            Self::Placement => "placement",
            Self::Violation => "violation",
            Self::Timeout => "timeout",
            Self::Leaving => "leaving",
            Self::Failed => "failed",
            Self::Fenced => "fenced",
            Self::Busy => "busy",
        }
    }
}
