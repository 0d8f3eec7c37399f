//! Wires the core to children, sockets, files and the clock.
//!
//! One `Engine` a process: the core's `Node` behind a lock that is held for microseconds, never across waiting. Whoever has
//! news (a child's end, a chunk read, a frame) hands it in and then carries out what the node asks for: each action goes,
//! still under the lock and therefore in order, to the thread or tokio task whose work it is.
//!
//! ```text
//!   source thread ─┐                         ┌─▶ tokio task per batch run, per stream child, per connection
//!   child tasks   ─┼─▶ Engine::tell ─▶ Node ─┼─▶ sink thread, source thread (channels)
//!   connections   ─┘         ▲               └─▶ spill thread (store, load)
//!                         timer task
//! ```

mod admin_listener;
mod batch;
mod blockers;
mod collect;
mod complaints;
mod dispatch;
mod durable;
mod engine;
mod journal;
mod journaled;
mod link;
mod log;
mod measure;
mod observe;
mod open;
mod ports;
pub mod progress;
mod records;
mod report;
mod scrape;
mod signals;
mod sink;
mod source;
mod spill;
mod storage;
mod stream;
mod subject;
mod tap;
mod window;

/// What does without a system, for the simulation, which drives it as a run does.
#[doc(hidden)]
pub mod parts {
    pub use super::collect::{Collector, Staging, Waits};
    pub use super::tap::Taps;
    pub use super::window::WindowOutput;
}

pub use durable::{Durable, DurableError, Found, dead_dir};
pub use open::{Opened, open};

use crate::admin::{AdminAddress, ListenError};
use crate::child::Launcher;
use crate::explain::RunState;
use crate::otel::Otel;
use crate::pipeline::plan::Plan;
use crate::report::Report;
use engine::{End, Engine};
use signals::Hangup;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

/// How long the end of a run waits for readers of taps that have not got everything.
const TAPS_PATIENCE: Duration = Duration::from_millis(300);

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
    /// Where its admin API answers.
    pub admin: AdminAddress,
    /// How to show progress.
    pub progress: progress::Mode,
    /// `memory` or `exactly-once`, for people.
    pub delivery: &'static str,
    /// For how long something must not move to count as stalled.
    pub stall_after: Duration,
    /// Who is sent metrics.
    pub otel: Option<Arc<Otel>>,
}

/// How a run ended, if it did not fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub dead: u64,
    /// Where they are, if there are any.
    pub dead_letters: Option<PathBuf>,
    /// Records that restarts of other nodes may have lost, at most.
    pub lost: u64,
    /// The signal that asked for the stop, if one did.
    pub interrupted: Option<i32>,
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
    #[error("stopped before everything accepted was done ({held} records were still on their way)")]
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

/// Runs the tasks of this node until the input ends, the pipeline fails or the user stops it; children are gone and connections
/// closed when it returns.
///
/// # Errors
/// [`RunError`], if it could not begin.
pub async fn run(
    plan: Plan,
    opened: Opened,
    durable: Option<Durable>,
    launcher: Launcher,
    options: Options,
) -> Result<Ended, RunError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| system("listen for signals", e))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| system("listen for signals", e))?;
    let mut hangup = Hangup::new().map_err(|e| system("listen for signals", e))?;
    let drain_timeout = options.drain_timeout;
    let (engine, mut ended) =
        Box::pin(Engine::start(plan, opened, durable, launcher.clone(), options)).await?;
    let mut interrupted = None;
    let mut deadline = None;
    let result = loop {
        let late = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let signal = tokio::select! {
            end = &mut ended => break end.unwrap_or(End::Stopped(2)),
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
            () = hangup.heard() => 1,
            () = engine.drain_asked() => 15,
            () = late => break End::Stopped(interrupted.unwrap_or(2)),
        };
        if interrupted.replace(signal).is_some() {
            break End::Stopped(signal);
        }
        tracing::warn!("stopping: sources end here, what was accepted is finished; once more stops now");
        deadline = Some(tokio::time::Instant::now() + drain_timeout);
        engine.drain();
    };
    Ok(finish(&engine, &launcher, result, interrupted).await)
}

async fn finish(engine: &Arc<Engine>, launcher: &Launcher, result: End, interrupted: Option<i32>) -> Ended {
    let held = engine.held_records();
    engine.look();
    engine.taps.close();
    // From here on the node decides nothing more: what is stopped below is no end of anything.
    engine.leave();
    engine.stop_all().await;
    launcher.shutdown().await;
    engine.remove_scratch();
    tokio::time::timeout(Duration::from_secs(5), engine.spill.flush()).await.ok();
    // A poisoned journal, or one on a full disk, has said its last word.
    if let Ok(Err(why)) = tokio::time::timeout(Duration::from_secs(5), engine.close_journals()).await {
        tracing::warn!(why, "the state directory does not know that all is done");
    }
    engine.taps.drained(TAPS_PATIENCE).await;
    let (dead, dead_letters) = engine.dead_letters();
    let summary = Summary { dead, dead_letters, lost: engine.lost(), interrupted };
    let (how, result) = match result {
        End::Finished if interrupted.is_some() => ("stopped", Ok(summary)),
        End::Finished => ("done", Ok(summary)),
        End::Failed(error) => ("failed", Err(RunError::Pipeline { why: error.to_string(), summary })),
        End::Stopped(signal) => ("stopped", Err(RunError::Stopped { signal, held, summary })),
    };
    let (state, why) = match &result {
        Ok(_) if how == "done" => (RunState::Done, None),
        Ok(_) => (RunState::Stopped, None),
        Err(RunError::Pipeline { why, .. }) => (RunState::Failed, Some(why.clone())),
        Err(error) => (RunState::Stopped, Some(error.to_string())),
    };
    engine.watch().ended(state, why);
    engine.watch().all_told().await;
    engine.export().await;
    engine.leave_registry();
    let report = Box::new(engine.final_report());
    engine.progress().finish(&report);
    Ended { result, report }
}

fn system(what: &'static str, source: std::io::Error) -> RunError {
    RunError::System { what, source }
}
