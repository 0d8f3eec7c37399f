//! A pipeline laid out over nodes: tasks, links, and what each task here needs to run.
//!
//! A pure function of the pipeline, the cluster and, where a key or a header is named, the first line of a source's first
//! file; so every node computes the same. With state that line is the one of the first start: it is kept in the manifest.
//!
//! - Partitions: as the file says; else a batch stage has as many as there are cores (in a cluster, slots), a stream or
//!   records stage 1, or as many as cores where it says `partition_by`; a directory sink as many as the largest stage it reads from.
//! - Order: who says `order = "input"`, and all between them and the source, are given records in its order ([`InOrder`]).
//! - Hops: with a key from every task to every task; without one, one to one where both sides have the same number of
//!   tasks above 1, else from every task to every task.

mod columns;
mod differences;
mod fingerprint;
mod hops;
mod order;
mod partitions;
mod place;
mod tasks;

pub use differences::{Difference, differences, moves, render};
pub use fingerprint::{placement, semantics};
pub use order::InOrder;
pub use partitions::Partitions;
pub use tasks::{LocalTask, RecordsSettings, Role, Sampling, SinkTask, SourceTask, StageTask};

use super::cluster::Cluster;
use super::diagnostics::{ConfigError, Problem};
use super::model::Pipeline;
use super::validate::{Nodes, overlapping_ends};
use bytes::Bytes;
use columns::FirstRecords;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use worker_core::config::{Graph, Limits, NodeIx, TaskName};
use worker_proto::Fingerprint;

/// Most tasks of a stage: there are this many key groups.
pub const PARTITIONS_MAX: u32 = 4096;

/// Most links of a pipeline.
pub const LINKS_MAX: usize = 16_384;

/// A pipeline laid out over nodes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All tasks and links, on all nodes.
    pub graph: Graph,
    /// Names of all nodes, in the order that [`NodeIx`] counts.
    pub nodes: Vec<String>,
    /// Where the cluster file says that the admin API of nodes is.
    pub admins: BTreeMap<String, String>,
    /// Which of them this is.
    pub me: NodeIx,
    /// How many batch children may run at once here.
    pub slots: usize,
    /// Budgets of every link.
    pub limits: Limits,
    /// The tasks that run here, in the order of their ids.
    pub local: Vec<LocalTask>,
    /// How many tasks everything has.
    pub partitions: Partitions,
    /// Who is given records in the order of the source.
    pub in_order: InOrder,
    /// Of what changes results: of [`semantics()`].
    pub semantic_fingerprint: Fingerprint,
    /// Of what runs where: of [`placement()`].
    pub placement_fingerprint: Fingerprint,
    /// By source, the headers that keys and programs here depend on.
    pub headers: BTreeMap<String, Bytes>,
    semantics: BTreeMap<String, String>,
}

impl Plan {
    /// How many journals the tasks here are to share, where they begin a state directory: as many as there are cores, if any stage
    /// has as many tasks.
    pub(crate) fn journals(&self) -> NonZeroU32 {
        let cores =
            std::thread::available_parallelism().ok().and_then(|cores| NonZeroU32::try_from(cores).ok());
        let widest = self.local.iter().filter_map(|task| NonZeroU32::new(partition(&task.name) + 1)).max();
        cores.into_iter().chain(widest).min().unwrap_or(NonZeroU32::MIN)
    }
}

/// The number of a task within its stage, source or sink.
pub(crate) fn partition(task: &str) -> u32 {
    TaskName::of(task).partition.parse().unwrap_or(0)
}

/// Lays a pipeline out over a cluster, as seen from one of its nodes.
///
/// # Errors
/// What cannot be laid out: unknown nodes, too many links, local ends without a place, columns that cannot be found.
pub fn plan(pipeline: &Pipeline, cluster: &Cluster, me: NodeIx) -> Result<Plan, ConfigError> {
    let fail = |problems: Vec<Problem>| ConfigError::new(pipeline.text.clone(), problems);
    if !cluster.is_from_file() {
        let overlaps = overlapping_ends(&pipeline.dir, &pipeline.sources, &pipeline.sinks, Nodes::One);
        if !overlaps.is_empty() {
            return Err(fail(overlaps));
        }
    }
    let partitions = partitions::partitions(pipeline, cluster).map_err(fail)?;
    let places = place::places(pipeline, cluster, &partitions).map_err(fail)?;
    let mut first = FirstRecords::of(pipeline);
    let keys = columns::keys(pipeline, &mut first).map_err(fail)?;
    let headers = columns::headers(pipeline, (&places, me), &mut first).map_err(fail)?;
    let in_order = InOrder::of(pipeline);
    order::check(pipeline, &in_order, &partitions).map_err(fail)?;
    let layout = hops::lay(pipeline, &partitions, &places, (&keys, &in_order)).map_err(fail)?;
    let names: Vec<String> = cluster.names().map(str::to_owned).collect();
    let semantics = fingerprint::texts(pipeline, &partitions, &keys);
    let semantic_fingerprint = fingerprint::semantic(&semantics);
    let placement_fingerprint = fingerprint::of_placement(&layout.graph, &names);
    let local = tasks::local(pipeline, &partitions, &layout, (&keys, &headers), me);
    let limits = Limits {
        credit_bytes: pipeline.budgets.credit_bytes,
        outbox_bytes: pipeline.budgets.outbox_bytes,
        spill_bytes: pipeline.budgets.spill_limit_bytes,
        shared_credit_bytes: pipeline.budgets.shared_credit_bytes,
    };
    let slots = cluster.slots(me);
    let graph = layout.graph;
    Ok(Plan {
        graph,
        nodes: names,
        admins: cluster.admins(),
        me,
        slots,
        limits,
        local,
        partitions,
        in_order,
        semantic_fingerprint,
        placement_fingerprint,
        headers: first.into_headers(),
        semantics,
    })
}
