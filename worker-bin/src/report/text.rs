//! The last lines of a run, for people.

use super::model::{LeftState, Report, ReportStage, ReportStall};
use crate::explain::{StageKind, words};
use crate::text::escape::one_line;
use crate::text::table::{Column, Table};
use crate::text::width::{fit, wrapped_lines};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use worker_core::config::TaskName;

/// Where numbers take the room of names, so much of them is shown.
const NAME_MIN: usize = 8;

/// The smallest share of its work that says something where only a part is seen.
const SEEN_MIN: f64 = 0.01;

/// Of a run that was shorter, rates and shares say nothing.
pub(super) const RATES_MIN_S: f64 = 1.0;

/// Waits below this share are left out.
const WAITED_MIN: f64 = 0.05;

/// With less room than that, waits are left out.
const WAITED_MIN_COLUMNS: usize = 12;

/// A batch that fails is tried again whole, in halves, and record by record: the count may be larger than that of the records.
const RETRIED: &str = "  retried: given to a program again after a failure; a record counts each time";

/// Of a run that has gone on with an earlier one.
const WENT_ON: &str = "  went on with an earlier run: what is counted is since the first start; times, shares and rates are of this run";

/// Most lines that a stall takes on a terminal.
const STALL_LINES_MAX: usize = 4;

/// What a run came to, in a few lines: as many as there is something to say, and none longer than the terminal has columns.
#[must_use]
pub fn text(report: &Report, room: Option<usize>) -> String {
    let mut text = wrapped_lines(&(first_line(report) + "\n"), room);
    for line in table(report, room) {
        text.push_str(&line);
        text.push('\n');
    }
    if report.stages.iter().any(|stage| stage.retried_records > 0) {
        writeln!(text, "{}", wrapped_lines(RETRIED, room)).ok();
    }
    if report.went_on {
        writeln!(text, "{}", wrapped_lines(WENT_ON, room)).ok();
    }
    if report.dropped_records > 0 {
        writeln!(text, "{}", wrapped_lines(&format!("  {}", dropped(report)), room)).ok();
    }
    for stage in report.stages.iter().filter(|stage| stage.left_out_records > 0) {
        writeln!(text, "{}", wrapped_lines(&format!("  {}", left_out(stage)), room)).ok();
    }
    for stage in &report.stages {
        if let Some(lag) = lag(stage) {
            writeln!(text, "{}", wrapped_lines(&format!("  {lag}"), room)).ok();
        }
    }
    if let Some(limit) = &report.limit {
        writeln!(text, "{}", wrapped_lines(&format!("  {}", words::limit_of_run(limit)), room)).ok();
    }
    if let Some(longest) = report.stalls.iter().max_by(|a, b| a.lasted_s.total_cmp(&b.lasted_s)) {
        text.push_str(&stalls(report, longest, room));
    }
    if let Some(state) = &report.state {
        writeln!(text, "{}", wrapped_lines(&format!("  {}", left(report, state)), room)).ok();
    }
    text
}

/// How a run ended, for a log that shows nothing else of it.
#[must_use]
pub fn in_one_line(report: &Report) -> String {
    let lasted = words::duration(report.lasted_s);
    let dropped = match report.dropped_records {
        0 => String::new(),
        count => format!(", {} dropped", words::records(count)),
    };
    let left_out = match report.stages.iter().map(|stage| stage.left_out_records).sum() {
        0 => String::new(),
        count => format!(", {} left out by samples", words::records(count)),
    };
    format!("ended: {} after {lasted}{}", report.outcome.word(), part(report))
        + &dropped
        + &left_out
        + &read(report)
}

/// `dropped: 12 records on the way to slow, 3 on the way to out`
fn dropped(report: &Report) -> String {
    let mut to: BTreeMap<&str, u64> = BTreeMap::new();
    for link in report.links.iter().filter(|link| link.dropped_records > 0) {
        *to.entry(TaskName::of(&link.to).stage).or_default() += link.dropped_records;
    }
    let ways = to
        .into_iter()
        .map(|(to, count)| format!("{} on the way to {}", words::number(count), one_line(to.as_bytes())));
    format!("dropped (when_full): {}", ways.collect::<Vec<_>>().join(", "))
}

/// `sample: 9 900 of 10 000 records of log were left out`
fn left_out(stage: &ReportStage) -> String {
    let (out, all) = (words::number(stage.left_out_records), words::records(stage.records_in));
    format!("sample: {out} of {all} of {} were left out", one_line(stage.name.as_bytes()))
}

/// `log: 1.2 MiB that were there were not read`
fn lag(stage: &ReportStage) -> Option<String> {
    let bytes = words::bytes(stage.lag_bytes.filter(|&bytes| bytes > 0)?);
    Some(format!("{}: {bytes} of its files were not read", one_line(stage.name.as_bytes())))
}

/// `all is done: the state in traced (4.1 MiB) may be removed`
fn left(report: &Report, state: &LeftState) -> String {
    let (dir, bytes) = (one_line(state.dir.as_bytes()), words::bytes(state.bytes));
    let when = if report.nodes.len() > 1 { " when the other nodes have ended, too" } else { "" };
    let letters = if report.dead_records > 0 { ", with the dead letters in it" } else { "" };
    format!("all is done: the state in {dir} ({bytes}{letters}) may be removed{when}")
}

fn first_line(report: &Report) -> String {
    let lasted = words::duration(report.lasted_s);
    format!("{} in {lasted}{}", report.outcome.word(), part(report)) + &read(report)
}

/// Of what the end is: others may be at work yet.
fn part(report: &Report) -> String {
    match report.nodes.len() {
        0 | 1 => String::new(),
        _ => format!(" (the part of node {})", one_line(report.node.as_bytes())),
    }
}

fn read(report: &Report) -> String {
    let mut line = String::new();
    if report.stages.iter().any(|stage| stage.kind == StageKind::Source) {
        let since = if report.went_on { " since the first start" } else { "" };
        write!(line, ", {} read{since}", words::bytes(report.read_bytes)).ok();
        if report.lasted_s >= RATES_MIN_S && report.read_bytes > 0 {
            let by = if report.went_on { " in this run" } else { "" };
            write!(line, " ({}/s{by})", bytes_rate(report.read_bytes_per_s)).ok();
        }
    }
    if report.resident_peak_bytes > 0 {
        write!(line, ", {} of memory at most", words::bytes(report.resident_peak_bytes)).ok();
    }
    line
}

/// A line a stage, under a head; columns in which nothing stands are left out.
fn table(report: &Report, room: Option<usize>) -> Vec<String> {
    let rates = report.lasted_s >= RATES_MIN_S;
    let columns = [
        Column::left("", Some(NAME_MIN), 0),
        Column::right("in", 2),
        Column::right("out", 1),
        Column::right("in/s", 5),
        Column::right("at work", 6),
        Column::right("programs", 8),
        Column::right("retried", 4),
        Column::right("dead", 3),
        Column::left("waited for", Some(WAITED_MIN_COLUMNS), 7),
    ];
    let some = |count: u64| if count > 0 { words::number(count) } else { String::new() };
    let only = |said: bool, text: String| if said { text } else { String::new() };
    let row = |s: &ReportStage| {
        vec![
            one_line(s.name.as_bytes()),
            words::number(s.records_in),
            words::number(s.records_out),
            only(rates, rate(s.in_per_s)),
            only(rates, at_work(s.kind, s.busy)),
            some(s.programs),
            some(s.retried_records),
            some(s.dead_records),
            only(rates, waited(s)),
        ]
    };
    Table::lines(&columns, &report.stages.iter().map(row).collect::<Vec<_>>(), 2, room)
}

/// What a stage waited for; what was in its way first.
fn waited(stage: &ReportStage) -> String {
    let mut waits: Vec<_> = stage.waited.iter().filter(|waited| waited.share >= WAITED_MIN).collect();
    waits.sort_by_key(|waited| waited.idle);
    let texts: Vec<_> =
        waits.iter().map(|waited| format!("{} {}", waited.text, percent(waited.share))).collect();
    texts.join(", ")
}

fn stalls(report: &Report, longest: &ReportStall, room: Option<usize>) -> String {
    let lasted = words::duration(longest.lasted_s);
    let goes_on = if longest.goes_on { ", at the end too" } else { "" };
    let all = match report.stall_count {
        1 => format!("1 stall, of {lasted}{goes_on}: "),
        count => format!("{} stalls, the longest of {lasted}{goes_on}: ", words::number(count)),
    };
    let text = wrapped_lines(&format!("  {all}{}", longest.text), room);
    let mut lines: Vec<_> = text.split('\n').collect();
    let cut;
    if let Some(last) = lines.get(STALL_LINES_MAX - 1).filter(|_| lines.len() > STALL_LINES_MAX) {
        cut = fit(&format!("{last} …"), room.unwrap_or(usize::MAX));
        lines.truncate(STALL_LINES_MAX - 1);
        lines.push(&cut);
    }
    lines.join("\n") + "\n"
}

/// The share of the time in which it was at work, or the least it can be; nothing where that says nothing.
pub(super) fn at_work(kind: StageKind, share: f64) -> String {
    match () {
        () if kind.is_seen_at_work() => percent(share),
        () if share < SEEN_MIN => "–".to_owned(),
        () => format!("≥ {}", percent(share)),
    }
}

/// A share of 1 as people say it: `96 %`, `0.4 %`.
pub(super) fn percent(share: f64) -> String {
    // Not the zero below zero, which has a sign.
    let percent = share * 100.0 + 0.0;
    if (0.05..9.95).contains(&percent) { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// Shares that make a whole, as people say them: what is shown makes a hundred, with a tenth where one of them is small.
pub(super) fn percents(shares: &[f64]) -> Vec<String> {
    let small = shares.iter().any(|share| (0.0005..0.0995).contains(share));
    let steps: u64 = if small { 1000 } else { 100 };
    #[expect(clippy::cast_precision_loss, reason = "a thousand at most")]
    let exact = |share: f64| share.clamp(0.0, 1.0) * steps as f64;
    let mut parts: Vec<u64> = shares.iter().map(|share| whole((exact(*share) + 1e-9).floor())).collect();
    let left = steps.saturating_sub(parts.iter().sum());
    // What rounding leaves goes to those it took most from; shares that make no whole are only rounded.
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| exact(shares[*b]).fract().total_cmp(&exact(shares[*a]).fract()));
    if left <= parts.len() as u64 {
        order.into_iter().zip(0..left).for_each(|(at, _)| parts[at] += 1);
    }
    let said = |part: u64| match (small, part) {
        (true, 1..=999) => format!("{}.{} %", part / 10, part % 10),
        (true, _) => format!("{} %", part / 10),
        (false, _) => format!("{part} %"),
    };
    parts.into_iter().map(said).collect()
}

/// A rate as people say it: `325 000`, `4.2`.
#[must_use]
pub fn rate(rate: f64) -> String {
    if (0.05..9.95).contains(&rate) { format!("{rate:.1}") } else { words::number(whole(rate)) }
}

/// Bytes a second, in words.
#[must_use]
pub fn bytes_rate(rate: f64) -> String {
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
