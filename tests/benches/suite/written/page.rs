//! What was measured, for people: in words where the worker is behind, then row by row.

use super::{Results, behind, table};
use crate::rows::{About, ROWS, Row};
use std::fmt::Write as _;

/// Rows whose plots are shown; those of all others are linked to.
const SHOWN: [&str; 5] = ["job", "short", "link", "records", "latency"];

/// `plots` is the way from the page to the pictures.
pub(super) fn text(results: &Results, plots: &str) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "Measured on {}: {machine}; load in the minute before: {}. Rounds, unless the tables say less: {}.\n\n",
        machine.day(),
        machine.load(),
        results.options.rounds
    );
    text += &behind::text(results);
    text += "## The rows\n";
    for row in ROWS {
        let figures = results.of_row(row.name);
        if !figures.is_empty() {
            section(&mut text, row, plots);
            text += &table::text(&figures);
        }
    }
    text
}

fn section(text: &mut String, row: &Row, plots: &str) {
    let About { input, runs, limit, by_hand } = (row.about)();
    let (name, what) = (row.name, row.what);
    let is_shown = if SHOWN.contains(&name) { "!" } else { "" };
    let by_hand = if by_hand.is_empty() { by_hand } else { format!("{by_hand}\n") };
    write!(
        text,
        "\n### {name}\n\n{}.\n\n- *Input:* {input}.\n- *What runs:* {runs}.\n- *Limit:* {limit}.\n\n{by_hand}{is_shown}[plot of {name}]({plots}{name}.svg)\n\n",
        first_upper(what)
    )
    .expect("a string takes it");
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
