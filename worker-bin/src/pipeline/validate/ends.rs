//! No two ends hold the same outside thing.

use crate::io::resource::Resource;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Budgets, PlaceName, Sink, Source};
use std::path::Path;

/// Whether `place` keeps ends apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum Nodes {
    /// Everything runs in one process.
    One,
    /// As `place` says.
    AsPlaced,
}

/// An end, and what it holds.
#[derive(Debug)]
struct Holder<'a> {
    name: &'a str,
    place: &'a [PlaceName],
    at: At,
    holds: Vec<Resource>,
}

/// Ends whose keys do not go together, or not with the pipeline's.
pub(in crate::pipeline) fn contradictory_ends(sources: &[Source], budgets: &Budgets) -> Vec<Problem> {
    sources.iter().filter_map(|source| source.input.check(source, budgets.max_record_bytes)).collect()
}

/// Pairs of ends of which only one can have what both need.
pub(in crate::pipeline) fn overlapping_ends(
    dir: &Path,
    sources: &[Source],
    sinks: &[Sink],
    nodes: Nodes,
) -> Vec<Problem> {
    let sources: Vec<Holder<'_>> = sources.iter().map(|source| Holder::source(source, dir)).collect();
    let sinks: Vec<Holder<'_>> = sinks.iter().map(Holder::sink).collect();
    let mut problems = Vec::new();
    for (index, sink) in sinks.iter().enumerate() {
        let others = sinks[..index].iter();
        problems.extend(others.filter_map(|other| Some(two_sinks(sink, other, sink.shares(other, nodes)?))));
        let sources = sources.iter().filter(|source| sink.shares(source, nodes).is_some());
        problems.extend(sources.map(|source| reads_itself(sink, source)));
    }
    for (index, source) in sources.iter().enumerate() {
        let others = sources[..index].iter();
        problems.extend(
            others.filter_map(|other| Some(two_sources(source, other, source.shares(other, nodes)?))),
        );
    }
    problems
}

impl<'a> Holder<'a> {
    fn source(source: &'a Source, dir: &Path) -> Self {
        let end = &source.input;
        let at = end.at().unwrap_or(&source.at).clone();
        Self { name: &source.name, place: &source.place, at, holds: end.holds(dir) }
    }

    fn sink(sink: &'a Sink) -> Self {
        let end = &sink.target;
        let at = end.at().unwrap_or(&sink.at).clone();
        Self { name: &sink.name, place: &sink.place, at, holds: end.holds() }
    }

    /// What only one of the two can have, if they can be on one node.
    fn shares(&self, other: &Holder<'_>, nodes: Nodes) -> Option<&Resource> {
        if nodes == Nodes::AsPlaced && !meet(self.place, other.place) {
            return None;
        }
        self.holds.iter().find(|held| other.holds.iter().any(|other| held.excludes(other)))
    }
}

fn meet(a: &[PlaceName], b: &[PlaceName]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|name| b.contains(name))
}

fn two_sinks(sink: &Holder<'_>, other: &Holder<'_>, shared: &Resource) -> Problem {
    let title = format!("sinks `{}` and `{}` write to {}", other.name, sink.name, shared.word());
    Problem::at(&sink.at, title, "the same again")
        .also(&other.at, "written here")
        .help("let one sink read from both, from = [\"…\", \"…\"], or give each its own path")
}

fn reads_itself(sink: &Holder<'_>, source: &Holder<'_>) -> Problem {
    let title = format!("sink `{}` writes what source `{}` reads", sink.name, source.name);
    Problem::at(&sink.at, title, "")
        .also(&source.at, "matches it")
        .help("write to another path, or name the files that are read more closely")
}

fn two_sources(source: &Holder<'_>, other: &Holder<'_>, shared: &Resource) -> Problem {
    Problem::at(&source.at, format!("two sources read {}", shared.word()), "also reads it")
        .also(&other.at, "reads it")
        .help("let several stages read from one source: each gets its own copy")
}
