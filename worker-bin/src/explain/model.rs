//! One node at one moment, as JSON: the answer of `/api/v1/status`.
//!
//! Units stand last in the names. Fields are only ever added; `schema` grows when one changes its meaning.

use super::outline::Followed;
use super::reasons::{WaitKind, Why};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use worker_core::config::TaskName;
use worker_core::status::{InboundCounters, LinkCounters, TaskCounters};

/// Version of the documents below.
pub(super) const SCHEMA: u32 = 1;

/// One node of a pipeline, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of this document, of who wrote it.
    pub schema: u32,
    /// Version of the worker.
    pub version: String,
    pub pipeline: String,
    /// `memory` or `exactly-once`.
    pub delivery: String,
    pub node: String,
    pub nodes: Vec<String>,
    pub pid: u32,
    /// When it was taken, in milliseconds since 1970.
    pub at_ms: u64,
    /// When the run began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long the run has been going on.
    pub uptime_s: f64,
    /// How far the run is.
    pub state: RunState,
    /// Why it failed, or what the user asked for.
    pub end: Option<End>,
    /// For how long something must not move to count as stalled.
    pub stall_after_s: f64,
    /// What ends all programs with the worker: `pid-namespace`, `user-namespace` or `guardian`.
    #[serde(default)]
    pub containment: String,
    /// Input read, in bytes; of a known whole, if that is known.
    pub read_bytes: u64,
    /// What of it earlier lives have read.
    #[serde(skip)]
    pub read_bytes_before: u64,
    /// Input that has passed every stage, in bytes, as far as that is seen from this node.
    pub through_bytes: u64,
    /// The same a second, over the last seconds.
    #[serde(default)]
    pub through_bytes_per_s: f64,
    /// Size of all input, where it is known.
    pub total_bytes: Option<u64>,
    /// How much longer it takes for all input to pass every stage, by the last half minute; nothing where nothing passes.
    #[serde(default)]
    pub left_s: Option<f64>,
    /// Sources, stages and sinks in the order of the pipeline, those of other nodes included.
    pub stages: Vec<Stage>,
    /// Tasks of this node.
    pub tasks: Vec<Task>,
    /// Links that begin on this node.
    pub links: Vec<Link>,
    /// Links that end on this node.
    pub inbound: Vec<InLink>,
    /// Nodes that this node sends to.
    pub peers: Vec<Peer>,
    /// Nodes that send to this node, and whether they are connected.
    pub upstreams: BTreeMap<String, bool>,
    /// What it takes of memory and disk.
    pub memory: Memory,
    /// Records accepted and not done, each once: those that wait for a task of this node, and those that wait to leave it.
    #[serde(default)]
    pub held_records: u64,
    /// Records that the deaths of other nodes' processes may have lost, at most.
    pub lost_records: u64,
    /// The right to run batch programs.
    pub slots: Slots,
    /// Where its admin address is, if it has one.
    pub admin: Option<String>,
    /// This process was itself stopped, by a signal, a debugger or a freezer, the last time so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_stop: Option<OwnStop>,
    /// The user asked for a drain: no new input, and an end when all that was taken is delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
}

/// How far a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drain {
    /// Something that was taken is not delivered yet.
    UnderWay,
    /// Nothing is under way on this node; with state the other nodes may still send it something.
    Done,
}

/// When a process did not run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnStop {
    /// For how long.
    pub lasted_s: f64,
    /// How long ago it went on.
    pub ago_s: f64,
}

impl Snapshot {
    /// Whether nothing moves and nothing is in the way of anything: what waits lacks input. A rate that is shown falls to nothing first.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let waits_for_input = |task: &Task| task.waits.iter().all(|wait| wait.why.kind().is_lack_of_input());
        self.tasks.iter().all(|task| waits_for_input(task) && task.in_per_s == 0.0 && task.out_per_s == 0.0)
    }

    /// Records that its tasks have taken and given, in all.
    #[must_use]
    pub fn moved_records(&self) -> u64 {
        self.tasks.iter().map(|task| task.counters.records_in + task.counters.records_out).sum()
    }

    /// Records that links of this node have dropped, because they were full and told not to wait.
    #[must_use]
    pub fn dropped_records(&self) -> u64 {
        self.links.iter().map(|link| link.counters.dropped_records).sum()
    }

    /// The same by the stage or sink they were on their way to, where there are any.
    #[must_use]
    pub fn dropped_by_receiver(&self) -> BTreeMap<String, u64> {
        let mut dropped = BTreeMap::new();
        for link in self.links.iter().filter(|link| link.counters.dropped_records > 0) {
            let to = TaskName::of(&link.to).stage.to_owned();
            *dropped.entry(to).or_default() += link.counters.dropped_records;
        }
        dropped
    }

    /// Records accepted and not done, each once.
    ///
    /// A sender on this node holds what its receiver has not taken, with state what that has not committed, and the receiver says of
    /// the same records that they wait for it; what comes from other nodes only the receiver tells of.
    pub(super) fn on_their_way(&self) -> u64 {
        let at = |task: &Task| {
            let held: u64 =
                self.links.iter().filter(|l| l.to == task.name).map(|l| l.counters.held_records).sum();
            let foreign = self.inbound.iter().filter(|l| l.to == task.name && l.from_node != self.node);
            let from_others: u64 = foreign.map(|link| link.counters.queued_records).sum();
            task.undone_records.max(held + from_others)
        };
        let to_others = self.links.iter().filter(|link| link.to_node != self.node);
        self.tasks.iter().map(at).sum::<u64>() + to_others.map(|link| link.counters.held_records).sum::<u64>()
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It works, or waits for work.
    Running,
    /// The user asked for an orderly stop, or for a drain.
    Draining,
    Done,
    /// The user stopped it.
    Stopped,
    Failed,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why, for people; nothing where all is done.
    pub why: Option<String>,
}

/// What a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    Source,
    /// A fresh program per batch.
    Batch,
    /// One program for all input, or a window of it.
    Stream,
    /// One program that answers each record.
    Records,
    /// Writes to the outside.
    Sink,
}

impl StageKind {
    /// Whether all work of its programs is seen. One that takes its input as it comes is known to be at work only while it is behind.
    #[must_use]
    pub fn is_seen_at_work(self) -> bool {
        match self {
            Self::Source | Self::Batch | Self::Records | Self::Sink => true,
            Self::Stream => false,
        }
    }
}

/// A source, stage or sink of the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub name: String,
    pub kind: StageKind,
    /// Where its records come from.
    pub from: Vec<String>,
    /// How many tasks it has, on all nodes.
    pub partitions: u32,
    /// The nodes its tasks run on.
    pub nodes: Vec<String>,
    /// What it may take, or a source give: `5 000/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
}

/// A task of this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// `stage/partition`.
    pub name: String,
    pub stage: String,
    #[serde(flatten)]
    pub counters: TaskCounters,
    /// What of that earlier lives had taken and given: with state counters go on.
    #[serde(default)]
    pub records_in_before: u64,
    #[serde(default)]
    pub records_out_before: u64,
    /// Records that wait for it: accepted and not processed, and what tasks of this node hold for it and it has no room for yet.
    pub queued_records: u64,
    /// What of those it has not been sent yet.
    #[serde(default)]
    pub unsent_records: u64,
    /// Records that wait for it, and what its program may fail with yet.
    #[serde(default)]
    pub undone_records: u64,
    /// Records it is done with: of a sink written, of a stream's program read, else processed.
    #[serde(default)]
    pub done_records: u64,
    /// Records it was done with a second, over the last seconds: what it only took into its queue is no work.
    pub in_per_s: f64,
    /// Records given on a second, over the last seconds.
    pub out_per_s: f64,
    /// The share of the last seconds in which a program or a write of it was under way, from 0 to 1.
    pub busy: f64,
    /// Seconds in which a program or a write was under way, since the start.
    pub busy_s: f64,
    /// Seconds that it waited, by the nearest cause, since the start. Sampled.
    pub blocked_s: BTreeMap<WaitKind, f64>,
    /// The shares of the last seconds that it waited, by the nearest cause, from 0 to 1.
    #[serde(default)]
    pub blocked: BTreeMap<WaitKind, f64>,
    /// The share of the last seconds in which records waited to be taken, or it for a slot, from 0 to 1.
    #[serde(default)]
    pub backlog: f64,
    /// Seconds in which that was so, since the start. Sampled.
    #[serde(default)]
    pub backlog_s: f64,
    /// The share of the last seconds in which a receiver had taken nothing of what is held for it for a second, from 0 to 1.
    #[serde(default)]
    pub undelivered: f64,
    /// Seconds in which that was so, since the start. Sampled.
    #[serde(default)]
    pub undelivered_s: f64,
    /// How long nothing was done with what it took, and nothing given.
    pub unmoved_s: f64,
    /// It is held up: something is in the way of all it does, and not only of what it gives to some of its receivers.
    #[serde(default)]
    pub stalled: bool,
    /// The user holds it up.
    pub paused: bool,
    /// It begins nothing any more: what it has given may still wait for others.
    #[serde(default)]
    pub ended: bool,
    /// Its end is reached, and everything of it is finished.
    pub done: bool,
    /// What it waits for now; the first is the nearest.
    pub waits: Vec<Wait>,
    /// Of a source that follows files: bytes that are there and were not read, packed files as they are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// Of the same: for how long the first of them has been there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<f64>,
}

impl Task {
    pub(super) fn lags(&mut self, followed: Option<&Followed>) {
        self.lag_bytes = followed.map(|followed| followed.lag_bytes);
        self.lag_s = followed.map(|followed| followed.lag.as_secs_f64());
    }
}

/// The sending end of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub from: String,
    pub to: String,
    pub to_node: String,
    #[serde(flatten)]
    pub counters: LinkCounters,
    /// What may be held in memory.
    pub memory_limit_bytes: u64,
    /// What may be on disk.
    pub spill_limit_bytes: u64,
    /// Tuples acknowledged a second, over the last seconds.
    pub per_s: f64,
    /// How long nothing was acknowledged while tuples were held.
    pub unmoved_s: f64,
}

/// The receiving end of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InLink {
    pub from: String,
    pub from_node: String,
    pub to: String,
    #[serde(flatten)]
    pub counters: InboundCounters,
    /// The end has come.
    pub ended: bool,
}

/// A node that this one sends to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    pub node: String,
    /// It is connected and takes tuples.
    pub up: bool,
    /// Dials that failed since the last success.
    pub failed_attempts: u32,
    /// Why it is not connected: `not_yet`, `unreachable`, `refused`, `silent` or `lost`.
    pub cause: Option<String>,
    /// The same in words, to be read behind its name.
    #[serde(default)]
    pub cause_text: Option<String>,
    /// The last error, for people.
    pub last_error: Option<String>,
    /// How long it has not been connected.
    pub down_s: Option<f64>,
    /// The last round trip of a heartbeat.
    pub round_trip_ms: Option<f64>,
}

/// Memory and disk of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Records held in memory.
    pub held_bytes: u64,
    /// Records held on disk.
    pub spilled_bytes: u64,
    /// What the process takes of the machine's memory.
    pub resident_bytes: u64,
    /// The most it ever took.
    pub resident_peak_bytes: u64,
}

/// Slots in use, and in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    pub used: u64,
    pub total: u64,
}

/// One reason of a task to wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// How long it has been so without anything moving.
    pub for_s: f64,
    /// Nothing of what waits has moved for so long that it counts as a stall; a wait for one receiver stops only what goes there.
    pub stalled: bool,
    pub text: String,
    /// The task that is waited for, if one is.
    pub on: Option<String>,
    /// The node that runs it.
    pub on_node: Option<String>,
    #[serde(flatten)]
    pub why: Why,
}
