//! Tasks of this node.

use super::page::{Labels, Page};
use super::table::{self, Metric, Read, metric};
use super::{Scrape, TaskCosts};
use crate::explain::{StageKind, Task};
use std::fmt;
use worker_core::config::TaskName;
use worker_core::status::Latencies;

/// Before what a task waited for.
const DONE: &[Metric<Task>] = &[
    metric(
        "worker_task_in_records",
        "Records taken; of a source: read",
        Read::Count(|t| t.counters.records_in),
    ),
    metric(
        "worker_task_in_bytes",
        "Bytes taken, terminators included; for sources there is worker_node_read_bytes_total",
        Read::Count(|t| t.counters.bytes_in),
    ),
    metric(
        "worker_task_out_records",
        "Records given on; of a sink: written",
        Read::Count(|t| t.counters.records_out),
    ),
    metric(
        "worker_task_out_bytes",
        "Bytes given on, terminators included, once for each stage they go to",
        Read::Count(|t| t.counters.bytes_out),
    ),
    metric(
        "worker_task_retried_records",
        "Records given to a program more than once because it failed, counted each time",
        Read::Count(|t| t.counters.retried_records),
    ),
    metric("worker_task_dead_records", "Records dead-lettered", Read::Count(|t| t.counters.dead_records)),
    metric(
        "worker_task_left_out_records",
        "Of a source: records read that did not go on, because only a sample does",
        Read::Count(|t| t.counters.left_out_records),
    ),
    metric("worker_task_queued_records", "Records that wait for it", Read::Level(|t| t.queued_records)),
    metric(
        "worker_task_busy_seconds",
        "Time in which a program or a write was under way, sampled four times a second",
        Read::Seconds(|t| t.busy_s),
    ),
];

/// Behind it.
const NOW: &[Metric<Task>] = &[
    metric(
        "worker_task_unmoved_seconds",
        "For how long it has had work and moved none",
        Read::Amount(|t| t.unmoved_s),
    ),
    metric(
        "worker_task_stalled",
        "1 while it has work that has not moved for longer than --stall-after",
        Read::Is(|t| t.stalled),
    ),
    metric("worker_task_paused", "1 while the user holds it up", Read::Is(|t| t.paused)),
    metric(
        "worker_task_done",
        "1 when its end is reached and everything of it is finished",
        Read::Is(|t| t.done),
    ),
];

/// What the snapshot says of tasks.
pub(super) fn encode(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    let tasks = &scrape.snapshot.tasks;
    page.infos(
        "worker_task",
        "Tasks of this node, and what they are",
        tasks.iter().map(|t| info(scrape, t)),
    )?;
    table::encode(DONE, tasks, labels, page)?;
    let blocked = tasks.iter().flat_map(|task| {
        let with = |cause| [labels(task), vec![("cause", cause)]].concat();
        task.blocked_s.iter().map(move |(cause, seconds)| (with(cause.row().name), *seconds))
    });
    page.counters(
        "worker_task_blocked_seconds",
        "Time in which it had work and waited, by the nearest cause as in `worker why`, sampled four times a second",
        blocked,
    )?;
    table::encode(NOW, tasks, labels, page)
}

/// What is measured of tasks beside that.
pub(super) fn encode_costs(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    let all = || scrape.snapshot.tasks.iter().filter_map(|task| Some((task, scrape.costs.get(&task.name)?)));
    let with = |task, more: (&'static str, &'static str)| [labels(task), vec![more]].concat();
    page.counters(
        "worker_task_program_starts",
        "Programs started, those that could not be included",
        all().map(|(task, costs)| (labels(task), costs.starts)),
    )?;
    let exits = all().flat_map(|(task, costs)| {
        costs.exits.iter().map(move |(outcome, count)| (with(task, ("outcome", outcome.name())), *count))
    });
    page.counters("worker_task_program_exits", "Programs that ended, by how", exits)?;
    let measured = |which: fn(&TaskCosts) -> &Latencies| {
        let filled =
            move |(task, costs)| Some((task, which(costs))).filter(|(_, took): &(&Task, _)| took.count() > 0);
        all().filter_map(filled)
    };
    page.histograms(
        "worker_task_commit_seconds",
        "From asking for a commit to its being durable (exactly-once)",
        measured(|costs| &costs.commits).map(|(task, took)| (labels(task), took)),
    )?;
    let journal =
        measured(|costs| &costs.journal_syncs).map(|(task, took)| (with(task, ("file", "journal")), took));
    let sink = measured(|costs| &costs.sink_syncs).map(|(task, took)| (with(task, ("file", "sink")), took));
    page.histograms(
        "worker_task_sync_seconds",
        "Time that a sync of its journal or its sink's file took (exactly-once)",
        journal.chain(sink),
    )?;
    let lags = || all().filter_map(|(task, costs)| Some((task, costs.lag?)));
    #[expect(clippy::cast_precision_loss, reason = "a size needs no more than 52 bits")]
    let bytes = lags().map(|(task, (bytes, _))| (labels(task), bytes as f64));
    page.gauges(
        "worker_task_lag_bytes",
        "Of a source that follows files: bytes that are there and were not read, packed files as they are stored",
        bytes,
    )?;
    page.gauges(
        "worker_task_lag_seconds",
        "Of a source that follows files: for how long the oldest of them has been there; 0 where all was read",
        lags().map(|(task, (_, age))| (labels(task), age.as_secs_f64())),
    )
}

fn labels(task: &Task) -> Labels<'_> {
    vec![("task", &task.name), ("stage", &task.stage)]
}

fn info<'a>(scrape: &'a Scrape, task: &'a Task) -> Labels<'a> {
    let kind = scrape.snapshot.stages.iter().find(|stage| stage.name == task.stage).map(|stage| stage.kind);
    let kind = match kind {
        Some(StageKind::Source) => "source",
        Some(StageKind::Batch) => "batch",
        Some(StageKind::Stream) => "stream",
        Some(StageKind::Records) => "records",
        Some(StageKind::Sink) => "sink",
        None => "",
    };
    let partition = TaskName::of(&task.name).partition;
    [labels(task), vec![("partition", partition), ("kind", kind)]].concat()
}
