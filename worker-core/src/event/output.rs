//! What the work of a task gives: records, dead letters, failures, and what it cost.

use super::{Place, Printed};
use bytes::Bytes;
use std::time::Duration;
use worker_proto::{Batch, LinkId, Seq};

/// What a task produced, routed to its links by a [`Router`](crate::route::Router).
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Records by link; several chunks for one link are in order.
    pub chunks: Vec<Chunk>,
    /// Records that cannot go on.
    pub dead: Vec<DeadLetter>,
    /// How many records were produced, before they were copied to several stages.
    pub records: u64,
    /// Their bytes, terminators included; of a source, whose rate counts them.
    pub bytes: u64,
    /// Records that were read and do not go on, because only a sample does; of a source.
    pub left_out: u64,
    /// See [`Commit::position`](super::Commit::position).
    pub position: Option<Bytes>,
    /// Of a stream: what it printed, to be compared if it must be printed again.
    pub printed: Option<Printed>,
    /// Of a batch: the header that it begins with, with what ends it; no record of it.
    pub header: Option<Bytes>,
    /// Of a source: where its records lie outside.
    pub origin: Option<Box<Origin>>,
}

/// Where what a source has read lies: as it is, in a file that stays while anything of it is needed, each record with the byte that ends
/// it. A journal may refer to it there.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Which of the source's files.
    pub file: u32,
    /// Where in it they begin, in bytes.
    pub offset: u64,
    /// The records themselves.
    pub records: Batch,
}

impl Origin {
    /// Whether these are the records: not equal ones, but those in the very same place of memory.
    #[must_use]
    pub fn is_of(&self, batch: &Batch) -> bool {
        let (mine, theirs) = (self.records.payload(), batch.payload());
        mine.as_ptr() == theirs.as_ptr()
            && mine.len() == theirs.len()
            && self.records.raw_ends() == batch.raw_ends()
            && batch.base() == 0
    }
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
    /// How many tuples: records, or a boundary.
    #[must_use]
    pub fn records(&self) -> u64 {
        match self {
            Body::Memory(batch) => batch.len() as u64,
            Body::Stored { records, .. } => *records,
        }
    }

    /// How many of them are boundaries, which count as no records.
    #[must_use]
    pub fn boundaries(&self) -> u64 {
        match self {
            Body::Memory(batch) => batch.boundaries(),
            Body::Stored { .. } => 0,
        }
    }

    /// What they count in budgets (see [`Batch::cost`]).
    #[must_use]
    pub fn cost(&self) -> u64 {
        match self {
            Body::Memory(batch) => batch.cost(),
            Body::Stored { cost, .. } => *cost,
        }
    }

    /// Their bytes, terminators included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Body::Memory(batch) => batch.bytes() as u64,
            Body::Stored { records, cost, .. } => cost.saturating_sub(records * Batch::END_BYTES),
        }
    }
}

/// A record that is dead-lettered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record, with its terminator.
    pub record: Bytes,
    /// Why, in one line.
    pub reason: String,
    /// Runs it was in, alone or in a batch that failed; 0 if it never was in one.
    pub attempts: u32,
    /// The last lines a program said on standard error, if one was involved.
    pub stderr_tail: String,
    /// The batch it was in when it failed for good; `None` if it was in none.
    pub batch_id: Option<u64>,
    /// How its last run failed; `None` if no program failed.
    pub cause: Option<FailureKind>,
    /// Link and position it arrived by; `None` for what the task itself produced or read.
    pub origin: Option<(LinkId, Seq)>,
    /// What `record` is.
    pub contents: Contents,
    /// What headed its batch, where the stage before it gave that.
    pub header: Option<Bytes>,
}

/// What a dead letter holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// A whole record.
    #[default]
    Record,
    /// Input that did not become a record, such as a part of one: nothing that may be processed as a record.
    Input,
}

impl DeadLetter {
    /// A record that no program has failed on.
    #[must_use]
    pub fn new(record: Bytes, reason: String) -> Self {
        Self {
            record,
            reason,
            attempts: 0,
            stderr_tail: String::new(),
            batch_id: None,
            cause: None,
            origin: None,
            contents: Contents::Record,
            header: None,
        }
    }

    /// A piece of input that goes no further.
    #[must_use]
    pub fn of_input(piece: Bytes, reason: String) -> Self {
        Self { contents: Contents::Input, ..Self::new(piece, reason) }
    }
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
    /// It printed nothing on standard output; of one that timed out: and took nothing of its input.
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
    /// A stream child, run again, did not print what it had printed before.
    Diverged,
    /// The worker died, again and again, while this record alone was in flight.
    WorkerDied,
    /// The program could not be started on these records, such as one too long for an argument. Trying again is of no use, and parts
    /// of them may be fine.
    Records,
    /// The worker could not read, write or store: not the record's fault.
    Worker,
    /// It was killed on purpose, to see that nothing comes of it: no attempt is used up by that, and it is run again at once.
    Injected,
}

/// What a run cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// From the request to start until the child existed.
    pub start: Duration,
    /// From the request to start until all was read and the child was gone.
    pub total: Duration,
}
