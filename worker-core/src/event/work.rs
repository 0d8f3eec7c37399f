//! What a task asks of its driver, by the kind of task.

use super::{Attempt, Commit, WorkId};
use crate::config::Measure;
use bytes::Bytes;
use worker_proto::{Batch, LinkId, Seq};

/// Something the driver of one task must do. Work is only ever of the task's own kind; every kind asks its journal.
#[derive(Clone, Debug)]
pub enum TaskAction {
    /// Of a source's reader.
    Source(SourceAction),
    /// Of whoever runs a batch stage's program.
    Batch(BatchAction),
    /// Of whoever runs a stream stage's program.
    Stream(StreamAction),
    /// Of whoever runs a records stage's program.
    Records(RecordsAction),
    /// Of a sink's writer.
    Sink(SinkAction),
    /// Of the task's journal; with `delivery = "memory"`, of whoever stands in for it.
    Journal(JournalAction),
}

/// So many records, or so many of their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// How many; at least 1.
    pub count: u64,
    /// Of what.
    pub of: Measure,
}

/// Answered by [`SourceEvent`](super::SourceEvent)s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceAction {
    /// It may read this many chunks more; answer each with [`SourceEvent::Read`](super::SourceEvent::Read).
    Read {
        /// How many more.
        chunks: u32,
        /// Where its rate is limited: the most that this chunk may have, though one record always may come. What was read and
        /// does not fit waits for the next.
        most: Option<Amount>,
    },
    /// Stop reading; answer [`SourceEvent::Ended`](super::SourceEvent::Ended) unless that was said already. Where what comes at
    /// a stop counts, answer [`SourceEvent::Closing`](super::SourceEvent::Closing) before it.
    Stop,
    /// Nobody takes what would come: stop reading; answer [`SourceEvent::Ended`](super::SourceEvent::Ended).
    Cancel,
}

/// Answered by [`BatchEvent`](super::BatchEvent)s.
#[derive(Clone, Debug)]
pub enum BatchAction {
    /// Run a child over these records; answer [`BatchEvent::Done`](super::BatchEvent::Done).
    Run(Run),
    /// Kill the child; its output does not count. No answer.
    Kill,
}

/// One run of a batch child.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which run; a new number each.
    pub work: WorkId,
    /// The batch's number, the same for every attempt of it.
    pub batch_id: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What heads them, where the stage before gives that.
    pub header: Option<Bytes>,
    /// The records, in order.
    pub input: Vec<Batch>,
}

/// Answered by [`StreamEvent`](super::StreamEvent)s.
#[derive(Clone, Debug)]
pub enum StreamAction {
    /// Start a child.
    Start {
        /// Number of the window, from 1.
        window: u64,
        /// First give it what was admitted to this window by commits asked for before this, read back from the journal, without saying
        /// [`StreamEvent::Fed`](super::StreamEvent::Fed) for it; what it prints must begin with what was committed, and that
        /// part is suppressed.
        replay: bool,
        /// What its input begins with, where the stage before gives that.
        header: Option<Bytes>,
    },
    /// Give records to the child; answer [`StreamEvent::Fed`](super::StreamEvent::Fed) when it has taken them.
    Feed {
        /// Into which window's process.
        window: u64,
        /// The records.
        batch: Batch,
    },
    /// Close the child's standard input after what was fed; answer [`StreamEvent::Exited`](super::StreamEvent::Exited) when it
    /// has ended.
    Close {
        /// Which window's process.
        window: u64,
    },
    /// Kill the child; its output does not count. No answer.
    Kill,
}

/// Answered by [`RecordsEvent`](super::RecordsEvent)s.
#[derive(Clone, Debug)]
pub enum RecordsAction {
    /// Start a child and say hello with the state as of the last commit asked for.
    Start {
        /// Which life, from 1.
        life: u64,
    },
    /// Give requests to the child, one a record, in order; answer [`RecordsEvent::Answered`](super::RecordsEvent::Answered).
    Request {
        /// Which life.
        life: u64,
        /// The link the records came by.
        link: LinkId,
        /// Position of the first.
        first_seq: Seq,
        /// The records.
        batch: Batch,
    },
    /// Give a tick request to the child, after what was asked before.
    Tick {
        /// Which life.
        life: u64,
    },
    /// Give the end request to the child, after everything else.
    End {
        /// Which life.
        life: u64,
    },
    /// Kill the child; its output does not count. No answer.
    Kill,
}

/// Answered by [`SinkEvent`](super::SinkEvent)s.
#[derive(Clone, Debug)]
pub enum SinkAction {
    /// Write the header of what comes, once; answer [`SinkEvent::Written`](super::SinkEvent::Written).
    Header {
        /// Which write.
        work: WorkId,
        /// It alone.
        header: Batch,
    },
    /// Write records to the outside; answer [`SinkEvent::Written`](super::SinkEvent::Written).
    Write {
        /// Which write.
        work: WorkId,
        /// The records, in order.
        batches: Vec<Batch>,
    },
    /// All was written: flush and close; answer [`SinkEvent::Closed`](super::SinkEvent::Closed).
    Close,
}

/// What a task's journal is told.
#[derive(Clone, Debug)]
pub enum JournalAction {
    /// Make a commit durable; answer [`TaskEvent::Persisted`](super::TaskEvent::Persisted). In memory mode that is at once; its
    /// dead letters are kept.
    Persist(Commit),
    /// Note what is about to be in flight; nothing has to be synced, and there is no answer.
    Note(Attempt),
}

impl From<SourceAction> for TaskAction {
    fn from(action: SourceAction) -> Self {
        TaskAction::Source(action)
    }
}

impl From<BatchAction> for TaskAction {
    fn from(action: BatchAction) -> Self {
        TaskAction::Batch(action)
    }
}

impl From<StreamAction> for TaskAction {
    fn from(action: StreamAction) -> Self {
        TaskAction::Stream(action)
    }
}

impl From<RecordsAction> for TaskAction {
    fn from(action: RecordsAction) -> Self {
        TaskAction::Records(action)
    }
}

impl From<SinkAction> for TaskAction {
    fn from(action: SinkAction) -> Self {
        TaskAction::Sink(action)
    }
}

impl From<JournalAction> for TaskAction {
    fn from(action: JournalAction) -> Self {
        TaskAction::Journal(action)
    }
}
