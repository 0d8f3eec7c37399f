//! What a node says about itself: counters and queues, for progress, metrics and people.

use crate::config::{NodeIx, TaskId};
use std::time::Duration;
use worker_proto::LinkId;

/// What a task has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounters {
    /// Records taken (a source: read).
    pub records_in: u64,
    /// Bytes taken, terminators included.
    pub bytes_in: u64,
    /// Records produced (a sink: written).
    pub records_out: u64,
    /// Records given to a program more than once, counted each time.
    pub retried: u64,
    /// Records put aside.
    pub dead: u64,
    /// Programs run.
    pub runs: u64,
    /// Time in which a program of this task ran.
    pub busy: Duration,
}

/// One task now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Which.
    pub task: TaskId,
    /// What it has done.
    pub counters: TaskCounters,
    /// Records accepted and not processed.
    pub queued: u64,
    /// Its end is reached and everything of it is finished.
    pub done: bool,
}

/// The sending end of a link now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Which.
    pub link: LinkId,
    /// Tuples held: not acknowledged.
    pub held_records: u64,
    /// Bytes of them in memory.
    pub memory_bytes: u64,
    /// Bytes of them outside memory.
    pub stored_bytes: u64,
    /// Tuples ever taken.
    pub records: u64,
    /// Tuples sent more than once, counted each time.
    pub retried: u64,
    /// A receiver takes tuples.
    pub open: bool,
}

/// A peer that this node sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which.
    pub peer: NodeIx,
    /// It answered and takes tuples.
    pub up: bool,
    /// Dials that failed since the last success.
    pub failed_attempts: u32,
    /// Why the last connection or dial ended.
    pub last_error: String,
}

/// A node now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Tasks of this node, in order.
    pub tasks: Vec<TaskStatus>,
    /// Links that start at this node, in order.
    pub links: Vec<LinkStatus>,
    /// Peers this node sends to.
    pub peers: Vec<PeerStatus>,
    /// Bytes held in memory in outboxes, inboxes and batches.
    pub memory_bytes: u64,
    /// Bytes held outside memory.
    pub stored_bytes: u64,
    /// Records that peers' restarts may have lost, at most.
    pub lost: u64,
    /// Slots in use, and in all.
    pub slots: (usize, usize),
}
