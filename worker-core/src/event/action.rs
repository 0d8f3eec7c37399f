//! What a node asks of its driver.

use super::{Attempt, Commit, ConnId, NodeError, Place, WorkId};
use crate::config::{NodeIx, TaskId};
use worker_proto::{Batch, LinkId, Seq};

/// Something the driver must do. Actions are done in the order in which they come.
#[derive(Clone, Debug)]
pub enum Action {
    /// Connect to a node; answer [`Event::Dialed`](super::Event::Dialed) or [`Event::Closed`](super::Event::Closed).
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
    /// Send what `poll_transmit` still gives, then close; answer [`Event::Closed`](super::Event::Closed).
    Close {
        /// Which.
        conn: ConnId,
    },
    /// Run a batch child over these records; answer [`Event::RunDone`](super::Event::RunDone).
    Run(Run),
    /// Start a stream child.
    StreamStart {
        /// Whose.
        task: TaskId,
        /// Number of the window, from 1.
        window: u64,
        /// First give it what was admitted to this window by commits asked for before this, read back from the journal, without saying
        /// [`Event::StreamFed`](super::Event::StreamFed) for it; what it prints must begin with what was committed, and that
        /// part is suppressed.
        replay: bool,
    },
    /// Give records to a stream child; answer [`Event::StreamFed`](super::Event::StreamFed) when it has taken them.
    StreamFeed {
        /// Whose.
        task: TaskId,
        /// Into which window's process.
        window: u64,
        /// The records.
        batch: Batch,
    },
    /// Close a stream child's standard input after what was fed; answer [`Event::StreamExited`](super::Event::StreamExited) when it has ended.
    StreamClose {
        /// Whose.
        task: TaskId,
        /// Which window's process.
        window: u64,
    },
    /// Start a records child and say hello with the state as of the last commit asked for.
    RecordsStart {
        /// Whose.
        task: TaskId,
        /// Which life, from 1.
        life: u64,
    },
    /// Give requests to a records child, one a record, in order; answer
    /// [`Event::RecordsAnswered`](super::Event::RecordsAnswered).
    Request {
        /// Whose.
        task: TaskId,
        /// Which life.
        life: u64,
        /// The link the records came by.
        link: LinkId,
        /// Position of the first.
        first_seq: Seq,
        /// The records.
        batch: Batch,
    },
    /// Give a tick request to a records child, after what was asked before.
    RecordsTick {
        /// Whose.
        task: TaskId,
        /// Which life.
        life: u64,
    },
    /// Give the end request to a records child, after everything else.
    RecordsEnd {
        /// Whose.
        task: TaskId,
        /// Which life.
        life: u64,
    },
    /// Note what is about to be in flight; nothing has to be synced, and there is no answer.
    Note {
        /// Whose.
        task: TaskId,
        /// What.
        attempt: Attempt,
    },
    /// A link's tuples are not needed any more.
    Acknowledged {
        /// Which link.
        link: LinkId,
        /// Through this position.
        through: Seq,
    },
    /// Kill the task's children; their output does not count. No answer.
    Kill {
        /// Whose.
        task: TaskId,
    },
    /// A source may read this many chunks more; answer each with [`Event::SourceRead`](super::Event::SourceRead).
    Read {
        /// Whose.
        task: TaskId,
        /// How many more.
        chunks: u32,
    },
    /// Stop reading; answer [`Event::SourceEnded`](super::Event::SourceEnded) unless that was said already.
    StopSource {
        /// Whose.
        task: TaskId,
    },
    /// Write records to the outside; answer [`Event::Written`](super::Event::Written).
    Write {
        /// Whose.
        task: TaskId,
        /// Which write.
        work: WorkId,
        /// The records, in order.
        batches: Vec<Batch>,
    },
    /// All was written: flush and close; answer [`Event::SinkClosed`](super::Event::SinkClosed).
    CloseSink {
        /// Whose.
        task: TaskId,
    },
    /// Make a commit durable; answer [`Event::Persisted`](super::Event::Persisted). In memory mode that is at once; its dead letters
    /// are kept.
    Persist {
        /// Whose.
        task: TaskId,
        /// What.
        commit: Commit,
    },
    /// Put a batch outside memory; answer [`Event::Stored`](super::Event::Stored).
    Store {
        /// Whose.
        link: LinkId,
        /// First sequence number of the batch.
        first_seq: Seq,
        /// The records.
        batch: Batch,
    },
    /// Get a batch back into memory; answer [`Event::Loaded`](super::Event::Loaded).
    Load {
        /// Whose.
        link: LinkId,
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
