//! A worker that is killed on purpose, or ends as a sync has failed on purpose: this process starts it again, with the same arguments
//! and its state, until it ends in another way.
//!
//! ```text
//!   starting ──▶ running ──killed, or its sync failed, by a fault that was noted──▶ starting
//!                   ├──ends in another way──▶ its status
//!                   └──SIGTERM to us──▶ SIGTERM to it ──▶ its status
//! ```

use crate::chaos::Injected;
use crate::cli::args::ChaosArgs;
use crate::cli::exit::{WRONG, failed, say, signalled};
use crate::pipeline::{Delivery, Pipeline};
use rustix::process::{Pid, Signal};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// From then on faults leave the worker itself alone, so that it comes to its end at any rate.
pub(super) const LIVES_MAX: u64 = 20;

/// How often it is looked whether a worker has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What a life is told.
const LIFE: &str = "--chaos-life";
const NOTES: &str = "--chaos-notes";

/// Whether the worker is to end by faults, and this process is none of those that do.
pub(in crate::cli) fn are_wanted(args: &ChaosArgs) -> bool {
    args.chaos_life.is_none()
        && args.chaos.is_some()
        && args.chaos_rate.is_some_and(|rates| rates.end_the_worker())
}

/// Runs the command line of this process in others, one after the other.
pub(in crate::cli) fn run(pipeline: &Pipeline, file: Option<&Path>, fresh: bool) -> ExitCode {
    if let Some(why) = refused(pipeline, file, fresh) {
        say(&format!("error: --chaos-rate: {why}"));
        return ExitCode::from(WRONG);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(lives())) {
        Ok(code) => code,
        Err(error) => failed(&format!("--chaos: cannot run the worker: {error}")),
    }
}

/// Why its worker must not end by faults.
fn refused(pipeline: &Pipeline, file: Option<&Path>, fresh: bool) -> Option<&'static str> {
    if pipeline.delivery == Delivery::Memory {
        return Some(
            "nodes and syncs end the worker, and a run without state loses by that what it has accepted; give it --state DIR, or leave \
             both out",
        );
    }
    if fresh {
        return Some(
            "nodes and syncs end the worker, which then has to go on with the state it has begun, and --fresh starts over each time; name \
             a new directory with --state, or remove the old one before",
        );
    }
    (file == Some(Path::new("-"))).then_some(
        "nodes and syncs end the worker, which could not read its pipeline from standard input a second time; put it into a file",
    )
}

async fn lives() -> io::Result<ExitCode> {
    let exe = std::env::current_exe()?;
    let notes = tempfile::NamedTempFile::new()?;
    let mut terminate = signal(SignalKind::terminate())?;
    // A terminal tells the worker as well as us.
    let _interrupt = signal(SignalKind::interrupt())?;
    let _hangup = signal(SignalKind::hangup())?;
    let mut ordered = false;
    for life in 1.. {
        let before = Injected::noted(notes.path())?;
        let mut worker = Command::new(&exe).args(line(life, notes.path())).spawn()?;
        let status = loop {
            tokio::select! {
                _ = terminate.recv() => {
                    ordered = true;
                    told_to_end(&worker);
                }
                () = tokio::time::sleep(LOOK) => if let Some(status) = worker.try_wait()? { break status },
            }
        };
        let after = Injected::noted(notes.path())?;
        let by_fault = match (status.code(), status.signal()) {
            (None, Some(9)) => after.nodes > before.nodes,
            (Some(_), _) => after.syncs > before.syncs && !status.success(),
            (None, _) => false,
        };
        if !by_fault || ordered {
            return Ok(code(status));
        }
        let how = if status.signal().is_some() { "the worker was killed" } else { "a sync failed" };
        say(&format!("chaos: {how} on purpose; it is started again (life {})", life + 1));
    }
    unreachable!("lives have no end but a return")
}

fn told_to_end(worker: &Child) {
    if let Some(pid) = i32::try_from(worker.id()).ok().and_then(Pid::from_raw) {
        // One that has just ended is told nothing.
        rustix::process::kill_process(pid, Signal::TERM).ok();
    }
}

fn code(status: ExitStatus) -> ExitCode {
    match (status.code().and_then(|code| u8::try_from(code).ok()), status.signal()) {
        (Some(code), _) => ExitCode::from(code),
        (None, Some(number)) => ExitCode::from(signalled(number)),
        (None, None) => ExitCode::FAILURE,
    }
}

/// This process is a life: nobody would start it again whose parent is gone, so it stops with that.
pub(super) fn end_with_parent() {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).ok();
}

/// The arguments of a life.
fn line(life: u64, notes: &Path) -> Vec<OsString> {
    let mut line: Vec<OsString> = std::env::args_os().skip(1).collect();
    line.retain(|word| word != "--chaos-compare");
    let behind = line.iter().position(|word| word == "run" || word == "node").map_or(0, |at| at + 1);
    let more = [LIFE.into(), life.to_string().into(), NOTES.into(), notes.as_os_str().to_owned()];
    line.splice(behind..behind, more);
    line
}
