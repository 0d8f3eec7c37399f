//! Tasks and the links between them.

use super::columns::Keys;
use super::order::InOrder;
use super::partitions::Partitions;
use super::place::Places;
use super::tasks::kind;
use super::{LINKS_MAX, PARTITIONS_MAX};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Origin, Pipeline};
use worker_core::config::{Graph, LinkOrder, LinkSpec, NodeIx, Rate, TaskId, TaskKind, TaskSpec, WhenFull};
use worker_core::route::{Edge, PartitionBy};
use worker_proto::LinkId;

/// The graph, and the modes out of every task in it.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) graph: Graph,
    pub(super) edges: Vec<Vec<Edge>>,
    /// The first task of each source, stage and sink, in this order.
    pub(super) first_source: Vec<u32>,
    pub(super) first_stage: Vec<u32>,
    pub(super) first_sink: Vec<u32>,
}

/// One hop's receiving side.
#[derive(Debug)]
struct Reader<'a> {
    name: &'a str,
    from: &'a [Origin],
    count: u32,
    by: Option<&'a PartitionBy>,
    in_order: bool,
    when_full: WhenFull,
    when_full_at: &'a At,
    at: &'a At,
}

pub(super) fn lay(
    pipeline: &Pipeline,
    partitions: &Partitions,
    places: &Places,
    (keys, in_order): (&Keys, &InOrder),
) -> Result<Layout, Vec<Problem>> {
    let readers = readers(pipeline, partitions, (keys, in_order));
    few_enough(&readers, partitions)?;
    nothing_dropped_in_order(&readers)?;
    let mut layout = tasks(pipeline, places);
    let firsts: Vec<u32> = layout.first_stage.iter().chain(&layout.first_sink).copied().collect();
    for (reader, first) in readers.iter().zip(firsts) {
        for &origin in reader.from {
            let first_sender = match origin {
                Origin::Source(index) => layout.first_source[index],
                Origin::Stage(index) => layout.first_stage[index],
            };
            let links = layout.graph.links.len();
            layout.hop((first_sender, partitions.of(origin)), first, reader);
            layout.when_full(links, reader.when_full);
            layout.headed(
                links,
                matches!(origin, Origin::Stage(index) if pipeline.stages[index].gives_header()),
            );
        }
    }
    Ok(layout)
}

fn readers<'a>(
    pipeline: &'a Pipeline,
    partitions: &Partitions,
    (keys, in_order): (&'a Keys, &InOrder),
) -> Vec<Reader<'a>> {
    let stages = pipeline.stages.iter().zip(&partitions.stages).zip(&keys.stages).zip(&in_order.stages);
    let stages = stages.map(|(((stage, &count), by), &in_order)| {
        let (name, from, by, at) = (stage.name.as_str(), &stage.from, by.as_ref(), &stage.partitions_at);
        Reader {
            name,
            from,
            count,
            by,
            in_order,
            when_full: stage.when_full,
            when_full_at: &stage.when_full_at,
            at,
        }
    });
    let sinks = pipeline.sinks.iter().zip(&partitions.sinks).zip(&keys.sinks).zip(&in_order.sinks);
    let sinks = sinks.map(|(((sink, &count), by), &in_order)| {
        let (name, from, by, at) = (sink.name.as_str(), &sink.from, by.as_ref(), &sink.partitions_at);
        Reader {
            name,
            from,
            count,
            by,
            in_order,
            when_full: sink.when_full,
            when_full_at: &sink.when_full_at,
            at,
        }
    });
    stages.chain(sinks).collect()
}

fn one_to_one(senders: u32, receivers: u32, by: Option<&PartitionBy>) -> bool {
    by.is_none() && senders == receivers && senders > 1
}

/// Counted before anything is made, so that a wrong file costs no memory.
fn few_enough(readers: &[Reader<'_>], partitions: &Partitions) -> Result<(), Vec<Problem>> {
    let count = |reader: &Reader<'_>| -> usize {
        let senders = reader.from.iter().map(|&origin| partitions.of(origin));
        senders
            .map(|senders| {
                let receivers = if one_to_one(senders, reader.count, reader.by) { 1 } else { reader.count };
                senders as usize * receivers as usize
            })
            .sum()
    };
    let all: usize = readers.iter().map(count).sum();
    if all <= LINKS_MAX {
        return Ok(());
    }
    let Some(worst) = readers.iter().max_by_key(|reader| count(reader)) else { return Ok(()) };
    let title = format!(
        "{all} links are too many: at most {LINKS_MAX} in all, {PARTITIONS_MAX} partitions per stage"
    );
    let senders: u32 = worst.from.iter().map(|&origin| partitions.of(origin)).sum();
    let label =
        format!("`{}`: {senders} × {} partitions make {} links", worst.name, worst.count, count(worst));
    Err(vec![
        Problem::at(worst.at, title, label).help(
            "every task of one stage has a link to every task of the next: give them fewer `partitions`",
        ),
    ])
}

/// Where the order of the input is kept, a place in it cannot be left out.
fn nothing_dropped_in_order(readers: &[Reader<'_>]) -> Result<(), Vec<Problem>> {
    let drops = |reader: &&Reader<'_>| reader.in_order && reader.when_full != WhenFull::Wait;
    let problems: Vec<Problem> = readers
        .iter()
        .filter(drops)
        .map(|reader| {
            let title =
                format!("`when_full` drops what `{}` has to read in the order of the input", reader.name);
            Problem::at(
                reader.when_full_at,
                title,
                "what comes behind would wait for ever for what is dropped",
            )
            .help("remove this line; or remove order = \"input\" (-k) from it and from what reads from it")
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn tasks(pipeline: &Pipeline, places: &Places) -> Layout {
    let mut layout = Layout {
        graph: Graph::default(),
        edges: Vec::new(),
        first_source: Vec::new(),
        first_stage: Vec::new(),
        first_sink: Vec::new(),
    };
    for (source, nodes) in pipeline.sources.iter().zip(&places.sources) {
        let first = layout.add(&source.name, nodes, &TaskKind::Source);
        layout.first_source.push(first);
        layout.rate(&source.name, source.pace.counted(source.input.rate()));
    }
    for (stage, nodes) in pipeline.stages.iter().zip(&places.stages) {
        let first = layout.add(&stage.name, nodes, &kind(stage));
        layout.first_stage.push(first);
        layout.rate(&stage.name, stage.pace.counted(None));
    }
    for (sink, nodes) in pipeline.sinks.iter().zip(&places.sinks) {
        let first = layout.add(&sink.name, nodes, &sink.target.stage().map_or(TaskKind::Sink, kind));
        layout.first_sink.push(first);
        layout.rate(&sink.name, sink.pace.counted(None));
    }
    layout
}

impl Layout {
    /// Adds one task per node and returns the first one's number.
    fn add(&mut self, name: &str, nodes: &[NodeIx], kind: &TaskKind) -> u32 {
        let first = number(self.graph.tasks.len());
        for (partition, &node) in nodes.iter().enumerate() {
            self.graph.tasks.push(TaskSpec { name: format!("{name}/{partition}"), node, kind: kind.clone() });
            self.edges.push(Vec::new());
        }
        first
    }

    /// The links from that one on drop what they have no room for, if they are told to.
    fn when_full(&mut self, first: usize, when_full: WhenFull) {
        if when_full != WhenFull::Wait {
            let links = (first..self.graph.links.len()).map(|link| (LinkId(number(link)), when_full));
            self.graph.when_full.extend(links);
        }
    }

    /// The links from that one on begin with a header.
    fn headed(&mut self, first: usize, are: bool) {
        let links = (first..self.graph.links.len()).filter(|_| are).map(|link| LinkId(number(link)));
        self.graph.headed.extend(links);
    }

    fn rate(&mut self, name: &str, rate: Option<Rate>) {
        self.graph.rates.extend(rate.map(|rate| (name.to_owned(), rate)));
    }

    /// Joins `senders`, the first task and how many there are, to the tasks of a reader, the first of which is `first`.
    fn hop(&mut self, senders: (u32, u32), first: u32, reader: &Reader<'_>) {
        let direct = one_to_one(senders.1, reader.count, reader.by);
        let order = match reader.in_order {
            true => LinkOrder::between(senders.1 as usize, reader.count as usize, reader.by.is_some()),
            false => LinkOrder::Any,
        };
        for partition in 0..senders.1 {
            let from = TaskId(senders.0 + partition);
            let to = if direct { partition..partition + 1 } else { 0..reader.count };
            let mut links: Vec<LinkId> = to
                .map(|to| {
                    let link = LinkId(number(self.graph.links.len()));
                    let spec = LinkSpec::new(from, TaskId(first + to));
                    self.graph.links.push(LinkSpec { order, ..spec });
                    link
                })
                .collect();
            if reader.by.is_none() && order == LinkOrder::Any {
                self.graph.keyless.extend(&links);
            }
            if order == LinkOrder::Dealt {
                // The core deals what the router gives it for the first.
                links.truncate(1);
            }
            self.edges[from.0 as usize].push(Edge { links, by: reader.by.cloned() });
        }
    }
}

/// A position as an id; the limits keep it far below 32 bits.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
