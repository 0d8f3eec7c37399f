//! How a run ended.

use crate::admin::ListenError;
use crate::explain::words;
use crate::report::Report;
use std::path::PathBuf;
use thiserror::Error;

/// How a run ended, if it did not fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub dead: u64,
    /// Where they are, if there are any.
    pub dead_letters: Option<PathBuf>,
    /// Records that restarts of other nodes may have lost, at most.
    pub lost: u64,
    /// Records that full links have dropped, as they were told.
    pub dropped: u64,
    /// The signal that asked for the stop, if one did.
    pub interrupted: Option<i32>,
    /// Records accepted and not done.
    pub held: u64,
    /// They are kept for the next start.
    pub keeps: bool,
    /// The user wanted no new input, and what was taken is delivered.
    pub drained: bool,
}

/// Why a run failed.
#[derive(Debug, Error)]
pub enum RunError {
    /// Something of the pipeline failed while it ran.
    #[error("{why}")]
    Pipeline {
        /// What failed and what to do.
        why: String,
        /// What was dead-lettered and lost until then.
        summary: Summary,
    },
    /// The orderly stop took too long, or a second signal came.
    #[error("stopped before everything accepted was done ({})", words::still_on_their_way(*held))]
    Stopped {
        signal: i32,
        /// Records accepted and not done.
        held: u64,
        /// What was dead-lettered and lost until then.
        summary: Summary,
    },
    /// This node cannot listen where the cluster file says.
    #[error("{0}")]
    Listen(#[from] worker_net::BindError),
    /// The admin address cannot be had.
    #[error("{0}")]
    Admin(#[from] ListenError),
    /// The system refuses something every run needs.
    #[error("cannot {what}: {source}")]
    System {
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Outputs cannot be put aside on disk.
    #[error("{0}")]
    Spill(#[from] crate::io::spill::SpillError),
}

/// A run that has begun and is over.
#[derive(Debug)]
pub struct Ended {
    pub result: Result<Summary, RunError>,
    /// What it came to.
    pub report: Box<Report>,
}

pub(super) fn system(what: &'static str, source: std::io::Error) -> RunError {
    RunError::System { what, source }
}
