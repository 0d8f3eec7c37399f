//! What a run is told.

use super::progress;
use crate::admin::AdminSettings;
use crate::chaos::Chaos;
use crate::otel::Otel;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use worker_net::Tls;

/// What a run is told beside its plan.
#[derive(Clone, Debug)]
pub struct Options {
    pub name: String,
    /// Longest record, in bytes without its terminator.
    pub max_record: usize,
    /// End each source after this many records.
    pub limit: Option<u64>,
    /// Where outputs past their memory budget go.
    pub spill_dir: PathBuf,
    /// Where dead letters go.
    pub dead_letters: PathBuf,
    /// How long an orderly stop may take.
    pub drain_timeout: Duration,
    /// How long a finished node waits for its peers' goodbyes.
    pub linger: Duration,
    /// Address of every node, in the order of the plan; empty for one process alone.
    pub addresses: Vec<String>,
    /// By what this node proves to the others who it is; `None`: by nothing, in plain TCP.
    pub tls: Option<Arc<Tls>>,
    /// Where its admin API answers, and to whom.
    pub admin: AdminSettings,
    /// How to show progress.
    pub progress: progress::Mode,
    /// `memory` or `exactly-once`, for people.
    pub delivery: &'static str,
    /// For how long something must not move to count as stalled.
    pub stall_after: Duration,
    /// Who is sent metrics.
    pub otel: Option<Arc<Otel>>,
    /// What fails on purpose.
    pub chaos: Option<Arc<Chaos>>,
}
