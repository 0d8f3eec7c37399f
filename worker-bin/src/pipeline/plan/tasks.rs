//! What each task on this node needs to run.

use super::columns::{Headers, Keys};
use super::hops::Layout;
use super::partitions::Partitions;
use crate::io::dead::Envelopes;
use crate::io::sink::AnySink;
use crate::io::source::AnySource;
use crate::pipeline::model::{
    Column, EarlyExit, Framing, Header, KeyRule, Mode, OnDamage, OnLong, Pipeline, Program, RecordsState,
    Restart, Share, Source, Stage,
};
use bytes::Bytes;
use std::time::Duration;
use worker_core::config::{BatchSpec, NodeIx, RecordsSpec, Retry, StreamSpec, TaskId, TaskKind};
use worker_core::route::{Edge, PartitionBy};

/// Bytes of unanswered requests; more is no faster.
const IN_FLIGHT_BYTES: u64 = 1 << 20;

/// Before a sink's program that failed is started again.
const RESTART_WAITS: Retry =
    Retry { max_attempts: u32::MAX, initial: Duration::from_secs(1), max: Duration::from_secs(60) };

/// A task that runs here.
#[derive(Clone, Debug)]
pub struct LocalTask {
    /// Its number in the graph.
    pub id: TaskId,
    /// `stage/partition`.
    pub name: String,
    /// The source, stage or sink it belongs to.
    pub stage: String,
    /// Which partition, from 0.
    pub partition: u32,
    /// How many there are.
    pub partitions: u32,
    /// How its records are spread over the tasks of its stage or sink; `None`: without a key.
    pub by: Option<PartitionBy>,
    /// The modes out, one for each stage or sink that reads from it; for a `Router`. Empty for sinks.
    pub edges: Vec<Edge>,
    /// How the records it reads follow one another; for a source, as for its output.
    pub framing_in: Framing,
    /// How the records it gives follow one another; for a sink, as for its input.
    pub framing_out: Framing,
    pub role: Role,
}

impl LocalTask {
    /// Whether a program of the user does its work.
    pub(crate) fn runs_program(&self) -> bool {
        match &self.role {
            Role::Source(source) => source.input.program().is_some(),
            Role::Stage(_) => true,
            Role::Sink(sink) => sink.target.stage().is_some(),
        }
    }

    pub(crate) fn envelopes(&self) -> Envelopes {
        Envelopes { taken: self.framing_in.envelope(), given: self.framing_out.envelope() }
    }
}

impl LocalTask {
    /// What heads the records that it is given, where a letter of it has to say so: nothing outside this run does.
    pub(crate) fn letters_header(&self) -> Option<&Bytes> {
        match &self.role {
            Role::Stage(stage) => stage.header.as_ref().filter(|_| stage.is_headed_by_letters),
            Role::Source(_) | Role::Sink(_) => None,
        }
    }
}

/// What a task does.
#[expect(clippy::large_enum_variant, reason = "there is one for each task, and most are stages")]
#[derive(Clone, Debug)]
pub enum Role {
    Source(SourceTask),
    /// Runs a program over records.
    Stage(StageTask),
    /// Writes to the outside.
    Sink(SinkTask),
}

/// What a source task reads.
#[derive(Clone, Debug)]
pub struct SourceTask {
    /// From where; a pattern is relative to the pipeline's directory.
    pub input: AnySource,
    /// What is done with each file's first record.
    pub header: Header,
    pub on_long: OnLong,
    pub on_damage: OnDamage,
    /// Which of its records go on; `None`: all of them.
    pub sampling: Option<Sampling>,
}

/// A part of a source's records, the same in every life.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    pub share: Share,
    /// What decides; `None`: the record's number.
    pub by: Option<PartitionBy>,
    pub seed: u64,
    /// The first record goes on, too: it may be a header.
    pub keeps_first: bool,
}

/// What a stage task runs.
#[derive(Clone, Debug)]
pub struct StageTask {
    pub program: Program,
    /// How it runs; scheduling is in the task's [`TaskKind`].
    pub mode: Mode,
    /// Exit statuses that count as success.
    pub ok_exit: Vec<i32>,
    /// Killed after this long without moving a byte or using the processor.
    pub timeout: Option<Duration>,
    /// What every batch and process gets first, with its terminator.
    pub header: Option<Bytes>,
    /// See `Stage::is_headed_by_letters`.
    pub is_headed_by_letters: bool,
    /// Whether what it prints goes on; a sink's is logged.
    pub gives: bool,
    /// Where it runs in mode records, what its driver needs beside that.
    pub records: Option<Box<RecordsSettings>>,
}

/// What the driver of a records stage needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsSettings {
    /// Where a record's key is; `None`: records have none, and there is no state.
    pub key: Option<PartitionBy>,
    /// How the program gets back the values it has put.
    pub state: RecordsState,
    /// Most state of the task, keys and values; in bytes.
    pub state_budget_bytes: u64,
}

/// What a sink task writes.
#[derive(Clone, Debug)]
pub struct SinkTask {
    pub target: AnySink,
}

/// How the core schedules a stage's tasks.
pub(super) fn kind(stage: &Stage) -> TaskKind {
    match &stage.mode {
        Mode::Batch(batch) => TaskKind::Batch(BatchSpec {
            max_bytes: batch.max_bytes.min(batch.input.batch_bytes_max()),
            max_records: batch.max_records.unwrap_or(u64::MAX).min(batch.input.batch_records_max()),
            linger: batch.linger,
            retry: batch.failures.retry,
            on_error: batch.failures.on_error,
            max_dead: batch.failures.max_dead,
        }),
        Mode::Stream(stream) => TaskKind::Stream(StreamSpec {
            window: stream.window,
            early_exit_is_done: stream.early_exit == EarlyExit::Done,
            replay_bytes: stream.replay_limit_bytes,
            restart: match stream.restart {
                Restart::Never => None,
                Restart::OnFailure | Restart::Always => Some(RESTART_WAITS),
            },
        }),
        Mode::Records(records) => TaskKind::Records(RecordsSpec {
            in_flight: records.in_flight,
            in_flight_bytes: IN_FLIGHT_BYTES,
            tick: records.tick,
            retry: records.failures.retry,
            on_error: records.failures.on_error,
            max_dead: records.failures.max_dead,
        }),
    }
}

/// The tasks of one node.
pub(super) fn local(
    pipeline: &Pipeline,
    partitions: &Partitions,
    layout: &Layout,
    (keys, headers): (&Keys, &Headers),
    me: NodeIx,
) -> Vec<LocalTask> {
    let mut here = Here { layout, me, tasks: Vec::new() };
    for (index, source) in pipeline.sources.iter().enumerate() {
        let role = Role::Source(SourceTask {
            input: source.input.clone(),
            header: source.header,
            on_long: source.on_long,
            on_damage: source.on_damage,
            sampling: sampling(source, keys.sources[index].as_ref()),
        });
        let (first, count) = (layout.first_source[index], partitions.sources[index]);
        here.add(&source.name, (first, count), None, (&source.framing, &source.framing), |_| role.clone());
    }
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let role = run(stage, headers.stages[index].as_ref(), keys.stages[index].as_ref(), true);
        let (first, count) = (layout.first_stage[index], partitions.stages[index]);
        let framing = (&stage.framing_in, &stage.framing_out);
        here.add(&stage.name, (first, count), keys.stages[index].clone(), framing, |_| role.clone());
    }
    for (index, sink) in pipeline.sinks.iter().enumerate() {
        let (first, count) = (layout.first_sink[index], partitions.sinks[index]);
        let framing = (&sink.framing, &sink.framing);
        let end = &sink.target;
        let target = |n| end.partition(n).unwrap_or_else(|| end.clone());
        let role = |n| match end.stage() {
            Some(stage) => run(stage, headers.sinks[index].as_ref(), keys.sinks[index].as_ref(), false),
            None => Role::Sink(SinkTask { target: target(n) }),
        };
        here.add(&sink.name, (first, count), keys.sinks[index].clone(), framing, role);
    }
    here.tasks
}

fn sampling(source: &Source, by: Option<&PartitionBy>) -> Option<Sampling> {
    // Only who names a column says that there is a header.
    let may_be_header = matches!(source.sample.by, None | Some(KeyRule::Csv(Column::Name(_))));
    Some(Sampling {
        share: source.sample.share?,
        by: by.cloned(),
        seed: source.sample.seed.unwrap_or(0),
        keeps_first: source.header == Header::Keep
            && may_be_header
            && (source.framing.is_of_one_line() || source.framing == Framing::Csv)
            && source.input.may_begin_with_header(),
    })
}

/// What a task of a stage runs, or of a sink that is a program: that one gives nothing on.
fn run(stage: &Stage, header: Option<&Bytes>, key: Option<&PartitionBy>, gives: bool) -> Role {
    Role::Stage(StageTask {
        program: stage.program.clone(),
        mode: stage.mode.clone(),
        ok_exit: stage.ok_exit.iter().map(|&status| i32::from(status)).collect(),
        timeout: stage.timeout,
        header: header.cloned(),
        is_headed_by_letters: stage.is_headed_by_letters,
        records: records(stage, key),
        gives,
    })
}

fn records(stage: &Stage, key: Option<&PartitionBy>) -> Option<Box<RecordsSettings>> {
    match &stage.mode {
        Mode::Records(records) => Some(Box::new(RecordsSettings {
            key: key.cloned(),
            state: records.state,
            state_budget_bytes: records.state_budget_bytes,
        })),
        Mode::Batch(_) | Mode::Stream(_) => None,
    }
}

#[derive(Debug)]
struct Here<'a> {
    layout: &'a Layout,
    me: NodeIx,
    tasks: Vec<LocalTask>,
}

impl Here<'_> {
    fn add(
        &mut self,
        stage: &str,
        (first, partitions): (u32, u32),
        by: Option<PartitionBy>,
        framing: (&Framing, &Framing),
        role: impl Fn(u32) -> Role,
    ) {
        for partition in 0..partitions {
            let id = TaskId(first + partition);
            let task = self.layout.graph.task(id);
            if task.node != self.me {
                continue;
            }
            self.tasks.push(LocalTask {
                id,
                name: task.name.clone(),
                stage: stage.to_owned(),
                partition,
                partitions,
                by: by.clone(),
                edges: self.layout.edges[id.0 as usize].clone(),
                framing_in: framing.0.clone(),
                framing_out: framing.1.clone(),
                role: role(partition),
            });
        }
    }
}
