//! A run that is over, as JSON: what `--report FILE` writes.
//!
//! Units stand last in the names. Fields are only ever added; [`SCHEMA`] grows when one changes its meaning. Shares are from 0 to
//! 1, of the time that the run lasted. Times within the run are in seconds since it began.

use crate::chaos::ReportChaos;
use crate::explain::{Limit, Point, StageKind, WaitKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the document.
pub const SCHEMA: u32 = 1;

/// What one node did in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`] of who wrote it.
    pub schema: u32,
    pub pipeline: String,
    /// `memory` or `exactly-once`.
    pub delivery: String,
    pub node: String,
    /// All nodes' names; each writes its own report.
    pub nodes: Vec<String>,
    /// Version of the worker.
    pub version: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// How long the work took; giving up connections and files comes behind it.
    pub lasted_s: f64,
    pub outcome: Outcome,
    /// Why it failed or was stopped before all was done, for people.
    pub why: Option<String>,
    /// The exit status of the process.
    pub exit_status: u8,
    /// The signal that stopped it, if one did.
    pub signal: Option<i32>,
    /// Input read, in bytes.
    pub read_bytes: u64,
    /// Size of all input, where it was known.
    pub total_bytes: Option<u64>,
    /// Input read a second.
    pub read_bytes_per_s: f64,
    /// What limited the throughput over the whole run, if something did.
    pub limit: Option<Limit>,
    /// The most that the process took of the machine's memory.
    pub resident_peak_bytes: u64,
    /// Records that were accepted and not done when it ended.
    pub held_records: u64,
    /// Records that were lost, at most: by the deaths of other nodes' processes, and in memory what was not done at the end.
    pub lost_records: u64,
    /// Records that links of this node have dropped, because they were full and told not to wait (`when_full`).
    #[serde(default)]
    pub dropped_records: u64,
    pub dead_records: u64,
    pub dead_letters: Option<String>,
    /// The state of a run that is finished with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<LeftState>,
    /// It went on with what earlier runs have left: records and bytes are counted since the first of them, times, shares and rates are of
    /// this run.
    #[serde(default)]
    pub went_on: bool,
    /// Why they were dead-lettered: those of this run, the most frequent reason first.
    pub dead: Vec<DeadReason>,
    /// What was made to fail on purpose, where something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos: Option<ReportChaos>,
    /// Sources, stages and sinks that this node took part in, in the order of the pipeline.
    pub stages: Vec<ReportStage>,
    /// Tasks of this node.
    pub tasks: Vec<ReportTask>,
    /// Links that begin on this node.
    pub links: Vec<ReportLink>,
    /// How many stalls there were.
    pub stall_count: u64,
    /// The last 200 of them and the longest, in the order of their beginnings.
    pub stalls: Vec<ReportStall>,
    /// What the stages did over time.
    pub history: ReportHistory,
}

/// A state directory that is not needed any more, but to say that all is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftState {
    pub dir: String,
    /// What it takes of the disk.
    pub bytes: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// The user stopped it.
    Stopped,
    Failed,
}

impl Outcome {
    /// As its JSON says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// What the tasks of a stage on this node did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportStage {
    pub name: String,
    pub kind: StageKind,
    /// Where its records came from.
    pub from: Vec<String>,
    /// How many tasks it has on all nodes.
    pub partitions: u32,
    /// How many of them ran on this node.
    pub tasks: u32,
    /// Records taken (a source: read).
    pub records_in: u64,
    pub bytes_in: u64,
    /// Records given on (a sink: written).
    pub records_out: u64,
    pub bytes_out: u64,
    /// Records it was done with a second.
    pub in_per_s: f64,
    /// Records given on a second.
    pub out_per_s: f64,
    /// The share of its tasks' time in which a program or a write was under way.
    pub busy: f64,
    /// The share in which something was in their way: the sum of `waited` but for `idle` ones.
    pub blocked: f64,
    /// What its tasks waited for, the longest first.
    pub waited: Vec<Waited>,
    /// Records given to a program more than once, counted each time.
    pub retried_records: u64,
    pub dead_records: u64,
    /// Of a source, records read that did not go on, because only a sample does.
    #[serde(default)]
    pub left_out_records: u64,
    pub programs: u64,
    /// Of a source that follows files: bytes that were there at the end and were not read, packed files as they are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
}

/// What one task did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportTask {
    /// `stage/partition`.
    pub name: String,
    pub stage: String,
    /// Records taken (a source: read).
    pub records_in: u64,
    pub bytes_in: u64,
    /// Records given on (a sink: written).
    pub records_out: u64,
    pub bytes_out: u64,
    /// The share of the time in which a program or a write of it was under way.
    pub busy: f64,
    /// The share in which something was in its way.
    pub blocked: f64,
    /// What it waited for, the longest first.
    pub waited: Vec<Waited>,
    /// Records given to a program more than once, counted each time.
    pub retried_records: u64,
    pub dead_records: u64,
    /// Of a source, records read that did not go on, because only a sample does.
    #[serde(default)]
    pub left_out_records: u64,
    pub programs: u64,
    /// Of a source that follows files: bytes that were there at the end and were not read, packed files as they are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// Records accepted and not processed when the run ended.
    pub queued_records: u64,
    /// Its end was reached, and everything of it was finished.
    pub done: bool,
}

/// For how much of its time a task or stage waited for one thing. Sampled four times a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waited {
    pub cause: WaitKind,
    pub text: String,
    /// There was nothing to do; else something was in the way.
    pub idle: bool,
    /// How long, in all its tasks together.
    pub seconds: f64,
    /// The share of its tasks' time.
    pub share: f64,
}

/// What went over a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportLink {
    pub from: String,
    pub to: String,
    pub to_node: String,
    /// Records it was given.
    pub records: u64,
    /// Records that the receiver has acknowledged.
    pub acknowledged_records: u64,
    /// Records not acknowledged when the run ended.
    pub held_records: u64,
    /// Records sent more than once, counted each time.
    pub retried_records: u64,
    /// Records that were dropped because it was full.
    #[serde(default)]
    pub dropped_records: u64,
}

/// Something that was in the way for longer than `--stall-after`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportStall {
    /// What names the root.
    pub root: String,
    /// The chain of causes down to the root, in words.
    pub text: String,
    /// What could be done about it.
    pub advice: Option<String>,
    /// The task that the chain begins at.
    pub task: String,
    /// The stages that the chain leads through.
    pub stages: Vec<String>,
    /// The most tasks that waited for that root.
    pub tasks: u64,
    pub began_s: f64,
    /// How long it lasted.
    pub lasted_s: f64,
    /// It was not over when the run ended.
    pub goes_on: bool,
}

/// Dead letters with one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadReason {
    /// The stage that dead-lettered them.
    pub stage: String,
    /// What they have in common: the reason up to what the program said.
    pub reason: String,
    /// How many there are.
    pub records: u64,
    /// The first one's reason in full.
    pub example: String,
}

/// The run in at most 300 steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportHistory {
    /// Seconds a step covers; the last one may be shorter.
    pub step_s: u32,
    /// Points by stage. A run of less than a moment has none.
    pub stages: BTreeMap<String, Vec<Point>>,
}
