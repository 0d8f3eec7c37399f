//! What a scrape of the metrics sees.

use super::engine::Engine;
use crate::metrics::Scrape;
use std::collections::BTreeMap;
use std::sync::Arc;
use worker_core::config::NodeIx;
use worker_core::status::Latencies;

impl Engine {
    /// A look at the node, with what is measured beside it.
    pub(super) fn scrape(self: &Arc<Self>) -> Scrape {
        let snapshot = self.snapshot();
        let (storage_full, acknowledgements) =
            self.with_node(|node| (node.is_storage_full(), node.latencies()));
        let by_name = |measured: BTreeMap<NodeIx, Latencies>| {
            let name = |node: NodeIx| snapshot.nodes.get(usize::from(node.0)).cloned();
            measured.into_iter().filter_map(|(node, took)| Some((name(node)?, took))).collect()
        };
        let costs = self.local_tasks().map(|(task, name)| (name.to_owned(), self.measure(task).costs()));
        Scrape {
            costs: costs.collect(),
            round_trips: by_name(self.connections.round_trip_times()),
            acknowledgements: by_name(acknowledgements),
            stalls: self.watch().stalls(),
            storage_full,
            snapshot,
        }
    }
}
