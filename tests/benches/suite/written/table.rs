//! The table of a row.

use crate::figure::{Figure, Spread, Verdict, number};
use std::fmt::Write as _;

pub(super) fn text(figures: &[&Figure]) -> String {
    let mut text = String::from(
        "| work | who | limit | measured | ratio: median (lowest to highest) | processor time | rounds | aim |\n|---|---|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let cells = [
            figure.work.clone(),
            figure.who.clone(),
            limit(figure),
            figure.failure.clone().unwrap_or_else(|| measured(figure)),
            ratio(figure),
            processor(figure),
            figure.measured.len().to_string(),
            aim(figure),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        writeln!(text, "| {} |", cells.join(" | ")).expect("a string takes it");
    }
    text
}

fn ratio(figure: &Figure) -> String {
    let unsure = if figure.is_sure() { "" } else { ", unsure" };
    match (figure.ratio(), &figure.incomparable) {
        (_, Some(why)) => format!("none: {why}"),
        (Some(ratio), None) => format!("**{} ×** ({}){unsure}", number(ratio.median), range(ratio)),
        (None, None) => String::new(),
    }
}

fn limit(figure: &Figure) -> String {
    match figure.limit_value() {
        Some(value) => format!("{}: {} {}", figure.limit, number(value.median), figure.unit),
        None => figure.limit.clone(),
    }
}

fn measured(figure: &Figure) -> String {
    let Some(value) = figure.value() else { return String::new() };
    if figure.limit_value().is_some() {
        return format!("{} {}", number(value.median), figure.unit);
    }
    let unsure = if figure.is_sure() { "" } else { ", unsure" };
    format!("**{} {}** ({}){unsure}", number(value.median), figure.unit, range(value))
}

fn processor(figure: &Figure) -> String {
    figure.processor_ratio().map_or_else(String::new, |ratio| format!("{} ×", number(ratio.median)))
}

fn aim(figure: &Figure) -> String {
    let Some(aim) = figure.aim else { return String::new() };
    let verdict = figure.verdict().map_or("not measured", Verdict::words);
    format!("{}{}: {verdict}", aim.sign(), number(aim.value()))
}

fn range(spread: Spread) -> String {
    format!("{} to {}", number(spread.low), number(spread.high))
}
