//! What becomes of one test: run in all ways in which its result must be the same.

mod ways;

use super::attempt::{Ran, Runner};
use super::diff::diff;
use super::expected::Expected;
use crate::explain::words;
use crate::pipeline::{Batches, Pipeline, Trial};
use std::io;
use std::path::Path;
use std::time::Instant;
use ways::Ways;

/// What came of one test.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) label: String,
    /// In what ways it was run, and gave what is expected.
    pub(super) done: Vec<String>,
    /// What else is worth knowing.
    pub(super) notes: Vec<String>,
    /// `None`: it passes.
    pub(super) trouble: Option<Trouble>,
    pub(super) seconds: f64,
}

/// Why it does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) title: String,
    /// The differences, or what was said.
    pub(super) text: String,
    /// It did not come to a result.
    pub(super) is_error: bool,
}

/// Runs a test.
pub(super) fn of(pipeline: &Pipeline, expected: &Expected<'_>, runner: &Runner) -> Verdict {
    let begun = Instant::now();
    let label = expected.test.label.clone();
    let mut verdict = Verdict { label, done: Vec::new(), notes: Vec::new(), trouble: None, seconds: 0.0 };
    let tried = tempfile::tempdir().and_then(|dir| {
        let bench = Bench::new(pipeline, expected, runner, dir.path())?;
        verdict.notes = bench.notes();
        verdict.trouble = Ways { bench: &bench, done: &mut verdict.done }.all()?;
        Ok(())
    });
    if let Err(error) = tried {
        let title = format!("cannot be run: {error}");
        verdict.trouble = Some(Trouble { title, text: String::new(), is_error: true });
    }
    verdict.seconds = begun.elapsed().as_secs_f64();
    verdict
}

/// In which order outputs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Exact,
    /// In any, where none is promised.
    AsPromised,
}

/// A test that lies ready to be run.
pub(super) struct Bench<'a> {
    expected: &'a Expected<'a>,
    runner: &'a Runner,
    dir: &'a Path,
    trial: Trial,
    /// The pipeline delivers exactly once, and the test is of all of it.
    keeps_state: bool,
}

impl<'a> Bench<'a> {
    fn new(
        pipeline: &Pipeline,
        expected: &'a Expected<'a>,
        runner: &'a Runner,
        dir: &'a Path,
    ) -> io::Result<Self> {
        let trial = pipeline.trial(expected.test, dir);
        for (name, path) in &trial.inputs {
            std::fs::write(path, expected.inputs.get(name).map_or(&[][..], Vec::as_slice))?;
        }
        let keeps_state =
            pipeline.delivery == crate::pipeline::Delivery::ExactlyOnce && expected.test.stage.is_none();
        Ok(Self { expected, runner, dir, trial, keeps_state })
    }

    /// How outputs are compared, and which are not.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for output in &self.trial.outputs {
            let of = match self.trial.outputs.len() {
                1 => String::new(),
                _ => format!("{}: ", output.name),
            };
            match (&output.unordered, self.expected.outputs.contains_key(&output.name)) {
                (_, false) => {
                    notes.push(format!("{of}not compared: the test does not say what is expected there"))
                }
                (Some(why), true) => notes.push(format!("{of}compared in any order: {why}")),
                (None, true) => notes.push(format!("{of}compared in order")),
            }
        }
        notes
    }

    /// Runs it once, in memory.
    fn run(&self, batches: Batches, more: &[String]) -> io::Result<Ran> {
        self.runner.run(&self.trial.in_batches(batches), self.dir, more)
    }

    /// What is wrong with what a run gave; `Order::Exact`: in the order that is expected, whoever promises it.
    fn check(&self, ran: &Ran, order: Order) -> io::Result<Option<Trouble>> {
        let error = |title: String, text: String| Ok(Some(Trouble { title, text, is_error: true }));
        let Some(status) = ran.status else {
            let title = format!(
                "did not end within {}: a program hangs, or needs longer (--timeout)",
                words::duration(self.runner.timeout().unwrap_or_default().as_secs_f64())
            );
            return error(title, ran.said.clone());
        };
        let (Some(0 | 3), Some(report)) = (status.code(), &ran.report) else {
            let how = match status.code() {
                Some(code) => format!("ended with status {code}"),
                None => format!("was ended ({status})"),
            };
            return error(format!("the run {how}"), ran.said.clone());
        };
        let dead_expected = self.expected.test.dead_letters;
        let mut titles = Vec::new();
        let mut text = String::new();
        if report.dead_records != dead_expected {
            titles.push(format!("{} instead of {dead_expected}", words::dead_letters(report.dead_records)));
            for dead in &report.dead {
                text += &format!("{}: {} ({})\n", dead.stage, words::foreign(&dead.example), dead.records);
            }
        }
        for output in &self.trial.outputs {
            let Some(expected) = self.expected.outputs.get(&output.name) else { continue };
            let given = match std::fs::read(&output.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                given => given?,
            };
            let in_order = output.unordered.is_none() || order == Order::Exact;
            if let Some(diff) = diff(&output.framing, expected, &given, in_order) {
                let of =
                    if self.trial.outputs.len() > 1 { format!(" of {}", output.name) } else { String::new() };
                titles.push(format!("the output{of} is not what is expected"));
                text += &diff;
            }
        }
        let title = titles.join("; ");
        Ok((!titles.is_empty()).then_some(Trouble { title, text, is_error: false }))
    }
}
