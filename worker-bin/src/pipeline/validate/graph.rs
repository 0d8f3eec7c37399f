//! Joins stages and sinks to what they read from: an acyclic graph in which everything leads to a sink.

use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Framing, Origin, Sink, Source, Stage};
use crate::pipeline::read::Draft;
use std::collections::{BTreeMap, BTreeSet};

/// Sources, stages and sinks with their connections.
#[derive(Debug)]
pub(in crate::pipeline) struct Joined {
    pub(in crate::pipeline) sources: Vec<Source>,
    pub(in crate::pipeline) stages: Vec<Stage>,
    pub(in crate::pipeline) sinks: Vec<Sink>,
}

/// What a name in the file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Source(usize),
    Stage(usize),
    Sink(usize),
}

/// Joins a draft.
///
/// # Errors
/// Everything wrong with names and connections; connections are not checked further if names are wrong.
pub(in crate::pipeline) fn join(draft: Draft) -> Result<Joined, Vec<Problem>> {
    let Draft { sources, mut stages, mut sinks, .. } = draft;
    let names = names(&sources, &stages, &sinks)?;
    ends_exist(&sources, &sinks)?;
    let from = connections(&names, &sources, &stages, &sinks)?;
    let order = upstream_first(&stages, &from.stages)?;
    let mut place = vec![0; order.len()];
    for (now, &before) in order.iter().enumerate() {
        place[before] = now;
    }
    let moved = |origins: &[Origin]| -> Vec<Origin> {
        origins
            .iter()
            .map(|origin| match *origin {
                Origin::Source(index) => Origin::Source(index),
                Origin::Stage(index) => Origin::Stage(place[index]),
            })
            .collect()
    };
    for (stage, origins) in stages.iter_mut().zip(&from.stages) {
        stage.from = moved(origins);
    }
    for (sink, origins) in sinks.iter_mut().zip(&from.sinks) {
        sink.from = moved(origins);
    }
    let mut slots: Vec<Option<Stage>> = stages.into_iter().map(Some).collect();
    let stages: Vec<Stage> = order.iter().filter_map(|&index| slots[index].take()).collect();
    everything_is_read(&sources, &stages, &sinks)?;
    with_framing(sources, stages, sinks)
}

fn names(
    sources: &[Source],
    stages: &[Stage],
    sinks: &[Sink],
) -> Result<BTreeMap<String, Named>, Vec<Problem>> {
    let all = (sources.iter().enumerate().map(|(i, s)| (&s.name, &s.at, Named::Source(i))))
        .chain(stages.iter().enumerate().map(|(i, s)| (&s.name, &s.at, Named::Stage(i))))
        .chain(sinks.iter().enumerate().map(|(i, s)| (&s.name, &s.at, Named::Sink(i))));
    let mut names = BTreeMap::new();
    let mut first: BTreeMap<&str, &At> = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, at, named) in all {
        if let Some(before) = first.get(name.as_str()) {
            problems.push(
                Problem::at(at, format!("the name `{name}` is used twice"), "used again here")
                    .also(before, "first used here")
                    .help("sources, stages and sinks share their names: give each its own"),
            );
        } else {
            first.insert(name, at);
            names.insert(name.clone(), named);
        }
    }
    if problems.is_empty() { Ok(names) } else { Err(problems) }
}

fn ends_exist(sources: &[Source], sinks: &[Sink]) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    if sources.is_empty() {
        problems.push(
            Problem::new("the pipeline has no source")
                .help("add one, for example [source.log] with file = \"logs/*.log\", or stdin = true"),
        );
    }
    if sinks.is_empty() {
        problems.push(
            Problem::new("the pipeline has no sink")
                .help("add one, for example [sink.out] with stdout = true, or file = \"out.txt\""),
        );
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What each stage and sink reads from, by its position in the file.
#[derive(Debug, Default)]
struct Connections {
    stages: Vec<Vec<Origin>>,
    sinks: Vec<Vec<Origin>>,
}

fn connections(
    names: &BTreeMap<String, Named>,
    sources: &[Source],
    stages: &[Stage],
    sinks: &[Sink],
) -> Result<Connections, Vec<Problem>> {
    let (mut problems, mut missing) = (Vec::new(), Vec::new());
    let mut resolved = Connections::default();
    let line = straight_line(sources, stages, sinks);
    for (index, stage) in stages.iter().enumerate() {
        let implied = line.as_ref().map(|line| line.stages[index]);
        let (name, at) = (&stage.name, &stage.at);
        let origins = match &stage.named {
            Some(from) => origins(names, name, from, &mut problems),
            None => left_out(name, at, implied, &mut missing),
        };
        resolved.stages.push(origins);
    }
    for sink in sinks {
        let implied = line.as_ref().map(|line| line.sink);
        let (name, at) = (&sink.name, &sink.at);
        let origins = match &sink.named {
            Some(from) => origins(names, name, from, &mut problems),
            None => left_out(name, at, implied, &mut missing),
        };
        resolved.sinks.push(origins);
    }
    if problems.is_empty() {
        problems = missing;
    }
    if problems.is_empty() { Ok(resolved) } else { Err(problems) }
}

/// What `from` means where it is left out.
#[derive(Debug)]
struct Line {
    stages: Vec<Origin>,
    sink: Origin,
}

/// The file as one line: a source, stages and a sink in this order, where no `from` says otherwise.
fn straight_line(sources: &[Source], stages: &[Stage], sinks: &[Sink]) -> Option<Line> {
    let ([source], [sink]) = (sources, sinks) else { return None };
    let starts = std::iter::once(&source.at).chain(stages.iter().map(|s| &s.at)).chain([&sink.at]);
    if !starts.map(|at| at.0.start).is_sorted() {
        return None;
    }
    let origin = |index: usize| if index == 0 { Origin::Source(0) } else { Origin::Stage(index - 1) };
    let name = |index: usize| if index == 0 { &source.name } else { &stages[index - 1].name };
    let straight = |index: usize, from: &Option<Vec<(String, At)>>| {
        from.as_ref().is_none_or(|names| matches!(names.as_slice(), [(only, _)] if only == name(index)))
    };
    let all_straight = stages.iter().enumerate().all(|(index, stage)| straight(index, &stage.named))
        && straight(stages.len(), &sink.named);
    all_straight.then(|| Line { stages: (0..stages.len()).map(origin).collect(), sink: origin(stages.len()) })
}

/// What a stage or sink without `from` reads from: a problem unless the file is one line.
fn left_out(name: &str, at: &At, implied: Option<Origin>, problems: &mut Vec<Problem>) -> Vec<Origin> {
    if implied.is_none() {
        problems.push(
            Problem::at(at, format!("`{name}` does not say what it reads from"), "expected `from`")
                .help("add from = \"…\" with the name of a source or stage, or a list of them")
                .help("it may be left out only where the file is one straight line: one source, the stages in order, one sink"),
        );
    }
    implied.into_iter().collect()
}

fn origins(
    names: &BTreeMap<String, Named>,
    name: &str,
    from: &[(String, At)],
    problems: &mut Vec<Problem>,
) -> Vec<Origin> {
    let mut origins = Vec::with_capacity(from.len());
    for (upstream, at) in from {
        let origin = match names.get(upstream) {
            Some(&Named::Source(index)) => Origin::Source(index),
            Some(&Named::Stage(index)) => Origin::Stage(index),
            Some(Named::Sink(_)) => {
                problems.push(
                    Problem::at(
                        at,
                        format!("`{name}` cannot read from the sink `{upstream}`"),
                        "a sink is an end",
                    )
                    .help("name the stage that the sink reads from: every reader gets its own copy"),
                );
                continue;
            }
            None => {
                problems.push(unknown_origin(names, name, upstream, at));
                continue;
            }
        };
        if origins.contains(&origin) {
            problems.push(Problem::at(
                at,
                format!("`{name}` reads from `{upstream}` twice"),
                "named again here",
            ));
        } else {
            origins.push(origin);
        }
    }
    origins
}

fn unknown_origin(names: &BTreeMap<String, Named>, name: &str, upstream: &str, at: &At) -> Problem {
    let readable =
        names.iter().filter(|(_, named)| !matches!(named, Named::Sink(_))).map(|(n, _)| n.as_str());
    let readable = readable.filter(|&other| other != name);
    Problem::at(at, format!("there is no source or stage `{upstream}`"), format!("`{name}` reads from it"))
        .helps(crate::text::names::help(upstream, "sources and stages here", readable))
}

/// Stages in an order in which each comes after those it reads from; in the file's order where that is free.
fn upstream_first(stages: &[Stage], from: &[Vec<Origin>]) -> Result<Vec<usize>, Vec<Problem>> {
    let upstream = |index: usize| {
        from[index].iter().filter_map(|origin| match origin {
            Origin::Source(_) => None,
            Origin::Stage(index) => Some(*index),
        })
    };
    let mut readers = vec![Vec::new(); stages.len()];
    let mut waits: Vec<usize> = Vec::with_capacity(stages.len());
    for index in 0..stages.len() {
        upstream(index).for_each(|up| readers[up].push(index));
        waits.push(upstream(index).count());
    }
    let mut ready: BTreeSet<usize> = (0..stages.len()).filter(|&index| waits[index] == 0).collect();
    let mut order = Vec::with_capacity(stages.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for &reader in &readers[index] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    let Some(stuck) = (0..stages.len()).find(|&index| waits[index] > 0) else { return Ok(order) };
    let mut walk = vec![stuck];
    loop {
        let last = walk[walk.len() - 1];
        let Some(up) = upstream(last).find(|&up| waits[up] > 0) else { return Ok(order) };
        if let Some(start) = walk.iter().position(|&index| index == up) {
            walk.drain(..start);
            return Err(vec![cycle(stages, walk)]);
        }
        walk.push(up);
    }
}

/// The message about a cycle, walked against its direction.
fn cycle(stages: &[Stage], mut walk: Vec<usize>) -> Problem {
    walk.reverse();
    let first = walk.iter().enumerate().min_by_key(|&(_, &index)| index).map_or(0, |(place, _)| place);
    walk.rotate_left(first);
    let names: Vec<&str> = walk.iter().chain(&walk[..1]).map(|&index| stages[index].name.as_str()).collect();
    let stage = &stages[walk[0]];
    let came_by = &stages[walk[walk.len() - 1]].name;
    let at = stage
        .named
        .iter()
        .flatten()
        .find(|(name, _)| name == came_by)
        .map_or_else(|| stage.at.clone(), |(_, at)| at.clone());
    Problem::at(&at, format!("`from` leads in a circle: {}", names.join(" → ")), "closes the circle")
        .help("records flow from sources to sinks only: let one of these read from something else")
}

fn everything_is_read(sources: &[Source], stages: &[Stage], sinks: &[Sink]) -> Result<(), Vec<Problem>> {
    let read: BTreeSet<Origin> = stages
        .iter()
        .flat_map(|stage| &stage.from)
        .chain(sinks.iter().flat_map(|sink| &sink.from))
        .copied()
        .collect();
    let unread = |origin, at: &At, name: &str, what: &str| {
        (!read.contains(&origin)).then(|| {
            Problem::at(at, format!("nothing reads from {what} `{name}`"), "leads to no sink")
                .help(format!("add a sink with from = \"{name}\", or remove the {what}"))
        })
    };
    let problems: Vec<Problem> = (sources.iter().enumerate())
        .filter_map(|(index, s)| unread(Origin::Source(index), &s.at, &s.name, "source"))
        .chain(
            stages
                .iter()
                .enumerate()
                .filter_map(|(index, s)| unread(Origin::Stage(index), &s.at, &s.name, "stage")),
        )
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Hands the framing down the graph: a stage prints as it reads, unless it says otherwise.
fn with_framing(sources: Vec<Source>, stages: Vec<Stage>, sinks: Vec<Sink>) -> Result<Joined, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut joined = Joined { sources, stages: Vec::with_capacity(stages.len()), sinks: Vec::new() };
    for mut stage in stages {
        stage.framing_in = joined.common_framing(&stage.from, &stage.name, &stage.at, &mut problems);
        stage.framing_out = stage.framing.take().unwrap_or_else(|| stage.default_framing());
        stage.named = None;
        joined.stages.push(stage);
    }
    for mut sink in sinks {
        sink.named = None;
        sink.framing = joined.common_framing(&sink.from, &sink.name, &sink.at, &mut problems);
        joined.sinks.push(sink);
    }
    if problems.is_empty() { Ok(joined) } else { Err(problems) }
}

impl Joined {
    fn common_framing(&self, from: &[Origin], name: &str, at: &At, problems: &mut Vec<Problem>) -> Framing {
        let framings: Vec<(&str, &Framing)> = from
            .iter()
            .map(|origin| match *origin {
                Origin::Source(index) => (self.sources[index].name.as_str(), &self.sources[index].framing),
                Origin::Stage(index) => (self.stages[index].name.as_str(), &self.stages[index].framing_out),
            })
            .collect();
        let Some(&(first, framing)) = framings.first() else { return Framing::Lines };
        if let Some((other, differs)) = framings.iter().find(|(_, other)| *other != framing) {
            problems.push(
                Problem::at(
                    at,
                    format!("`{name}` would read records of different framing"),
                    format!("`{first}` gives {}, `{other}` {}", framing.words(), differs.words()),
                )
                .help(format!(
                    "set `framing` on `{first}` or `{other}`, or on a stage between, so that they agree"
                )),
            );
        }
        framing.clone()
    }
}
