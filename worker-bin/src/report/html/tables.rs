//! Counts of stages, tasks and links, and dead letters by reason.

use super::markup::{Cell, escaped, table};
use crate::explain::{StageKind, words};
use crate::report::model::{Report, ReportLink, ReportTask};
use crate::report::text::{percent, rate};
use std::fmt::Write as _;

/// Most rows of a table of tasks or links.
const ROWS_MAX: usize = 200;

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
    let rows: Vec<Vec<Cell>> = report
        .stages
        .iter()
        .map(|stage| {
            vec![
                Cell::text(&stage.name),
                Cell::text(kind(stage.kind)),
                Cell::number(&match stage.tasks {
                    tasks if tasks == stage.partitions => tasks.to_string(),
                    tasks => format!("{tasks} of {}", stage.partitions),
                }),
                Cell::number(&words::number(stage.records_in)),
                Cell::number(&words::number(stage.records_out)),
                Cell::number(&rate(stage.in_per_s)),
                Cell::number(&words::bytes(stage.bytes_in)),
                Cell::number(&words::bytes(stage.bytes_out)),
                Cell::number(&words::number(stage.programs)),
                Cell::number(&words::number(stage.retried_records)),
                Cell::number(&words::number(stage.dead_records)),
            ]
        })
        .collect();
    let heads = [
        "stage",
        "kind",
        "tasks",
        "records in",
        "out",
        "in/s",
        "bytes in",
        "out",
        "programs",
        "retried, each time",
        "dead",
    ];
    table("Stages of this node", &heads, &rows)
}

fn tasks(report: &Report) -> String {
    let mut busiest: Vec<&ReportTask> = report.tasks.iter().collect();
    if busiest.len() > ROWS_MAX {
        busiest.sort_by(|a, b| b.busy.total_cmp(&a.busy));
        busiest.truncate(ROWS_MAX);
    }
    let rows: Vec<Vec<Cell>> = busiest
        .into_iter()
        .map(|task| {
            vec![
                Cell::text(&task.name),
                Cell::number(&words::number(task.records_in)),
                Cell::number(&words::number(task.records_out)),
                Cell::number(&percent(task.busy)),
                Cell::number(&percent(task.blocked)),
                Cell::number(&words::number(task.programs)),
                Cell::number(&words::number(task.retried_records)),
                Cell::number(&words::number(task.dead_records)),
                Cell::number(&words::number(task.queued_records)),
                Cell::text(if task.done { "yes" } else { "no" }),
            ]
        })
        .collect();
    let heads = [
        "task",
        "records in",
        "out",
        "at work",
        "blocked",
        "programs",
        "retried, each time",
        "dead",
        "still queued",
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
    let rows: Vec<Vec<Cell>> = fullest
        .into_iter()
        .map(|link| {
            let mut to = escaped(&link.to);
            if report.nodes.len() > 1 {
                write!(to, " on {}", escaped(&link.to_node)).ok();
            }
            vec![
                Cell::text(&link.from),
                Cell::markup(to),
                Cell::number(&words::number(link.records)),
                Cell::number(&words::number(link.acknowledged_records)),
                Cell::number(&words::number(link.held_records)),
                Cell::number(&words::number(link.retried_records)),
            ]
        })
        .collect();
    table(
        "Links that begin here",
        &["from", "to", "records", "confirmed", "not confirmed", "sent again"],
        &rows,
    )
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
