//! What a scrape of the metrics sees.

use super::cell::Cell;
use super::link::Connections;
use super::measure::TaskMeasure;
use super::observe::Watch;
use crate::admin::Refusals;
use crate::metrics::Scrape;
use crate::otel::{METRICS_EVERY, Otel};
use std::collections::BTreeMap;
use std::sync::Arc;
use worker_core::config::NodeIx;
use worker_core::status::Latencies;

/// Where metrics come from.
#[derive(Debug)]
pub(super) struct Scraper {
    pub(super) cell: Arc<Cell>,
    pub(super) watch: Arc<Watch>,
    pub(super) connections: Arc<Connections>,
    /// Of each task of this node, by name.
    pub(super) measures: Vec<(String, Arc<TaskMeasure>)>,
    /// What the admin address did not answer.
    pub(super) refusals: Arc<Refusals>,
    pub(super) otel: Option<Arc<Otel>>,
}

impl Scraper {
    /// A look at the node, with what is measured beside it.
    pub(super) fn scrape(&self) -> Scrape {
        let snapshot = self.watch.snapshot();
        let (storage_full, acknowledgements) =
            self.cell.look(|node| (node.is_storage_full(), node.latencies()));
        let by_name = |measured: BTreeMap<NodeIx, Latencies>| {
            let name = |node: NodeIx| snapshot.nodes.get(usize::from(node.0)).cloned();
            measured.into_iter().filter_map(|(node, took)| Some((name(node)?, took))).collect()
        };
        let costs = self.measures.iter().map(|(name, measure)| (name.clone(), measure.costs()));
        Scrape {
            costs: costs.collect(),
            round_trips: by_name(self.connections.round_trip_times()),
            acknowledgements: by_name(acknowledgements),
            refused: self.connections.refused(),
            stalls: self.watch.stall_counts(),
            storage_full,
            refusals: self.refusals.counts().collect(),
            snapshot,
        }
    }

    /// Sends metrics to the collector, if there is one, for as long as the run goes on.
    pub(super) fn export_now_and_then(self: &Arc<Self>) {
        if self.otel.is_none() {
            return;
        }
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(METRICS_EVERY).await;
                let Some(scraper) = weak.upgrade() else { return };
                scraper.export().await;
            }
        });
    }

    pub(super) async fn export(&self) {
        if let Some(otel) = self.otel.clone() {
            let scrape = self.scrape();
            tokio::task::spawn_blocking(move || otel.export(&scrape)).await.ok();
        }
    }
}
