//! What is to be measured, and how often.

use super::rows;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "usage: cargo bench -p worker-tests --bench suite -- [OPTION]...
  --only ROW,...   these rows; --list names them all
  --rounds N       how often each work is measured (5)
  --size FACTOR    how much of the input is used (1)
  --quick          --size 0.1 --rounds 1
  --beside PATH    measures this worker, too, in the same rounds
  --out DIR        where results go: docs/bench if all rows are measured at full size, target/bench if not
  --list           only says what the rows are
  --draw           measures nothing: draws plots and tables again from the results that are there
  --check          measures nothing: says what --draw would change, and ends with status 1 if it would";

#[derive(Debug)]
pub(crate) struct Options {
    /// Names of rows; none: all.
    pub(crate) only: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) size: f64,
    pub(crate) beside: Option<PathBuf>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) list: bool,
    pub(crate) draw: Option<Draw>,
    /// As they were given.
    pub(crate) words: String,
}

/// What is done with results that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Write,
    Check,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            rounds: 5,
            size: 1.0,
            beside: None,
            out: None,
            list: false,
            draw: None,
            words: String::new(),
        }
    }
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self { words: args.join(" "), ..Self::default() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--only" => options.only = known_rows(value()?)?,
                "--rounds" => options.rounds = at_least_one(value()?)?,
                "--size" => options.size = factor(value()?)?,
                "--quick" => (options.rounds, options.size) = (1, 0.1),
                "--beside" => options.beside = Some(existing(value()?)?),
                "--out" => options.out = Some(value()?.into()),
                "--list" => options.list = true,
                "--draw" => options.draw = Some(Draw::Write),
                "--check" => options.draw = Some(Draw::Check),
                _ => return Err(format!("{arg}: no such option")),
            }
        }
        Ok(options)
    }

    /// Whether what is measured may stand in the book.
    pub(crate) fn is_whole(&self) -> bool {
        self.only.is_empty() && self.size >= 1.0 && self.rounds >= 3
    }
}

fn known_rows(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| rows::ROWS.iter().all(|row| row.name != *name)) {
        None => Ok(names),
        Some(name) => {
            let known: Vec<&str> = rows::ROWS.iter().map(|row| row.name).collect();
            Err(format!("there is no row {name}, but {}", known.join(", ")))
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|rounds| *rounds > 0).ok_or_else(|| format!("{text}: not a number of rounds"))
}

fn factor(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|size| *size > 0.0).ok_or_else(|| format!("{text}: not a factor above 0"))
}

/// Runs are made in other directories.
fn existing(text: &str) -> Result<PathBuf, String> {
    std::fs::canonicalize(text).map_err(|error| format!("{text}: {error}"))
}
