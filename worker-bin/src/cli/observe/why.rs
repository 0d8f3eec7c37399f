//! `worker why`: what work waits for, down to the root.

use super::Failure;
use super::args::WhyArgs;
use super::find::{Heard, Target, ask, find};
use crate::cli::{Printed, print, print_json};
use crate::explain::{Explanation, RunState, Snapshot, explain, words};
use std::process::ExitCode;
use std::time::Duration;

/// Something is stalled, the process of a node is stopped, or the run has failed.
const STALLED: u8 = 3;

/// How many tasks are named that wait for one root.
const TASKS_NAMED: usize = 6;

pub(super) async fn why(args: &WhyArgs) -> Result<ExitCode, Failure> {
    let target = find(&args.target)?;
    loop {
        let heard = ask(&target).await;
        if heard.snapshots.is_empty() && !heard.is_stopped {
            let why =
                if heard.notes.is_empty() { "no worker answers".to_owned() } else { heard.notes.join("\n") };
            return Err(Failure::new(super::FAILED, why));
        }
        let explanation = joined(&heard);
        let printed = if args.json {
            print_json(&explanation)
        } else if heard.snapshots.is_empty() {
            print(&explanation.notes.iter().fold(String::new(), |text, note| text + note + "\n"))
        } else {
            print(&said(&target, &heard.snapshots, &explanation))
        };
        let failed = heard.snapshots.iter().any(|s| s.state == RunState::Failed);
        let ended = heard.snapshots.iter().all(|s| s.end.is_some()) && !heard.is_stopped;
        let over = matches!(target, Target::Ended(_)) || ended;
        if !args.watch || over || printed != Printed::Whole {
            let bad = failed || heard.is_stopped || explanation.is_stalled();
            return Ok(printed.or_failed(if bad { ExitCode::from(STALLED) } else { ExitCode::SUCCESS }));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        if print("\n") != Printed::Whole {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The chains of all nodes, joined, and what could not be heard.
pub(super) fn joined(heard: &Heard) -> Explanation {
    let mut explanation = explain(&heard.snapshots);
    explanation.notes.extend(heard.notes.iter().map(|note| words::foreign(note)));
    explanation
}

fn said(target: &Target, snapshots: &[Snapshot], explanation: &Explanation) -> String {
    if !matches!(target, Target::Ended(_)) {
        return words::explanation(explanation, TASKS_NAMED);
    }
    let mut text = String::new();
    let then = if explanation.chains.is_empty() { "" } else { "; as it was then:" };
    for snapshot in snapshots {
        let how = match snapshot.state {
            RunState::Done => "finished",
            RunState::Failed => "failed",
            RunState::Running | RunState::Draining | RunState::Stopped => "stopped",
        };
        let ago = words::duration(snapshot.end.as_ref().map_or(0.0, |end| age_s(end.at_ms)));
        let (name, node, took) = (&snapshot.pipeline, &snapshot.node, words::duration(snapshot.uptime_s));
        text.push_str(&words::foreign(&format!("{name} on node {node} {how} {ago} ago, after {took}{then}")));
        text.push('\n');
    }
    // What limited it is in its report; of the last moment it says little.
    let mut left = Explanation { limit: None, ..explanation.clone() };
    // What could be done while it ran is no advice about a run that was stopped.
    if snapshots.iter().all(|snapshot| snapshot.state != RunState::Failed) {
        left.chains.iter_mut().for_each(|chain| chain.advice = None);
    }
    if left.chains.is_empty() {
        return left.notes.iter().fold(text, |text, note| text + note + "\n");
    }
    text + &words::explanation(&left, TASKS_NAMED)
}

fn age_s(at_ms: u64) -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(at_ms)).as_secs_f64()
}
