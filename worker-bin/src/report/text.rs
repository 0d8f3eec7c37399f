//! The last lines of a run, for people.

use super::model::{Report, ReportStage, ReportStall};
use crate::explain::words;
use std::fmt::Write as _;

/// How wide lines get, in characters.
const WIDTH: usize = 100;

/// Longest name of a stage that is shown whole.
const NAME_MAX: usize = 24;

/// Where numbers take the room of names, so much of them is shown.
const NAME_MIN: usize = 8;

/// Of a run that was shorter, rates and shares say nothing.
pub(super) const RATES_MIN_S: f64 = 1.0;

/// Waits below this share are left out.
const WAITED_MIN: f64 = 0.05;

/// Most lines that a stall takes.
const STALL_LINES_MAX: usize = 4;

/// What a run came to, in a few lines: as many as there is something to say.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = first_line(report) + "\n";
    for line in table(report) {
        text.push_str(&line);
        text.push('\n');
    }
    if let Some(limit) = &report.limit {
        writeln!(text, "  {}", words::limit(limit)).ok();
    }
    if let Some(longest) = report.stalls.iter().max_by(|a, b| a.lasted_s.total_cmp(&b.lasted_s)) {
        text.push_str(&stalls(report, longest));
    }
    text
}

/// How a run ended, for a log that shows nothing else of it.
#[must_use]
pub fn in_one_line(report: &Report) -> String {
    format!("ended: {} after {}", report.outcome.word(), words::duration(report.lasted_s)) + &read(report)
}

fn first_line(report: &Report) -> String {
    format!("{} in {}", report.outcome.word(), words::duration(report.lasted_s)) + &read(report)
}

fn read(report: &Report) -> String {
    let mut line = String::new();
    if report.stages.iter().any(|stage| stage.kind == crate::explain::StageKind::Source) {
        write!(line, ", {} read", words::bytes(report.read_bytes)).ok();
        if report.lasted_s >= RATES_MIN_S && report.read_bytes > 0 {
            write!(line, " ({}/s)", bytes_rate(report.read_bytes_per_s)).ok();
        }
    }
    if report.resident_peak_bytes > 0 {
        write!(line, ", {} of memory at most", words::bytes(report.resident_peak_bytes)).ok();
    }
    line
}

/// One column: its head, and its text for each stage.
struct Column {
    head: &'static str,
    cells: Vec<String>,
    left: bool,
}

/// A line a stage, under a head; columns in which nothing stands are left out.
fn table(report: &Report) -> Vec<String> {
    let stages = &report.stages;
    let rates = report.lasted_s >= RATES_MIN_S;
    let column = |head, left, cell: &dyn Fn(&ReportStage) -> String| Column {
        head,
        cells: stages.iter().map(cell).collect(),
        left,
    };
    let some = |count: u64| if count > 0 { words::number(count) } else { String::new() };
    let mut columns = vec![
        column("in", false, &|s| words::number(s.records_in)),
        column("out", false, &|s| words::number(s.records_out)),
        column("in/s", false, &|s| if rates { rate(s.in_per_s) } else { String::new() }),
        column("at work", false, &|s| if rates { percent(s.busy) } else { String::new() }),
        column("programs", false, &|s| some(s.programs)),
        column("retried", false, &|s| some(s.retried_records)),
        column("dead", false, &|s| some(s.dead_records)),
    ];
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    let width = |column: &Column| {
        column.cells.iter().map(|cell| cell.chars().count()).chain([column.head.len()]).max().unwrap_or(0)
    };
    let used = |columns: &[Column]| columns.iter().map(|column| width(column) + 2).sum::<usize>();
    let name_max = WIDTH.saturating_sub(used(&columns) + 2).clamp(NAME_MIN, NAME_MAX);
    columns.insert(0, column("", true, &|s| shortened(&s.name, name_max)));
    if rates {
        let room = WIDTH.saturating_sub(used(&columns) + 2);
        columns.push(column("waited for", true, &|s| waited(s, room)));
        columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    }
    let line = |cell: &dyn Fn(&Column) -> String| {
        let mut line = String::new();
        for column in &columns {
            let (cell, width) = (cell(column), width(column));
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let cell = if column.left { cell + &pad } else { pad + &cell };
            write!(line, "  {cell}").ok();
        }
        line.trim_end().to_owned()
    };
    let rows = (0..stages.len()).map(|at| line(&|column| column.cells[at].clone()));
    [line(&|column| column.head.to_owned())].into_iter().chain(rows).collect()
}

/// What a stage waited for, as much of it as there is room for; what was in its way first.
fn waited(stage: &ReportStage, room: usize) -> String {
    let mut waits: Vec<_> = stage.waited.iter().filter(|waited| waited.share >= WAITED_MIN).collect();
    waits.sort_by_key(|waited| waited.idle);
    let mut text = String::new();
    for waited in waits {
        let comma = if text.is_empty() { "" } else { ", " };
        let more = format!("{comma}{} {}", waited.text, percent(waited.share));
        if text.chars().count() + more.chars().count() > room {
            break;
        }
        text.push_str(&more);
    }
    text
}

fn stalls(report: &Report, longest: &ReportStall) -> String {
    let lasted = words::duration(longest.lasted_s);
    let goes_on = if longest.goes_on { ", at the end too" } else { "" };
    let all = match report.stall_count {
        1 => format!("1 stall, of {lasted}{goes_on}: "),
        count => format!("{} stalls, the longest of {lasted}{goes_on}: ", words::number(count)),
    };
    wrapped(&(all + &longest.text), STALL_LINES_MAX)
}

/// In lines of at most [`WIDTH`] characters, at most `max` of them.
fn wrapped(text: &str, max: usize) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last + 1 + word.chars().count() > WIDTH && last > 4 {
            lines.push(String::from("   "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    if lines.len() > max {
        lines.truncate(max);
        if let Some(line) = lines.last_mut() {
            line.push_str(" …");
        }
    }
    lines.join("\n") + "\n"
}

fn shortened(name: &str, max: usize) -> String {
    if name.chars().count() <= max {
        return name.to_owned();
    }
    name.chars().take(max - 1).chain(['…']).collect()
}

/// A share of 1 as people say it: `96 %`, `0.4 %`.
pub(super) fn percent(share: f64) -> String {
    // Not the zero below zero, which has a sign.
    let percent = share * 100.0 + 0.0;
    if (0.05..9.95).contains(&percent) { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// A rate as people say it: `325 000`, `4.2`.
pub(super) fn rate(rate: f64) -> String {
    if (0.05..9.95).contains(&rate) { format!("{rate:.1}") } else { words::number(whole(rate)) }
}

/// Bytes a second, in words.
pub(super) fn bytes_rate(rate: f64) -> String {
    words::bytes(whole(rate))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, never below 0"
)]
fn whole(rate: f64) -> u64 {
    rate.round().max(0.0) as u64
}

#[cfg(test)]
mod tests;
