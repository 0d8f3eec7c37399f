//! The semantic fingerprint, of what changes a pipeline's results, and that of where it runs: nodes must agree on both, and a
//! state directory is tied to them, by the texts that they are computed from.
//!
//! The texts are those of the rows of the [keys](crate::pipeline::keys) that change results, under where the file says them, such as
//! `stage.errors.run`, so that a difference reads like one of the file. Every default is there as well, numbers of tasks and
//! of key columns as they were found, and paths relative to the pipeline's directory where they lie below it.
//! `pipeline.order` is the order of all names, as tasks and links are numbered by it.
//!
//! Fingerprints are XXH3-64 over a line `KEY=TEXT` for each key in order, both quoted and escaped as Rust does, behind
//! `meaning 2` or `placement 2`.

use super::Plan;
use super::columns::Keys;
use super::partitions::Partitions;
use crate::pipeline::keys::Rendered;
use crate::pipeline::model::{Column, KeyRule, Pipeline};
use crate::pipeline::text::{list, quoted_key};
use std::collections::BTreeMap;
use worker_core::config::Graph;
use worker_core::route::PartitionBy;
use worker_proto::Fingerprint;
use xxhash_rust::xxh3::xxh3_64;

/// What changes a plan's results, key by key.
#[must_use]
pub fn semantics(plan: &Plan) -> &BTreeMap<String, String> {
    &plan.semantics
}

/// The node of every task, by their names.
#[must_use]
pub fn placement(plan: &Plan) -> BTreeMap<String, String> {
    placed(&plan.graph, &plan.nodes)
}

fn placed(graph: &Graph, nodes: &[String]) -> BTreeMap<String, String> {
    let node = |task: &worker_core::config::TaskSpec| nodes[usize::from(task.node.0)].clone();
    graph.tasks.iter().map(|task| (task.name.clone(), node(task))).collect()
}

pub(super) fn semantic(texts: &BTreeMap<String, String>) -> Fingerprint {
    fingerprint("meaning", texts)
}

pub(super) fn of_placement(graph: &Graph, nodes: &[String]) -> Fingerprint {
    fingerprint("placement", &placed(graph, nodes))
}

/// One number for all texts.
fn fingerprint(what: &str, texts: &BTreeMap<String, String>) -> Fingerprint {
    let lines = texts.iter().map(|(key, text)| format!("{key:?}={text:?}\n"));
    Fingerprint(xxh3_64(format!("{what} 2\n{}", lines.collect::<String>()).as_bytes()))
}

pub(super) fn texts(pipeline: &Pipeline, partitions: &Partitions, keys: &Keys) -> BTreeMap<String, String> {
    let pipeline = &resolved(pipeline, partitions, keys);
    let mut texts = BTreeMap::new();
    let mut table = |table: String, said: Vec<Rendered>| {
        for Rendered { name, results, .. } in said {
            texts.extend(results.map(|text| (format!("{table}.{name}"), text)));
        }
    };
    let mut names = Vec::new();
    table("pipeline".to_owned(), pipeline.rendered());
    for source in &pipeline.sources {
        names.push(source.name.as_str());
        table(format!("source.{}", quoted_key(&source.name)), source.rendered(pipeline));
    }
    for stage in &pipeline.stages {
        names.push(stage.name.as_str());
        table(format!("stage.{}", quoted_key(&stage.name)), stage.rendered(pipeline));
    }
    for sink in &pipeline.sinks {
        names.push(sink.name.as_str());
        table(format!("sink.{}", quoted_key(&sink.name)), sink.rendered(pipeline));
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
    for (source, by) in pipeline.sources.iter_mut().zip(&keys.sources) {
        source.sample.by = by.as_ref().map(rule);
    }
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
