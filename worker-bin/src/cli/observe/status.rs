//! `worker status`: the state of running workers.

use super::args::StatusArgs;
use super::find::{ask, find, line};
use super::{FAILED, Failure};
use crate::admin::registry;
use crate::cli::print;
use crate::cli::run::say;
use crate::explain::{RunState, Snapshot, words};
use std::fmt::Write as _;
use std::process::ExitCode;

pub(super) async fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    if args.list {
        return list(args.json);
    }
    let heard = ask(&find(&args.target)?).await;
    for note in &heard.notes {
        say(&format!("warning: {}", words::foreign(note)));
    }
    if heard.snapshots.is_empty() {
        return Err(Failure::new(FAILED, "no worker answers"));
    }
    if args.json {
        return Ok(print(&(serde_json::to_string_pretty(&heard.snapshots).unwrap_or_default() + "\n")));
    }
    Ok(print(&heard.snapshots.iter().map(short).collect::<Vec<_>>().join("\n")))
}

fn list(json: bool) -> Result<ExitCode, Failure> {
    let dir = registry::dir();
    let found = registry::list().map_err(|error| {
        Failure::new(FAILED, format!("cannot read the runtime directory {}: {error}", dir.display()))
    })?;
    if json {
        let entries: Vec<_> =
            found.iter().map(|f| serde_json::json!({ "alive": f.alive, "worker": f.entry })).collect();
        return Ok(print(&(serde_json::to_string_pretty(&entries).unwrap_or_default() + "\n")));
    }
    if found.is_empty() {
        return Ok(print(&format!("no worker runs here as this user (looked in {})\n", dir.display())));
    }
    let lines: Vec<_> = found.iter().map(line).collect();
    Ok(print(&format!("{}\n(entries with tokens: {})\n", lines.join("\n"), dir.display())))
}

fn state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Draining => "stopping",
        RunState::Done => "done",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
    }
}

/// One node in a line a stage.
fn short(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{} on node {} ({}, {}, pid {}), for {}\n",
        snapshot.pipeline,
        snapshot.node,
        snapshot.delivery,
        state(snapshot.state),
        snapshot.pid,
        words::duration(snapshot.uptime_s)
    );
    for stage in &snapshot.stages {
        let tasks: Vec<_> = snapshot.tasks.iter().filter(|task| task.stage == stage.name).collect();
        if tasks.is_empty() {
            writeln!(text, "  {:16} on {}", stage.name, stage.nodes.join(", ")).ok();
            continue;
        }
        let sum = |field: fn(&crate::explain::Task) -> u64| tasks.iter().map(|task| field(task)).sum::<u64>();
        let paused = tasks.iter().filter(|task| task.paused).count();
        let rate: f64 = tasks.iter().map(|task| task.in_per_s).sum();
        write!(
            text,
            "  {:16} {:>14} in {:>14} out {rate:>10.0}/s",
            stage.name,
            words::number(sum(|t| t.counters.records_in)),
            words::number(sum(|t| t.counters.records_out)),
        )
        .ok();
        for (what, count) in [
            ("queued", sum(|t| t.queued_records)),
            ("retried", sum(|t| t.counters.retried_records)),
            ("dead", sum(|t| t.counters.dead_records)),
        ] {
            if count > 0 {
                write!(text, ", {} {what}", words::number(count)).ok();
            }
        }
        match paused {
            0 => {}
            all if all == tasks.len() => text.push_str(", paused"),
            some => drop(write!(text, ", {some} of {} tasks paused", tasks.len())),
        }
        text.push('\n');
    }
    let memory = &snapshot.memory;
    writeln!(
        text,
        "  records held: {} in memory, {} on disk; process: {}",
        words::bytes(memory.held_bytes),
        words::bytes(memory.spilled_bytes),
        words::bytes(memory.resident_bytes)
    )
    .ok();
    text
}
