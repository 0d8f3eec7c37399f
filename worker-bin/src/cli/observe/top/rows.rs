//! Stages, links and nodes as rows, over all nodes together.

use super::figures::clean;
use super::state::{Known, State, state_word};
use crate::explain::{Link, Peer, RunState, Stage, StageKind, Task, WaitClass, WaitKind, words};
use std::collections::BTreeSet;
use worker_core::config::TaskName;

/// How something is, as a sign before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Something is in its way.
    Stalled,
    /// The user holds it up.
    Paused,
    Working,
    /// There is nothing to do.
    Idle,
    Done,
    /// Nothing is heard of it.
    Unknown,
}

/// A source, stage or sink, all its tasks together.
#[derive(Clone, Debug)]
pub(super) struct StageRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) kind: StageKind,
    /// Tasks that were heard of, and all there are.
    pub(super) tasks: (u64, u64),
    pub(super) nodes: String,
    pub(super) in_per_s: f64,
    pub(super) out_per_s: f64,
    pub(super) queued: u64,
    pub(super) held: u64,
    pub(super) retried: u64,
    pub(super) dead: u64,
    /// What its sources have not read of the files that they follow, in bytes.
    pub(super) lag_bytes: Option<u64>,
    pub(super) busy: f64,
    pub(super) blocked: Option<(WaitKind, f64)>,
}

/// A link from task to task.
#[derive(Clone, Debug)]
pub(super) struct LinkRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) per_s: f64,
    pub(super) held: u64,
    pub(super) memory_bytes: u64,
    pub(super) spilled_bytes: u64,
    pub(super) in_flight: u64,
    pub(super) retried: u64,
    pub(super) credit_bytes: Option<u64>,
    /// Nothing was acknowledged for so long, while something was held.
    pub(super) unmoved_s: f64,
}

/// A node, as it says itself or as others say.
#[derive(Clone, Debug)]
pub(super) struct NodeRow {
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) text: String,
}

/// All stages, in the order of the pipeline.
pub(super) fn stages(state: &State) -> Vec<StageRow> {
    let Some((first, _)) = state.snapshots().next() else { return Vec::new() };
    first.stages.iter().map(|stage| stage_row(state, stage)).collect()
}

fn stage_row(state: &State, stage: &Stage) -> StageRow {
    let tasks: Vec<(&Task, bool)> = state
        .snapshots()
        .flat_map(|(s, silent)| s.tasks.iter().map(move |task| (task, silent)))
        .filter(|(task, _)| task.stage == stage.name)
        .collect();
    let links = state
        .snapshots()
        .flat_map(|(s, _)| &s.links)
        .filter(|link| TaskName::of(&link.from).stage == stage.name);
    let sum = |field: fn(&Task) -> u64| tasks.iter().map(|(task, _)| field(task)).sum::<u64>();
    // What a silent node last said of its speed is not true any more.
    let rate = |field: fn(&Task) -> f64| {
        tasks.iter().filter(|(_, silent)| !silent).map(|(task, _)| field(task)).sum::<f64>()
    };
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let many = tasks.len().max(1) as f64;
    StageRow {
        id: stage.name.clone(),
        name: clean(&stage.name),
        mark: stage_mark(&tasks),
        kind: stage.kind,
        tasks: (tasks.len() as u64, u64::from(stage.partitions)),
        nodes: clean(&stage.nodes.join(",")),
        in_per_s: rate(|t| t.in_per_s),
        // A program that is a sink gives nothing on before it has ended.
        out_per_s: rate(if stage.kind == StageKind::Sink { |t| t.in_per_s } else { |t| t.out_per_s }),
        queued: sum(|t| t.queued_records),
        held: links.map(|link| link.counters.held_records).sum(),
        retried: sum(|t| t.counters.retried_records),
        dead: sum(|t| t.counters.dead_records),
        lag_bytes: tasks.iter().filter_map(|(task, _)| task.lag_bytes).reduce(|a, b| a + b),
        busy: rate(|t| t.busy) / many,
        blocked: state.blocked(&stage.name),
    }
}

fn stage_mark(tasks: &[(&Task, bool)]) -> Mark {
    let heard: Vec<&Task> = tasks.iter().filter(|(_, silent)| !silent).map(|(task, _)| *task).collect();
    if heard.iter().any(|task| task.stalled) {
        return Mark::Stalled;
    }
    if heard.iter().any(|task| task.paused) {
        return Mark::Paused;
    }
    if heard.is_empty() || heard.len() < tasks.len() {
        return Mark::Unknown;
    }
    if heard.iter().all(|task| task.done) {
        return Mark::Done;
    }
    let works = |task: &&Task| {
        let waits = task.waits.first().map(|wait| wait.why.kind());
        task.in_per_s + task.out_per_s > 0.0
            || waits.is_some_and(|kind| kind.row().class == WaitClass::Working && kind != WaitKind::Linger)
    };
    if heard.iter().any(works) { Mark::Working } else { Mark::Idle }
}

/// All links, in the order of the pipeline.
pub(super) fn links(state: &State) -> Vec<LinkRow> {
    let stalled: BTreeSet<(&str, &str)> = state
        .explanation
        .chains
        .iter()
        .filter(|chain| chain.stalled)
        .flat_map(|chain| &chain.steps)
        .filter_map(|step| Some((step.task.as_str(), step.wait.on.as_deref()?)))
        .collect();
    let mut rows = Vec::new();
    for (snapshot, silent) in state.snapshots() {
        for link in &snapshot.links {
            rows.push(link_row(link, silent, stalled.contains(&(link.from.as_str(), link.to.as_str()))));
        }
    }
    rows
}

fn link_row(link: &Link, silent: bool, stalled: bool) -> LinkRow {
    let mark = match () {
        () if silent => Mark::Unknown,
        () if stalled => Mark::Stalled,
        () if link.per_s > 0.0 => Mark::Working,
        () => Mark::Idle,
    };
    LinkRow {
        id: format!("{}\n{}", link.from, link.to),
        name: clean(&format!("{} → {}", link.from, link.to)),
        mark,
        per_s: if silent { 0.0 } else { link.per_s },
        held: link.counters.held_records,
        memory_bytes: link.counters.memory_bytes,
        spilled_bytes: link.counters.spilled_bytes,
        in_flight: link.counters.in_flight_records,
        retried: link.counters.retried_records,
        credit_bytes: link.counters.credit_bytes,
        unmoved_s: if link.counters.held_records > 0 { link.unmoved_s } else { 0.0 },
    }
}

/// All nodes that are asked, and those of the pipeline that are not.
pub(super) fn nodes(state: &State, now_s: f64) -> Vec<NodeRow> {
    let mut rows: Vec<NodeRow> = state.nodes().map(|(name, known)| node_row(name, known, now_s)).collect();
    let own: BTreeSet<&str> = state.snapshots().map(|(s, _)| s.node.as_str()).collect();
    let all: BTreeSet<&str> =
        state.snapshots().flat_map(|(s, _)| s.nodes.iter().map(String::as_str)).collect();
    for node in all.difference(&own).filter(|node| state.nodes().all(|(asked, _)| asked != **node)) {
        rows.push(unasked(state, node));
    }
    rows
}

fn node_row(name: &str, known: &Known, now_s: f64) -> NodeRow {
    let Some(snapshot) = &known.snapshot else {
        let why = known.silent.as_ref().map_or("not heard yet", |(_, why)| why.as_str());
        return NodeRow {
            name: clean(name),
            mark: Mark::Unknown,
            text: format!("no answer: {}", clean(why)),
        };
    };
    let name = clean(&snapshot.node);
    if let Some((since, why)) = &known.silent {
        let text = format!("no answer for {}: {}", words::duration(now_s - since), clean(why));
        return NodeRow { name, mark: Mark::Unknown, text };
    }
    if let Some(end) = &snapshot.end {
        let why = end.why.as_ref().map_or_else(String::new, |why| format!(": {}", clean(why)));
        let mark = if snapshot.state == RunState::Failed { Mark::Stalled } else { Mark::Done };
        let ran = words::duration(snapshot.uptime_s);
        let text = format!("{} after {ran}{why}", state_word(snapshot.state));
        return NodeRow { name, mark, text };
    }
    let (memory, slots) = (&snapshot.memory, &snapshot.slots);
    // Who is not there goes first: a narrow terminal cuts the end.
    let down = |peer: &Peer| {
        let since = peer.down_s.map_or_else(String::new, |s| format!(" for {}", words::duration(s)));
        format!("{} down{since}; ", clean(&peer.node))
    };
    let mut text: String = snapshot.peers.iter().filter(|peer| !peer.up).map(down).collect();
    let mark = if text.is_empty() { Mark::Working } else { Mark::Stalled };
    text += &format!(
        "held {} in memory, {} on disk; process {}, slots {}/{}",
        words::bytes(memory.held_bytes),
        words::bytes(memory.spilled_bytes),
        words::bytes(memory.resident_bytes),
        slots.used,
        slots.total
    );
    let up: Vec<_> = snapshot.peers.iter().filter(|peer| peer.up).map(|peer| clean(&peer.node)).collect();
    if !up.is_empty() {
        text.push_str(&format!("; {} up", up.join(", ")));
    }
    NodeRow { name, mark, text }
}

/// A node that is not asked, as others see it.
fn unasked(state: &State, node: &str) -> NodeRow {
    let seen = state.snapshots().filter(|(_, silent)| !silent).find_map(|(snapshot, _)| {
        let peer = snapshot.peers.iter().find(|peer| peer.node == node)?;
        Some((snapshot.node.as_str(), peer))
    });
    let (mark, text) = match seen {
        Some((by, peer)) if peer.up => (Mark::Working, format!("up, says {}; not asked itself", clean(by))),
        Some((by, peer)) => {
            let since = peer.down_s.map_or_else(String::new, |s| format!(" for {}", words::duration(s)));
            let error = peer.last_error.as_ref().map_or_else(String::new, |e| format!(" ({})", clean(e)));
            (Mark::Stalled, format!("down{since}, says {}{error}", clean(by)))
        }
        None => (Mark::Unknown, "not asked".to_owned()),
    };
    NodeRow { name: clean(node), mark, text }
}
