//! A run before it begins: the pipeline, the network and the faults, all from one seed.

mod random;

use super::fault::Scheduled;
use super::program::{BatchProgram, RecordsProgram, StreamProgram};
pub(super) use random::{
    push_ends, push_stage, random_batch, random_from, random_outside, random_stream, stream_that_is_a_sink,
};
use std::collections::BTreeSet;
use std::time::Duration;
use worker_core::config::{
    BatchSpec, Graph, Limits, LinkOrder, LinkSpec, MaxDead, NodeIx, OnError, RecordsSpec, Retry, StreamSpec,
    TaskId, TaskKind, TaskSpec,
};
use worker_core::fault::Bug;
use worker_core::route::{Edge, PartitionBy};
use worker_proto::LinkId;

/// Of what may be stored outside memory: more than any simulated pipeline has.
pub(super) const SPILL_OF_ALL: u64 = 1_000_000_000;

/// Everything that decides a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seed of everything random while it runs.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// Stages, upstream first.
    pub stages: Vec<Stage>,
    /// Budgets of links.
    pub limits: Limits,
    /// Stages whose batches each print a header, which is passed on once, by place in the list.
    pub headed: BTreeSet<usize>,
    /// Slots of a node.
    pub slots: usize,
    /// Waits between dials.
    pub redial: Retry,
    /// See `NodeConfig::linger`.
    pub linger: Duration,
    /// The network.
    pub net: Net,
    /// How long a commit takes to be durable, in µs; 0: at once, as in memory mode.
    pub persist_us: u64,
    /// How long storing and loading takes, in µs.
    pub store_us: u64,
    /// What goes wrong, by time.
    pub faults: Vec<Scheduled>,
    /// From here on only the faults that stay are left, in µs.
    pub heal_us: u64,
    /// All nodes are told to drain then, in µs.
    pub drain_at: Option<u64>,
    /// What a crash may cost.
    pub delivery: Delivery,
    /// Of every node; with [`Delivery::ExactlyOnce`].
    pub disk: DiskPlan,
    /// So many answers to `Open` say less than was received, as they may: what they leave out is sent again.
    pub understated_percent: u64,
    /// So many connections break while the first frame is under way, which may then arrive after those of the next one.
    pub stillborn_percent: u64,
    /// A bug to plant in every node.
    pub bug: Option<Bug>,
    /// A halt of the pipeline is what must happen.
    pub halts: bool,
}

/// What a crash may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// What was accepted and not finished.
    Memory,
    /// Nothing.
    ExactlyOnce,
}

/// The disks of all nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskPlan {
    /// How long a sync takes, least and most, in µs.
    pub sync_us: (u64, u64),
    /// How long a journal's writer may be behind with what it was told, in µs; 0: it never is.
    pub behind_us: u64,
    /// The worker's own journal runs beside the model of one.
    pub real: bool,
    /// How many journals the tasks of a node share; 0: each has its own.
    pub columns: u64,
    /// What its driver does wrong, to show that it would be seen.
    pub bug: Option<DiskBug>,
}

/// A rule that a journal or a driver breaks, as a planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskBug {
    /// A life takes what it finds for durable and does not make it so.
    RecoveryTrustsCache,
    /// A sink says that it has written before its file is on stable storage.
    SinkCommitsFirst,
    /// The end of an input, and the task's own, is not kept.
    EndedNotPersisted,
    /// A checkpoint forgets one output too many.
    CheckpointDropsOutput,
    /// The changes of keyed state that a commit has are applied twice.
    KeyedTwice,
    /// The changes of commits that are appended together are applied newest first.
    KeyedOutOfOrder,
    /// A new program is given what the one before it had answered, committed or not.
    KeyedBeforePrefix,
    /// An answer more is counted than the program has given.
    AnswersAhead,
    /// A stream's input is admitted behind what its program made of it.
    AdmittedLate,
    /// A stream's program that is run again is not given the last record of what was admitted.
    ReplayMissesLast,
    /// A stream's program that is run again is given the last record of what was admitted twice.
    ReplayRepeatsLast,
    /// Dead letters are not on stable storage before the commit that has them is.
    LettersUnsynced,
    /// A new life does not cut the dead letters of commits that are not there.
    LettersNotCut,
    /// What is read back from outside memory is the right number of other records.
    LoadsAnother,
    /// A new life sends the records of a key to another partition.
    RoutesAnew,
}

/// The network between all nodes.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    /// One way, least and most, in µs.
    pub latency_us: (u64, u64),
    /// Of one direction of a connection, in bytes per ms.
    pub bytes_per_ms: u64,
    /// Frames under way in one direction of a connection: the socket buffers.
    pub window_frames: usize,
    /// Frames go through the codec.
    pub codec: bool,
}

/// A source, stage or sink.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its letter, also its name.
    pub letter: char,
    /// Which stages it reads, by place in the list.
    pub from: Vec<usize>,
    /// Where each partition runs.
    pub nodes: Vec<u16>,
    /// The key that decides the partition.
    pub by: Option<PartitionBy>,
    /// It is given its records in the order of the source.
    pub in_order: bool,
    /// What runs.
    pub kind: StageKind,
}

/// What runs in a stage.
#[derive(Clone, Debug)]
pub enum StageKind {
    /// A source task has `records` records and reads up to `chunk` of them every `every_us`.
    Source {
        /// How many records each task has.
        records: u64,
        /// Records a chunk, at most.
        chunk: u64,
        /// Time between chunks, in µs.
        every_us: u64,
        /// Longest padding, in bytes.
        padding: u64,
        /// Some of its records have no key.
        keyless: bool,
        /// What it reads.
        outside: Outside,
    },
    /// A batch program.
    Batch {
        /// Which.
        program: BatchProgram,
        /// Its settings.
        spec: BatchSpec,
        /// Time a run takes, and time a record takes, in µs.
        cost_us: (u64, u64),
    },
    /// A stream program.
    Stream {
        /// Which.
        program: StreamProgram,
        /// Its settings.
        spec: StreamSpec,
        /// Time a record takes, in µs.
        record_us: u64,
        /// With a journal: in so many percent of its feeds it dies, once a window.
        dies_percent: u64,
    },
    /// A records program.
    Records {
        /// Which.
        program: RecordsProgram,
        /// Its settings.
        spec: RecordsSpec,
        /// Where the stage has keys, requests carry their values.
        inline: bool,
        /// Time a record takes, in µs.
        record_us: u64,
    },
    /// A sink that takes this long for a record, in µs. Programs that are sinks are stages that nobody reads.
    Sink {
        /// Time a record takes, in µs.
        record_us: u64,
        /// In so many percent of its writes its reader has gone.
        leaves_percent: u64,
    },
}

/// What a source reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A file: what is not committed is read again.
    File,
    /// A program: what it has printed it does not print again, and when it is asked to end it has so many records to say.
    Program {
        /// How many.
        last_words: u64,
    },
}

impl Plan {
    /// What may be in memory bounds the dead letters of one output, too: without room for some every record has a key.
    pub(super) fn keep_letters_small(&mut self) {
        let fit = self.limits.outbox_bytes >= 1_000_000;
        for stage in &mut self.stages {
            if let StageKind::Source { keyless, .. } = &mut stage.kind {
                *keyless &= fit;
            }
        }
    }

    /// The graph as every node is told it.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for stage in &self.stages {
            for (partition, &node) in stage.nodes.iter().enumerate() {
                let name = format!("{}/{partition}", stage.letter);
                graph.tasks.push(TaskSpec { name, node: NodeIx(node), kind: stage.kind.task_kind() });
            }
        }
        for (index, stage) in self.stages.iter().enumerate() {
            for &from in &stage.from {
                let (senders, receivers) = (self.stages[from].nodes.len(), stage.nodes.len());
                let order = match stage.in_order {
                    true => LinkOrder::between(senders, receivers, stage.by.is_some()),
                    false => LinkOrder::Any,
                };
                for sender in self.tasks_of(from) {
                    let links =
                        self.tasks_of(index).map(|to| LinkSpec { order, ..LinkSpec::new(sender, to) });
                    let first = graph.links.len();
                    graph.links.extend(links);
                    let new = (first..graph.links.len()).map(link_id);
                    if stage.by.is_none() && order == LinkOrder::Any {
                        graph.keyless.extend(new.clone());
                    }
                    if self.headed.contains(&from) {
                        graph.headed.extend(new);
                    }
                }
            }
        }
        graph
    }

    /// The tasks of a stage.
    pub fn tasks_of(&self, stage: usize) -> impl Iterator<Item = TaskId> + use<> {
        let first: usize = self.stages[..stage].iter().map(|s| s.nodes.len()).sum();
        (first..first + self.stages[stage].nodes.len()).map(task_id)
    }

    /// The stage of a task.
    #[must_use]
    pub fn stage_of(&self, task: TaskId) -> usize {
        let mut left = task.0 as usize;
        let own = |stage: &Stage| {
            let own = left < stage.nodes.len();
            left = left.saturating_sub(stage.nodes.len());
            own
        };
        self.stages.iter().position(own).expect("every task belongs to a stage")
    }

    /// How a task's output is routed.
    #[must_use]
    pub fn edges_of(&self, graph: &Graph, task: TaskId) -> Vec<Edge> {
        let own = self.stage_of(task);
        let reading = self.stages.iter().enumerate().filter(|(_, stage)| stage.from.contains(&own));
        reading
            .map(|(index, stage)| {
                let to: Vec<TaskId> = self.tasks_of(index).collect();
                let is_mine = |link: &LinkSpec| link.from == task && to.contains(&link.to);
                let mine = graph.links.iter().enumerate().filter(|(_, link)| is_mine(link));
                // What is dealt in order the core deals.
                let dealt = |(_, link): &(usize, &LinkSpec)| link.order == LinkOrder::Dealt;
                let mine =
                    mine.enumerate().filter(|(at, link)| *at == 0 || !dealt(link)).map(|(_, link)| link);
                Edge { links: mine.map(|(id, _)| link_id(id)).collect(), by: stage.by.clone() }
            })
            .collect()
    }

    /// Whether no node with a source receives anything from another node: a drain of those nodes then stops the input and
    /// nothing else.
    pub(super) fn sources_only_send(&self) -> bool {
        let is_source = |node: u16| self.stages.iter().any(|s| s.from.is_empty() && s.nodes.contains(&node));
        self.stages.iter().all(|stage| {
            let senders: Vec<u16> =
                stage.from.iter().flat_map(|&from| self.stages[from].nodes.clone()).collect();
            stage.nodes.iter().all(|&node| !is_source(node) || senders.iter().all(|&sender| sender == node))
        })
    }

    /// Whether a node has a task that cannot die without failing the pipeline.
    #[must_use]
    pub fn is_mortal(&self, node: u16) -> bool {
        self.stages.iter().filter(|stage| stage.nodes.contains(&node)).all(|stage| match stage.kind {
            StageKind::Source { .. } | StageKind::Stream { .. } | StageKind::Records { .. } => false,
            StageKind::Batch { .. } | StageKind::Sink { .. } => true,
        })
    }

    /// Whether some limit may stop the pipeline.
    #[must_use]
    pub fn may_fail(&self) -> bool {
        let has_limits = |on_error: OnError, max_dead: MaxDead| {
            on_error == OnError::Halt || !matches!(max_dead, MaxDead::Records(u64::MAX))
        };
        self.stages.iter().any(|stage| match &stage.kind {
            StageKind::Batch { spec, .. } => has_limits(spec.on_error, spec.max_dead),
            StageKind::Records { spec, .. } => has_limits(spec.on_error, spec.max_dead),
            StageKind::Stream { spec, .. } => spec.replay_bytes < u64::MAX,
            StageKind::Source { .. } | StageKind::Sink { .. } => false,
        })
    }

    /// Whether the worker's own journal runs beside the model of one: bugs are planted in the model only.
    #[must_use]
    pub fn has_real_journals(&self) -> bool {
        self.disk.real && self.disk.columns == 0 && self.bug.is_none() && self.disk.bug.is_none()
    }

    /// Which of the journals of its node a task shares with others, if it does. Other bugs are planted where it does not.
    #[must_use]
    pub fn column_of(&self, task: TaskId) -> Option<u64> {
        let about_columns = |bug| matches!(bug, Bug::AppendedAcrossColumns | Bug::ColumnLeftBeforeDurable);
        if self.disk.columns == 0 || self.disk.bug.is_some() || !self.bug.is_none_or(about_columns) {
            return None;
        }
        let partition = self.tasks_of(self.stage_of(task)).position(|own| own == task);
        partition.map(|partition| partition as u64 % self.disk.columns)
    }

    /// Whether every task has a journal.
    #[must_use]
    pub fn is_journaled(&self) -> bool {
        self.delivery == Delivery::ExactlyOnce
    }
}

impl Stage {
    /// It is partitioned by a field that a record may not have.
    pub(super) fn needs_field(&self) -> bool {
        matches!(self.by, Some(PartitionBy::Field { .. }))
    }
}

impl StageKind {
    fn task_kind(&self) -> TaskKind {
        match self {
            Self::Source { .. } => TaskKind::Source,
            Self::Batch { spec, .. } => TaskKind::Batch(spec.clone()),
            Self::Stream { spec, .. } => TaskKind::Stream(spec.clone()),
            Self::Records { spec, .. } => TaskKind::Records(spec.clone()),
            Self::Sink { .. } => TaskKind::Sink,
        }
    }
}

pub(super) fn task_id(index: usize) -> TaskId {
    TaskId(u32::try_from(index).expect("few tasks"))
}

pub(super) fn link_id(index: usize) -> LinkId {
    LinkId(u32::try_from(index).expect("few links"))
}

/// A batch stage's settings for a small world.
#[must_use]
pub fn batch_spec(max_bytes: u64, max_records: u64, linger_ms: u64) -> BatchSpec {
    BatchSpec {
        max_bytes,
        max_records,
        linger: Duration::from_millis(linger_ms),
        retry: Retry { max_attempts: 3, initial: Duration::from_millis(10), max: Duration::from_millis(200) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(u64::MAX),
    }
}
