//! The run: row by row, and within a row in turns.

use super::figure::{Aim, Figure, Measure};
use super::machine::Machine;
use super::options::Options;
use super::rows::{self, Row};
use super::written::{self, Results};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What a row needs to know.
#[derive(Debug)]
pub(crate) struct Suite {
    /// The binaries to measure, with what they are called.
    pub(crate) workers: Vec<(String, PathBuf)>,
    pub(crate) rounds: usize,
    /// Part of the full input.
    pub(crate) size: f64,
    /// Where everything is that is made.
    dir: tempfile::TempDir,
}

impl Suite {
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The binary that is meant; others are beside it.
    pub(crate) fn worker(&self) -> &Path {
        &self.workers[0].1
    }

    /// So much of a count as the size wants, at least one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a size"
    )]
    pub(crate) fn scaled(&self, count: u64) -> u64 {
        ((count as f64 * self.size) as u64).max(1)
    }
}

/// Somebody who does a work.
pub(crate) struct Contender<'a> {
    pub(crate) who: String,
    pub(crate) aim: Option<Aim>,
    pub(crate) run: Box<dyn FnMut() -> Measure + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new<M: Into<Measure>>(who: impl Into<String>, mut run: impl FnMut() -> M + 'a) -> Self {
        Self { who: who.into(), aim: None, run: Box::new(move || run().into()) }
    }

    pub(crate) fn aim(mut self, aim: Option<Aim>) -> Self {
        self.aim = aim;
        self
    }
}

/// A work that several do.
pub(crate) struct Work {
    pub(crate) row: &'static str,
    pub(crate) work: String,
    pub(crate) unit: &'static str,
}

impl Work {
    /// All in turn, round by round, after one that is not counted; the order changes, so that nobody gains by his place.
    pub(crate) fn in_turn(
        &self,
        rounds: usize,
        mut limit: Contender,
        mut others: Vec<Contender>,
    ) -> Vec<Figure> {
        let figure = |other: &Contender| {
            Figure::new(self.row, &self.work, &other.who, self.unit).against(&limit.who).aim(other.aim)
        };
        let mut figures: Vec<Figure> = others.iter().map(figure).collect();
        (limit.run)();
        for other in &mut others {
            (other.run)();
        }
        for round in 0..rounds {
            let before = (round % 2 == 0).then(|| (limit.run)());
            let mut measured: Vec<Measure> = Vec::new();
            for other in &mut others {
                measured.push((other.run)());
            }
            let limit = before.unwrap_or_else(|| (limit.run)());
            for (figure, measured) in figures.iter_mut().zip(measured) {
                figure.measured.push(measured);
                figure.limits.push(limit);
            }
        }
        for figure in &figures {
            println!("{}", figure.line());
        }
        figures
    }
}

pub(crate) fn run(options: Options) -> ExitCode {
    let mut workers = vec![("worker".to_owned(), build_worker())];
    workers.extend(options.beside.clone().map(|path| ("beside".to_owned(), path)));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let suite = Suite { workers, rounds: options.rounds, size: options.size, dir };
    let machine = Machine::look(&suite);
    println!("{machine}");
    let elsewhere = || if options.is_whole() { written::book() } else { root().join("target/bench") };
    let out = options.out.clone().unwrap_or_else(elsewhere);
    let mut results = Results { machine, options, figures: Vec::new() };
    for row in rows::ROWS {
        let only = &results.options.only;
        if only.is_empty() || only.iter().any(|name| name == row.name) {
            results.figures.extend(measure(row, &suite));
            // After each row: whoever stops the suite has the rows before.
            written::write(&out, &results);
        }
    }
    println!("\nresults are in {}", out.display());
    let failed: Vec<&Figure> = results.figures.iter().filter(|figure| figure.failure.is_some()).collect();
    for figure in &failed {
        println!("{}", figure.line());
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A row that fails does not take the others with it.
fn measure(row: &Row, suite: &Suite) -> Vec<Figure> {
    println!("\n{}: {}", row.name, row.what);
    let figures = catch_unwind(AssertUnwindSafe(|| (row.measure)(suite))).unwrap_or_else(|panic| {
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|why| (*why).to_owned()));
        vec![Figure::new(row.name, row.what, "worker", "").failed(why.unwrap_or_default())]
    });
    for figure in figures.iter().filter(|figure| figure.failure.is_some()) {
        println!("{}", figure.line());
    }
    figures
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Builds the binary that is measured, with the profile that users get; `WORKER_BIN=path` measures that file instead.
fn build_worker() -> PathBuf {
    if let Some(path) = std::env::var_os("WORKER_BIN") {
        return std::fs::canonicalize(path).expect("WORKER_BIN names a file");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "-q", "-p", "worker-bin"])
        .current_dir(root())
        .status();
    assert!(status.expect("start cargo").success(), "the binary does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("release").join("worker")
}
