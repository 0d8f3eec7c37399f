//! `--chaos-compare`: the result of a run with faults, held against that of one without.

use crate::cli::args::RunArgs;
use crate::cli::chaos::run;
use crate::cli::exit::{FAILED, INCOMPLETE, WRONG, say};
use crate::cli::test::attempt::Runner;
use crate::cli::test::diff::diff;
use crate::io::resource::Resource;
use crate::io::source::Ending;
use crate::pipeline::{Pipeline, Sink, Source, TrialOutput, normalized};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use worker_core::config::WhenFull;

/// Results that are larger are not held in memory for this.
const RESULT_BYTES_MAX: u64 = 1 << 30;

/// Runs a pipeline with faults, then without, and compares what came of it.
pub(in crate::cli) fn run_and_compare(pipeline: &Pipeline, args: &RunArgs) -> ExitCode {
    let (files, runner) = match results(pipeline).and_then(|files| Ok((files, Runner::new(None)?))) {
        Ok(ready) => ready,
        Err(why) => {
            say(&format!("error: --chaos-compare: {why}"));
            return ExitCode::from(WRONG);
        }
    };
    let code = run(pipeline, args);
    if code != ExitCode::SUCCESS && code != ExitCode::from(INCOMPLETE) {
        say("chaos: not compared: the run did not come to its end");
        return code;
    }
    match compared(pipeline, args, code, &files, &runner) {
        Ok(equal) => {
            say(&format!("chaos: {equal}"));
            code
        }
        Err(why) => {
            say(&format!("error: chaos: {why}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Where the result of each sink will be: one file, or the files of a directory. Or why there would be nothing to compare.
fn results(pipeline: &Pipeline) -> Result<Vec<Resource>, String> {
    if let Some(source) = pipeline.sources.iter().find(|source| !is_read_again(source, &pipeline.dir)) {
        return Err(format!(
            "source `{}` cannot be read a second time ({}); put its input into a file",
            source.name,
            source.input.describe()
        ));
    }
    let stages = pipeline.stages.iter().map(|stage| (&stage.name, stage.when_full));
    let sinks = pipeline.sinks.iter().map(|sink| (&sink.name, sink.when_full));
    if let Some((name, _)) = stages.chain(sinks).find(|(_, when_full)| *when_full != WhenFull::Wait) {
        return Err(format!(
            "links to `{name}` may drop records (when_full): results differ by what they drop"
        ));
    }
    pipeline.sinks.iter().map(|sink| result(sink, &pipeline.dir)).collect()
}

/// Whether all of it can be read again later.
fn is_read_again(source: &Source, dir: &Path) -> bool {
    let is_pipe = |resource: Resource| match resource {
        Resource::Matching { dir, pattern } => is_special(&normalized(&dir, Path::new(&pattern))),
        Resource::StandardInput => true,
        Resource::File(_) | Resource::Parts(_) | Resource::StandardOutput => false,
    };
    source.input.ending() == Ending::Certain && !source.input.holds(dir).into_iter().any(is_pipe)
}

fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.file_type().is_fifo() || found.file_type().is_char_device())
}

fn result(sink: &Sink, dir: &Path) -> Result<Resource, String> {
    let cannot = |why: &str| {
        Err(format!(
            "sink `{}` {}, and {why}; let it write a file of its own (-o FILE)",
            sink.name,
            sink.target.describe(dir)
        ))
    };
    let held = sink.target.holds().into_iter().next();
    let file = match (sink.target.stage(), held) {
        (None, Some(held @ (Resource::File(_) | Resource::Parts(_)))) => held,
        (Some(_), _) | (None, _) => return cannot("what it is given cannot be read back"),
    };
    match &file {
        Resource::File(path) if is_special(path) => cannot("what is written there cannot be read back"),
        Resource::File(path) if sink.target.appends() && path.metadata().is_ok_and(|file| file.len() > 0) => {
            cannot("there is something in it already")
        }
        Resource::File(_)
        | Resource::Parts(_)
        | Resource::Matching { .. }
        | Resource::StandardInput
        | Resource::StandardOutput => Ok(file),
    }
}

/// That the results are equal, in words; or how they differ.
fn compared(
    pipeline: &Pipeline,
    args: &RunArgs,
    code: ExitCode,
    files: &[Resource],
    runner: &Runner,
) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot compare: {error}");
    let dir = tempfile::tempdir().map_err(cannot)?;
    let trial = pipeline.undisturbed(dir.path());
    let more = args.limit.map(|limit| ["--limit".to_owned(), limit.to_string()]);
    let ran = runner
        .run(&trial.pipeline, dir.path(), &more.into_iter().flatten().collect::<Vec<_>>())
        .map_err(cannot)?;
    let expected = ran.status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    match expected {
        Some(status) if ExitCode::from(status) == code => {}
        Some(status @ (0 | INCOMPLETE)) => {
            let told = if status == 0 { "no dead letters" } else { "dead letters" };
            return Err(format!("a run without faults ends with status {status} ({told}), unlike this one"));
        }
        Some(_) | None => return Err(format!("the run without faults failed:\n{}", ran.said)),
    }
    let mut differences = String::new();
    let mut told = Vec::new();
    for (output, file) in trial.outputs.iter().zip(files) {
        if let Some(diff) = difference(output, file).map_err(cannot)? {
            differences += &format!("\n{}:\n{diff}", output.name);
        }
        told.push(match output.unordered {
            None => format!("{} in order", output.name),
            Some(_) => format!("{} in any order", output.name),
        });
    }
    if differences.is_empty() {
        return Ok(format!("the result is equal to that of a run without faults ({})", told.join(", ")));
    }
    Err(format!("the result differs from that of a run without faults:{differences}"))
}

fn difference(output: &TrialOutput, file: &Resource) -> io::Result<Option<String>> {
    let expected = read(std::slice::from_ref(&output.path))?;
    let given = match file {
        Resource::Parts(dir) => {
            let mut paths: Vec<PathBuf> =
                std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
            paths.sort();
            read(&paths)?
        }
        Resource::File(path) => read(std::slice::from_ref(path))?,
        Resource::Matching { .. } | Resource::StandardInput | Resource::StandardOutput => Vec::new(),
    };
    Ok(diff(&output.framing, &expected, &given, output.unordered.is_none()))
}

fn read(paths: &[PathBuf]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for path in paths {
        let length = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?.len(),
        };
        if bytes.len() as u64 + length > RESULT_BYTES_MAX {
            let why = format!(
                "{} is too large to be compared (1 GiB at most); use a part of the input (--limit)",
                path.display()
            );
            return Err(io::Error::other(why));
        }
        bytes.extend(std::fs::read(path)?);
    }
    Ok(bytes)
}
