//! From what the observer knows at the end of a run to its report.

use super::model::{
    DeadReason, LeftState, Outcome, Report, ReportHistory, ReportLink, ReportStage, ReportStall, ReportTask,
    SCHEMA, Waited,
};
use crate::explain::{
    History, PastStall, PastStalls, RunState, Side, Snapshot, Stage, Task, WaitKind, Window, words,
};
use std::collections::BTreeMap;
use worker_core::config::TaskName;

/// Shares below this are not worth a word.
const SHARE_MIN: f64 = 0.001;

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The node at the end.
    pub last: Snapshot,
    /// What it did over time.
    pub history: History,
    pub stalls: PastStalls,
    /// The most memory of the process, in bytes.
    pub resident_peak_bytes: u64,
    /// Dead letters by reason.
    pub dead: Vec<DeadReason>,
    pub dead_letters: Option<String>,
    pub state: Option<LeftState>,
}

/// Makes the report; its exit status and signal are for those who know them.
#[must_use]
pub fn gather(gathered: &Gathered) -> Report {
    let last = &gathered.last;
    let lasted_s = last.uptime_s.max(1e-6);
    let tasks: Vec<_> = last.tasks.iter().map(|task| report_task(task, lasted_s)).collect();
    let stages: Vec<_> = last.stages.iter().filter_map(|stage| report_stage(stage, last, lasted_s)).collect();
    let (outcome, why) = outcome(last);
    Report {
        schema: SCHEMA,
        pipeline: last.pipeline.clone(),
        delivery: last.delivery.clone(),
        node: last.node.clone(),
        nodes: last.nodes.clone(),
        version: last.version.clone(),
        began_ms: last.started_ms,
        ended_ms: last.end.as_ref().map_or(last.at_ms, |end| end.at_ms),
        lasted_s,
        outcome,
        why,
        exit_status: 0,
        signal: None,
        read_bytes: last.read_bytes,
        total_bytes: last.total_bytes,
        read_bytes_per_s: ratio(last.read_bytes.saturating_sub(last.read_bytes_before), lasted_s),
        limit: Window::whole(last).limit().map(|mut limit| {
            limit.text = words::limit_of_run(&limit);
            limit
        }),
        resident_peak_bytes: gathered.resident_peak_bytes.max(last.memory.resident_peak_bytes),
        held_records: last.held_records,
        lost_records: last.lost_records + lost_at_the_end(last, outcome),
        dropped_records: last.dropped_records(),
        dead_records: last.tasks.iter().map(|task| task.counters.dead_records).sum(),
        dead_letters: gathered.dead_letters.clone(),
        state: gathered.state.clone(),
        went_on: last.tasks.iter().any(|task| task.records_in_before + task.records_out_before > 0),
        dead: gathered.dead.clone(),
        chaos: None,
        stages,
        tasks,
        links: last.links.iter().map(report_link).collect(),
        stall_count: gathered.stalls.count,
        stalls: stalls(&gathered.stalls),
        history: ReportHistory { step_s: gathered.history.step_s.max(1), stages: gathered.history.so_far() },
    }
}

/// What was accepted and not done goes with a process that keeps nothing.
fn lost_at_the_end(last: &Snapshot, outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Stopped | Outcome::Failed if last.delivery == "memory" => last.held_records,
        Outcome::Done | Outcome::Stopped | Outcome::Failed => 0,
    }
}

fn outcome(last: &Snapshot) -> (Outcome, Option<String>) {
    let why = last.end.as_ref().and_then(|end| end.why.as_ref()).map(|why| words::foreign(why));
    match last.state {
        RunState::Done => (Outcome::Done, why),
        RunState::Failed => (Outcome::Failed, why),
        RunState::Running | RunState::Draining | RunState::Stopped => (Outcome::Stopped, why),
    }
}

fn report_link(link: &crate::explain::Link) -> ReportLink {
    ReportLink {
        from: link.from.clone(),
        to: link.to.clone(),
        to_node: link.to_node.clone(),
        records: link.counters.records,
        acknowledged_records: link.counters.acknowledged_records,
        held_records: link.counters.held_records,
        retried_records: link.counters.retried_records,
        dropped_records: link.counters.dropped_records,
    }
}

/// What a stage's tasks on this node come to; nothing if it has none here.
fn report_stage(stage: &Stage, last: &Snapshot, lasted_s: f64) -> Option<ReportStage> {
    let tasks: Vec<&Task> = last.tasks.iter().filter(|task| task.stage == stage.name).collect();
    let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return None;
    }
    let sum = |field: fn(&Task) -> u64| tasks.iter().map(|task| field(task)).sum::<u64>();
    let (records_in, records_out) = (sum(|t| t.counters.records_in), sum(|t| t.counters.records_out));
    let time_s = lasted_s * f64::from(count);
    let mut waited_s: BTreeMap<WaitKind, f64> = BTreeMap::new();
    for (kind, seconds) in tasks.iter().flat_map(|task| &task.blocked_s) {
        *waited_s.entry(*kind).or_default() += seconds;
    }
    let busy = share(tasks.iter().map(|task| task.busy_s).sum(), time_s);
    let waited = waited(&waited_s, time_s, busy);
    Some(ReportStage {
        name: stage.name.clone(),
        kind: stage.kind,
        from: stage.from.clone(),
        partitions: stage.partitions,
        tasks: count,
        records_in,
        bytes_in: sum(|t| t.counters.bytes_in),
        records_out,
        bytes_out: sum(|t| t.counters.bytes_out),
        in_per_s: ratio(records_in - sum(|t| t.records_in_before).min(records_in), lasted_s),
        out_per_s: ratio(records_out - sum(|t| t.records_out_before).min(records_out), lasted_s),
        busy,
        blocked: blocked(&waited),
        waited,
        retried_records: sum(|t| t.counters.retried_records),
        dead_records: sum(|t| t.counters.dead_records),
        left_out_records: sum(|t| t.counters.left_out_records),
        programs: sum(|t| t.counters.programs),
        lag_bytes: tasks.iter().filter_map(|task| task.lag_bytes).reduce(|a, b| a + b),
    })
}

fn report_task(task: &Task, lasted_s: f64) -> ReportTask {
    let busy = share(task.busy_s, lasted_s);
    let waited = waited(&task.blocked_s, lasted_s, busy);
    ReportTask {
        name: task.name.clone(),
        stage: task.stage.clone(),
        records_in: task.counters.records_in,
        bytes_in: task.counters.bytes_in,
        records_out: task.counters.records_out,
        bytes_out: task.counters.bytes_out,
        busy,
        blocked: blocked(&waited),
        waited,
        retried_records: task.counters.retried_records,
        dead_records: task.counters.dead_records,
        left_out_records: task.counters.left_out_records,
        programs: task.counters.programs,
        lag_bytes: task.lag_bytes,
        queued_records: task.queued_records,
        done: task.done,
    }
}

/// What was waited for, of `time_s` in all. Samples are coarse: together with `busy` they make at most the whole.
fn waited(waited_s: &BTreeMap<WaitKind, f64>, time_s: f64, busy: f64) -> Vec<Waited> {
    let waits = waited_s.iter().filter(|(kind, _)| kind.row().side != Side::Work);
    let sum: f64 = waits.clone().map(|(_, seconds)| share(*seconds, time_s)).sum();
    let fits = if sum > 1.0 - busy { (1.0 - busy) / sum } else { 1.0 };
    let mut waited: Vec<_> = waits
        .map(|(kind, seconds)| Waited {
            cause: *kind,
            text: kind.row().phrase.to_owned(),
            idle: kind.row().side == Side::Input && !kind.row().class.is_in_the_way(),
            seconds: *seconds,
            share: share(*seconds, time_s) * fits,
        })
        .filter(|waited| waited.share >= SHARE_MIN)
        .collect();
    waited.sort_by(|a, b| b.share.total_cmp(&a.share));
    waited
}

fn blocked(waited: &[Waited]) -> f64 {
    waited.iter().filter(|waited| !waited.idle).fold(0.0, |sum, waited| sum + waited.share)
}

fn stalls(past: &PastStalls) -> Vec<ReportStall> {
    let mut stalls: Vec<_> = past.last.iter().map(report_stall).collect();
    stalls.sort_by(|a, b| a.began_s.total_cmp(&b.began_s));
    stalls
}

fn report_stall(stall: &PastStall) -> ReportStall {
    let stage = |task: &str| TaskName::of(task).stage.to_owned();
    let mut stages: Vec<String> = Vec::new();
    for step in &stall.chain.steps {
        for task in [Some(&step.task), step.wait.on.as_ref()].into_iter().flatten() {
            if !stages.contains(&stage(task)) {
                stages.push(stage(task));
            }
        }
    }
    ReportStall {
        root: stall.root.clone(),
        text: words::chain(&stall.chain),
        advice: stall.chain.advice.clone(),
        task: stall.chain.task.clone(),
        stages,
        tasks: stall.tasks as u64,
        began_s: stall.began_s,
        lasted_s: stall.lasted_s,
        goes_on: stall.goes_on,
    }
}

fn share(seconds: f64, of_s: f64) -> f64 {
    (seconds / of_s).clamp(0.0, 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn ratio(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[cfg(test)]
pub(super) mod tests;
