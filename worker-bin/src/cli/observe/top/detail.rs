//! Everything about one stage or link: its figures, what its tasks wait for, and the chains it stands in.

use super::app::Pane;
use super::figures::{at_work, clean, count, short};
use super::state::{State, time_blocked};
use super::table::{Column, LINKS, PIPELINE_ORDER, STAGES};
use crate::explain::{Chain, Link, StageKind, Task, WaitKind, words};
use std::collections::BTreeMap;
use worker_core::config::TaskName;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Title,
    Plain,
    Bad,
    Dim,
}

pub(super) type Lines = Vec<(Tone, String)>;

/// What is to be said about the chosen stage or link.
pub(super) fn detail(state: &State, pane: Pane, id: &str) -> Lines {
    match pane {
        Pane::Stages => stage(state, id),
        Pane::Links => link(state, id),
    }
}

fn stage(state: &State, id: &str) -> Lines {
    let tasks: Vec<(&str, bool, &Task)> = state
        .snapshots()
        .flat_map(|(s, silent)| s.tasks.iter().map(move |task| (s.node.as_str(), silent, task)))
        .filter(|(_, _, task)| task.stage == id)
        .collect();
    let mut lines = Vec::new();
    let stage = state.snapshots().find_map(|(s, _)| s.stages.iter().find(|stage| stage.name == id));
    let kind = stage.map_or(StageKind::Batch, |stage| stage.kind);
    if let Some(stage) = stage {
        let mut text = format!("{:?}", stage.kind).to_lowercase();
        let many = if stage.partitions == 1 { "task" } else { "tasks" };
        text.push_str(&format!(", {} {many} on {}", stage.partitions, clean(&stage.nodes.join(", "))));
        if !stage.from.is_empty() {
            text.push_str(&format!(", from {}", clean(&stage.from.join(", "))));
        }
        lines.push((Tone::Dim, text));
    }
    if tasks.is_empty() {
        lines.push((
            Tone::Plain,
            "nothing was heard of its tasks: their nodes are not asked, or do not answer".to_owned(),
        ));
    }
    let all: Vec<_> = tasks.iter().map(|(_, _, task)| *task).collect();
    lines.extend(figures(&all, kind));
    lines.extend(lag(&all));
    lines.extend(chains(state, |chain| chain.steps.iter().any(|step| TaskName::of(&step.task).stage == id)));
    if !tasks.is_empty() {
        lines.push((Tone::Title, "Tasks".to_owned()));
    }
    for (node, silent, task) in tasks {
        lines.push(task_line(node, silent, task, kind));
        for wait in &task.waits {
            let tone = if wait.stalled { Tone::Bad } else { Tone::Dim };
            lines.push((tone, format!("    waits: {}", clean(&wait.text))));
        }
    }
    lines
}

fn figures(tasks: &[&Task], kind: StageKind) -> Lines {
    let sum = |field: fn(&Task) -> u64| tasks.iter().map(|task| field(task)).sum::<u64>();
    let rate = |field: fn(&Task) -> f64| tasks.iter().map(|task| field(task)).sum::<f64>();
    let mut blocked: BTreeMap<WaitKind, f64> = BTreeMap::new();
    for (kind, seconds) in tasks.iter().flat_map(|task| time_blocked(task)) {
        *blocked.entry(kind).or_default() += seconds;
    }
    let mut blocked: Vec<_> = blocked.into_iter().filter(|(_, seconds)| *seconds >= 0.1).collect();
    blocked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let causes: Vec<_> = blocked
        .iter()
        .map(|(kind, seconds)| format!("{} {}", kind.row().name, words::duration(*seconds)))
        .collect();
    let flow = |what: &str, records: u64, bytes: u64, rate: f64| {
        format!("{what:9} {} ({}), {}/s", words::records(records), words::bytes(bytes), short(rate))
    };
    vec![
        (
            Tone::Plain,
            format!(
                "{:9} {} ({})",
                "taken",
                words::records(sum(|t| t.counters.records_in)),
                words::bytes(sum(|t| t.counters.bytes_in))
            ),
        ),
        (
            Tone::Plain,
            format!(
                "{:9} {}, {}/s",
                "done",
                words::records(sum(|t| t.done_records)),
                short(rate(|t| t.in_per_s))
            ),
        ),
        (
            Tone::Plain,
            flow(
                "given",
                sum(|t| t.counters.records_out),
                sum(|t| t.counters.bytes_out),
                rate(|t| t.out_per_s),
            ),
        ),
        (
            Tone::Plain,
            format!(
                "{:9} {} queued, {} retried (each time), {} dead, {} programs started",
                "records",
                words::number(sum(|t| t.queued_records)),
                words::number(sum(|t| t.counters.retried_records)),
                words::number(sum(|t| t.counters.dead_records)),
                words::number(sum(|t| t.counters.programs)),
            ),
        ),
        (Tone::Plain, format!("{:9} {}", "at work", work_seen(kind, rate(|t| t.busy_s)))),
        (
            Tone::Plain,
            match causes.as_slice() {
                [] => format!("{:9} never", "blocked"),
                causes => format!("{:9} {} since the start", "blocked", causes.join(", ")),
            },
        ),
    ]
}

/// How long it was at work since the start, or the least it can be; what is not seen is not none.
fn work_seen(kind: StageKind, seconds: f64) -> String {
    match () {
        () if kind.is_seen_at_work() => format!("{} since the start", words::duration(seconds)),
        () if seconds < 0.1 => "–".to_owned(),
        () => format!("at least {} since the start", words::duration(seconds)),
    }
}

/// What sources have not read of the files that they follow.
fn lag(tasks: &[&Task]) -> Option<(Tone, String)> {
    let bytes = tasks.iter().filter_map(|task| task.lag_bytes).reduce(|a, b| a + b)?;
    let oldest = tasks.iter().filter_map(|task| task.lag_s).fold(0.0, f64::max);
    let text = match bytes {
        0 => "all that is there is read".to_owned(),
        _ => format!(
            "{} that are there are not read, the first of them for {}",
            words::bytes(bytes),
            words::duration(oldest)
        ),
    };
    Some((Tone::Plain, format!("{:9} {text}", "behind")))
}

fn task_line(node: &str, silent: bool, task: &Task, kind: StageKind) -> (Tone, String) {
    let how = match () {
        () if silent => "not heard of now",
        () if task.paused => "paused",
        () if task.done => "done",
        () if task.stalled => "stalled",
        () if task.waits.is_empty() => "nothing waits",
        () => "",
    };
    let tone = if how == "stalled" { Tone::Bad } else { Tone::Plain };
    let text = format!(
        "{} on {}: {}/s done, {}/s out, {} queued, busy {}{}{how}",
        clean(&task.name),
        clean(node),
        short(task.in_per_s),
        short(task.out_per_s),
        count(task.queued_records),
        at_work(kind, task.busy),
        if how.is_empty() { "" } else { ", " },
    );
    (tone, text)
}

fn link(state: &State, id: &str) -> Lines {
    let (from, to) = id.split_once('\n').unwrap_or((id, ""));
    let found = state.snapshots().find_map(|(snapshot, silent)| {
        let link = snapshot.links.iter().find(|link| link.from == from && link.to == to)?;
        Some((snapshot.node.as_str(), silent, link))
    });
    let Some((node, silent, link)) = found else {
        return vec![(Tone::Plain, "this link is not there any more".to_owned())];
    };
    let mut lines = vec![(
        Tone::Dim,
        format!(
            "from node {} to node {}{}",
            clean(node),
            clean(&link.to_node),
            if silent { ", not heard of now" } else { "" }
        ),
    )];
    lines.extend(link_figures(link));
    let inbound =
        state.snapshots().find_map(|(s, _)| s.inbound.iter().find(|l| l.from == from && l.to == to));
    if let Some(inbound) = inbound {
        lines.push((
            Tone::Plain,
            format!(
                "{:9} {} received, {} came twice, {} queued ({})",
                "there",
                words::number(inbound.counters.records),
                words::number(inbound.counters.duplicate_records),
                words::number(inbound.counters.queued_records),
                words::bytes(inbound.counters.queued_bytes)
            ),
        ));
    }
    lines.extend(chains(state, |chain| {
        chain.steps.iter().any(|step| step.task == from && step.wait.on.as_deref() == Some(to))
    }));
    lines
}

fn link_figures(link: &Link) -> Lines {
    let credit = link.counters.credit_bytes.map_or_else(|| "not open".to_owned(), words::bytes);
    let moved = match link.counters.held_records {
        0 => "nothing is held".to_owned(),
        _ => format!("nothing acknowledged for {}", words::duration(link.unmoved_s)),
    };
    vec![
        (
            Tone::Plain,
            format!(
                "{:9} {}, {} acknowledged, {}/s",
                "taken",
                words::records(link.counters.records),
                words::number(link.counters.acknowledged_records),
                short(link.per_s)
            ),
        ),
        (
            Tone::Plain,
            format!(
                "{:9} {}: {} of {} in memory, {} of {} on disk",
                "held",
                words::records(link.counters.held_records),
                words::bytes(link.counters.memory_bytes),
                words::bytes(link.memory_limit_bytes),
                words::bytes(link.counters.spilled_bytes),
                words::bytes(link.spill_limit_bytes)
            ),
        ),
        (
            Tone::Plain,
            format!(
                "{:9} {} under way, {} sent again; credit {credit}",
                "sent",
                words::number(link.counters.in_flight_records),
                words::number(link.counters.retried_records)
            ),
        ),
        (Tone::Plain, format!("{:9} {moved}", "moved")),
    ]
}

/// Chains of causes, one a group, with what to do about them.
fn chains(state: &State, wanted: impl Fn(&Chain) -> bool) -> Lines {
    let mut lines = Vec::new();
    for group in state.explanation.groups() {
        if let Some(chain) = group.into_iter().find(|chain| wanted(chain)) {
            let tone = if chain.stalled { Tone::Bad } else { Tone::Plain };
            lines.push((tone, clean(&words::chain(chain))));
            lines.extend(chain.advice.iter().map(|advice| (Tone::Plain, format!("  → {}", clean(advice)))));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, (Tone::Title, "Why it waits".to_owned()));
    }
    lines
}

/// What keys do, and what columns mean.
pub(super) fn help() -> Lines {
    let mut lines: Lines = [
        "q, Esc, Ctrl-C  quit                     space   hold the view still, or let it go on",
        "up, down, j, k  choose a row             Enter   figures and causes of the chosen one",
        "PgUp, PgDn      a page                   Tab     between stages and links",
        "left, right     sort by another column   r       the other way round",
    ]
    .map(|line| (Tone::Plain, line.to_owned()))
    .into();
    lines.push((Tone::Plain, format!("{PIPELINE_ORDER}               the order of the pipeline")));
    lines.push((Tone::Title, "Columns of stages, and the keys that sort by them".to_owned()));
    lines.extend(STAGES.iter().map(column));
    lines.push((Tone::Title, "Columns of links".to_owned()));
    lines.extend(LINKS.iter().map(column));
    lines.push((Tone::Title, "Signs".to_owned()));
    lines.push((
        Tone::Plain,
        "✗ stalled   ‖ paused by the user   ● working   ○ nothing to do   ✓ done   ? not heard of".to_owned(),
    ));
    lines
}

fn column<R>(column: &Column<R>) -> (Tone, String) {
    (Tone::Plain, format!("{}  {:10} {}", column.key, column.title, column.what))
}
