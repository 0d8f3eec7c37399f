//! Which node runs which task: as `place` says, else by rendezvous hashing, which moves few tasks when a node joins.

use super::partitions::Partitions;
use crate::io::sink::Tasks;
use crate::pipeline::cluster::Cluster;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Pipeline, PlaceName};
use crate::text::names;
use worker_core::config::NodeIx;
use xxhash_rust::xxh3::xxh3_64;

/// The node of every task, in the order of the pipeline's lists and partitions.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) sources: Vec<Vec<NodeIx>>,
    pub(super) stages: Vec<Vec<NodeIx>>,
    pub(super) sinks: Vec<Vec<NodeIx>>,
}

/// A source, stage or sink that needs places.
#[derive(Debug)]
struct Wanted<'a> {
    name: &'a str,
    count: u32,
    place: &'a [PlaceName],
    at: &'a At,
    /// Why it cannot be just anywhere.
    local: Option<&'static str>,
    /// Why it cannot be on several nodes.
    one_node: Option<&'static str>,
}

pub(super) fn places(
    pipeline: &Pipeline,
    cluster: &Cluster,
    partitions: &Partitions,
) -> Result<Places, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut places = Places::default();
    for (source, &count) in pipeline.sources.iter().zip(&partitions.sources) {
        let local = source.input.local();
        let (name, place, at) = (&source.name, &source.place, &source.at);
        let wanted = Wanted { name, count, place, at, local, one_node: None };
        places.sources.push(wanted.nodes(cluster, &mut problems));
    }
    for (stage, &count) in pipeline.stages.iter().zip(&partitions.stages) {
        let (name, place, at) = (&stage.name, &stage.place, &stage.at);
        let wanted = Wanted { name, count, place, at, local: None, one_node: None };
        places.stages.push(wanted.nodes(cluster, &mut problems));
    }
    for (sink, &count) in pipeline.sinks.iter().zip(&partitions.sinks) {
        let end = &sink.target;
        let one_node = match end.tasks() {
            Tasks::One(why) => Some(why),
            Tasks::Any | Tasks::AsUpstream => None,
        };
        let local = end.local();
        let (name, place, at) = (&sink.name, &sink.place, &sink.at);
        let wanted = Wanted { name, count, place, at, local, one_node };
        places.sinks.push(wanted.nodes(cluster, &mut problems));
    }
    if problems.is_empty() { Ok(places) } else { Err(problems) }
}

impl Wanted<'_> {
    fn nodes(&self, cluster: &Cluster, problems: &mut Vec<Problem>) -> Vec<NodeIx> {
        if !cluster.is_from_file() {
            return vec![NodeIx(0); self.count as usize];
        }
        let mut named = Vec::with_capacity(self.place.len());
        for PlaceName { node, at } in self.place {
            match cluster.position(node) {
                Some(node) => named.push(node),
                None => problems.push(unknown(node, at, cluster)),
            }
        }
        if named.len() < self.place.len() {
            return Vec::new();
        }
        if let (Some(why), [_, second, ..]) = (self.one_node, self.place) {
            problems.push(
                Problem::at(&second.at, format!("`{}` cannot be on several nodes", self.name), why)
                    .help("name one node; or let `file` end in / for one file per partition"),
            );
        }
        if let (Some(what), true, true) = (self.local, named.is_empty(), cluster.nodes().len() > 1) {
            problems.push(
                Problem::at(
                    self.at,
                    format!("`{}` {what}, but no node is named", self.name),
                    "expected `place`",
                )
                .help(format!(
                    "say where: place = \"{}\" (nodes: {})",
                    first(cluster),
                    list(cluster)
                )),
            );
        }
        (0..self.count as usize)
            .map(|partition| match named.as_slice() {
                [] => rendezvous(cluster, &format!("{}/{partition}", self.name)),
                named => named[partition % named.len()],
            })
            .collect()
    }
}

/// The node with the highest hash of task and node; equal hashes go to the first name.
fn rendezvous(cluster: &Cluster, task: &str) -> NodeIx {
    let mut best: Option<(u64, usize)> = None;
    for (index, node) in cluster.names().enumerate() {
        let weight = xxh3_64(format!("{task}\0{node}").as_bytes());
        if best.is_none_or(|(highest, _)| weight > highest) {
            best = Some((weight, index));
        }
    }
    NodeIx(best.and_then(|(_, index)| u16::try_from(index).ok()).unwrap_or(0))
}

fn unknown(node: &str, at: &At, cluster: &Cluster) -> Problem {
    Problem::at(at, format!("there is no node `{node}`"), "not in the cluster file").helps(names::help(
        node,
        "nodes there",
        cluster.names(),
    ))
}

fn first(cluster: &Cluster) -> &str {
    cluster.names().next().unwrap_or_default()
}

fn list(cluster: &Cluster) -> String {
    cluster.names().collect::<Vec<_>>().join(", ")
}
