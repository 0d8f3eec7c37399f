//! Results as files: JSON for programs, pages for people, a plot for each row. All but the JSON can be made of it again.

mod behind;
mod json;
mod page;
mod places;
mod plot;
mod table;

use super::figure::Figure;
use super::machine::Machine;
use super::options::{Draw, Options};
use super::rows::ROWS;
use super::suite::root;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What was measured, on what, and how often.
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) options: Options,
    pub(crate) figures: Vec<Figure>,
}

impl Results {
    /// In the order of the row.
    fn of_row(&self, row: &str) -> Vec<&Figure> {
        self.figures.iter().filter(|figure| figure.row == row).collect()
    }
}

const RESULTS: &str = "results.json";

/// Where results go that may stand in the book.
pub(crate) fn book() -> PathBuf {
    root().join("docs/bench")
}

pub(crate) fn write(out: &Path, results: &Results) {
    std::fs::create_dir_all(out).expect("make the directory of the results");
    let mut files = files(out, results);
    files.push((out.join(RESULTS), json::text(results)));
    for (path, text) in files {
        std::fs::write(path, text).expect("write the results");
    }
}

/// Makes everything of the results that are there, or says what would be different.
pub(crate) fn draw(out: &Path, how: Draw) -> Result<ExitCode, String> {
    let path = out.join(RESULTS);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let results = json::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut changed = 0;
    for (path, text) in files(out, &results) {
        if std::fs::read_to_string(&path).is_ok_and(|now| now == text) {
            continue;
        }
        changed += 1;
        match how {
            Draw::Write => {
                std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
                println!("{} is written", path.display());
            }
            Draw::Check => println!("{}: not what the results say; --draw writes it", path.display()),
        }
    }
    Ok(if changed > 0 && how == Draw::Check { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What follows from the results, with its text.
fn files(out: &Path, results: &Results) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for row in ROWS {
        let figures = results.of_row(row.name);
        if !figures.is_empty() {
            files.push((out.join(format!("{}.svg", row.name)), plot::svg(row, &results.machine, &figures)));
        }
    }
    if out == book() {
        files.extend(places::all(results).into_iter().map(|place| place.filled()));
    } else {
        files.push((out.join("table.md"), page::text(results, "")));
    }
    files
}
