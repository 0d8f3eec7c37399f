//! What a node is watched by: what never changes of it, and what is sampled now and then.

use super::model::Stage;
use std::collections::BTreeMap;
use std::time::Duration;
use worker_core::config::{Graph, Limits, NodeIx, TaskId};
use worker_core::stall::Stall;
use worker_core::status::Status;

/// What does not change while a node runs.
#[derive(Clone, Debug)]
pub struct Outline {
    pub pipeline: String,
    /// `memory` or `exactly-once`.
    pub delivery: String,
    /// Names of all nodes.
    pub nodes: Vec<String>,
    /// Where the cluster file says that the admin API of nodes is.
    pub admins: BTreeMap<String, String>,
    /// Which of them this is.
    pub me: NodeIx,
    /// All tasks and links.
    pub graph: Graph,
    /// Sources, stages and sinks in the order of the pipeline.
    pub stages: Vec<Stage>,
    /// Budgets of every link.
    pub limits: Limits,
    /// When the run began, in milliseconds since 1970.
    pub started_ms: u64,
    /// For how long something must not move to count as stalled.
    pub stall_after: Duration,
    /// What ends all programs with the worker, in a word.
    pub containment: &'static str,
    /// Where the admin address is, if there is one.
    pub admin: Option<String>,
}

/// What is sampled of a node beside what its core says.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub status: Status,
    pub stalls: Vec<Stall>,
    /// Input read, in bytes.
    pub read_bytes: u64,
    /// Of that, what has passed every stage.
    pub through_bytes: u64,
    /// Size of all input, where it is known.
    pub total_bytes: Option<u64>,
    /// The last round trip of a heartbeat, by peer.
    pub round_trips: BTreeMap<NodeIx, Duration>,
    /// What the process takes of the machine's memory now, and took at most, in bytes.
    pub resident_bytes: (u64, u64),
    /// Sources that follow files.
    pub followed: BTreeMap<TaskId, Followed>,
}

/// How far a source is behind the files that it follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    /// They, as the pipeline says it.
    pub files: String,
    /// Bytes that are there and were not read.
    pub lag_bytes: u64,
    /// For how long the first of them has been there.
    pub lag: Duration,
    /// It has read all that can be read yet.
    pub waits: bool,
}
