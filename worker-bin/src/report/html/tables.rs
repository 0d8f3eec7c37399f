//! Counts of stages, tasks and links, and dead letters by reason.

use super::markup::{Cell, escaped, table};
use crate::explain::{StageKind, words};
use crate::report::model::{Report, ReportLink, ReportStage, ReportTask};
use crate::report::text::{at_work, percent, rate};
use std::fmt::Write as _;

/// Most rows of a table of tasks or links.
const ROWS_MAX: usize = 200;

/// The column of what samples leave out, behind records in and out.
const LEFT_OUT_AT: usize = 5;

/// Dead letters by reason, if there are any.
pub(super) fn dead(report: &Report) -> String {
    if report.dead_records == 0 {
        return String::new();
    }
    let place = report.dead_letters.as_ref().map_or_else(String::new, |place| {
        format!("<p>They are in {}; worker dlq shows and replays them.</p>\n", escaped(place))
    });
    let rows: Vec<Vec<Cell>> = report
        .dead
        .iter()
        .map(|reason| {
            vec![
                Cell::text(&reason.stage),
                Cell::number(&words::number(reason.records)),
                Cell::text(&reason.reason),
                Cell::text(&reason.example),
            ]
        })
        .collect();
    let told: u64 = report.dead.iter().map(|reason| reason.records).sum();
    let before = report.dead_records.saturating_sub(told);
    let earlier = (before > 0).then(|| {
        let text = "in earlier runs of the same state; worker dlq list shows them";
        vec![Cell::text(""), Cell::number(&words::number(before)), Cell::text(text), Cell::text("")]
    });
    let rows: Vec<Vec<Cell>> = rows.into_iter().chain(earlier).collect();
    let heads = ["stage", "records", "reason", "the first one in full"];
    format!(
        "<section>\n<h2>Dead letters</h2>\n{place}{}</section>\n",
        table("Records dead-lettered, by reason", &heads, &rows)
    )
}

/// Everything that is counted.
pub(super) fn numbers(report: &Report) -> String {
    let mut out = String::from("<section>\n<h2>Numbers</h2>\n");
    out.push_str(&stages(report));
    out.push_str(&folded("Tasks", report.tasks.len(), &tasks(report)));
    if !report.links.is_empty() {
        out.push_str(&folded("Links", report.links.len(), &links(report)));
    }
    out + "</section>\n"
}

fn folded(name: &str, count: usize, content: &str) -> String {
    let note = if count > ROWS_MAX {
        format!("<p class=\"soft\">{ROWS_MAX} of {count}; the JSON report has all.</p>\n")
    } else {
        String::new()
    };
    format!("<details><summary>{name} ({count})</summary>\n{note}{content}</details>\n")
}

fn stages(report: &Report) -> String {
    let samples = report.stages.iter().any(|stage| stage.left_out_records > 0);
    let row = |stage: &ReportStage| {
        let is_source = stage.kind == StageKind::Source;
        let left_out = samples.then(|| Cell::number(&words::number(stage.left_out_records)));
        let mut cells = vec![
            Cell::text(&stage.name),
            Cell::text(kind(stage.kind)),
            Cell::number(&match stage.tasks {
                tasks if tasks == stage.partitions => tasks.to_string(),
                tasks => format!("{tasks} of {}", stage.partitions),
            }),
            Cell::number(&words::number(stage.records_in)),
            Cell::number(&words::number(stage.records_out)),
            Cell::number(&words::number(stage.dead_records)),
            Cell::number(&rate(stage.in_per_s)),
            // What a source reads is above, for all of them.
            Cell::number(&if is_source { "–".to_owned() } else { words::bytes(stage.bytes_in) }),
            Cell::number(&words::bytes(stage.bytes_out)),
            Cell::number(&words::number(stage.programs)),
            Cell::number(&words::number(stage.retried_records)),
        ];
        cells.splice(LEFT_OUT_AT..LEFT_OUT_AT, left_out);
        cells
    };
    let rows: Vec<Vec<Cell>> = report.stages.iter().map(row).collect();
    let mut heads = vec![
        "stage",
        "kind",
        "tasks",
        "records in",
        "records out",
        "dead",
        "in/s",
        "bytes in",
        "bytes out, each copy",
        "programs",
        "retried, each time",
    ];
    heads.splice(LEFT_OUT_AT..LEFT_OUT_AT, samples.then_some("left out by sample"));
    table("Stages of this node", &heads, &rows)
}

fn tasks(report: &Report) -> String {
    let mut busiest: Vec<&ReportTask> = report.tasks.iter().collect();
    if busiest.len() > ROWS_MAX {
        busiest.sort_by(|a, b| b.busy.total_cmp(&a.busy));
        busiest.truncate(ROWS_MAX);
    }
    let kind = |task: &ReportTask| {
        report
            .stages
            .iter()
            .find(|stage| stage.name == task.stage)
            .map_or(StageKind::Batch, |stage| stage.kind)
    };
    let row = |task: &ReportTask| {
        vec![
            Cell::text(&task.name),
            Cell::number(&words::number(task.records_in)),
            Cell::number(&words::number(task.records_out)),
            Cell::number(&words::number(task.dead_records)),
            Cell::number(&words::number(task.queued_records)),
            Cell::number(&at_work(kind(task), task.busy)),
            Cell::number(&percent(task.blocked)),
            Cell::number(&words::number(task.programs)),
            Cell::number(&words::number(task.retried_records)),
            Cell::text(if task.done { "yes" } else { "no" }),
        ]
    };
    let rows: Vec<Vec<Cell>> = busiest.into_iter().map(row).collect();
    let heads = [
        "task",
        "records in",
        "records out",
        "dead",
        "still queued",
        "at work",
        "blocked",
        "programs",
        "retried, each time",
        "done",
    ];
    table("Tasks of this node", &heads, &rows)
}

fn links(report: &Report) -> String {
    let mut fullest: Vec<&ReportLink> = report.links.iter().collect();
    if fullest.len() > ROWS_MAX {
        fullest
            .sort_by_key(|link| std::cmp::Reverse((link.held_records, link.retried_records, link.records)));
        fullest.truncate(ROWS_MAX);
    }
    // What was dropped on the way went over no link, and only some may drop.
    let drops = report.dropped_records > 0;
    let sum = |of: fn(&ReportLink) -> u64| words::number(report.links.iter().map(of).sum());
    let all = [
        sum(|link| link.records),
        sum(|link| link.acknowledged_records),
        sum(|link| link.held_records),
        sum(|link| link.retried_records),
        sum(|link| link.dropped_records),
    ];
    let columns = if drops { 5 } else { 4 };
    let rows: Vec<Vec<Cell>> = fullest
        .into_iter()
        .map(|link| {
            let mut to = escaped(&link.to);
            if report.nodes.len() > 1 {
                write!(to, " on {}", escaped(&link.to_node)).ok();
            }
            let numbers = [
                link.records,
                link.acknowledged_records,
                link.held_records,
                link.retried_records,
                link.dropped_records,
            ];
            let numbers = numbers.into_iter().take(columns).map(|count| Cell::number(&words::number(count)));
            [Cell::text(&link.from), Cell::markup(to)].into_iter().chain(numbers).collect()
        })
        .collect();
    let total = [Cell::text("all links"), Cell::text("")].into_iter();
    let total = total.chain(all.iter().take(columns).map(|text| Cell::number(text))).collect();
    let rows: Vec<_> = if rows.len() > 1 { rows.into_iter().chain([total]).collect() } else { rows };
    let heads = ["from", "to", "records", "confirmed", "held", "sent again", "dropped"];
    table("Links that begin here", &heads[..2 + columns], &rows)
}

fn kind(kind: StageKind) -> &'static str {
    match kind {
        StageKind::Source => "source",
        StageKind::Batch => "batch",
        StageKind::Stream => "stream",
        StageKind::Records => "records",
        StageKind::Sink => "sink",
    }
}
