//! What the node reports, in the log.

use super::complaints::Complaints;
use super::refusals::Refusals;
use std::sync::Arc;
use worker_core::config::{Graph, TaskKind, TaskName};
use worker_core::event::Report;
use worker_proto::LinkId;

/// A line at its level if one like it is due, and else one for those who debug. Not of the batch or connection amid whose work
/// the node happened to be asked.
macro_rules! line {
    ($due:expr, $level:ident, $($line:tt)+) => {
        match $due {
            Some(left_out) => tracing::$level!(parent: None, left_out, $($line)+),
            None => tracing::debug!(parent: None, $($line)+),
        }
    };
}

/// Says what the node reports, each kind of line and about each only now and then.
#[derive(Debug)]
pub(super) struct NodeLog {
    graph: Arc<Graph>,
    complaints: Complaints,
    refusals: Arc<Refusals>,
}

impl NodeLog {
    pub(super) fn new(graph: Arc<Graph>, refusals: Arc<Refusals>) -> Self {
        Self { graph, complaints: Complaints::default(), refusals }
    }

    pub(super) fn lost(&self, link: LinkId, records: u64) {
        let link = self.graph.link_name(link);
        tracing::warn!(
            parent: None,
            link,
            records,
            "a receiving process died: at most this many records it had accepted are lost"
        );
    }

    pub(super) fn report(&self, report: &Report) {
        let due = |kind, about: &str| self.complaints.due(kind, about);
        match report {
            Report::PeerUp { peer } => line!(due("up", peer), info, peer, "connected"),
            Report::PeerDown { peer, why } => {
                line!(due("down", peer), warn, peer, why, "not connected; trying again until it works")
            }
            Report::PeerGone { peer } => line!(
                due("gone", peer),
                warn,
                peer,
                "all is done here, and it said no goodbye; it is not waited for"
            ),
            Report::PeerRefused { peer, class, why } => self.refusals.refused(class, peer.as_deref(), why),
            Report::PeerRestarted { peer } => {
                line!(due("restarted", peer), warn, peer, "its process was restarted")
            }
            Report::ReaderGone { task } => {
                let stage = TaskName::of(&self.graph.task(*task).name).stage;
                tracing::info!(parent: None, stage, "its reader has gone: it takes nothing more");
            }
            Report::BatchFailed { task, batch, records, attempt, why } => {
                let task = self.graph.task(*task);
                let TaskName { stage, partition } = TaskName::of(&task.name);
                let then = match task.kind {
                    TaskKind::Stream(_) => "a program failed; it is run again over the same input",
                    TaskKind::Records(_) => "a program failed; what it had not answered is asked again",
                    TaskKind::Batch(_) if *records == 0 => {
                        "it was run over no records, for the header that it prints, and failed"
                    }
                    TaskKind::Source | TaskKind::Batch(_) | TaskKind::Sink => {
                        "a batch failed; it is tried again or halved"
                    }
                };
                let due = due("batch", &task.name);
                line!(due, warn, stage, partition, batch, attempt, records, why, "{then}");
            }
        }
    }
}
