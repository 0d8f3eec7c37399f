//! What is measured of a task where it is done, because the core does not see it: programs, commits and syncs.

use crate::explain::Followed;
use crate::io::source::{Lag, Total};
use crate::metrics::{Outcome, TaskCosts};
use crate::mutex::lock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use worker_core::event::Failure;

/// The measurements of one task.
#[derive(Debug, Default)]
pub struct TaskMeasure(Mutex<TaskCosts>, Mutex<Option<Lag>>);

/// How much of the input was read.
#[derive(Clone, Debug)]
pub(super) struct InputRead {
    done_bytes: Arc<AtomicU64>,
    /// Of each source.
    totals: Vec<Total>,
}

impl InputRead {
    pub(super) fn new(done_bytes: Arc<AtomicU64>, totals: Vec<Total>) -> Self {
        Self { done_bytes, totals }
    }

    /// Of all there is, once that is known.
    pub(super) fn total_bytes(&self) -> Option<u64> {
        self.totals.iter().map(Total::bytes).sum::<Option<u64>>().filter(|&total| total > 0)
    }

    pub(super) fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }
}

/// One run of a program; dropped before its end is known, it was killed.
#[derive(Debug)]
pub(super) struct ProgramRun {
    measure: Arc<TaskMeasure>,
    outcome: Option<Outcome>,
}

impl TaskMeasure {
    /// A program is started.
    pub(super) fn program(self: &Arc<Self>) -> ProgramRun {
        lock(&self.0).starts += 1;
        ProgramRun { measure: Arc::clone(self), outcome: None }
    }

    /// Commits became durable so long after they were asked for.
    pub(super) fn committed(&self, took: impl IntoIterator<Item = Duration>) {
        let mut costs = lock(&self.0);
        took.into_iter().for_each(|took| costs.commits.add(took));
    }

    /// A sync of the task's journal is over.
    pub(super) fn journal_synced(&self, took: Duration) {
        lock(&self.0).journal_syncs.add(took);
    }

    /// A sync of the sink's file is over.
    pub(super) fn sink_synced(&self, took: Duration) {
        lock(&self.0).sink_syncs.add(took);
    }

    /// The task's source is so far behind what there is to read.
    pub(super) fn lags(&self, lag: Option<Lag>) {
        *lock(&self.1) = lag;
    }

    /// How far it is behind, of a source that follows files.
    pub(super) fn followed(&self) -> Option<Followed> {
        let lag = lock(&self.1).clone()?;
        let (lag_bytes, oldest) = lag.now();
        Some(Followed { files: lag.files().to_owned(), lag_bytes, lag: oldest, waits: lag.is_waiting() })
    }

    pub(super) fn costs(&self) -> TaskCosts {
        let lag = lock(&self.1).as_ref().map(Lag::now);
        TaskCosts { lag, ..lock(&self.0).clone() }
    }
}

impl ProgramRun {
    /// The program has ended so.
    pub(super) fn ended<T>(&mut self, result: &Result<T, Failure>) {
        self.outcome = Some(Outcome::of(result));
    }
}

impl Drop for ProgramRun {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or(Outcome::Killed);
        *lock(&self.measure.0).exits.entry(outcome).or_default() += 1;
    }
}
