//! `worker init`: the first file of a pipeline, from a one-liner, an example or questions.

mod example;
mod questions;

use super::args::CheckArgs;
use super::args::InlineArgs;
use super::check;
use super::exit::{say, wrong_file};
use super::files::{self, Overwrite};
use super::run::slots_wanted;
use crate::pipeline::{self, ConfigError, Detail, InlineWord, Pipeline};
use crate::text::names;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Parser};
use example::Example;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;

/// Arguments of `worker init`.
#[derive(Clone, Debug, Args)]
#[command(override_usage = "worker init [FILE] [--force] -- OPTIONS OF worker run
       worker init --example NAME [DIR] [--force]
       worker init [FILE] [--force]          # asks, on a terminal")]
pub struct InitArgs {
    /// The file to write, in this directory; with --example the directory to put it into [default: pipeline.toml; NAME]
    #[arg(value_name = "FILE|DIR", value_hint = clap::ValueHint::AnyPath)]
    pub path: Option<PathBuf>,
    /// Write an example with its data and programs
    #[arg(long, value_name = "NAME", value_parser = ExampleName)]
    pub example: Option<String>,
    /// Replace what is there
    #[arg(long)]
    pub force: bool,
    /// The pipeline as worker run takes it on the command line: -i, -s, -S, -o and the others
    #[arg(last = true, value_name = "OPTIONS", conflicts_with = "example", allow_hyphen_values = true)]
    pub inline: Vec<OsString>,
}

/// The end of its help.
pub const HELP: &str = "\
Nothing that is there is replaced without --force. What was written is checked, and the next command is said.

Examples:
  worker init jobs.toml -- -i 'logs/*.log' -s 'grep 500' -S sort -o out.txt
  worker init --example csv
  worker init                                          # asks what is read, run and written

Exit status: 0 written, and good; 1 it cannot be written; 2 the command line is wrong, a file is in the way, or the check has found \
errors.";

/// The name of an example; help and completion know them all.
#[derive(Clone)]
struct ExampleName;

impl TypedValueParser for ExampleName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        let name = value.to_string_lossy();
        if example::named(&name).is_some() {
            return Ok(name.into_owned());
        }
        let known = example::EXAMPLES.iter().map(|example| example.name);
        let message = format!("there is no example {name}{}\n", names::tail(&name, "examples", known));
        Err(clap::Error::raw(ErrorKind::InvalidValue, message).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let examples = example::EXAMPLES.iter();
        Some(Box::new(examples.map(|example| PossibleValue::new(example.name).help(example.about))))
    }
}

/// What the file is called where nothing is said.
const FILE: &str = "pipeline.toml";

/// Why nothing was written.
#[derive(Debug, Error)]
enum InitError {
    #[error(
        "{} is in another directory, and paths in a file start at its own: go there first, and name the file without its directory",
        .0.display()
    )]
    Elsewhere(PathBuf),
    #[error("{} is a directory: name the file to write, such as pipeline.toml", .0.display())]
    Directory(PathBuf),
    #[error(
        "say what to write: worker init -- -i 'logs/*.log' -s 'grep 500' -o out.txt, or worker init --example NAME (lines, csv, records, \
         follow, exactly-once); on a terminal, worker init asks"
    )]
    NothingAsked,
    #[error("nothing was written: there was no answer")]
    NoAnswer,
    #[error(transparent)]
    File(#[from] files::WriteError),
}

/// What is written, and what to say then.
struct Made {
    /// Names and contents; the first one is the pipeline.
    files: Vec<(PathBuf, String)>,
    next: Vec<String>,
}

/// Why there is nothing to write, and the status that says so.
enum Stopped {
    Error(InitError),
    Config(ConfigError),
    /// The options behind `--`.
    Words(clap::Error),
}

impl<E: Into<InitError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl From<ConfigError> for Stopped {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// Writes what is asked for, and checks it.
pub(super) fn init(args: &InitArgs) -> ExitCode {
    match made(args).and_then(|made| write(&made, args.force).map(|()| made)) {
        Ok(made) => checked(&made),
        Err(Stopped::Config(error)) => wrong_file(&error),
        Err(Stopped::Words(error)) => super::help_or_error(&error),
        Err(Stopped::Error(error)) => {
            say(&format!("error: {error}"));
            let cannot = matches!(error, InitError::File(files::WriteError::Io { .. }));
            ExitCode::from(if cannot { 1 } else { 2 })
        }
    }
}

fn made(args: &InitArgs) -> Result<Made, Stopped> {
    if let Some(example) = args.example.as_deref().and_then(example::named) {
        return Ok(of_example(example, args.path.as_deref()));
    }
    let path = file_to_write(args.path.as_deref())?;
    // Before anything is asked.
    files::refuse(&path, overwrite(args.force))?;
    let here = std::env::current_dir().unwrap_or_else(|_| Path::new("/").to_owned());
    if !args.inline.is_empty() {
        let words = inline_words(&args.inline).map_err(Stopped::Words)?;
        return Ok(of_pipeline(pipeline::inline(&words, &here, &[])?, path));
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(InitError::NothingAsked.into());
    }
    let asked = questions::ask(&here).ok_or(InitError::NoAnswer)?;
    Ok(of_pipeline(asked, path))
}

fn of_example(example: &Example, directory: Option<&Path>) -> Made {
    let directory = directory.unwrap_or(Path::new(example.name));
    let files = example.files.iter().map(|(name, text)| (directory.join(name), (*text).to_owned())).collect();
    let here = directory == Path::new(".");
    let go = (!here).then(|| format!("cd {}", shell_words::quote(&directory.to_string_lossy())));
    let run = format!("worker run {FILE}");
    let then = (!example.then.is_empty()).then(|| example.then.to_owned());
    Made { files, next: go.into_iter().chain([run]).chain(then).collect() }
}

fn of_pipeline(pipeline: Pipeline, path: PathBuf) -> Made {
    let pipeline = pipeline.called_as(&path);
    let slots = slots_wanted(&pipeline).map_or_else(String::new, |slots| format!(" --slots {slots}"));
    let run = format!("worker run {}{slots}", shell_words::quote(&path.to_string_lossy()));
    Made { files: vec![(path, pipeline::to_toml(&pipeline, Detail::Short))], next: vec![run] }
}

/// Relative paths of a one-liner start where it is given, those of a file at its directory: both must be the same.
fn file_to_write(path: Option<&Path>) -> Result<PathBuf, InitError> {
    let path = path.unwrap_or(Path::new(FILE));
    if path.is_dir() {
        return Err(InitError::Directory(path.to_owned()));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let is_here = directory.as_os_str().is_empty() || {
        let real = |path: &Path| path.canonicalize().ok();
        real(directory).is_some_and(|directory| Some(directory) == real(Path::new(".")))
    };
    if is_here { Ok(path.to_owned()) } else { Err(InitError::Elsewhere(path.to_owned())) }
}

/// The words behind `--`.
#[derive(Debug, Parser)]
#[command(name = "worker init --", disable_help_flag = true)]
struct Inline {
    #[command(flatten)]
    args: InlineArgs,
}

fn inline_words(words: &[OsString]) -> Result<Vec<InlineWord>, clap::Error> {
    let whole = std::iter::once(OsStr::new("worker init --")).chain(words.iter().map(OsString::as_os_str));
    Inline::try_parse_from(whole).map(|inline| inline.args.words)
}

fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Replace } else { Overwrite::Never }
}

/// All files or, where one is in the way or cannot be written, none; the pipeline last, so that what it names is there when it is.
fn write(made: &Made, force: bool) -> Result<(), Stopped> {
    for (path, _) in &made.files {
        files::refuse(path, overwrite(force))?;
    }
    for (at, (path, text)) in made.files.iter().enumerate().rev() {
        if let Err(stopped) = files::write(path, text, overwrite(force)) {
            for (written, _) in made.files[at + 1..].iter().filter(|_| !force) {
                std::fs::remove_file(written).ok();
            }
            return Err(stopped.into());
        }
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// Shows what was written, as `worker check` does, and what to do next.
fn checked(made: &Made) -> ExitCode {
    let Some((path, _)) = made.files.first() else { return ExitCode::SUCCESS };
    let status = check::status(&CheckArgs::of(path.clone()));
    if status == 0 {
        say(&format!("next: {}", made.next.join("\n      ")));
    } else {
        say(&format!(
            "{} is written; mend what is said above, and check it again: worker check {}",
            path.display(),
            path.display()
        ));
    }
    ExitCode::from(status)
}
