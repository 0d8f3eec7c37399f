//! No two ends use the same outside thing.

use crate::pipeline::diagnostics::{At, Problem, normalized};
use crate::pipeline::model::{PlaceName, Sink, SinkTarget, Source, SourceInput};
use crate::pipeline::part_path;
use std::path::{Path, PathBuf};

/// Whether `place` keeps ends apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum Nodes {
    /// Everything runs in one process.
    One,
    /// As `place` says.
    AsPlaced,
}

/// Sinks on one path, sinks on a file that a source reads, and standard streams used twice.
pub(in crate::pipeline) fn overlapping_ends(
    dir: &Path,
    sources: &[Source],
    sinks: &[Sink],
    nodes: Nodes,
) -> Vec<Problem> {
    let meet = |a: &[PlaceName], b: &[PlaceName]| nodes == Nodes::One || meet(a, b);
    let mut problems = Vec::new();
    for (index, sink) in sinks.iter().enumerate() {
        for other in &sinks[..index] {
            if meet(&sink.place, &other.place) && same_target(&sink.target, &other.target) {
                problems.push(two_sinks(sink, other));
            }
        }
        for source in sources {
            if meet(&sink.place, &source.place) && reads(dir, &source.input, &sink.target) {
                let at = target_at(sink);
                problems.push(
                    Problem::at(
                        &at,
                        format!("sink `{}` writes what source `{}` reads", sink.name, source.name),
                        "",
                    )
                    .also(&input_at(source), "matches it")
                    .help("write to another path, or name the files that are read more closely"),
                );
            }
        }
    }
    for (index, source) in sources.iter().enumerate().filter(|(_, s)| s.input == SourceInput::Stdin) {
        for other in
            sources[..index].iter().filter(|s| s.input == SourceInput::Stdin && meet(&s.place, &source.place))
        {
            problems.push(
                Problem::at(&source.at, "two sources read standard input", "also reads it")
                    .also(&other.at, "reads it")
                    .help("let several stages read from one source: each gets its own copy"),
            );
        }
    }
    problems
}

/// Whether two ends can be on one node.
fn meet(a: &[PlaceName], b: &[PlaceName]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|name| b.contains(name))
}

fn same_target(a: &SinkTarget, b: &SinkTarget) -> bool {
    match (a, b) {
        (SinkTarget::Stdout, SinkTarget::Stdout) => true,
        (SinkTarget::Program(_), _) | (_, SinkTarget::Program(_)) => false,
        (SinkTarget::Stdout, _) | (_, SinkTarget::Stdout) => false,
        (SinkTarget::File { path: a, .. }, SinkTarget::File { path: b, .. })
        | (SinkTarget::Directory { path: a, .. }, SinkTarget::Directory { path: b, .. }) => a == b,
        (SinkTarget::File { path: file, .. }, SinkTarget::Directory { path: dir, .. })
        | (SinkTarget::Directory { path: dir, .. }, SinkTarget::File { path: file, .. }) => {
            file == dir || (file.parent() == Some(dir) && is_part(file))
        }
    }
}

/// Whether this could be a file of a directory sink.
fn is_part(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("part-").is_some_and(|n| n.len() >= 5 && n.bytes().all(|b| b.is_ascii_digit()))
}

fn reads(dir: &Path, input: &SourceInput, target: &SinkTarget) -> bool {
    let (SourceInput::Files { pattern, .. }, Some(path)) = (input, written(target)) else { return false };
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    let pattern = normalized(dir, Path::new(pattern));
    pattern
        .to_str()
        .and_then(|pattern| glob::Pattern::new(pattern).ok())
        .is_some_and(|pattern| pattern.matches_path_with(&path, options))
        || pattern == path
}

/// One file that the target writes for certain.
fn written(target: &SinkTarget) -> Option<PathBuf> {
    match target {
        SinkTarget::File { path, .. } => Some(path.clone()),
        SinkTarget::Directory { path, .. } => Some(part_path(path, 0)),
        SinkTarget::Stdout | SinkTarget::Program(_) => None,
    }
}

fn two_sinks(sink: &Sink, other: &Sink) -> Problem {
    let what = match written(&sink.target) {
        Some(_) => "write to one path",
        None => "write to standard output",
    };
    Problem::at(
        &target_at(sink),
        format!("sinks `{}` and `{}` {what}", other.name, sink.name),
        "the same again",
    )
    .also(&target_at(other), "written here")
    .help("let one sink read from both, from = [\"…\", \"…\"], or give each its own path")
}

fn target_at(sink: &Sink) -> At {
    match &sink.target {
        SinkTarget::File { at, .. } | SinkTarget::Directory { at, .. } => at.clone(),
        SinkTarget::Stdout | SinkTarget::Program(_) => sink.at.clone(),
    }
}

fn input_at(source: &Source) -> At {
    match &source.input {
        SourceInput::Files { at, .. } => at.clone(),
        SourceInput::Stdin | SourceInput::Program(_) => source.at.clone(),
    }
}
