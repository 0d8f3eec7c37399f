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
use crate::pipeline::keys::{Class, Said};
use crate::pipeline::model::{Column, KeyRule, Pipeline};
use crate::pipeline::text::{list, quoted_key};
use std::collections::BTreeMap;
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
    let pipeline = &resolved(pipeline, partitions, keys);
    let mut texts = BTreeMap::new();
    let mut table = |table: String, said: Vec<Said>| {
        for Said { name, class, text, .. } in said {
            match (class, text) {
                (Class::Results, Some(text)) => texts.insert(format!("{table}.{name}"), text),
                (Class::Results, None) | (Class::Tuning | Class::Identity, _) => None,
            };
        }
    };
    let mut names = Vec::new();
    table("pipeline".to_owned(), pipeline.said());
    for source in &pipeline.sources {
        names.push(source.name.as_str());
        table(format!("source.{}", quoted_key(&source.name)), source.said(pipeline));
    }
    for stage in &pipeline.stages {
        names.push(stage.name.as_str());
        table(format!("stage.{}", quoted_key(&stage.name)), stage.said(pipeline));
    }
    for sink in &pipeline.sinks {
        names.push(sink.name.as_str());
        table(format!("sink.{}", quoted_key(&sink.name)), sink.said(pipeline));
    }
    texts.insert("pipeline.order".to_owned(), list(names.into_iter()));
    for (source, count) in pipeline.sources.iter().zip(&partitions.sources) {
        texts.insert(format!("source.{}.partitions", quoted_key(&source.name)), count.to_string());
    }
    texts
}

/// The pipeline with what is found out when it is laid out: numbers of tasks and of columns.
fn resolved(pipeline: &Pipeline, partitions: &Partitions, keys: &Keys) -> Pipeline {
    let mut pipeline = partitions.written_into(pipeline);
    for (stage, by) in pipeline.stages.iter_mut().zip(&keys.stages) {
        stage.partition_by = by.as_ref().map(rule);
    }
    for (sink, by) in pipeline.sinks.iter_mut().zip(&keys.sinks) {
        sink.partition_by = by.as_ref().map(rule);
    }
    pipeline
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
