//! How much of the input is through: not what was read of it, but what has passed every stage.
//!
//! Of each stage it is known what it has done, and what waits for it here. The share of its input that it has done, times the least
//! share of those it reads from, is how much of the sources' input has passed it; the least of all stages is how far the run is.

use std::collections::{BTreeMap, BTreeSet};
use worker_core::config::{Graph, TaskId, TaskKind, TaskName};
use worker_core::status::{Status, TaskStatus};

/// What a stage has done of its input, and what of that waits.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    done: u64,
    /// In the outboxes that lead to it.
    held: u64,
    /// In its inboxes, and at its programs.
    queued: u64,
}

/// Of so many bytes of input that were read, those that have passed all stages: never all of a `total` before every task is done, for
/// what is on its way from one to the next, or to the disk, is seen nowhere.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "for people, and never below 0"
)]
pub(super) fn through(read_bytes: u64, total: Option<u64>, graph: &Graph, status: &Status) -> u64 {
    let gives = |task: &TaskStatus| {
        matches!(graph.task(task.task).kind, TaskKind::Source) && task.counters.records_in > 0
    };
    let passed = (read_bytes as f64 * share(graph, status)) as u64;
    match total {
        _ if status.tasks.iter().all(|task| task.done) => passed,
        // What is read ahead was given to nobody.
        _ if !status.tasks.iter().any(gives) => 0,
        Some(total) => passed.min(total.saturating_sub(1)),
        None => passed,
    }
}

/// Which share of the input that was read has passed all stages, from 0 to 1. Below 1 for as long as anything waits.
pub(super) fn share(graph: &Graph, status: &Status) -> f64 {
    let stage = |task: TaskId| TaskName::of(&graph.task(task).name).stage;
    let mut flows: BTreeMap<&str, Flow> = BTreeMap::new();
    let here: BTreeSet<TaskId> = status.tasks.iter().map(|task| task.task).collect();
    for task in &status.tasks {
        let flow = flows.entry(stage(task.task)).or_default();
        flow.done += match graph.task(task.task).kind {
            // When it will be done with it is its own affair, and often only at the end.
            TaskKind::Stream(_) => task.counters.records_in.saturating_sub(task.again_records),
            TaskKind::Source | TaskKind::Batch(_) | TaskKind::Records(_) | TaskKind::Sink => {
                task.done_records
            }
        };
        flow.queued += task.queued_records;
    }
    let mut from: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for link in &graph.links {
        let sources = from.entry(stage(link.to)).or_default();
        if !sources.contains(&stage(link.from)) {
            sources.push(stage(link.from));
        }
    }
    for link in &status.links {
        let to = graph.link(link.link).to;
        let flow = flows.entry(stage(to)).or_default();
        flow.held += link.counters.held_records;
        flow.done += if here.contains(&to) { 0 } else { link.counters.acknowledged_records };
    }
    let mut shares = BTreeMap::new();
    flows.keys().map(|stage| passed(stage, &flows, &from, &mut shares)).fold(1.0, f64::min)
}

/// The graph has no cycles, and stages are as deep as the pipeline is long.
fn passed<'a>(
    stage: &'a str,
    flows: &BTreeMap<&'a str, Flow>,
    from: &BTreeMap<&'a str, Vec<&'a str>>,
    shares: &mut BTreeMap<&'a str, f64>,
) -> f64 {
    if let Some(share) = shares.get(stage) {
        return *share;
    }
    let sources = from.get(stage).into_iter().flatten();
    let before = sources.map(|source| passed(source, flows, from, shares)).fold(1.0, f64::min);
    let share = before * flows.get(stage).map_or(1.0, Flow::share);
    shares.insert(stage, share);
    share
}

impl Flow {
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn share(&self) -> f64 {
        // What is held for a task of this node may be in its inbox already.
        let waits = self.held.max(self.queued);
        if waits == 0 { 1.0 } else { self.done as f64 / (self.done + waits) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::sink_of;
    use super::*;
    use worker_core::{Node, Time};

    fn flows(of: &[(&'static str, u64, u64, u64)]) -> BTreeMap<&'static str, Flow> {
        of.iter().map(|&(stage, done, held, queued)| (stage, Flow { done, held, queued })).collect()
    }

    fn least(flows: &BTreeMap<&'static str, Flow>, from: &BTreeMap<&'static str, Vec<&'static str>>) -> f64 {
        let mut shares = BTreeMap::new();
        flows.keys().map(|stage| passed(stage, flows, from, &mut shares)).fold(1.0, f64::min)
    }

    /// Of a source whose sink is here, with so many records read; what they say of being done is as it is of every task.
    fn passed_of(read_records: u64, done: bool, total: Option<u64>) -> u64 {
        let config = sink_of(1);
        let graph = config.graph.clone();
        let mut status = Node::new(config, Time::ZERO).status();
        for task in &mut status.tasks {
            (task.counters.records_in, task.done) = (read_records, done);
        }
        through(1000, total, &graph, &status)
    }

    #[test]
    fn all_is_through_only_when_every_task_is_done_and_nothing_before_the_first_record() {
        assert_eq!(passed_of(10, false, Some(1000)), 999, "what is on its way is not through");
        assert_eq!(passed_of(10, true, Some(1000)), 1000);
        assert_eq!(passed_of(0, false, Some(1000)), 0, "it is read ahead, and nobody was given it");
        assert_eq!(passed_of(10, false, None), 1000, "input without a known end has no part that lacks");
        assert_eq!(passed_of(0, true, Some(1000)), 1000, "a run may find that it has no more records");
    }

    #[test]
    fn what_waits_before_any_stage_is_not_through() {
        let from = BTreeMap::from([("work", vec!["in"]), ("out", vec!["work"])]);
        let all = flows(&[("in", 1000, 0, 0), ("work", 500, 500, 20), ("out", 25, 10, 75)]);
        let share = least(&all, &from);
        assert!((share - 0.5 * 0.25).abs() < 1e-9, "half of it, and of that a quarter: {share}");
        let done = flows(&[("in", 1000, 0, 0), ("work", 1000, 0, 0), ("out", 10, 0, 0)]);
        assert!((least(&done, &from) - 1.0).abs() < 1e-9, "what a filter drops is through");
        assert!(least(&flows(&[("in", 9, 0, 0), ("work", 0, 9, 0)]), &from) < 1e-9, "nothing is");
    }
}
