//! What goes into a [`Node`](crate::Node) and what comes out of it.

mod action;
mod commit;
mod output;

pub use action::{Action, Report, Run};
pub use commit::{Attempt, Commit, InputDone, Printed, StreamStep};
pub use output::{Body, Chunk, DeadLetter, Failure, FailureKind, Output, Spent};

use crate::config::TaskId;
use crate::time::Time;
use bytes::Bytes;
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

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The dial that [`Action::Dial`] asked for has a byte stream.
    Dialed {
        /// Which.
        conn: ConnId,
    },
    /// A frame arrived. Heartbeats need not be passed on.
    Frame {
        /// Where.
        conn: ConnId,
        /// What.
        frame: Frame,
    },
    /// A connection is gone, or a dial failed. The last event of every connection.
    Closed {
        /// Which.
        conn: ConnId,
        /// The kind of reason.
        loss: Loss,
        /// The reason, for people.
        why: String,
    },
    /// A batch child has ended, answering [`Action::Run`].
    RunDone {
        /// Whose.
        task: TaskId,
        /// Which run.
        work: WorkId,
        /// Everything it printed, routed; or why it failed.
        result: Result<Output, Failure>,
        /// What the run cost.
        spent: Spent,
    },
    /// A stream child has taken bytes fed to it.
    StreamFed {
        /// Whose.
        task: TaskId,
        /// Into which window's process.
        window: u64,
        /// Cost (see [`Batch::cost`]) of the batches taken since the last such event.
        cost: u64,
    },
    /// A stream child printed records while its standard input was open.
    StreamOutput {
        /// Whose.
        task: TaskId,
        /// Which window's process.
        window: u64,
        /// The records, routed.
        output: Output,
    },
    /// A stream child has ended and all its output was read.
    StreamExited {
        /// Whose.
        task: TaskId,
        /// Which window's process.
        window: u64,
        /// Success: what it printed after its standard input was closed.
        result: Result<Output, Failure>,
        /// It ended before it had taken all its input.
        early: bool,
    },
    /// A source read one chunk, using up one permit of [`Action::Read`].
    SourceRead {
        /// Whose.
        task: TaskId,
        /// The records, routed.
        output: Output,
    },
    /// A source has no more, or stopped as told by [`Action::StopSource`].
    SourceEnded {
        /// Whose.
        task: TaskId,
        /// Its input is at its end; else it was stopped before.
        complete: bool,
    },
    /// A sink has written what [`Action::Write`] gave it.
    Written {
        /// Whose.
        task: TaskId,
        /// Which write.
        work: WorkId,
        /// How far the sink is, in its driver's own words, if that is to be kept (see [`Commit::position`]).
        position: Option<Bytes>,
    },
    /// A sink has flushed and closed, answering [`Action::CloseSink`].
    SinkClosed {
        /// Whose.
        task: TaskId,
    },
    /// A records child has answered: the answered requests without a gap became more.
    RecordsAnswered {
        /// Whose.
        task: TaskId,
        /// Which life of its program.
        life: u64,
        /// How many more input records are answered; ticks do not count.
        records: u64,
        /// What it emitted for them, routed; the records it failed, as dead letters; its state changes, as the position.
        output: Output,
        /// The end request is answered, after everything else.
        ended: bool,
    },
    /// A records child ended, broke the protocol or did not move. Nothing else of this life counts.
    RecordsFailed {
        /// Whose.
        task: TaskId,
        /// Which life of its program.
        life: u64,
        /// What happened.
        failure: Failure,
    },
    /// A sink's reader went away in good order (a closed standard output): it wants nothing more.
    SinkReaderGone {
        /// Whose.
        task: TaskId,
    },
    /// A source or sink cannot go on.
    TaskFailed {
        /// Whose.
        task: TaskId,
        /// Why, for people.
        why: String,
    },
    /// What [`Action::Persist`] asked for is durable.
    Persisted {
        /// Whose.
        task: TaskId,
        /// Which commit.
        commit: CommitId,
    },
    /// What [`Action::Store`] asked for is outside memory.
    Stored {
        /// Whose.
        link: LinkId,
        /// First sequence number of the batch.
        first_seq: Seq,
        /// Where it is.
        place: Place,
    },
    /// What [`Action::Load`] asked for.
    Loaded {
        /// Whose.
        link: LinkId,
        /// First sequence number of the batch.
        first_seq: Seq,
        /// The batch, as stored.
        batch: Batch,
    },
    /// The disk that commits go to is full and lives on its reserve, or has room again.
    StorageFull {
        /// Which of both.
        full: bool,
    },
    /// What a task waits for outside of the node has changed, as its driver sees it.
    Blocked {
        /// Whose.
        task: TaskId,
        /// What blocks it; `None`: nothing any more.
        by: Option<Blocker>,
    },
    /// The user holds a task up, or lets it go on: it starts no new work meanwhile.
    Pause {
        /// Whose.
        task: TaskId,
        /// Which of both.
        paused: bool,
    },
    /// The user wants an orderly stop: sources end here, what was accepted is finished.
    Drain,
}

impl Event {
    /// The task whose driver says this, if it is about a task's work.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Event::RunDone { task, .. }
            | Event::StreamFed { task, .. }
            | Event::StreamOutput { task, .. }
            | Event::StreamExited { task, .. }
            | Event::SourceRead { task, .. }
            | Event::SourceEnded { task, .. }
            | Event::RecordsAnswered { task, .. }
            | Event::RecordsFailed { task, .. }
            | Event::Written { task, .. }
            | Event::SinkClosed { task }
            | Event::SinkReaderGone { task }
            | Event::TaskFailed { task, .. }
            | Event::Persisted { task, .. }
            | Event::Blocked { task, .. }
            | Event::Pause { task, .. } => Some(*task),
            Event::Dialed { .. }
            | Event::Frame { .. }
            | Event::Closed { .. }
            | Event::Stored { .. }
            | Event::Loaded { .. }
            | Event::StorageFull { .. }
            | Event::Drain => None,
        }
    }
}

/// What ended a connection, or kept it from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It was never made.
    Unreachable,
    /// Nothing was heard of the peer for too long.
    Silent,
    /// A side closed it, or the network did.
    Lost,
}

/// What a driver sees in the way of a task's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// Its program has work (unread input, an answer owed, or its end) and has neither moved a byte nor used the processor.
    ChildHung {
        /// Since when.
        since: Time,
        /// Input it has not read, in bytes.
        unread_bytes: u64,
        /// Its standard input is closed.
        closed: bool,
    },
    /// Its program has read all it was given and printed nothing of it, and rests.
    ChildBuffers {
        /// Since when.
        since: Time,
        /// Bytes it was given since it last printed.
        fed_bytes: u64,
    },
    /// A write of it is under way, and nothing of it is taken.
    WriteHung {
        /// Since when.
        since: Time,
    },
    /// The disk its output goes to has no room.
    DiskFull {
        /// Since when.
        since: Time,
        /// Where, and what the system says.
        what: String,
    },
}

/// Why a node stops, split by fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
