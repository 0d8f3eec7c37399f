//! What stands for a batch in the words of its program.

use super::Joined;
use crate::child::{Gives, Takes};
use crate::pipeline::diagnostics::Problem;
use crate::pipeline::model::{BatchMode, Header, Input, Mode, Origin, Stage};

/// Programs that are given arguments or files, and cannot be.
pub(in crate::pipeline) fn handed(joined: &Joined) -> Vec<Problem> {
    let mut problems = Vec::new();
    for stage in &joined.stages {
        problems.extend(batch(stage).and_then(|batch| words(stage, batch)));
        problems.extend(header(joined, stage, &stage.from));
    }
    for sink in &joined.sinks {
        if let Some(stage) = sink.target.stage() {
            problems.extend(batch(stage).and_then(|batch| words(stage, batch)));
            problems.extend(header(joined, stage, &sink.from));
        }
    }
    problems
}

fn batch(stage: &Stage) -> Option<&BatchMode> {
    match &stage.mode {
        Mode::Batch(batch) => Some(batch),
        Mode::Stream(_) | Mode::Records(_) => None,
    }
}

fn words(stage: &Stage, batch: &BatchMode) -> Option<Problem> {
    let (argv, at) = (&stage.program.argv, &stage.program.at);
    let has = |sign: &str| argv.iter().any(|word| word.contains(sign));
    if batch.input != Input::Stdin && argv.first().is_some_and(|program| program.contains("{}")) {
        let problem = Problem::at(at, "a record cannot be the program itself", "the program is `{}`");
        return Some(
            problem.help("name a program that runs it: run = [\"sh\", \"-c\", \"$1\", \"sh\", \"{}\"]"),
        );
    }
    if batch.input == Input::Argument && batch.max_records.is_some_and(|records| records > 1) {
        let title = "`input = \"arg\"` gives a program one record, and `max_records` is more";
        return Some(
            Problem::at(at, title, "")
                .help("use input = \"args\" for several records, or remove max_records"),
        );
    }
    match batch.output {
        Gives::File if !has("{out}") => {
            let title = "`output = \"file\"` needs `{out}` in `run`";
            let problem = Problem::at(at, title, "the program is not told which file to make");
            Some(problem.help("for example run = [\"convert\", \"{}\", \"{out}\"]"))
        }
        Gives::File | Gives::Stdout => None,
    }
}

/// A header that would head arguments.
fn header(joined: &Joined, stage: &Stage, from: &[Origin]) -> Option<Problem> {
    batch(stage).filter(|batch| batch.input.takes() == Takes::Arguments)?;
    let source = from.iter().find_map(|origin| match *origin {
        Origin::Source(index) => {
            Some(&joined.sources[index]).filter(|source| source.header == Header::Repeat)
        }
        Origin::Stage(_) => None,
    })?;
    let problem =
        Problem::at(&stage.program.at, "a program that is given arguments cannot be given a header", "")
            .also(&source.at, "header = \"repeat\" heads batches");
    Some(problem.help("use header = \"skip\", or input = \"file\""))
}
