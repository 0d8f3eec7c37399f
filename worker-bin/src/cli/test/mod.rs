//! `worker test`: the tests of a pipeline file, with the real programs.

mod args;
pub(in crate::cli) mod attempt;
pub(in crate::cli) mod diff;
mod expected;
mod junit;
mod show;
mod verdict;

pub use args::{TEST_EXAMPLES, TestArgs};

use super::exit::{say, wrong_file};
use super::files::WriteError;
use super::{Printed, print_told};
use crate::pipeline::{self, Pipeline, Test};
use crate::text::names;
use attempt::Runner;
use expected::Expected;
use std::process::ExitCode;
use verdict::Verdict;

/// A test failed.
const FAILED: u8 = 1;
/// The command line, the file, or a file that it names is wrong.
const WRONG: u8 = 2;

/// Runs the tests of a file, or those of these names, and says how each went.
pub(super) fn test(args: &TestArgs) -> ExitCode {
    let file = args.file.to_string_lossy();
    if let Some(path) = &args.junit {
        let begun = junit::try_path(path, &args.file).and_then(|()| {
            junit::write(path, (&file, &file), &[], &["worker test"]).map_err(|error| error.to_string())
        });
        if let Err(why) = begun {
            say(&format!("error: --junit {}: {why}", path.display()));
            return ExitCode::from(WRONG);
        }
    }
    let pipeline = match pipeline::load(&args.file, &args.set) {
        Ok(pipeline) => pipeline,
        Err(error) => return wrong_file(&error),
    };
    let prepared = wanted(&pipeline, args).and_then(|tests| {
        Ok((expectations(&pipeline, tests)?, Runner::new(Some(args.timeout)).map_err(|why| vec![why])?))
    });
    let (expected, runner) = match prepared {
        Ok(prepared) => prepared,
        Err(wrong) => {
            wrong.iter().for_each(|why| say(&format!("error: {why}")));
            return ExitCode::from(WRONG);
        }
    };
    let labels: Vec<&str> = expected.iter().map(|expected| expected.test.label.as_str()).collect();
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut printed = Printed::Whole;
    let mut written = note(args, &pipeline, &verdicts, &labels);
    for expected in &expected {
        let verdict = verdict::of(&pipeline, expected, &runner);
        if printed == Printed::Whole {
            printed = print_told(&show::verdict(&verdict));
        }
        verdicts.push(verdict);
        written = note(args, &pipeline, &verdicts, &labels);
    }
    if printed == Printed::Whole {
        printed = print_told(&show::sum(&verdicts));
    }
    if let Err(error) = written {
        say(&format!("error: --junit: {error}"));
        return ExitCode::from(FAILED);
    }
    let failed = verdicts.iter().any(|verdict| verdict.trouble.is_some());
    printed.or_failed(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Writes to the file of `--junit`, if there is one, what is known by now.
fn note(
    args: &TestArgs,
    pipeline: &Pipeline,
    verdicts: &[Verdict],
    labels: &[&str],
) -> Result<(), WriteError> {
    let names = (pipeline.name.as_str(), pipeline.file_name());
    let waiting = labels.get(verdicts.len()..).unwrap_or_default();
    args.junit.as_ref().map_or(Ok(()), |path| junit::write(path, names, verdicts, waiting))
}

/// The tests that are asked for; or why there is nothing to run.
fn wanted<'a>(pipeline: &'a Pipeline, args: &TestArgs) -> Result<Vec<&'a Test>, Vec<String>> {
    let file = pipeline.file_name();
    if pipeline.tests.is_empty() {
        return Err(vec![format!(
            "{file} has no tests: add a table [[test]] with `input` and `output`, and `stage` to try one stage alone"
        )]);
    }
    if args.names.is_empty() {
        return Ok(pipeline.tests.iter().collect());
    }
    let labels = || pipeline.tests.iter().map(|test| test.label.as_str());
    let unknown = args.names.iter().filter(|name| !labels().any(|label| label == *name));
    let wrong: Vec<String> = unknown
        .map(|name| {
            let known: Vec<&str> = labels().collect();
            format!("{file} has no test `{name}`{}", names::tail(name, "tests there", known))
        })
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(pipeline.tests.iter().filter(|test| args.names.contains(&test.label)).collect())
}

/// What each test gives and expects, read from files where it is in files; or what of that cannot be read.
fn expectations<'a>(pipeline: &Pipeline, tests: Vec<&'a Test>) -> Result<Vec<Expected<'a>>, Vec<String>> {
    let (mut expected, mut wrong) = (Vec::new(), Vec::new());
    for test in tests {
        match Expected::of(pipeline, test) {
            Ok(read) => expected.push(read),
            Err(why) => wrong.extend(why),
        }
    }
    if wrong.is_empty() { Ok(expected) } else { Err(wrong) }
}

/// What of the tests of a file is not there, for `worker check`.
pub(super) fn missing_files(pipeline: &Pipeline) -> Vec<String> {
    let all = pipeline.tests.iter().map(|test| Expected::of(pipeline, test));
    all.filter_map(Result::err).flatten().collect()
}
