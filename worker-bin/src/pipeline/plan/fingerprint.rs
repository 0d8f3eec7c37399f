//! Hashes of what nodes must agree on.
//!
//! Both are XXH3-64 over lines of text, strings quoted and escaped as Rust does, lists in the order of the pipeline:
//!
//! - meaning: `meaning 1`, name, delivery and longest record; then a line for each source, stage and sink with its name,
//!   number of tasks, origins, key rule (columns by number), framing, program (argv, directory, variables) and what
//!   else changes results. Paths are relative to the pipeline's directory where they lie below it. Timeouts, batch sizes,
//!   retries and budgets are left out: nodes may differ in them.
//! - placement: `placement 1`, then `task=node` for each task.

use super::columns::Keys;
use super::partitions::Partitions;
use crate::pipeline::model::{EnvValue, Mode, Origin, Pipeline, Program, SinkTarget, SourceInput};
use std::fmt::Write;
use worker_core::config::Graph;
use worker_proto::Fingerprint;
use xxhash_rust::xxh3::xxh3_64;

pub(super) fn meaning(pipeline: &Pipeline, partitions: &Partitions, keys: &Keys) -> Fingerprint {
    Fingerprint(xxh3_64(rendering(pipeline, partitions, keys).as_bytes()))
}

pub(super) fn placement(graph: &Graph, nodes: &[String]) -> Fingerprint {
    let mut text = "placement 1\n".to_owned();
    for task in &graph.tasks {
        line(&mut text, format_args!("{}={}", task.name, nodes[usize::from(task.node.0)]));
    }
    Fingerprint(xxh3_64(text.as_bytes()))
}

fn rendering(pipeline: &Pipeline, partitions: &Partitions, keys: &Keys) -> String {
    let mut text = "meaning 1\n".to_owned();
    let head = (&pipeline.name, pipeline.delivery, pipeline.budgets.max_record_bytes);
    line(&mut text, format_args!("pipeline {head:?}"));
    for (source, count) in pipeline.sources.iter().zip(&partitions.sources) {
        let input = match &source.input {
            SourceInput::Files { pattern, .. } => format!("files {pattern:?}"),
            SourceInput::Stdin => "stdin".to_owned(),
            SourceInput::Program(program) => program_text(pipeline, program),
        };
        let (name, header, framing) = (&source.name, source.header, source.framing);
        line(&mut text, format_args!("source {name:?} {count} {input} {header:?} {framing:?}"));
    }
    for ((stage, count), key) in pipeline.stages.iter().zip(&partitions.stages).zip(&keys.stages) {
        let from = origins(pipeline, &stage.from);
        let program = program_text(pipeline, &stage.program);
        let mode = match &stage.mode {
            Mode::Batch(batch) => format!("batch {:?}", batch.on_error),
            Mode::Stream(stream) => format!("stream {:?} {:?}", stream.window, stream.early_exit),
        };
        let (name, exits, framing) = (&stage.name, &stage.ok_exit, (stage.framing_in, stage.framing_out));
        line(
            &mut text,
            format_args!("stage {name:?} {count} {from:?} {key:?} {framing:?} {program} {mode} {exits:?}"),
        );
    }
    for ((sink, count), key) in pipeline.sinks.iter().zip(&partitions.sinks).zip(&keys.sinks) {
        let from = origins(pipeline, &sink.from);
        let target = match &sink.target {
            SinkTarget::File { path, .. } => format!("file {:?}", pipeline.shown_path(path)),
            SinkTarget::Directory { path, .. } => format!("directory {:?}", pipeline.shown_path(path)),
            SinkTarget::Stdout => "stdout".to_owned(),
            SinkTarget::Program(program) => program_text(pipeline, program),
        };
        let (name, framing) = (&sink.name, sink.framing);
        line(&mut text, format_args!("sink {name:?} {count} {from:?} {key:?} {framing:?} {target}"));
    }
    text
}

fn origins<'a>(pipeline: &'a Pipeline, from: &[Origin]) -> Vec<&'a str> {
    from.iter().map(|&origin| pipeline.origin_name(origin)).collect()
}

fn program_text(pipeline: &Pipeline, program: &Program) -> String {
    let env: Vec<String> = program
        .env
        .iter()
        .map(|(name, value)| match value {
            EnvValue::Text(text) => format!("{name:?}={text:?}"),
            EnvValue::Env(from) => format!("{name:?}=env {from:?}"),
            EnvValue::File(path) => format!("{name:?}=file {:?}", pipeline.shown_path(path)),
        })
        .collect();
    format!("run {:?} {:?} {env:?} {}", program.argv, pipeline.shown_path(&program.cwd), program.clear_env)
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{arguments}");
}
