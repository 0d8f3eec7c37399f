//! Why work waits, as data: no text is made up outside.

use crate::config::{NodeIx, TaskId};
use crate::time::Time;
use std::time::Duration;
use worker_proto::LinkId;

/// A task that has work and cannot do it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Which task.
    pub task: TaskId,
    /// Why; the first reason is the nearest.
    pub reasons: Vec<Reason>,
}

/// One reason to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer that takes this link's tuples is not connected.
    PeerDown {
        /// Which link.
        link: LinkId,
        /// Which node.
        peer: NodeIx,
        /// Since when.
        since: Time,
        /// Why, in the words of the last failed attempt.
        why: String,
        /// Attempts failed since.
        attempts: u32,
        /// When the next begins; `None` while one is under way.
        next: Option<Time>,
        /// Tuples held for the link.
        held_records: u64,
    },
    /// The peer that gives this link's tuples has no connection to this node, and its end has not come.
    UpstreamDown {
        /// One link from there.
        link: LinkId,
        /// Which node.
        peer: NodeIx,
        /// Since when.
        since: Time,
    },
    /// The receiver has not opened the link yet.
    NotOpen {
        /// Which link.
        link: LinkId,
        /// Tuples held for the link.
        held_records: u64,
    },
    /// The receiving task takes no more for now.
    NoCredit {
        /// Which link.
        link: LinkId,
        /// Tuples held for the link.
        held_records: u64,
    },
    /// All outputs are past their memory budget.
    OutboxFull {
        /// One of them, the fullest.
        link: LinkId,
        /// Bytes it holds in memory.
        memory_bytes: u64,
        /// Its budget.
        budget_bytes: u64,
    },
    /// An output is past what may be stored outside memory.
    SpillLimit {
        /// Which link.
        link: LinkId,
        /// Bytes stored.
        stored_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The disk that commits go to is full: only what was admitted goes on.
    StorageFull,
    /// What the task has done is not on stable storage yet.
    Committing {
        /// Commits that wait for it.
        commits: usize,
        /// What they hold in memory, in bytes.
        bytes: u64,
    },
    /// All slots are in use.
    NoSlot {
        /// Since when.
        since: Time,
        /// Tasks before this one.
        ahead: usize,
        /// Slots of this node.
        slots: usize,
    },
    /// A batch failed and waits for its next attempt.
    Backoff {
        /// Attempts so far.
        attempts: u32,
        /// When the next begins.
        until: Time,
        /// Why the last failed.
        why: String,
        /// Records in the batch.
        records: usize,
    },
    /// A program runs.
    ChildBusy {
        /// Since when.
        since: Time,
    },
    /// A sink writes.
    Writing {
        /// Since when.
        since: Time,
    },
    /// A stream's program has not taken what it was given.
    ChildNotReading {
        /// Bytes on their way to it.
        bytes: u64,
    },
    /// The source has nothing to give for now.
    SourceIdle,
    /// Records wait for more, to make a larger batch.
    Linger {
        /// Until when.
        until: Option<Time>,
    },
}

impl Reason {
    /// How long this has been so, where the core knows.
    #[must_use]
    pub fn age(&self, now: Time) -> Option<Duration> {
        match self {
            Reason::PeerDown { since, .. }
            | Reason::UpstreamDown { since, .. }
            | Reason::NoSlot { since, .. }
            | Reason::ChildBusy { since }
            | Reason::Writing { since } => Some(now.since(*since)),
            Reason::NotOpen { .. }
            | Reason::NoCredit { .. }
            | Reason::OutboxFull { .. }
            | Reason::SpillLimit { .. }
            | Reason::Backoff { .. }
            | Reason::ChildNotReading { .. }
            | Reason::SourceIdle
            | Reason::StorageFull
            | Reason::Committing { .. }
            | Reason::Linger { .. } => None,
        }
    }
}
