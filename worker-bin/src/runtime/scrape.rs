//! What a scrape of the metrics sees.

use super::engine::Engine;
use crate::metrics::Scrape;
use crate::otel::METRICS_EVERY;
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
            stalls: self.watch().stall_counts(),
            storage_full,
            snapshot,
        }
    }

    /// Sends metrics to the collector, if there is one, for as long as the engine is there.
    pub(super) fn export_now_and_then(self: &Arc<Self>) {
        if self.otel.is_none() {
            return;
        }
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(METRICS_EVERY).await;
                let Some(engine) = weak.upgrade() else { return };
                engine.export().await;
            }
        });
    }

    pub(super) async fn export(self: &Arc<Self>) {
        if let Some(otel) = self.otel.clone() {
            let scrape = self.scrape();
            tokio::task::spawn_blocking(move || otel.export(&scrape)).await.ok();
        }
    }
}
