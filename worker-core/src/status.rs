//! What a node says about itself: counters and queues, for progress, metrics and people.

use crate::config::{NodeIx, TaskId};
use crate::stall::PeerCause;
use crate::time::Time;
use std::time::Duration;
use worker_proto::LinkId;

/// How long is at most so long, in microseconds, for each class of [`Latencies`] but the last, which has no bound.
pub const LATENCY_BOUNDS_US: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// How long something took each time, counted in fixed classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// By class, see [`LATENCY_BOUNDS_US`].
    pub counts: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// All together.
    pub sum: Duration,
}

impl Latencies {
    /// It took so long once more.
    pub fn add(&mut self, took: Duration) {
        let class = LATENCY_BOUNDS_US.partition_point(|bound| Duration::from_micros(*bound) < took);
        self.counts[class] += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// Takes over what others counted.
    pub fn merge(&mut self, other: &Latencies) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many times it was measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What a task has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TaskCounters {
    /// Records taken (a source: read).
    pub records_in: u64,
    /// Bytes taken, terminators included.
    pub bytes_in: u64,
    /// Records produced (a sink: written).
    pub records_out: u64,
    /// Bytes produced (a sink: written), terminators included, once for each stage they go to.
    pub bytes_out: u64,
    /// Records given to a program more than once because it failed, counted each time; what a new life gives again is not counted.
    pub retried_records: u64,
    /// Records dead-lettered.
    pub dead_records: u64,
    /// Of a source, records read that did not go on, because only a sample does.
    #[cfg_attr(feature = "serde", serde(default))]
    pub left_out_records: u64,
    /// Programs run.
    pub programs: u64,
}

/// One task now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Which.
    pub task: TaskId,
    /// What it has done.
    pub counters: TaskCounters,
    /// What of that earlier lives had done: with a journal counters go on.
    pub before: TaskCounters,
    /// Time in which a program of this task ran.
    pub busy: Duration,
    /// Records that wait for it: accepted and not processed, and what tasks of this node hold for it and it has no room for yet.
    pub queued_records: u64,
    /// What of those it has not been sent yet.
    pub unsent_records: u64,
    /// Records that wait for it, and what a program has read that may fail yet.
    pub undone_records: u64,
    /// Records that it took, and that its program is given again and has not read again yet.
    pub again_records: u64,
    /// Records it is done with: of a sink written, of a stream's program read, else processed.
    pub done_records: u64,
    /// It begins nothing any more: what it has given may still wait for others.
    pub ended: bool,
    /// Its end is reached and everything of it is finished.
    pub done: bool,
    /// The user holds it up.
    pub paused: bool,
}

/// What the sending end of a link has done since its start, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LinkCounters {
    /// Tuples ever taken.
    pub records: u64,
    /// Tuples acknowledged.
    pub acknowledged_records: u64,
    /// Tuples held: not acknowledged.
    pub held_records: u64,
    /// Bytes of them in memory.
    pub memory_bytes: u64,
    /// Bytes of them outside memory.
    pub spilled_bytes: u64,
    /// Tuples sent and not acknowledged.
    pub in_flight_records: u64,
    /// Tuples sent more than once, counted each time.
    pub retried_records: u64,
    /// Tuples that were dropped, because the link was full and is told not to wait.
    #[cfg_attr(feature = "serde", serde(default))]
    pub dropped_records: u64,
    /// Credit left, in bytes; `None` while no receiver takes tuples.
    pub credit_bytes: Option<u64>,
}

/// The sending end of a link now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Which.
    pub link: LinkId,
    /// What it has done and holds.
    pub counters: LinkCounters,
    /// A receiver takes tuples.
    pub open: bool,
}

/// What the receiving end of a link has done since its start, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct InboundCounters {
    /// Tuples received.
    pub records: u64,
    /// Tuples that came again and were dropped.
    pub duplicate_records: u64,
    /// Tuples that wait to be taken.
    pub queued_records: u64,
    /// Cost of them, in bytes.
    pub queued_bytes: u64,
}

/// The receiving end of a link now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboundStatus {
    /// Which.
    pub link: LinkId,
    /// What it has done and holds.
    pub counters: InboundCounters,
    /// The end has come.
    pub ended: bool,
}

/// A peer that sends to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Which.
    pub peer: NodeIx,
    /// A connection from it serves its links.
    pub up: bool,
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
    /// Its kind.
    pub cause: PeerCause,
    /// Since when it does not take tuples; of no meaning while it does.
    pub down_since: Time,
}

/// A node now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Tasks of this node, in order.
    pub tasks: Vec<TaskStatus>,
    /// Links that start at this node, in order.
    pub links: Vec<LinkStatus>,
    /// Links that end at this node, in order.
    pub inbound: Vec<InboundStatus>,
    /// Peers that send to this node.
    pub upstreams: Vec<UpstreamStatus>,
    /// Peers this node sends to.
    pub peers: Vec<PeerStatus>,
    /// Bytes held in memory in outboxes, inboxes and batches.
    pub held_bytes: u64,
    /// Bytes held outside memory.
    pub spilled_bytes: u64,
    /// Of the credit that links over long distances share: in use, and in all, in bytes.
    pub shared_credit: (u64, u64),
    /// Records that peers' restarts may have lost, at most.
    pub lost_records: u64,
    /// Slots in use, and in all.
    pub slots: (usize, usize),
    /// The disk that commits go to is full.
    pub storage_full: bool,
    /// Sources end here, and what was accepted is finished.
    pub draining: bool,
    /// Sources end here, and all that was taken is to be delivered before the node ends.
    pub finishing: bool,
    /// With a journal: that is done, as far as this node knows.
    pub drained: bool,
    /// This process was stopped last for so long, and went on then.
    pub stopped: Option<(Duration, Time)>,
}
