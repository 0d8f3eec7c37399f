//! What a node tells a Prometheus server: one look at it as OpenMetrics text, or the plain one; or an OpenTelemetry collector.
//!
//! Nothing is counted for it on the way of a record: counters and queues come from the [`Snapshot`] that every other view of the
//! node is made of, and only what the core does not see is measured beside it ([`TaskCosts`]). Labels name parts of the pipeline,
//! causes and outcomes, never anything of a record, so their number is bounded by the pipeline. Names and meaning are in
//! `docs/metrics.md`, which a test compares with what is given.

mod form;
mod link;
mod node;
mod page;
mod table;
mod task;
mod text;

pub use form::Form;

use crate::explain::Snapshot;
use page::Page;
use page::Sink;
#[cfg(feature = "otel")]
pub(crate) use page::{Family, FamilyKind, Labels, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use worker_core::event::{Failure, FailureKind};
use worker_core::status::{LATENCY_BOUNDS_US, Latencies};

/// A node at one moment, with what is measured of it.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// Counters, queues and waits.
    pub snapshot: Snapshot,
    pub costs: BTreeMap<String, TaskCosts>,
    /// Round trips of heartbeats, by the node that was asked.
    pub round_trips: BTreeMap<String, Latencies>,
    /// From sending to acknowledgement, by the node that gave it.
    pub acknowledgements: BTreeMap<String, Latencies>,
    /// Connections that were turned away or dropped, and links refused, by class.
    pub refused: BTreeMap<&'static str, u64>,
    /// Stalls that go on, and all that ever began.
    pub stalls: (u64, u64),
    /// The disk that commits go to is full.
    pub storage_full: bool,
    /// What the admin address did not answer, by the reason.
    pub refusals: Vec<(&'static str, u64)>,
}

/// What is measured of a task where it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskCosts {
    /// Programs begun, those that could not be started included.
    pub starts: u64,
    pub exits: BTreeMap<Outcome, u64>,
    /// From asking for a commit to its being durable.
    pub commits: Latencies,
    /// Syncs of the journal.
    pub journal_syncs: Latencies,
    /// Syncs of the sink's file.
    pub sink_syncs: Latencies,
    /// Of a source that never ends: bytes that are there and were not read, and for how long the first of them has been.
    pub lag: Option<(u64, Duration)>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Ok,
    /// With an exit status that is not accepted.
    Exit,
    Signal,
    /// It did nothing for too long.
    Timeout,
    /// It broke a rule of its output.
    Output,
    /// Before it had read its input.
    EarlyExit,
    /// Run again it printed something else.
    Diverged,
    /// It was never there.
    CannotStart,
    /// By the worker, which wanted no more of it.
    Killed,
    /// The worker could not serve it.
    Worker,
}

impl Outcome {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Exit => "exit",
            Outcome::Signal => "signal",
            Outcome::Timeout => "timeout",
            Outcome::Output => "output",
            Outcome::EarlyExit => "early_exit",
            Outcome::Diverged => "diverged",
            Outcome::CannotStart => "cannot_start",
            Outcome::Killed => "killed",
            Outcome::Worker => "worker",
        }
    }

    /// How a program ended that gave this result.
    pub fn of<T>(result: &Result<T, Failure>) -> Self {
        match result.as_ref().map_err(|failure| failure.kind) {
            Ok(_) => Outcome::Ok,
            Err(FailureKind::CannotStart | FailureKind::Records) => Outcome::CannotStart,
            Err(FailureKind::Exit(_)) => Outcome::Exit,
            Err(FailureKind::Signal(_) | FailureKind::Injected) => Outcome::Signal,
            Err(FailureKind::Timeout) => Outcome::Timeout,
            Err(FailureKind::Output) => Outcome::Output,
            Err(FailureKind::EarlyExit) => Outcome::EarlyExit,
            Err(FailureKind::Diverged) => Outcome::Diverged,
            Err(FailureKind::WorkerDied | FailureKind::Worker) => Outcome::Worker,
        }
    }
}

impl Scrape {
    /// Gives every family to `sink`, in the order of the documentation.
    pub(crate) fn families(&self, sink: &mut Sink<'_>) -> fmt::Result {
        let mut page = Page::new(sink);
        task::encode(self, &mut page)?;
        task::encode_costs(self, &mut page)?;
        link::encode_sending(self, &mut page)?;
        link::encode_receiving(self, &mut page)?;
        link::encode_peers(self, &mut page)?;
        node::encode(self, &mut page)
    }
}

/// What the classes of durations end at, in seconds, but the last, which has no end.
pub(crate) fn bounds_s() -> impl Iterator<Item = f64> {
    LATENCY_BOUNDS_US.iter().map(|us| Duration::from_micros(*us).as_secs_f64())
}

/// Amounts as Prometheus has them: what is above 2⁵³ loses its last digits.
#[expect(clippy::cast_precision_loss, reason = "all values are floating-point numbers there")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
