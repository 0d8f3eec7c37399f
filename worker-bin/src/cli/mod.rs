//! The command line.

pub mod args;
pub mod cert;
mod chaos;
mod check;
pub mod complete;
pub mod dlq;
mod exit;
pub mod explain;
mod files;
mod finished;
pub mod fmt;
pub mod graph;
pub mod init;
pub mod journal;
pub mod man;
pub mod observe;
mod reports;
mod room;
pub mod run;
mod state;
pub mod test;
mod version;

use crate::logging;
use crate::logging::say_rendered;
use crate::pipeline::{self, Cluster, ConfigError, Detail, Pipeline};
use crate::stderr;
use crate::stdout::Out;
use crate::text::harmless::Harmless;
use crate::text::width::wrapped_lines;
use crate::text::{escape, terminal};
use args::{RunArgs, SchemaArgs, WorkerCommand};
use exit::{say, wrong_file};
use serde::Serialize;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(status) = complete::answered() {
        return status;
    }
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        // What is wrong quotes words, which may be names of files of others.
        Err(error) => {
            let harmless = args::parse(std::env::args_os().map(harmless)).err();
            return help_or_error(&harmless.unwrap_or(error));
        }
    };
    stderr::set_color(args.color);
    if matches!(args.command, WorkerCommand::Run(_) | WorkerCommand::Node(_)) {
        logging::begin();
    }
    let only_prints = matches!(
        args.command,
        WorkerCommand::Check(_)
            | WorkerCommand::Schema(_)
            | WorkerCommand::Explain(_)
            | WorkerCommand::Graph(_)
            | WorkerCommand::Test(_)
            | WorkerCommand::Journal(_)
    );
    if only_prints && worker_stdio::Stream::Output.was_closed() {
        say("error: standard output is closed");
        return ExitCode::from(2);
    }
    match args.command {
        WorkerCommand::Run(args) => run_or_print(&args),
        WorkerCommand::Check(args) => check::check(&args),
        WorkerCommand::Test(args) => test::test(&args),
        WorkerCommand::Schema(args) => schema(args),
        WorkerCommand::Graph(args) => graph::graph(&args),
        WorkerCommand::Init(args) => init::init(&args),
        WorkerCommand::Fmt(args) => fmt::fmt(&args),
        WorkerCommand::Completions(args) => complete::completions(args),
        WorkerCommand::Man(args) => man::man(&args),
        WorkerCommand::Explain(args) => explain::explain(&args),
        WorkerCommand::Node(args) => run::node(&args),
        WorkerCommand::Cert(command) => cert::cert(&command),
        WorkerCommand::Journal(command) => journal::journal(&command),
        WorkerCommand::Dlq(args) => dlq::dlq(&args),
        WorkerCommand::Observe(command) => observe::observe(&command),
    }
}

/// What is asked for of the command line is printed as all else is; what is wrong with it goes to standard error.
fn help_or_error(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() && worker_stdio::Stream::Output.was_closed() {
        say("error: standard output is closed");
        return ExitCode::FAILURE;
    }
    match error.print() {
        Err(unwritten) if !error.use_stderr() && unwritten.kind() != std::io::ErrorKind::BrokenPipe => {
            say(&format!("error: cannot write to standard output: {unwritten}"));
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}

/// A word of the command line as it may be shown.
fn harmless(word: OsString) -> OsString {
    let text = word.to_string_lossy();
    if Harmless::is_needed_for(&text) { escape::one_line(text.as_bytes()).into() } else { word }
}

fn run_or_print(args: &RunArgs) -> ExitCode {
    match (&args.file, args.resume_failed) {
        (_, false) => {}
        (Some(file), true) => return dlq::resume_failed(args, file),
        (None, true) => {
            say(
                "error: --resume-failed needs the pipeline as a FILE; the same command with --print-toml and without it prints one",
            );
            return ExitCode::from(2);
        }
    }
    let pipeline = match wanted(args) {
        Ok(pipeline) => pipeline,
        Err(error) => return wrong_file(&error),
    };
    if args.print_toml {
        let slots = run::slots_for(&pipeline, args).map(|slots| {
            format!(
                "# -j wants more programs at once than there are cores: worker run FILE --slots {slots}\n"
            )
        });
        let file = slots.unwrap_or_default() + &pipeline::to_toml(&pipeline, Detail::Short);
        return print_document(&file).exit_code();
    }
    let ignored = pipeline::ignored_places(&pipeline, &Cluster::single());
    if let (Some(first), false) = (ignored.first(), args.process.log.quiet) {
        say_rendered(&first.render(stderr::colors(&std::io::stderr())));
        if ignored.len() > 1 {
            say(&format!("  = the same for {} more", ignored.len() - 1));
        }
    }
    if args.chaos_compare {
        return chaos::run_and_compare(&pipeline, args);
    }
    chaos::run(&pipeline, args)
}

fn schema(args: SchemaArgs) -> ExitCode {
    let schema = if args.cluster { pipeline::schema_of_clusters() } else { pipeline::schema_of_pipelines() };
    print_document(&format!("{schema:#}\n")).exit_code()
}

/// The pipeline of a file or of the command line, as far as it is wanted.
fn wanted(args: &RunArgs) -> Result<Pipeline, ConfigError> {
    let pipeline = match &args.file {
        Some(file) => pipeline::load(file, &args.set)?,
        None => {
            let here = std::env::current_dir().unwrap_or_else(|_| Path::new("/").to_owned());
            pipeline::inline(&args.inline.words, &here, &args.set)?
        }
    };
    match &args.to {
        Some(stage) => pipeline.cut_behind(stage),
        None => pipeline.with_state(args.state.options(None)),
    }
}

/// What became of something printed on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
enum Printed {
    Whole,
    /// Its reader has gone, which is no error: nobody wants more.
    ReaderGone,
    /// It is closed or full; that was said.
    Failed,
}

impl Printed {
    /// The same as a number.
    fn status(self, good: u8) -> u8 {
        match self {
            Self::Whole | Self::ReaderGone => good,
            Self::Failed => exit::FAILED,
        }
    }

    /// `good`, unless what should say so could not be printed.
    fn or_failed(self, good: ExitCode) -> ExitCode {
        match self {
            Self::Whole | Self::ReaderGone => good,
            Self::Failed => ExitCode::FAILURE,
        }
    }

    fn is_failure(self) -> bool {
        self == Self::Failed
    }

    fn exit_code(self) -> ExitCode {
        self.or_failed(ExitCode::SUCCESS)
    }
}

/// Prints for people, in lines that fit the terminal if there is one.
fn print(text: &str) -> Printed {
    let text = Harmless::text(text);
    let fitted = wrapped_lines(text.as_str(), terminal::columns(&std::io::stdout()));
    printed(|out| out.say(&Harmless::text(fitted)))
}

/// The same in lines as they are.
fn print_told(text: &str) -> Printed {
    printed(|out| out.say(&Harmless::text(text)))
}

/// Prints a value as JSON.
fn print_json(value: &impl Serialize) -> Printed {
    printed(|out| out.say(&Harmless::pretty_json(value)?))
}

/// Prints what is a file, or may become one.
fn print_document(text: &str) -> Printed {
    printed(|out| out.data(text.as_bytes()))
}

fn printed(write: impl FnOnce(&mut Out) -> std::io::Result<()>) -> Printed {
    if worker_stdio::Stream::Output.was_closed() {
        say("error: standard output is closed");
        return Printed::Failed;
    }
    let mut out = Out::new();
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Printed::Whole,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Printed::ReaderGone,
        Err(error) => {
            say(&format!("error: cannot write to standard output: {error}"));
            Printed::Failed
        }
    }
}
