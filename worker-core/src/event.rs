//! What goes into a [`Node`](crate::Node) and what comes out of it.

use crate::config::{NodeIx, TaskId};
use bytes::Bytes;
use std::time::Duration;
use worker_proto::{Batch, Epoch, Frame, LinkId, Seq};

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
    },
    /// A sink has written what [`Action::Write`] gave it.
    Written {
        /// Whose.
        task: TaskId,
        /// Which write.
        work: WorkId,
    },
    /// A sink has flushed and closed, answering [`Action::CloseSink`].
    SinkClosed {
        /// Whose.
        task: TaskId,
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
            | Event::SourceEnded { task }
            | Event::Written { task, .. }
            | Event::SinkClosed { task }
            | Event::SinkReaderGone { task }
            | Event::TaskFailed { task, .. }
            | Event::Persisted { task, .. } => Some(*task),
            Event::Dialed { .. }
            | Event::Frame { .. }
            | Event::Closed { .. }
            | Event::Stored { .. }
            | Event::Loaded { .. }
            | Event::Drain => None,
        }
    }
}

/// Something the driver must do. Actions are done in the order in which they come.
#[derive(Clone, Debug)]
pub enum Action {
    /// Connect to a node; answer [`Event::Dialed`] or [`Event::Closed`].
    Dial {
        /// The number of the connection to be.
        conn: ConnId,
        /// To whom.
        peer: NodeIx,
    },
    /// [`Node::poll_transmit`](crate::Node::poll_transmit) has something for this connection again.
    Wake {
        /// Which.
        conn: ConnId,
    },
    /// Send what `poll_transmit` still gives, then close; answer [`Event::Closed`].
    Close {
        /// Which.
        conn: ConnId,
    },
    /// Run a batch child over these records; answer [`Event::RunDone`].
    Run(Run),
    /// Start a stream child.
    StreamStart {
        /// Whose.
        task: TaskId,
        /// Number of the window, from 1.
        window: u64,
    },
    /// Give records to a stream child; answer [`Event::StreamFed`] when it has taken them.
    StreamFeed {
        /// Whose.
        task: TaskId,
        /// Into which window's process.
        window: u64,
        /// The records.
        batch: Batch,
    },
    /// Close a stream child's standard input after what was fed; answer [`Event::StreamExited`] when it has ended.
    StreamClose {
        /// Whose.
        task: TaskId,
        /// Which window's process.
        window: u64,
    },
    /// Kill the task's children; their output does not count. No answer.
    Kill {
        /// Whose.
        task: TaskId,
    },
    /// A source may read this many chunks more; answer each with [`Event::SourceRead`].
    Read {
        /// Whose.
        task: TaskId,
        /// How many more.
        chunks: u32,
    },
    /// Stop reading; answer [`Event::SourceEnded`] unless that was said already.
    StopSource {
        /// Whose.
        task: TaskId,
    },
    /// Write records to the outside; answer [`Event::Written`].
    Write {
        /// Whose.
        task: TaskId,
        /// Which write.
        work: WorkId,
        /// The records, in order.
        batches: Vec<Batch>,
    },
    /// All was written: flush and close; answer [`Event::SinkClosed`].
    CloseSink {
        /// Whose.
        task: TaskId,
    },
    /// Make a commit durable; answer [`Event::Persisted`]. In memory mode that is at once; its dead letters are kept.
    Persist {
        /// Whose.
        task: TaskId,
        /// What.
        commit: Commit,
    },
    /// Put a batch outside memory; answer [`Event::Stored`].
    Store {
        /// Whose.
        link: LinkId,
        /// First sequence number of the batch.
        first_seq: Seq,
        /// The records.
        batch: Batch,
    },
    /// Get a batch back into memory; answer [`Event::Loaded`].
    Load {
        /// Whose.
        link: LinkId,
        /// First sequence number of the batch.
        first_seq: Seq,
        /// Where it is.
        place: Place,
    },
    /// What was stored there is not needed any more.
    Discard {
        /// Where.
        place: Place,
    },
    /// A receiving process died with records it had accepted and not finished.
    Lost {
        /// On which link.
        link: LinkId,
        /// At most this many.
        records: u64,
    },
    /// Something worth telling a person; nothing has to be done.
    Report(Report),
    /// The pipeline has failed: stop everything, exit 1. Open connections get a `GoAway` first. Nothing else follows.
    Halt {
        /// What failed.
        error: NodeError,
    },
    /// Every task here is done, every link finished, every goodbye said. Nothing else follows.
    Finished,
}

/// One run of a batch child.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whose.
    pub task: TaskId,
    /// Which run; a new number each.
    pub work: WorkId,
    /// The batch's number, the same for every attempt of it.
    pub batch_id: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The records, in order.
    pub input: Vec<Batch>,
}

/// What a task produced, routed to its links by a [`Router`](crate::route::Router).
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Records by link; several chunks for one link are in order.
    pub chunks: Vec<Chunk>,
    /// Records that cannot go on.
    pub dead: Vec<DeadLetter>,
    /// How many records were produced, before they were copied to several stages.
    pub records: u64,
}

/// Records for one link.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Which link.
    pub link: LinkId,
    /// The records.
    pub body: Body,
}

/// Records in memory or outside.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory; not empty.
    Memory(Batch),
    /// Outside, put there by the driver before it gave the output to the core.
    Stored {
        /// Where.
        place: Place,
        /// How many records; not 0.
        records: u64,
        /// Their cost (see [`Batch::cost`]).
        cost: u64,
    },
}

impl Body {
    /// How many records.
    #[must_use]
    pub fn records(&self) -> u64 {
        match self {
            Body::Memory(batch) => batch.len() as u64,
            Body::Stored { records, .. } => *records,
        }
    }
}

/// A record that is put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record, with its terminator.
    pub record: Bytes,
    /// Why, in one line.
    pub reason: String,
    /// How often it was tried; 0 if it never was.
    pub attempts: u32,
    /// The last lines a program said on standard error, if one was involved.
    pub stderr_tail: String,
    /// Link and position it arrived by; `None` for a record the task itself produced.
    pub origin: Option<(LinkId, Seq)>,
}

/// Why a child's run did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub kind: FailureKind,
    /// One line for people: what happened, what was expected, what to do.
    pub message: String,
    /// The last lines it said on standard error.
    pub stderr_tail: String,
    /// It printed nothing on standard output.
    pub silent: bool,
}

/// Classes of failures of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The program could not be started at all: not the record's fault.
    CannotStart,
    /// It ended with this exit status, which the stage does not accept.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It did not move for the stage's timeout and was killed.
    Timeout,
    /// What it printed breaks a rule, such as the longest record.
    Output,
    /// A stream child ended before it had read its input.
    EarlyExit,
    /// The worker could not read, write or store: not the record's fault.
    Worker,
}

/// What a run cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// From the request to start until the child existed.
    pub start: Duration,
    /// From the request to start until all was read and the child was gone.
    pub total: Duration,
}

/// One atomic step of a task.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its number.
    pub id: CommitId,
    /// Input positions reached with this commit: link, epoch, done through, and whether its end is covered.
    pub inputs: Vec<InputDone>,
    /// Outputs in order.
    pub outputs: Vec<(Seq, Chunk)>,
    /// Dead letters.
    pub dead: Vec<DeadLetter>,
    /// The task's own end: every output link gets its `End` with this commit.
    pub ended: bool,
}

/// How far an input link is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputDone {
    /// Which link.
    pub link: LinkId,
    /// Life of the sending task.
    pub epoch: Epoch,
    /// Done through.
    pub through: Seq,
    /// The link's end is covered.
    pub ended: bool,
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
    /// A dialling node was turned away.
    PeerRefused {
        /// The name it gave, if it gave one.
        peer: String,
        /// Why.
        why: String,
    },
    /// A peer's process is a new one.
    PeerRestarted {
        /// Its name.
        peer: String,
    },
    /// A batch failed and is tried again or halved.
    BatchFailed {
        /// Whose.
        task: TaskId,
        /// How many records.
        records: u64,
        /// Which attempt it was.
        attempt: u32,
        /// Why.
        why: String,
    },
}
