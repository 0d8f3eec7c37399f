//! Where the worker is behind, and where it is ahead, in sentences that are made of the figures.

use super::Results;
use super::plot::is_ours;
use crate::figure::{Better, Figure, Verdict, number};
use crate::rows::ROWS;
use std::fmt::Write as _;

/// Less is no difference.
const DIFFERENCE: f64 = 1.05;

pub(super) fn text(results: &Results) -> String {
    let mut text = String::new();
    let mut list = |title: &str, intro: &str, told: &dyn Fn(&Figure) -> Option<String>| {
        let mut lines = String::new();
        for row in ROWS {
            let figures = results.of_row(row.name);
            let figures = figures.iter().filter(|figure| is_ours(&figure.who));
            let told: Vec<String> = figures.filter_map(|figure| told(figure)).collect();
            if !told.is_empty() {
                writeln!(lines, "- [{0}](#{0}): {1}.", row.name, told.join("; ")).expect("a string takes it");
            }
        }
        if !lines.is_empty() {
            write!(text, "## {title}\n\n{intro}\n\n{lines}\n").expect("a string takes it");
        }
    };
    list("Where it is behind", "By more than 5 % of the limit, in the median:", &|figure| {
        (lead(figure)? < 1.0 / DIFFERENCE).then(|| ratio(figure)).flatten()
    });
    list("Where it is ahead", "By more than 5 %:", &|figure| {
        (lead(figure)? > DIFFERENCE).then(|| ratio(figure)).flatten()
    });
    list(
        "Aims that are not reached",
        "Of the ratio to the limit or, where there is none, of the value:",
        &missed,
    );
    list(
        "What says nothing",
        "A rate that is not held makes a backlog, whose delays say how long the run was:",
        &|figure| {
            let why = figure.incomparable.as_ref()?;
            Some(format!("{} ({}): {why}", figure.work, figure.who))
        },
    );
    text
}

/// How many times better than the limit.
fn lead(figure: &Figure) -> Option<f64> {
    let ratio = figure.ratio()?.median;
    Some(match figure.better() {
        Better::More => ratio,
        Better::Less => 1.0 / ratio,
    })
}

fn ratio(figure: &Figure) -> Option<String> {
    let unsure = if figure.is_sure() { "" } else { ", unsure" };
    let ratio = number(figure.ratio()?.median);
    Some(format!("{} ({}) {ratio} × {}{unsure}", figure.work, figure.who, figure.limit))
}

fn missed(figure: &Figure) -> Option<String> {
    let (aim, verdict) = (figure.aim?, figure.verdict()?);
    let unsure = match verdict {
        Verdict::Reached => return None,
        Verdict::Missed => "",
        Verdict::Unsure => ", unsure",
    };
    let unit = if figure.ratio().is_some() { "×" } else { &figure.unit };
    let value = number(figure.judged()?.median);
    Some(format!(
        "{} ({}) {value} {unit}, aim {}{}{unsure}",
        figure.work,
        figure.who,
        aim.sign(),
        number(aim.value())
    ))
}
