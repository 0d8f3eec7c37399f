//! What a task's driver says, by the kind of task it drives.

use super::{Blocker, CommitId, Failure, Output, Spent, WorkId};
use bytes::Bytes;

/// What happens to a task's work, or in its way. Work of another kind than the task's counts for nothing.
#[derive(Clone, Debug)]
pub enum TaskEvent {
    /// A source's reader says.
    Source(SourceEvent),
    /// A batch child's driver says.
    Batch(BatchEvent),
    /// A stream child's driver says.
    Stream(StreamEvent),
    /// A records child's driver says.
    Records(RecordsEvent),
    /// A sink's writer says.
    Sink(SinkEvent),
    /// What [`JournalAction::Persist`](super::JournalAction::Persist) asked for is durable.
    Persisted {
        /// Which commit.
        commit: CommitId,
    },
    /// Its driver cannot go on.
    Failed {
        /// Why, for people.
        why: String,
    },
    /// What it waits for outside of the node has changed, as its driver sees it.
    Blocked {
        /// What blocks it; `None`: nothing any more.
        by: Option<Blocker>,
    },
    /// The user holds it up, or lets it go on: it starts no new work meanwhile.
    Pause {
        /// Which of both.
        paused: bool,
    },
}

/// What comes of [`SourceAction`](super::SourceAction)s.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// It read one chunk, using up one permit of [`SourceAction::Read`](super::SourceAction::Read).
    Read {
        /// The records, routed.
        output: Output,
    },
    /// It was told to stop and has something to say about it: it reads on, as it may, until it has ended.
    Closing,
    /// It has no more, or stopped as told by [`SourceAction::Stop`](super::SourceAction::Stop).
    Ended {
        /// Its input is at its end; else it was stopped before.
        complete: bool,
    },
}

/// What comes of [`BatchAction`](super::BatchAction)s.
#[derive(Clone, Debug)]
pub enum BatchEvent {
    /// A child has ended, answering [`BatchAction::Run`](super::BatchAction::Run).
    Done {
        /// Which run.
        work: WorkId,
        /// Everything it printed, routed; or why it failed.
        result: Result<Output, Failure>,
        /// What the run cost.
        spent: Spent,
    },
}

/// What comes of [`StreamAction`](super::StreamAction)s.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    /// The child has taken bytes fed to it.
    Fed {
        /// Into which window's process.
        window: u64,
        /// Cost (see [`Batch::cost`](worker_proto::Batch::cost)) of the batches taken since the last such event.
        cost: u64,
    },
    /// The child has read more of what was written to its standard input.
    Read {
        /// Which window's process.
        window: u64,
        /// Records that this process has read, since its start.
        records: u64,
        /// Their bytes, and those of the record that it has begun.
        bytes: u64,
        /// What it had not read at the look before, it has not read yet.
        is_behind: bool,
    },
    /// The child printed records while its standard input was open, or later in memory, where no commit waits for its end.
    Output {
        /// Which window's process.
        window: u64,
        /// The records, routed.
        output: Output,
    },
    /// The child has ended and all its output was read.
    Exited {
        /// Which window's process.
        window: u64,
        /// Success: with a journal, what it printed after its standard input was closed.
        result: Result<Output, Failure>,
        /// It ended before it had taken all its input.
        early: bool,
    },
}

/// What comes of [`RecordsAction`](super::RecordsAction)s.
#[derive(Clone, Debug)]
pub enum RecordsEvent {
    /// The child has answered: the answered requests without a gap became more.
    Answered {
        /// Which life of its program.
        life: u64,
        /// How many more input records are answered; ticks do not count.
        records: u64,
        /// What it emitted for them, routed; the records it failed, as dead letters; its state changes, as the position.
        output: Output,
        /// The end request is answered, after everything else.
        ended: bool,
    },
    /// The child ended, broke the protocol or did not move. Nothing else of this life counts.
    Failed {
        /// Which life of its program.
        life: u64,
        /// What happened.
        failure: Failure,
    },
}

/// What comes of [`SinkAction`](super::SinkAction)s.
#[derive(Clone, Debug)]
pub enum SinkEvent {
    /// It has written what [`SinkAction::Write`](super::SinkAction::Write) gave it.
    Written {
        /// Which write.
        work: WorkId,
        /// How far the sink is, in its driver's own words, if that is to be kept (see
        /// [`Commit::position`](super::Commit::position)).
        position: Option<Bytes>,
    },
    /// Of the first write that is not done, so many more records are, in their order, and so many bytes.
    Partly {
        /// Which write.
        work: WorkId,
        /// Whole records.
        records: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// It has flushed and closed, answering [`SinkAction::Close`](super::SinkAction::Close).
    Closed,
    /// Its reader went away in good order (a closed standard output): it wants nothing more, in this life at least.
    ReaderGone,
}

impl From<SourceEvent> for TaskEvent {
    fn from(event: SourceEvent) -> Self {
        TaskEvent::Source(event)
    }
}

impl From<BatchEvent> for TaskEvent {
    fn from(event: BatchEvent) -> Self {
        TaskEvent::Batch(event)
    }
}

impl From<StreamEvent> for TaskEvent {
    fn from(event: StreamEvent) -> Self {
        TaskEvent::Stream(event)
    }
}

impl From<RecordsEvent> for TaskEvent {
    fn from(event: RecordsEvent) -> Self {
        TaskEvent::Records(event)
    }
}

impl From<SinkEvent> for TaskEvent {
    fn from(event: SinkEvent) -> Self {
        TaskEvent::Sink(event)
    }
}
