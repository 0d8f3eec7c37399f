//! Waits, chains and advice in words. Nothing a program or a record said gets through with control characters in it.

use super::chain::{Chain, Explanation, Held, also_held};
use super::limit::Limit;
use super::model::{StageKind, Wait};
use super::peer;
use super::reasons::{WaitKind, Why};
use super::table::Side;
pub use crate::text::escape::foreign;
use crate::text::escape::one_line;
pub use crate::text::units::{bytes, duration, number};
use std::fmt::Write as _;
use worker_core::config::{Measure, Rate, TaskName};
pub use worker_core::words::plural;

/// A wait in words, without the name of the task that waits.
#[must_use]
pub fn wait(wait: &Wait) -> String {
    let on = match (&wait.on, &wait.on_node) {
        (Some(on), Some(node)) => format!("{on} on node {node}"),
        (Some(on), None) => on.clone(),
        (None, _) => String::new(),
    };
    wait.why.says(&on, &duration(wait.for_s))
}

/// What the user can do about a root cause, a wait of this task.
#[must_use]
pub fn advice(task: &str, root: &Wait) -> Option<String> {
    let by_cause = if let Why::PeerDown { cause, .. } | Why::UpstreamDown { cause } = &root.why {
        peer::named(cause).advice
    } else {
        None
    };
    let advice = by_cause.or(root.why.kind().row().advice)?;
    let (on, node) = (root.on.as_deref().unwrap_or("it"), root.on_node.as_deref().unwrap_or("that node"));
    let stage = TaskName::of(task).stage;
    Some(advice.replace("{on}", on).replace("{node}", node).replace("{stage}", stage))
}

/// A chain of causes in one line: `errors/2 waits: per_path/0 on node b unreachable …; because …`.
#[must_use]
pub fn chain(chain: &Chain) -> String {
    let mut text = String::new();
    let mut before = None;
    for step in &chain.steps {
        match before.replace(&step.task) {
            Some(same) if *same == step.task => write!(text, "; that is because {}", step.wait.text).ok(),
            Some(_) => write!(text, "; there, {} waits: {}", step.task, step.wait.text).ok(),
            None => write!(text, "{} waits: {}", step.task, step.wait.text).ok(),
        };
    }
    if chain.held == Held::Part {
        text.push_str("; the rest of its output goes on");
    }
    if !chain.sources_paused.is_empty() {
        write!(text, "; {} paused by it", chain.sources_paused.join(", ")).ok();
    }
    one_line(text.as_bytes())
}

/// Everything `worker why` says, for people.
#[must_use]
pub fn explanation(explanation: &Explanation, chains_max: usize) -> String {
    let mut text = String::new();
    for group in explanation.groups() {
        let first = group[0];
        writeln!(text, "{}", chain(first)).ok();
        let others: Vec<_> = also_held(&group).iter().map(|c| one_line(c.task.as_bytes())).collect();
        if !others.is_empty() {
            let shown = others.len().min(chains_max);
            let more = others.len() - shown;
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(text, "  also held up by that: {}{rest}", others[..shown].join(", ")).ok();
        }
        if let Some(advice) = &first.advice {
            writeln!(text, "  → {}", one_line(advice.as_bytes())).ok();
        }
    }
    for note in &explanation.notes {
        writeln!(text, "{}", one_line(note.as_bytes())).ok();
    }
    let limit = explanation.limit.as_ref().map(|found| one_line(limit(found).as_bytes()));
    match (explanation.chains.is_empty(), limit) {
        (true, None) => text.push_str("nothing waits\n"),
        (true, Some(limit)) => {
            // Of many short waits none is told of, and yet they may be what limits.
            let waits = explanation.limit.as_ref().is_some_and(|limit| limit.kind.row().side == Side::Here);
            writeln!(text, "nothing waits{}; {limit}", if waits { " for long" } else { "" }).ok();
        }
        (false, None) => {}
        (false, Some(limit)) => {
            let elsewhere = explanation.limit.as_ref().is_some_and(|limit| limit.elsewhere);
            writeln!(text, "{}{limit}", if elsewhere { "elsewhere " } else { "" }).ok();
        }
    }
    text
}

/// What bounds the throughput, in words.
#[must_use]
pub fn limit(limit: &Limit) -> String {
    format!("throughput is limited by {}", limited_by(limit, false))
}

/// What bounded it over all of a run. The last seconds may have been limited by something else.
#[must_use]
pub fn limit_of_run(limit: &Limit) -> String {
    format!("over the whole run, throughput was limited by {}", limited_by(limit, true))
}

fn limited_by(limit: &Limit, past: bool) -> String {
    let percent = (limit.busy * 100.0).round();
    let tense = |now: &'static str, then: &'static str| if past { then } else { now };
    let word = match limit.stage_kind {
        Some(StageKind::Source) => "source",
        Some(StageKind::Sink) => "sink",
        Some(StageKind::Batch | StageKind::Stream | StageKind::Records) | None => "stage",
    };
    let (who, programs) = match &limit.task {
        Some(task) => (format!("task {task} alone"), tense("its program is", "its program was")),
        None => (format!("{word} {}", limit.stage), tense("its programs are", "its programs were")),
    };
    let row = limit.kind.row();
    let waits = tense("waits", "waited");
    let what = if limit.kind == WaitKind::SourceIdle {
        format!("source {}: it {} no more", limit.stage, tense("gives", "gave"))
    } else if limit.kind == WaitKind::AwaitingLines {
        format!("source {}: no more {} written to its files", limit.stage, tense("is", "was"))
    } else if limit.kind == WaitKind::Writing {
        format!("sink {} (it {} {percent} % of the time)", limit.stage, tense("writes", "wrote"))
    } else if limit.kind == WaitKind::Committing {
        format!("the disk that {who} {} to", tense("commits", "committed"))
    } else if limit.kind == WaitKind::RateLimited {
        let rate = limit.rate.as_ref().map_or_else(String::new, |rate| format!(" of {}", foreign(rate)));
        format!("{who}: held back by its rate{rate} {percent} % of the time")
    } else if limit.kind == WaitKind::NoSlot {
        let hold = if limit.held_by.len() == 1 { tense("holds", "held") } else { tense("hold", "held") };
        let held = listed(&limit.held_by, 3).map_or_else(String::new, |by| format!("; {by} {hold} them"));
        format!("the slots: {who} {waits} {percent} % of the time for one{held}")
    } else if row.side == Side::Work {
        format!("{who} ({programs} busy {percent} % of the time)")
    } else {
        format!("{who}: {percent} % of the time it {waits} for {}", row.phrase)
    };
    what + &beside(&limit.beside, past)
}

/// `; on another branch, slow is behind, too`
fn beside(stages: &[String], past: bool) -> String {
    let (branches, are) = match (stages.len(), past) {
        (1, false) => ("another branch", "is"),
        (1, true) => ("another branch", "was"),
        (_, false) => ("other branches", "are"),
        (_, true) => ("other branches", "were"),
    };
    listed(stages, 3).map_or_else(String::new, |names| format!("; on {branches}, {names} {are} behind, too"))
}

/// Names in a row: `a, b and c`, at most `max` of them; nothing of none.
#[must_use]
pub fn listed(names: &[String], max: usize) -> Option<String> {
    let more = names.len().saturating_sub(max);
    let last = if more > 0 { format!("{} more", number(more as u64)) } else { names.last()?.clone() };
    let before = &names[..if more > 0 { max } else { names.len() - 1 }];
    Some(if before.is_empty() { last } else { format!("{} and {last}", before.join(", ")) })
}

/// `once`, `2 times`.
pub(super) fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// `5 000/s`, `2.0 MiB/s`, `90/m`.
pub(crate) fn rate_of(rate: &Rate) -> String {
    let amount = match rate.of {
        Measure::Records => number(rate.amount),
        Measure::Bytes => bytes(rate.amount),
    };
    let unit = match rate.per.as_secs() {
        60 => "m",
        3600 => "h",
        _ => "s",
    };
    format!("{amount}/{unit}")
}

#[must_use]
pub fn records(count: u64) -> String {
    plural(count, "record")
}

#[must_use]
pub fn dead_letters(count: u64) -> String {
    plural(count, "dead letter")
}

/// The verb behind so many.
#[must_use]
pub fn are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

#[must_use]
pub fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// What a run leaves that is stopped.
#[must_use]
pub fn still_on_their_way(count: u64) -> String {
    let their = if count == 1 { "its" } else { "their" };
    format!("{} {} still on {their} way", records(count), were(count))
}

#[cfg(test)]
mod tests;
