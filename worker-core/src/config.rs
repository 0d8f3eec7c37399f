//! What a node is told at its start: the graph of tasks and links, and every limit with its unit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use worker_proto::{Fingerprint, Incarnation, LinkId};

/// A task's number: its place in [`Graph::tasks`], the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// A node's number: its place in [`NodeConfig::nodes`], the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIx(pub u16);

/// Everything a [`Node`](crate::Node) is told at its start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The pipeline's name; nodes of different pipelines refuse each other.
    pub cluster: String,
    /// Names of all nodes, in the order that [`NodeIx`] counts.
    pub nodes: Vec<String>,
    /// Which of them this is.
    pub me: NodeIx,
    /// This process's life.
    pub incarnation: Incarnation,
    /// Of the pipeline's meaning.
    pub pipeline: Fingerprint,
    /// Of the task → node map.
    pub placement: Fingerprint,
    /// Tasks and links of the whole pipeline, all nodes.
    pub graph: Graph,
    /// How many batch children may run at once here; at least 1.
    pub slots: usize,
    /// Budgets of links.
    pub limits: Limits,
    /// Waiting times between dials of one peer.
    pub redial: Retry,
    /// How long a finished node waits for the last goodbyes of its peers.
    pub linger: Duration,
    /// Seed of all jitter.
    pub seed: u64,
}

/// Tasks and links of a pipeline. Positions in the lists are the ids; links lead from earlier stages to later ones.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All tasks.
    pub tasks: Vec<TaskSpec>,
    /// All links.
    pub links: Vec<LinkSpec>,
    /// What sources, stages and sinks may take in so much time, by their names; a stage without an entry has no such limit.
    pub rates: BTreeMap<String, Rate>,
    /// What a link does that is full; one without an entry waits. Of no meaning with a journal.
    pub when_full: BTreeMap<LinkId, WhenFull>,
    /// Links whose first tuple is a header: all those of a stage that gives one. Into a task all links are, or none.
    pub headed: BTreeSet<LinkId>,
    /// Links of hops without a key: what goes on one of them may as well go on another from its task to that stage. Not those that are
    /// kept in order.
    pub keyless: BTreeSet<LinkId>,
}

/// So many records or bytes in so much time: what all tasks of a stage together may take, or those of a source give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many in each [`Self::per`]; at least 1.
    pub amount: u64,
    /// In which time; at least a microsecond.
    pub per: Duration,
    /// What is counted.
    pub of: Measure,
    /// How many at once, at least 1; then what is due.
    pub burst: u64,
}

/// What a [`Rate`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Records.
    Records,
    /// Their bytes, terminators included.
    Bytes,
}

/// What a link does when all that its sender may hold in memory for it is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// What does not fit is stored outside, and in the end its sender waits.
    #[default]
    Wait,
    /// What comes is dropped.
    DropNewest,
    /// What has waited longest and was never sent is dropped.
    DropOldest,
}

/// One task.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// `stage/partition`.
    pub name: String,
    /// Where it runs.
    pub node: NodeIx,
    /// How it runs.
    pub kind: TaskKind,
}

/// One link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSpec {
    /// The sending task.
    pub from: TaskId,
    /// The receiving task.
    pub to: TaskId,
    /// How what it carries is kept in the order of the source.
    pub order: LinkOrder,
}

/// How the order of the source is kept over tasks that work side by side: records come in chunks, each closed by a
/// [boundary](worker_proto::Batch::boundary), and who reads takes one chunk after the other, from whoever has it. Either all links into a task say
/// how, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkOrder {
    /// Not at all: who reads takes what comes first.
    #[default]
    Any,
    /// Chunk `c` goes to partition `c` modulo how many there are.
    Dealt,
    /// Of every chunk each partition gets the records of its keys, and a boundary.
    Shared,
}

/// How a task runs.
#[derive(Clone, Debug)]
pub enum TaskKind {
    /// Reads from outside.
    Source,
    /// A fresh process per batch of records.
    Batch(BatchSpec),
    /// One process for the life of the task or of a window.
    Stream(StreamSpec),
    /// One process that answers each record.
    Records(RecordsSpec),
    /// Writes to the outside.
    Sink,
}

/// Settings of a batch stage.
#[derive(Clone, Debug)]
pub struct BatchSpec {
    /// Largest batch, in bytes of payload; one larger record still makes a batch of its own.
    pub max_bytes: u64,
    /// Largest batch, in records.
    pub max_records: u64,
    /// How long records wait for more to come before a batch below its target size starts.
    pub linger: Duration,
    /// Attempts of a whole batch, and the waits between them.
    pub retry: Retry,
    /// What happens to a record that fails alone.
    pub on_error: OnError,
    /// How many dead letters are too many.
    pub max_dead: MaxDead,
}

/// What may be on its way to a stream's program and not read by it, in bytes of cost.
pub const STREAM_FED_BYTES: u64 = 1024 * 1024 + STREAM_PIECE_BYTES;

/// Largest piece that is fed to a stream's program at once, in bytes of cost.
pub(crate) const STREAM_PIECE_BYTES: u64 = 256 * 1024;

/// Settings of a stream stage.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// When to close standard input, commit and start afresh; `None`: at the end of input only.
    pub window: Option<Window>,
    /// A program that exits with success before it has read everything is done, and so is its task.
    pub early_exit_is_done: bool,
    /// The most input of one window that is kept to run it again, in bytes of cost; kept with a journal, or for `restart`.
    pub replay_bytes: u64,
    /// Waits before a program that failed is started again with all its input, as often as it takes; for tasks without output.
    /// `None`: with a journal it gets a second try, at once.
    pub restart: Option<Retry>,
}

/// Settings of a records stage.
#[derive(Clone, Debug)]
pub struct RecordsSpec {
    /// How many requests may be unanswered; at least 1.
    pub in_flight: u64,
    /// How many bytes of cost they may have; one larger record excepted.
    pub in_flight_bytes: u64,
    /// How often the program is told that time has passed.
    pub tick: Option<Duration>,
    /// Runs that may end with one record alone in flight, and the waits between runs.
    pub retry: Retry,
    /// What happens to a record whose program dies of it.
    pub on_error: OnError,
    /// How many dead letters are too many.
    pub max_dead: MaxDead,
}

/// When a stream's window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// This long after the window's first record.
    Every(Duration),
    /// After this many records; at least 1.
    Records(u64),
}

/// Attempts and the waits between them: exponential with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included; at least 1. Not used for dialling, which goes on for ever.
    pub max_attempts: u32,
    /// Upper bound of the first wait.
    pub initial: Duration,
    /// Upper bound of every wait.
    pub max: Duration,
}

/// What happens to a record that fails alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It is dead-lettered and the stage goes on.
    DeadLetter,
    /// The pipeline stops.
    Halt,
}

/// How many dead letters of a task halt the pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxDead {
    /// More than this many.
    Records(u64),
    /// More than this share of the task's input (0.01 is 1 %), and more than 100.
    Share(f64),
    /// No number, even if the first records all fail alike: the input is what was dead-lettered before.
    Unlimited,
}

/// Budgets, in bytes of [`Batch::cost`](worker_proto::Batch::cost); per link but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What a receiver holds of a link before its task takes it.
    pub credit_bytes: u64,
    /// What a sender holds of a link in memory, unacknowledged; more is stored outside (spilled).
    pub outbox_bytes: u64,
    /// What a sender holds of a link outside memory before its task stops taking input.
    pub spill_bytes: u64,
    /// What the links of a node to and from others may have in all beyond `credit_bytes` and `outbox_bytes` each, where the distance
    /// is long.
    pub shared_credit_bytes: u64,
}

impl Graph {
    /// The task with this id.
    ///
    /// # Panics
    /// If the id is not of this graph.
    #[must_use]
    pub fn task(&self, id: TaskId) -> &TaskSpec {
        &self.tasks[id.0 as usize]
    }

    /// The link with this id.
    ///
    /// # Panics
    /// If the id is not of this graph.
    #[must_use]
    pub fn link(&self, id: LinkId) -> &LinkSpec {
        &self.links[id.0 as usize]
    }

    /// `from → to`, for messages.
    #[must_use]
    pub fn link_name(&self, id: LinkId) -> String {
        let link = self.link(id);
        format!("{} → {}", self.task(link.from).name, self.task(link.to).name)
    }
}

impl LinkOrder {
    /// What keeps the order of the source between so many tasks that send and so many that receive: between one and one, and from one
    /// by keys, it is that of the link.
    #[must_use]
    pub fn between(senders: usize, receivers: usize, is_keyed: bool) -> Self {
        match (senders, receivers) {
            (1, 1) => Self::Any,
            (1, _) if is_keyed => Self::Any,
            _ if is_keyed => Self::Shared,
            _ => Self::Dealt,
        }
    }
}

impl LinkSpec {
    /// A link on which nothing is kept in order but its own tuples.
    #[must_use]
    pub const fn new(from: TaskId, to: TaskId) -> Self {
        Self { from, to, order: LinkOrder::Any }
    }
}

/// A task's name in its two parts: `stage/partition`, such as `by_type/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName<'a> {
    /// Its source, stage or sink.
    pub stage: &'a str,
    /// Which partition of it, in digits; empty for the name of a whole stage.
    pub partition: &'a str,
}

impl<'a> TaskName<'a> {
    /// The parts of a name. A stage's own name has no `/`.
    #[must_use]
    pub fn of(name: &'a str) -> Self {
        let (stage, partition) = name.rsplit_once('/').unwrap_or((name, ""));
        Self { stage, partition }
    }

    /// Whether a task of this stage is meant, and not the stage.
    #[must_use]
    pub fn is_task_of(&self, stage: &str) -> bool {
        self.stage == stage && !self.partition.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_s_name_has_two_parts() {
        assert_eq!(TaskName::of("by_type/3"), TaskName { stage: "by_type", partition: "3" });
        assert_eq!(TaskName::of("a/b/0").stage, "a/b");
        assert!(TaskName::of("log/0").is_task_of("log") && !TaskName::of("log").is_task_of("log"));
    }
}
