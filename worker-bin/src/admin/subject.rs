//! What the admin address tells of, behind a trait: a running engine, or a stand-in of a test.

use crate::explain::{Explanation, History, Row, Side, Snapshot, Stage, WaitClass, WaitKind};
use crate::metrics::Form;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, watch};

/// A running worker, as its admin address needs it. Nothing here blocks for long.
pub trait Subject: Send + Sync + 'static {
    fn snapshot(&self) -> Snapshot;

    /// Whether the run is over.
    fn has_ended(&self) -> bool;

    /// Why its work waits now.
    fn explanation(&self) -> Explanation;

    /// What it did over time.
    fn history(&self) -> History;

    /// The graph, all nodes included.
    fn graph(&self) -> Graph;

    /// Metrics as text.
    fn metrics(&self, form: Form) -> String;

    /// The last dead letters of this life, the newest last, at most `max`.
    fn dead_letters(&self, max: usize) -> Vec<DeadLetterView>;

    /// Changes whenever the node was looked at.
    fn news(&self) -> watch::Receiver<u64>;

    /// Does what a user orders.
    ///
    /// # Errors
    /// Why it cannot be done, for people.
    fn order(&self, order: AdminCommand) -> Result<Changed, String>;

    /// Begins to show passing records; dropping the receiver ends it.
    ///
    /// # Errors
    /// There is no such stage here.
    fn tap(&self, ask: TapAsk) -> Result<mpsc::Receiver<Tapped>, String>;
}

/// What a user may order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    /// Hold the tasks of a stage on this node up.
    Pause(String),
    /// Let them go on.
    Resume(String),
    /// Stop in good order.
    Stop,
    /// Take no new input, deliver all that was taken, and end.
    Drain,
    /// The other nodes are drained, too: end.
    EndDrain,
    /// Stop at once.
    StopNow,
    /// Log by another filter; behind a `+`, by the one there is with this in it.
    Log(String),
}

/// What an order did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    pub did: String,
    pub tasks: Vec<String>,
}

/// The pipeline as a graph: the answer of `/api/v1/pipeline`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub pipeline: String,
    /// The node that answers.
    pub node: String,
    pub nodes: Vec<String>,
    /// Sources, stages and sinks, in the order of the pipeline.
    pub stages: Vec<Stage>,
    pub tasks: Vec<GraphTask>,
    /// All links, as the names of sending and receiving task.
    pub links: Vec<(String, String)>,
    /// How each reason to wait is shown.
    #[serde(default)]
    pub reasons: BTreeMap<WaitKind, WaitWords>,
    /// Where other nodes' pages are, as far as that is known: `HOST:PORT` by node.
    #[serde(default)]
    pub pages: BTreeMap<String, String>,
}

/// How a reason to wait is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitWords {
    pub class: WaitClass,
    /// It is no wait: a program or a write is under way.
    pub at_work: bool,
    /// As the name of a state.
    pub title: String,
}

impl WaitWords {
    /// Those of all reasons.
    #[must_use]
    pub fn all() -> BTreeMap<WaitKind, WaitWords> {
        let words = |row: Row| WaitWords {
            class: row.class,
            at_work: row.side == Side::Work,
            title: row.title.to_owned(),
        };
        WaitKind::ALL.iter().map(|kind| (*kind, words(kind.row()))).collect()
    }
}

/// A task of the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphTask {
    /// `stage/partition`.
    pub name: String,
    pub stage: String,
    pub node: String,
}

/// One event of the stream, once a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    pub status: Snapshot,
    /// Why its work waits.
    pub why: Explanation,
}

/// A dead letter without its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The task that dead-lettered it.
    pub task: String,
    /// Why, in one line.
    pub reason: String,
    pub attempts: u32,
    /// Length of the record, in bytes.
    pub record_bytes: u64,
}

/// Which side of a stage is tapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapSide {
    /// What its tasks take.
    In,
    /// What its tasks give.
    Out,
}

/// Which records are to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapAsk {
    pub stage: String,
    pub side: TapSide,
    /// Only those with this key.
    pub key: Option<String>,
}

/// A record that passed, or what was left out because the reader was too slow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tapped {
    Record {
        task: String,
        /// Its text, without its terminator; `None` if it is not UTF-8.
        #[serde(skip_serializing_if = "Option::is_none")]
        record: Option<String>,
        /// Its bytes in base64, if it is not UTF-8.
        #[serde(skip_serializing_if = "Option::is_none")]
        record_b64: Option<String>,
    },
    /// So many records were left out: a tap never slows what it looks at.
    Skipped { records: u64 },
}
