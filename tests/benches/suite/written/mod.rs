//! Results as files: JSON for programs, a table for people, a plot for each row.

mod json;
mod plot;
mod table;

use super::figure::Figure;
use super::machine::Machine;
use super::options::Options;
use super::suite::root;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where results go that may stand in the book.
pub(crate) fn book() -> PathBuf {
    root().join("docs/bench")
}

pub(crate) fn write(out: &Path, machine: &Machine, options: &Options, figures: &[Figure]) {
    std::fs::create_dir_all(out).expect("make the directory of the results");
    let put = |name: &str, text: String| std::fs::write(out.join(name), text).expect("write the results");
    put("results.json", json::text(machine, options, figures));
    if out == book() {
        into_page(&root().join("docs/speed.md"), machine, figures);
    } else {
        put("table.md", table::text(figures));
    }
    let mut rows: BTreeMap<&str, Vec<&Figure>> = BTreeMap::new();
    for figure in figures {
        rows.entry(figure.row).or_default().push(figure);
    }
    for (row, figures) in rows {
        put(&format!("{row}.svg"), plot::svg(row, &figures));
    }
}

/// Between these the page has the table.
const BEGIN: &str = "<!-- written by cargo bench -p worker-tests --bench suite -->";
const END: &str = "<!-- end of what is written -->";

/// Puts machine and table where the page has them.
fn into_page(page: &Path, machine: &Machine, figures: &[Figure]) {
    let text = std::fs::read_to_string(page).expect("read the page");
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let day = machine.date().split('T').next().unwrap_or_default();
    let table = table::text(figures);
    let text = format!("{before}{BEGIN}\n\nMeasured on {day}: {machine}.\n\n{table}\n{END}{after}");
    std::fs::write(page, text).expect("write the page");
}
