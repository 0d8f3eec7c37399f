//! What is wrong with a file or probably not meant, for programs: `worker check --json`.

use super::diagnostics::{ConfigError, Problem, SourceText, Warning};
use serde::Serialize;
use std::ops::Range;

/// An error or a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    pub message: String,
    /// Where it is; none where it is of no place.
    #[serde(flatten)]
    pub at: Option<Place>,
    /// Other places that have to do with it.
    pub related: Vec<Place>,
    /// What to do, in the order of what helps most.
    pub help: Vec<String>,
}

/// A piece of a file. Lines and columns count from 1, columns in characters; the end is the column behind the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
    /// What is said of it.
    pub label: String,
}

impl Told {
    /// One that is of no place in a file.
    #[must_use]
    pub fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: None, related: Vec::new(), help: Vec::new() }
    }

    fn of(text: &SourceText, problem: &Problem) -> Self {
        let (shown, ranges) = text.shown(problem);
        let places = ranges.into_iter().zip(problem.labels());
        let mut places = places.map(|(range, label)| Place::of(text.name(), shown, &range, label));
        Self {
            message: problem.title().to_owned(),
            at: places.next(),
            related: places.collect(),
            help: text.advice(problem),
        }
    }
}

impl Place {
    fn of(file: &str, text: &str, range: &Range<usize>, label: &str) -> Self {
        let [(line, column), (end_line, end_column)] = [range.start, range.end].map(|at| {
            let before = text.get(..at).unwrap_or(text);
            let start = before.rfind('\n').map_or(0, |newline| newline + 1);
            (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
        });
        let (file, label) = (file.to_owned(), label.to_owned());
        Self { file, line, column, end_line, end_column, label }
    }
}

impl ConfigError {
    /// What is wrong, in the order of the file, and how much more there is.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        let shown = self.problems().iter().map(|problem| Told::of(self.text(), problem));
        shown.chain(self.rest().map(Told::plain)).collect()
    }
}

impl Warning {
    #[must_use]
    pub fn told(&self) -> Told {
        Told::of(self.text(), self.problem())
    }
}
