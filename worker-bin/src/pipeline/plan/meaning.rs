//! What a pipeline means and where it runs, as texts by key: nodes must agree on it, and a state directory is tied to it.
//!
//! A key is where the file says it, such as `stage.errors.run`; a text is what the file would write, so that a difference
//! reads like one of the file. Every default is there as well, key columns by their numbers, and paths relative to the
//! pipeline's directory where they lie below it. `pipeline.order` is the order of all names, as tasks and links are numbered by it.
//!
//! Left out is what may change while a state is kept, and what nodes may differ in: timeouts, batch sizes, retries,
//! what is done about failures, everything that limits memory, disk or what is under way, and what happens to files that
//! were there before the first run.
//!
//! Fingerprints are XXH3-64 over a line `KEY=TEXT` for each key in order, both quoted and escaped as Rust does, behind
//! `meaning 2` or `placement 2`.

use super::Plan;
use super::columns::Keys;
use super::partitions::Partitions;
use crate::pipeline::model::{
    Column, KeyRule, Mode, Origin, Pipeline, Program, RecordsMode, Sink, SinkTarget, Source, SourceInput,
    Stage, StreamMode,
};
use crate::pipeline::text::{self, list, quoted, quoted_key};
use crate::pipeline::units::format_duration;
use std::collections::BTreeMap;
use std::path::Path;
use worker_core::config::Graph;
use worker_core::route::PartitionBy;
use worker_proto::Fingerprint;
use xxhash_rust::xxh3::xxh3_64;

/// What changes a plan's results, key by key.
#[must_use]
pub fn meaning(plan: &Plan) -> &BTreeMap<String, String> {
    &plan.texts
}

/// The node of every task, by their names.
#[must_use]
pub fn placement(plan: &Plan) -> BTreeMap<String, String> {
    placed(&plan.graph, &plan.nodes)
}

pub(super) fn placed(graph: &Graph, nodes: &[String]) -> BTreeMap<String, String> {
    let node = |task: &worker_core::config::TaskSpec| nodes[usize::from(task.node.0)].clone();
    graph.tasks.iter().map(|task| (task.name.clone(), node(task))).collect()
}

/// One number for all texts; `what` is `meaning` or `placement`.
pub(super) fn fingerprint(what: &str, texts: &BTreeMap<String, String>) -> Fingerprint {
    let lines = texts.iter().map(|(key, text)| format!("{key:?}={text:?}\n"));
    Fingerprint(xxh3_64(format!("{what} 2\n{}", lines.collect::<String>()).as_bytes()))
}

pub(super) fn texts(pipeline: &Pipeline, partitions: &Partitions, keys: &Keys) -> BTreeMap<String, String> {
    let mut texts = Texts { pipeline, table: "pipeline".to_owned(), texts: BTreeMap::new() };
    let names = pipeline.sources.iter().map(|source| source.name.as_str());
    let names = names.chain(pipeline.stages.iter().map(|stage| stage.name.as_str()));
    let names = names.chain(pipeline.sinks.iter().map(|sink| sink.name.as_str()));
    texts.say("delivery", quoted(pipeline.delivery.word()));
    texts.say("order", list(names));
    for (source, &count) in pipeline.sources.iter().zip(&partitions.sources) {
        texts.source(source, count);
    }
    for ((stage, &count), by) in pipeline.stages.iter().zip(&partitions.stages).zip(&keys.stages) {
        texts.stage(stage, count, by.as_ref());
    }
    for ((sink, &count), by) in pipeline.sinks.iter().zip(&partitions.sinks).zip(&keys.sinks) {
        texts.sink(sink, count, by.as_ref());
    }
    texts.texts
}

/// Texts so far, and the table whose keys come next.
#[derive(Debug)]
struct Texts<'a> {
    pipeline: &'a Pipeline,
    table: String,
    texts: BTreeMap<String, String>,
}

impl Texts<'_> {
    fn source(&mut self, source: &Source, count: u32) {
        self.table = format!("source.{}", quoted_key(&source.name));
        match &source.input {
            SourceInput::Files { pattern, .. } => self.say("file", quoted(pattern)),
            SourceInput::Stdin => self.say("stdin", "true".to_owned()),
            SourceInput::Program(program) => self.program(program),
        }
        self.say("header", text::header(source.header));
        self.say("framing", quoted(source.framing.word()));
        self.say("partitions", count.to_string());
    }

    fn stage(&mut self, stage: &Stage, count: u32, by: Option<&PartitionBy>) {
        self.table = format!("stage.{}", quoted_key(&stage.name));
        self.hop(&stage.from, count, by);
        self.program(&stage.program);
        self.say("mode", quoted(stage.mode.word()));
        self.say("ok_exit", format!("{:?}", stage.ok_exit));
        self.say("framing", quoted(stage.framing_out.word()));
        match &stage.mode {
            Mode::Batch(_) => {}
            Mode::Stream(stream) => self.stream(stream),
            Mode::Records(records) => self.records(records, by.is_some()),
        }
    }

    fn stream(&mut self, stream: &StreamMode) {
        if let Some(window) = stream.window {
            self.say("window", text::window(window));
        }
        self.say("early_exit", quoted(stream.early_exit.word()));
    }

    fn records(&mut self, records: &RecordsMode, is_keyed: bool) {
        if let Some(tick) = records.tick {
            self.say("tick", quoted(&format_duration(tick)));
        }
        if is_keyed {
            self.say("state", quoted(records.state.word()));
        }
    }

    fn sink(&mut self, sink: &Sink, count: u32, by: Option<&PartitionBy>) {
        self.table = format!("sink.{}", quoted_key(&sink.name));
        self.hop(&sink.from, count, by);
        let path = |path: &Path| self.pipeline.shown_path(path).to_string_lossy().into_owned();
        match &sink.target {
            SinkTarget::File { path: file, .. } => self.say("file", quoted(&path(file))),
            SinkTarget::Directory { path: dir, .. } => {
                self.say("file", quoted(&format!("{}/", path(dir).trim_end_matches('/'))));
            }
            SinkTarget::Stdout => self.say("stdout", "true".to_owned()),
            SinkTarget::Program(program) => self.program(program),
        }
    }

    fn hop(&mut self, from: &[Origin], count: u32, by: Option<&PartitionBy>) {
        self.say("from", list(from.iter().map(|&origin| self.pipeline.origin_name(origin))));
        self.say("partitions", count.to_string());
        if let Some(by) = by {
            self.say("partition_by", text::rule(&rule(by)));
        }
    }

    fn program(&mut self, program: &Program) {
        self.say("run", text::argv(program));
        self.say("cwd", text::cwd(self.pipeline, program));
        self.say("env", text::environment(self.pipeline, &program.env));
        self.say("clear_env", program.clear_env.to_string());
    }

    fn say(&mut self, key: &str, text: String) {
        self.texts.insert(format!("{}.{key}", self.table), text);
    }
}

/// The rule that a file would write for it.
fn rule(by: &PartitionBy) -> KeyRule {
    let number = |number: std::num::NonZeroUsize| u32::try_from(number.get()).unwrap_or(u32::MAX);
    match by {
        PartitionBy::Field { index, delimiter } => {
            let delimiter = delimiter.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            KeyRule::Field { index: number(*index), delimiter }
        }
        PartitionBy::Csv { column } => KeyRule::Csv(Column::Number(number(*column))),
        PartitionBy::Json { pointer } => KeyRule::Json(pointer.clone()),
        PartitionBy::Record => KeyRule::Record,
        PartitionBy::Given => KeyRule::Answer,
    }
}
