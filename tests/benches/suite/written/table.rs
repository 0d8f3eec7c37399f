//! The table of the book.

use crate::figure::{Aim, Figure, Spread, number};
use std::fmt::Write as _;

pub(super) fn text(figures: &[Figure]) -> String {
    let mut text = String::from(
        "| row | work | who | limit | measured | ratio: median (lowest to highest) | processor time | aim |\n|---|---|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let cells = [
            figure.row.to_owned(),
            figure.work.clone(),
            figure.who.clone(),
            limit(figure),
            figure.failure.clone().unwrap_or_else(|| measured(figure)),
            figure.ratio().map_or_else(String::new, |ratio| {
                format!("**{} ×** ({})", number(ratio.median), range(ratio))
            }),
            processor(figure),
            aim(figure),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        writeln!(text, "| {} |", cells.join(" | ")).expect("a string takes it");
    }
    text
}

fn limit(figure: &Figure) -> String {
    match figure.limit_value() {
        Some(value) => format!("{}: {} {}", figure.limit, number(value.median), figure.unit),
        None => figure.limit.clone(),
    }
}

fn measured(figure: &Figure) -> String {
    let Some(value) = figure.value() else { return String::new() };
    match figure.ratio() {
        Some(_) => format!("{} {}", number(value.median), figure.unit),
        None => format!("**{} {}** ({})", number(value.median), figure.unit, range(value)),
    }
}

fn processor(figure: &Figure) -> String {
    figure.processor_ratio().map_or_else(String::new, |ratio| format!("{} ×", number(ratio.median)))
}

fn aim(figure: &Figure) -> String {
    let Some(aim) = figure.aim else { return String::new() };
    let sign = match aim {
        Aim::AtMost(_) => '≤',
        Aim::AtLeast(_) => '≥',
    };
    let reached = match figure.is_reached() {
        Some(true) => "reached",
        Some(false) => "not reached",
        None => "not measured",
    };
    format!("{sign} {}: {reached}", number(aim.value()))
}

fn range(spread: Spread) -> String {
    format!("{} to {}", number(spread.low), number(spread.high))
}
