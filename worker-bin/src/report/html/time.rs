//! The run over time: plots of each stage, and its stalls.

use super::bars;
use super::lumps;
use super::markup::{Cell, escaped, table};
use super::plot::{Band, Plot, Step};
use crate::explain::{Point, StageKind, words};
use crate::report::model::{Report, ReportStall};
use crate::report::text::{at_work, rate};
use std::fmt::Write as _;

/// Most steps of a plot: of more, a dashed line cannot be told from a solid one.
const STEPS_MAX: usize = 100;

/// Most rows of the numbers behind a plot.
const ROWS_MAX: usize = 24;

/// Most stalls that are listed: the longest.
const STALLS_LISTED_MAX: usize = 24;

/// A stall with its number on the page.
type Numbered<'a> = (usize, &'a ReportStall);

/// Plots of rates and of what waited, a pair a stage.
pub(super) fn over_time(report: &Report) -> String {
    let mut out = String::from("<section>\n<h2>Over time</h2>\n");
    if report.history.stages.values().all(Vec::is_empty) {
        write!(
            out,
            "<p>The run lasted {}: too short for plots, which have a point a second.</p>\n</section>\n",
            words::duration(report.lasted_s)
        )
        .ok();
        return out;
    }
    out.push_str(&legend(report));
    for (at, stage) in report.stages.iter().enumerate() {
        let Some(points) = report.history.stages.get(&stage.name).filter(|points| !points.is_empty()) else {
            continue;
        };
        let even = lumps::spread(points, f64::from(report.history.step_s));
        let points = even.as_deref().unwrap_or(points);
        let stalls: Vec<Numbered<'_>> =
            numbered(report).into_iter().filter(|(_, stall)| stall.stages.contains(&stage.name)).collect();
        let single = match stage.kind {
            StageKind::Source => stage.left_out_records == 0,
            StageKind::Sink => true,
            StageKind::Batch | StageKind::Stream | StageKind::Records => false,
        };
        let pair = Pair {
            id: format!("p{at}"),
            stage: &stage.name,
            kind: stage.kind,
            points,
            single,
            stalls,
            report,
        };
        write!(out, "<h3>{}</h3>\n<div class=\"panels\">\n", escaped(&stage.name)).ok();
        for plot in [pair.rates(), pair.waiting()] {
            writeln!(out, "<figure>{}</figure>", plot.svg()).ok();
        }
        write!(out, "</div>\n<details><summary>{}: the same in numbers</summary>\n", escaped(&stage.name))
            .ok();
        out.push_str(&pair.numbers());
        out.push_str("</details>\n");
    }
    out + "</section>\n"
}

/// The plots of one stage.
struct Pair<'a> {
    id: String,
    stage: &'a str,
    kind: StageKind,
    points: &'a [Point],
    /// What it gives on is what it takes, as of a source of all its records, or nothing, as of a sink.
    single: bool,
    stalls: Vec<Numbered<'a>>,
    report: &'a Report,
}

impl Pair<'_> {
    fn rates(&self) -> Plot {
        let said = |name: &str, value: fn(&Point) -> f64| {
            format!("{name} at most {} a second", rate(largest(self.points, value)))
        };
        let mut description = said("records in", |p| p.in_per_s);
        let mut values: Vec<fn(&Point) -> f64> = vec![|p| p.in_per_s];
        if !self.single {
            description += &format!("; {}", said("records out", |p| p.out_per_s));
            values.push(|p| p.out_per_s);
        }
        self.plot(
            'r',
            ("records/s", "nothing moved"),
            format!("{}: records a second over the time of the run", self.stage),
            description,
            &values,
        )
    }

    fn waiting(&self) -> Plot {
        let said = |name: &str, value: fn(&Point) -> f64| {
            format!("{name} at most {}", rate(largest(self.points, value)))
        };
        let description = format!("{}; {}", said("queued", queued), said("held", held));
        self.plot(
            'w',
            ("queued, held", "nothing queued or held"),
            format!("{}: records queued and held over the time of the run", self.stage),
            description,
            &[queued, held],
        )
    }

    fn plot(
        &self,
        letter: char,
        (unit, nothing): (&'static str, &'static str),
        title: String,
        description: String,
        values: &[fn(&Point) -> f64],
    ) -> Plot {
        let points = thinned(self.points, STEPS_MAX);
        let step_s = step_s(self.report);
        let mut bands: Vec<Band> = Vec::new();
        for (number, stall) in &self.stalls {
            let (from_s, to_s) = (stall.began_s, stall.began_s + stall.lasted_s);
            let band = Band { numbers: number.to_string(), from_s, to_s, text: stall.text.clone() };
            let apart = match bands.last_mut() {
                Some(last) => last.join(band, self.report.lasted_s),
                None => Some(band),
            };
            bands.extend(apart);
        }
        Plot {
            id: format!("{}{letter}", self.id),
            title,
            description,
            unit,
            nothing,
            lasted_s: self.report.lasted_s,
            series: values.iter().map(|value| steps(&points, step_s, *value)).collect(),
            bands,
        }
    }

    /// The points in at most [`ROWS_MAX`] rows.
    fn numbers(&self) -> String {
        let rows: Vec<Vec<Cell>> = thinned(self.points, ROWS_MAX)
            .into_iter()
            .map(|point| {
                vec![
                    Cell::number(&words::duration(point.at_s)),
                    Cell::number(&rate(point.in_per_s)),
                    Cell::number(&rate(point.out_per_s)),
                    Cell::number(&words::number(point.queued_records)),
                    Cell::number(&words::number(point.held_records)),
                    Cell::number(&at_work(self.kind, point.busy)),
                    Cell::text(if point.stalled { "yes" } else { "" }),
                ]
            })
            .collect();
        table(
            &format!("{} over time; the JSON report has every point", self.stage),
            &["until", "in/s", "out/s", "queued", "held", "at work", "stalled"],
            &rows,
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "a height in a plot")]
fn queued(point: &Point) -> f64 {
    point.queued_records as f64
}

#[expect(clippy::cast_precision_loss, reason = "a height in a plot")]
fn held(point: &Point) -> f64 {
    point.held_records as f64
}

fn largest(points: &[Point], value: fn(&Point) -> f64) -> f64 {
    points.iter().map(value).fold(0.0, f64::max)
}

/// How long a step of the plots is.
fn step_s(report: &Report) -> f64 {
    let points = report.history.stages.values().map(Vec::len).max().unwrap_or(0);
    let joined = u32::try_from(points.div_ceil(STEPS_MAX).max(1)).unwrap_or(u32::MAX);
    f64::from(report.history.step_s) * f64::from(joined)
}

/// Each point reaches back to the one before; the first one by a step.
fn steps(points: &[Point], step_s: f64, value: fn(&Point) -> f64) -> Vec<Step> {
    let mut before = points.first().map_or(0.0, |first| (first.at_s - step_s).max(0.0));
    points
        .iter()
        .map(|point| {
            let from_s = std::mem::replace(&mut before, point.at_s);
            Step { from_s, to_s: point.at_s, value: value(point) }
        })
        .collect()
}

/// At most `max` points, each with the mean rates and the longest queues of those it stands for.
fn thinned(points: &[Point], max: usize) -> Vec<Point> {
    let size = points.len().div_ceil(max).max(1);
    points
        .chunks(size)
        .filter_map(|chunk| {
            #[expect(clippy::cast_precision_loss, reason = "a mean of a few points")]
            let count = chunk.len() as f64;
            let mean = |value: fn(&Point) -> f64| chunk.iter().map(value).sum::<f64>() / count;
            Some(Point {
                in_per_s: mean(|p| p.in_per_s),
                out_per_s: mean(|p| p.out_per_s),
                queued_records: chunk.iter().map(|p| p.queued_records).max()?,
                held_records: chunk.iter().map(|p| p.held_records).max()?,
                busy: mean(|p| p.busy),
                stalled: chunk.iter().any(|p| p.stalled),
                ..*chunk.last()?
            })
        })
        .collect()
}

fn legend(report: &Report) -> String {
    let line = |class: &str, text: &str| {
        format!(
            "<li><svg viewBox=\"0 0 28 12\" aria-hidden=\"true\"><path class=\"line {class}\" d=\"M0 6H28\"/></svg>{text}</li>"
        )
    };
    let band = "<li><svg viewBox=\"0 0 28 12\" aria-hidden=\"true\"><rect class=\"band\" width=\"28\" height=\"12\"/></svg>\
                a stall, by its number below</li>";
    let step = words::duration(step_s(report));
    format!(
        "<p class=\"soft\">A step of each plot covers {step}; of what was queued or held it shows the most, and work that ends in lumps, as that of large batches, has its \
         rate over the time of the lump. Each plot has a scale of its own.</p>\n<ul class=\"legend\">{}{}{}</ul>\n",
        line("line0", "solid: records in (left), queued (right)"),
        line(
            "line1",
            "dashed: records out (left), held (right): given on and not confirmed, of which each stage that is to confirm has a copy"
        ),
        if report.stalls.is_empty() { "" } else { band }
    )
}

/// The longest stalls, in the order of their beginnings, numbered from 1.
fn numbered(report: &Report) -> Vec<Numbered<'_>> {
    let mut longest: Vec<&ReportStall> = report.stalls.iter().collect();
    longest.sort_by(|a, b| b.lasted_s.total_cmp(&a.lasted_s));
    longest.truncate(STALLS_LISTED_MAX);
    longest.sort_by(|a, b| a.began_s.total_cmp(&b.began_s));
    longest.into_iter().enumerate().map(|(at, stall)| (at + 1, stall)).collect()
}

/// The stalls and their reasons.
pub(super) fn stalls(report: &Report) -> String {
    let mut out = String::from("<section>\n<h2>Stalls</h2>\n");
    if report.stalls.is_empty() {
        out.push_str("<p>Nothing was in the way for long.</p>\n</section>\n");
        return out;
    }
    let numbered = numbered(report);
    let shown = numbered.len() as u64;
    if shown < report.stall_count {
        writeln!(
            out,
            "<p>There were {}; these are the longest of the last ones.</p>",
            words::number(report.stall_count)
        )
        .ok();
    }
    let rows: Vec<Vec<Cell>> = numbered
        .into_iter()
        .map(|(number, stall)| {
            let when = format!(
                "from {} on, for {}",
                words::duration(stall.began_s),
                words::duration(stall.lasted_s)
            );
            let when = if stall.goes_on { when + ", to the end" } else { when };
            let (from, to) =
                (stall.began_s / report.lasted_s, (stall.began_s + stall.lasted_s) / report.lasted_s);
            let advice = stall.advice.as_ref().map_or_else(String::new, |advice| {
                format!("<br/><span class=\"soft\">→ {}</span>", escaped(advice))
            });
            vec![
                Cell::number(&number.to_string()),
                Cell::markup(escaped(&when) + &bars::place(&format!("stall {number}: {when}"), from, to)),
                Cell::markup(escaped(&stall.text) + &advice),
                Cell::number(&words::number(stall.tasks)),
            ]
        })
        .collect();
    write!(
        out,
        "<div class=\"stalls\">{}</div>\n</section>\n",
        table(
            "What was in the way, down to the root; the bar is the run, and the hatched part the stall",
            &["no.", "when", "why", "tasks held up"],
            &rows
        )
    )
    .ok();
    out
}
