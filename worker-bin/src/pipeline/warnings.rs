//! What is allowed and bites.

mod braces;
mod delivery;
mod header;
mod lines;
mod paths;
mod whole_input;

use super::cluster::Cluster;
use super::diagnostics::{Problem, Warning};
use super::model::{EarlyExit, Header, Mode, Origin, Pipeline, Stage};
use crate::io::source::Ending;
use braces::braces;
use header::{prints_header, reads_header};
use lines::reads_lines_together;
use std::collections::BTreeSet;
use whole_input::whole_input;

pub(crate) use whole_input::endless;

/// A program that a batch is not enough for.
fn bites(stage: &Stage, does: &str, what: String) -> Problem {
    Problem::at(&stage.program.at, format!("`{}` {does}, but runs once per batch", stage.name), what)
        .help("mode = \"stream\" runs it once for all its records (several partitions need partition_by)")
}

/// Whether every batch of a stage begins with a header.
fn is_given_headers(pipeline: &Pipeline, stage: &Stage) -> bool {
    stage.from.iter().all(|from| match *from {
        Origin::Source(index) => pipeline.sources[index].header == Header::Repeat,
        Origin::Stage(index) => pipeline.stages[index].gives_header(),
    })
}

/// Everything about a pipeline that is probably not meant.
#[must_use]
pub fn warnings(pipeline: &Pipeline) -> Vec<Warning> {
    let mut problems = Vec::new();
    for stage in &pipeline.stages {
        match &stage.mode {
            Mode::Batch(_) => {
                let whole = whole_input(&stage.program.argv, is_given_headers(pipeline, stage));
                problems.extend(whole.map(|what| bites(stage, "looks at its whole input", what)));
                if !is_given_headers(pipeline, stage) {
                    let header = reads_header(&stage.program.argv);
                    problems.extend(header.map(|what| {
                        bites(stage, "reads a header from its input", what).help(
                            "for a source of files, header = \"repeat\" gives the header to every batch",
                        )
                    }));
                } else if !stage.gives_header() && prints_header(&stage.program.argv) {
                    problems.push(
                        Problem::at(
                            &stage.program.at,
                            format!("`{}` prints a header for each batch", stage.name),
                            "all of them but the first would stand among the records",
                        )
                        .help("output_header = true (--output-header) passes it on once"),
                    );
                }
                problems.extend(braces(stage));
                if stage.framing_in.is_of_one_line() {
                    let lines = reads_lines_together(&stage.program.argv);
                    problems.extend(lines.map(|what| {
                        bites(stage, "reads several lines as one", what).help(
                            "or let `framing` of its source say what is one record, as { lines = 4 } or { start = \"^>\" }",
                        )
                    }));
                }
            }
            Mode::Stream(_)
                if stage.partition_by.is_none() && stage.partitions.is_some_and(|count| count > 1) =>
            {
                problems.push(
                    Problem::at(
                        &stage.partitions_at,
                        format!("`{}` is a stream of several partitions without a key", stage.name),
                        "each partition sees any part of the records, and gives its own result",
                    )
                    .help("say what belongs together with partition_by, or use partitions = 1"),
                );
            }
            Mode::Stream(_) | Mode::Records(_) => {}
        }
    }
    problems.extend(endless_streams(pipeline));
    problems.extend(paths::of_another_directory(pipeline));
    problems.extend(delivery::exactly_once(pipeline));
    let mut warnings = pipeline.noticed.clone();
    warnings.extend(problems.into_iter().map(|problem| Warning::new(&pipeline.text, problem)));
    warnings
}

/// Every `place` in a pipeline that runs in one process, where it has no meaning.
#[must_use]
pub fn ignored_places(pipeline: &Pipeline, cluster: &Cluster) -> Vec<Warning> {
    if cluster.is_from_file() {
        return Vec::new();
    }
    let sources = pipeline.sources.iter().map(|source| &source.place);
    let stages = pipeline.stages.iter().map(|stage| &stage.place);
    let sinks = pipeline.sinks.iter().map(|sink| &sink.place);
    sources
        .chain(stages)
        .chain(sinks)
        .filter_map(|place| place.first())
        .map(|first| {
            let problem =
                Problem::at(&first.at, "`place` has no meaning here", "everything runs in this process")
                    .help("worker node runs one node of a cluster file");
            Warning::new(&pipeline.text, problem)
        })
        .collect()
}

/// Stream stages without a window behind a source that never ends: they would never give their result.
fn endless_streams(pipeline: &Pipeline) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, source) in pipeline.sources.iter().enumerate() {
        let end = &source.input;
        if end.ending() != Ending::Never {
            continue;
        }
        let at = end.at().unwrap_or(&source.at);
        for stage in reached(pipeline, Origin::Source(index)) {
            let stage = &pipeline.stages[stage];
            let Mode::Stream(stream) = &stage.mode else { continue };
            if stream.window.is_none() && stream.early_exit == EarlyExit::Error {
                problems.push(
                    Problem::at(
                        &stage.at,
                        format!("`{}` waits for the end of its input, which may never come", stage.name),
                        "a stream without window",
                    )
                    .also(at, "this never ends by itself")
                    .help("give it a window, such as window = { every = \"1m\" }"),
                );
            }
        }
    }
    problems
}

/// The stages that records of a source or stage come to, at any distance.
fn reached(pipeline: &Pipeline, from: Origin) -> Vec<usize> {
    let mut reached: BTreeSet<Origin> = BTreeSet::from([from]);
    let mut stages = Vec::new();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        if stage.from.iter().any(|origin| reached.contains(origin)) {
            reached.insert(Origin::Stage(index));
            stages.push(index);
        }
    }
    stages
}
