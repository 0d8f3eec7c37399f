//! The report as one page: no script, nothing from elsewhere, made to be read on a screen, on paper and by ear.

mod bars;
mod lumps;
mod markup;
mod plot;
mod tables;
mod ticks;
mod time;

use super::model::{LeftState, Outcome, Report};
use super::text::{RATES_MIN_S, at_work, bytes_rate, percents};
use crate::explain::{StageKind, words};
use crate::io::dead::rfc3339;
use markup::{Cell, escaped, table};
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// Nothing is loaded, and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

#[must_use]
pub fn html(report: &Report) -> String {
    let mut page = head(report);
    page.push_str(&facts(report));
    page.push_str(&where_the_time_went(report));
    page.push_str(&time::over_time(report));
    page.push_str(&time::stalls(report));
    page.push_str(&tables::dead(report));
    page.push_str(&tables::numbers(report));
    write!(
        page,
        "<footer>Made by worker {} on node {}. The same as data: worker run … --report FILE.json</footer>\n</body>\n</html>\n",
        escaped(&report.version),
        escaped(&report.node)
    )
    .ok();
    page
}

fn head(report: &Report) -> String {
    let (pipeline, word) = (escaped(&report.pipeline), report.outcome.word());
    // An end that is none for all records is no good one.
    let (tone, badge) = match losses(report) {
        Some(losses) => ("stopped", format!("{word}, with {losses}")),
        None => (word, word.to_owned()),
    };
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{pipeline}: {word} in {}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\"><defs><pattern id=\"hatch\" width=\"5\" height=\"5\" \
         patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V5\"/></pattern></defs></svg>\n",
        escaped(POLICY),
        words::duration(report.lasted_s),
        include_str!("style.css"),
    );
    let nodes = match report.nodes.len() {
        0 | 1 => String::new(),
        count => format!(" on node {} of {count}", escaped(&report.node)),
    };
    writeln!(
        out,
        "<header>\n<h1>{pipeline}{nodes} <span class=\"outcome {tone}\">{badge}</span></h1>\n\
         <p class=\"soft\">{} to {} UTC, {}, exit status {}</p>",
        moment(report.began_ms),
        moment(report.ended_ms),
        delivery(&report.delivery),
        report.exit_status
    )
    .ok();
    if let Some(why) = &report.why {
        writeln!(out, "<p class=\"why {word}\">{}</p>", escaped(why)).ok();
    }
    out + "</header>\n"
}

/// What a run that is done has not done.
fn losses(report: &Report) -> Option<String> {
    let losses: Vec<String> = [
        (report.dead_records, words::dead_letters(report.dead_records)),
        (report.dropped_records, format!("{} dropped", words::records(report.dropped_records))),
        (report.lost_records, format!("at most {} lost", words::records(report.lost_records))),
    ]
    .into_iter()
    .filter_map(|(count, text)| (count > 0).then_some(text))
    .collect();
    (report.outcome == Outcome::Done && !losses.is_empty()).then(|| losses.join(", "))
}

fn delivery(delivery: &str) -> String {
    match delivery {
        "exactly-once" => "exactly once".to_owned(),
        "memory" => "in memory".to_owned(),
        other => escaped(other),
    }
}

fn moment(ms: u64) -> String {
    let text = rfc3339(UNIX_EPOCH + Duration::from_millis(ms));
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// What everybody asks first.
fn facts(report: &Report) -> String {
    let mut facts: Vec<(&str, String)> = vec![("lasted", words::duration(report.lasted_s))];
    if report.stages.iter().any(|stage| stage.kind == StageKind::Source) {
        facts.push(("input read", words::bytes(report.read_bytes)));
        facts.push(("throughput", format!("{}/s", bytes_rate(report.read_bytes_per_s))));
    }
    let of = |kind: StageKind, count: fn(&super::ReportStage) -> u64| -> Option<u64> {
        let stages: Vec<_> = report.stages.iter().filter(|stage| stage.kind == kind).collect();
        (!stages.is_empty()).then(|| stages.into_iter().map(count).sum())
    };
    for (name, count) in [
        ("records read", of(StageKind::Source, |stage| stage.records_in)),
        ("records written", of(StageKind::Sink, |stage| stage.records_out)),
    ] {
        facts.extend(count.map(|count| (name, words::number(count))));
    }
    facts.push(("memory at most", words::bytes(report.resident_peak_bytes)));
    facts.push(("dead letters", words::number(report.dead_records)));
    facts.push(("stalls", words::number(report.stall_count)));
    let left_out = report.stages.iter().map(|stage| stage.left_out_records).sum();
    if left_out > 0 {
        facts.push(("left out by samples", words::records(left_out)));
    }
    let lag = report.stages.iter().filter_map(|stage| stage.lag_bytes).sum();
    if lag > 0 {
        facts.push(("followed and not read", words::bytes(lag)));
    }
    if report.dropped_records > 0 {
        facts.push(("dropped", words::records(report.dropped_records)));
    }
    if report.went_on {
        facts.push(("counted", "since the first start; times, shares and rates are of this run".to_owned()));
    }
    if let Some(LeftState { dir, bytes }) = &report.state {
        facts.push(("state, not needed any more", format!("{} in {}", words::bytes(*bytes), escaped(dir))));
    }
    if report.lost_records > 0 {
        facts.push(("lost at most", words::records(report.lost_records)));
    }
    if report.held_records > 0 && report.outcome != Outcome::Done {
        facts.push(("not done", words::records(report.held_records)));
    }
    let mut out = String::from("<dl class=\"facts\">\n");
    for (name, fact) in facts {
        writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&fact)).ok();
    }
    out + "</dl>\n"
}

/// At work, blocked or without work, for each stage.
fn where_the_time_went(report: &Report) -> String {
    let rows: Vec<Vec<Cell>> = report
        .stages
        .iter()
        .map(|stage| {
            let mut said =
                percents(&[stage.busy, stage.blocked, (1.0 - stage.busy - stage.blocked).max(0.0)]);
            // What is left may be either.
            if let ([work, .., rest], false) = (said.as_mut_slice(), stage.kind.is_seen_at_work()) {
                (*work, *rest) = (at_work(stage.kind, stage.busy), "–".to_owned());
            }
            let mut cell =
                escaped(&stage.name) + &bars::shares(&stage.name, (stage.busy, stage.blocked), &said);
            for (what, idle) in [("blocked by waiting for", false), ("without work, waiting for", true)] {
                let causes = bars::causes(&stage.waited, idle).replace(" %", "\u{a0}%");
                if !causes.is_empty() {
                    write!(cell, "<span class=\"cause\">{what} {}</span>", escaped(&causes)).ok();
                }
            }
            let numbers = said.iter().map(|share| Cell::number(share));
            [Cell::markup(cell)].into_iter().chain(numbers).collect()
        })
        .collect();
    let limit = report.limit.as_ref().map_or_else(
        || match report.lasted_s {
            short if short < RATES_MIN_S => "The run was too short to say what limited it.".to_owned(),
            _ => "No stage was at work for most of the time.".to_owned(),
        },
        |limit| {
            let mut text = words::limit_of_run(limit);
            text.replace_range(..1, "O");
            text + "."
        },
    );
    let key = |class: &str, text: &str| {
        format!(
            "<li><svg viewBox=\"0 0 28 12\" aria-hidden=\"true\"><rect class=\"{class}\" x=\"1\" y=\"1\" width=\"26\" height=\"10\"/></svg>{text}</li>"
        )
    };
    format!(
        "<section>\n<h2>Where the time went</h2>\n<p>{}</p>\n<ul class=\"legend\">{}{}{}</ul>\n<div class=\"shares\">{}</div>\n</section>\n",
        escaped(&limit),
        key(
            "work",
            "at work: a program or a write was under way; of a stream's program only while it was behind"
        ),
        key("blocked", "blocked: something was in the way"),
        key("rest", "without work"),
        table(
            "Shares of the time of each stage's tasks; waits are looked at four times a second",
            &["stage", "at work", "blocked", "without work"],
            &rows
        )
    )
}

#[cfg(test)]
mod tests;
