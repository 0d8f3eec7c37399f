//! `worker check --json`: all that a check finds, in one shape whether the file is good or not. `docs/check-json.md` tells of it.

use super::{Checked, Finding, containment, memory, open_files, sample};
use crate::child::Containment;
use crate::cli::args::CheckArgs;
use crate::pipeline::plan::Plan;
use crate::pipeline::{Detail, Origin, Pipeline, Told, to_toml};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use worker_core::config::TaskName;

/// Grows when a field changes its meaning or goes; new ones may come.
const FORMAT: u32 = 1;

/// What a check has found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    format: u32,
    /// Whether it can be run.
    pub(super) ok: bool,
    file: String,
    errors: Vec<Told>,
    warnings: Vec<Told>,
    /// Nothing where the file is wrong.
    pipeline: Option<Whole>,
    /// Only if it was asked for.
    sample: Option<Sample>,
}

#[derive(Debug, Serialize)]
struct Whole {
    name: String,
    delivery: &'static str,
    state: Option<String>,
    /// Nodes of the cluster, and which of them this is.
    nodes: Vec<String>,
    node: String,
    /// Sources, stages and sinks, in this order.
    graph: Vec<Part>,
    tasks: usize,
    links: usize,
    /// At worst, on this node.
    memory_bytes: u64,
    disk_bytes: u64,
    open_files: u64,
    /// What ends all programs with the worker on this machine; nothing where none can be started.
    containment: Option<&'static str>,
    /// The file with every default, as `--full` prints it.
    resolved: Value,
}

/// A source, stage or sink.
#[derive(Debug, Serialize)]
struct Part {
    name: String,
    kind: &'static str,
    from: Vec<String>,
    /// What it reads, runs or writes.
    what: String,
    /// `batch`, `stream` or `records`; of a stage.
    mode: Option<&'static str>,
    tasks: u32,
    nodes: BTreeSet<String>,
    /// It is given records in the order of the source.
    in_order: bool,
}

#[derive(Debug, Serialize)]
struct Sample {
    /// Whether each batch stage gives the same for the sample whole and in pieces.
    equal: bool,
    text: String,
}

impl Report {
    /// Of a file that cannot be used.
    pub(super) fn wrong(args: &CheckArgs, errors: Vec<Told>) -> Self {
        let file = args.file.display().to_string();
        let warnings = Vec::new();
        Self { format: FORMAT, ok: false, file, errors, warnings, pipeline: None, sample: None }
    }

    /// Of one that can be read.
    pub(super) fn of(args: &CheckArgs, checked: &Checked) -> Self {
        let Checked { pipeline, plan, .. } = checked;
        let warnings = checked.warnings().iter().map(Finding::told).collect();
        let mut errors: Vec<Told> = checked.errors().into_iter().map(Told::plain).collect();
        let asked = args.sample.as_ref().filter(|_| errors.is_empty());
        let sample = asked.and_then(|path| match sample::compare(pipeline, path) {
            Ok(report) => Some(Sample { equal: report.is_good, text: report.text }),
            Err(why) => {
                errors.push(Told::plain(format!("--sample {}: {why}", path.display())));
                None
            }
        });
        let file = args.file.display().to_string();
        let ok = errors.is_empty();
        Self { format: FORMAT, ok, file, errors, warnings, pipeline: Some(Whole::of(pipeline, plan)), sample }
    }

    /// The status that `worker check` ends with.
    pub(super) fn status(&self) -> u8 {
        match (self.ok, &self.sample) {
            (false, _) => 2,
            (true, Some(sample)) if !sample.equal => 1,
            (true, _) => 0,
        }
    }
}

impl Whole {
    fn of(pipeline: &Pipeline, plan: &Plan) -> Self {
        let full = to_toml(&plan.partitions.written_into(pipeline), Detail::Full);
        let resolved = toml::from_str::<toml::Table>(&full).ok();
        let (memory_bytes, disk_bytes) = memory::sums(plan, pipeline);
        Self {
            name: pipeline.name.clone(),
            delivery: pipeline.delivery.word(),
            state: pipeline.state_dir.as_ref().map(|dir| dir.display().to_string()),
            nodes: plan.nodes.clone(),
            node: plan.nodes[usize::from(plan.me.0)].clone(),
            graph: parts(pipeline, plan),
            tasks: plan.graph.tasks.len(),
            links: plan.graph.links.len(),
            memory_bytes,
            disk_bytes,
            open_files: open_files::needed(plan, pipeline.delivery).1,
            containment: containment().ok().map(Containment::word),
            resolved: resolved.and_then(|table| serde_json::to_value(table).ok()).unwrap_or_default(),
        }
    }
}

fn parts(pipeline: &Pipeline, plan: &Plan) -> Vec<Part> {
    let names = |from: &[Origin]| from.iter().map(|&from| pipeline.origin_name(from).to_owned()).collect();
    let part = |name: &str, kind, what| {
        let tasks = plan.graph.tasks.iter().filter(|task| TaskName::of(&task.name).is_task_of(name));
        let nodes = tasks.map(|task| plan.nodes[usize::from(task.node.0)].clone()).collect();
        Part {
            name: name.to_owned(),
            kind,
            from: Vec::new(),
            what,
            mode: None,
            tasks: 1,
            nodes,
            in_order: false,
        }
    };
    let sources = pipeline.sources.iter();
    let mut parts: Vec<Part> =
        sources.map(|source| part(&source.name, "source", source.input.describe())).collect();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        parts.push(Part {
            from: names(&stage.from),
            mode: Some(stage.mode.word()),
            tasks: plan.partitions.stages[index],
            in_order: plan.in_order.stages[index],
            ..part(&stage.name, "stage", shell_words::join(&stage.program.argv))
        });
    }
    for (index, sink) in pipeline.sinks.iter().enumerate() {
        parts.push(Part {
            from: names(&sink.from),
            tasks: plan.partitions.sinks[index],
            in_order: plan.in_order.sinks[index],
            ..part(&sink.name, "sink", sink.target.describe(&pipeline.dir))
        });
    }
    parts
}
