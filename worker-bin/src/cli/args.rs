//! The command line's words.

mod admin;
mod inline;
mod wrong;

pub use admin::{AdminArgs, AdminArgsError, OfCluster};
pub use inline::InlineArgs;

use super::dlq::args::{DLQ_EXAMPLES, DlqArgs};
use super::test::{TEST_EXAMPLES, TestArgs};
use super::{complete, version};
use crate::chaos::{Rates, RatesError};
use crate::child::PidNamespace;
use crate::logging::Form;
use crate::otel::Endpoint;
use crate::pipeline::StateOptions;
use crate::stderr::{Color, colors_wanted};
use crate::text::units::parse_share;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Runs your own executables over streams of records, on one machine or many, and never gets stuck.
#[derive(Clone, Debug, Parser)]
#[command(name = "worker", version = version::SHORT, long_version = version::LONG, max_term_width = 100, after_help = EXAMPLES)]
pub struct WorkerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: WorkerCommand,
    /// When to use colours; auto: on a terminal that has them, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

const EXAMPLES: &str = "\
Examples:
  worker run -i 'logs/*.log' -s 'grep 500' --ok-exit 0,1 -S sort -o out.txt
  worker run -i 'logs/*.log' -s 'grep 500' -S sort --print-toml > jobs.toml
  worker check jobs.toml
  worker run jobs.toml --state jobs.state              # exactly once, through any crash
  worker why                                           # what its work waits for, while it runs and after
  worker dlq list jobs.toml --state jobs.state         # records that no program could do";

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum WorkerCommand {
    /// Run a pipeline in this process until its input ends
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Write the first file of a pipeline: from options of worker run, from an example, or by asking
    #[command(after_help = super::init::HELP)]
    Init(super::init::InitArgs),
    /// Check a pipeline file: its graph, its defaults, what bites
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Run the tests of a pipeline file ([[test]]) with its programs: whole, cut into batches, and killed
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
    /// Print the JSON Schema of pipeline files, for editors
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema(SchemaArgs),
    /// Draw what leads where, for Mermaid or Graphviz
    #[command(after_help = super::graph::EXAMPLES)]
    Graph(super::graph::GraphArgs),
    /// Lay pipeline and cluster files out in one way: blanks and empty lines, nothing else
    #[command(after_help = super::fmt::EXAMPLES)]
    Fmt(super::fmt::FmtArgs),
    /// Say what a key of a file means, or a reason that `worker why` gives
    #[command(after_help = super::explain::EXAMPLES)]
    Explain(super::explain::ExplainArgs),
    /// Print a script that completes commands, options and names in a shell
    #[command(after_help = super::complete::EXAMPLES)]
    Completions(super::complete::CompletionsArgs),
    /// Print the manual, or write its pages
    #[command(after_help = super::man::EXAMPLES)]
    Man(super::man::ManArgs),
    /// Run one node of several
    #[command(after_help = NODE_EXAMPLES)]
    Node(NodeArgs),
    /// Make certificates by which the nodes of a cluster know each other
    #[command(subcommand, after_help = super::cert::EXAMPLES)]
    Cert(super::cert::CertCommand),
    /// A look at running workers.
    #[command(flatten)]
    Observe(super::observe::args::ObserveCommand),
    /// Look into a task's journal
    #[command(subcommand)]
    Journal(super::journal::JournalCommand),
    /// Look at dead letters, find out why they failed, process them again
    #[command(after_help = DLQ_EXAMPLES)]
    Dlq(DlqArgs),
}

const RUN_EXAMPLES: &str = "\
Without FILE, options describe the pipeline; standard input and output are used where -i or -o are left out. Commands \
are split into words, no shell runs them; --print-toml shows the file that says the same.

Examples:
  worker run access.toml --set since=50x
  worker run -i 'logs/*.log' -s 'grep 500' --ok-exit 0,1 -S sort -o out.txt
  zcat big.gz | worker run -s 'jq -c .user'
  worker run access.toml --limit 1000 --to errors      # a look at what one stage gives
  worker run access.toml --state /var/lib/access       # exactly once; again: continues

Exit status: 0 done; 1 the pipeline failed; 2 the command line or a file is wrong; 3 finished, but with dead letters \
or records lost; 129, 130 or 143 interrupted by SIGHUP, SIGINT or SIGTERM, after a clean stop; 141 with state, whoever read standard \
output has gone: what was not taken is kept, and the same command goes on; 152 stopped so by the limit on processor time \
(ulimit -t).";

const CHECK_EXAMPLES: &str = "\
Examples:
  worker check access.toml
  worker check access.toml --full                      # every default, and the memory it may take
  worker check access.toml --json | jq '.errors[] | .line, .message'
  worker check access.toml --sample some.log           # are batch stages really record by record?
  worker check access.toml --cluster cluster.toml --name a";

const SCHEMA_EXAMPLES: &str = "\
Editors that know TOML (Even Better TOML, taplo) complete and check a file by it, if its first line is
  #:schema worker.schema.json

Examples:
  worker schema > worker.schema.json
  worker schema --cluster > cluster.schema.json";

const NODE_EXAMPLES: &str = "\
Every node gets the same two files and computes by itself what it runs.

Example, one line on each machine:
  worker node --name a --cluster cluster.toml access.toml
  worker node --name b --cluster cluster.toml access.toml

Exactly once: with --state DIR on every node, or delivery = \"exactly-once\" in the file; the same line again continues.";

/// Arguments of `worker run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Pipeline file, or - for standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The pipeline, where it is on the command line.
    #[command(flatten)]
    pub inline: InlineArgs,
    /// Value of a variable of the file; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, add = ArgValueCandidates::new(complete::variables_of_file))]
    pub set: Vec<(String, String)>,
    /// Stop every source after this many records; not with state
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<u64>,
    /// Run up to this stage only and print what it gives; keeps no state
    #[arg(long, value_name = "STAGE", conflicts_with_all = ["state", "fresh"], add = ArgValueCandidates::new(complete::stages_of_file))]
    pub to: Option<String>,
    /// Run again only what failed: the dead letters of the last run of FILE, of its state or in NAME.dead-letters.jsonl (or the
    /// file that --dead-letters names), that were not run again yet; see worker dlq replay
    #[arg(long, conflicts_with_all = ["limit", "to", "fresh", "print_toml"])]
    pub resume_failed: bool,
    /// Print the pipeline as a file, and do not run it
    #[arg(long, conflicts_with_all = ["limit", "report", "chaos"])]
    pub print_toml: bool,
    /// How many batch programs may run at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = slots)]
    pub slots: Option<NonZeroUsize>,
    /// Behind the run with --chaos, run the same again without faults, into temporary files, and say whether the results are equal;
    /// its sinks must be files, and its sources such as can be read again
    #[arg(long, requires = "chaos", conflicts_with_all = ["to", "resume_failed", "print_toml"])]
    pub chaos_compare: bool,
    /// Whether what was done survives this process, and where it is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// What is the same for every run.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Where state is kept.
#[derive(Clone, Debug, Default, Args)]
pub struct StateArgs {
    /// Exactly once: keep in this directory what must survive a crash, and continue from it [default: .worker/NAME beside
    /// FILE where it says delivery = "exactly-once"; else nothing is kept]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// Start over: say what the state directory holds, and remove it
    #[arg(long)]
    pub fresh: bool,
}

impl StateArgs {
    /// What [`Pipeline::with_state`](crate::pipeline::Pipeline::with_state) wants to know; `node` is the name in a cluster.
    #[must_use]
    pub fn options<'a>(&'a self, node: Option<&'a str>) -> StateOptions<'a> {
        StateOptions { dir: self.state.as_deref(), fresh: self.fresh, node }
    }
}

/// What is the same for every run.
#[derive(Clone, Debug, Args)]
pub struct ProcessArgs {
    /// How long a first interrupt waits for what is under way
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// Where to put what does not fit in memory [default: as the file says, or the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub spill_dir: Option<PathBuf>,
    /// Where to put dead letters [default: NAME.dead-letters.jsonl, made when there is one]
    #[arg(long, value_name = "FILE")]
    pub dead_letters: Option<PathBuf>,
    /// Where it is asked how it is, and by whom.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// For how long work must not have moved to be called stalled: in the log, by `worker why` and at /readyz
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = some_time)]
    pub stall_after: Duration,
    /// Whether programs get a PID namespace of their own, so that the kernel ends all of them with the worker. In it they have other process
    /// ids and see no other processes
    #[arg(long, value_enum, default_value_t = PidNamespaceMode::Auto)]
    pub pid_namespace: PidNamespaceMode,
    /// Send spans and metrics to an OpenTelemetry collector there, by OTLP over HTTP; in builds with the feature otel
    #[arg(long, value_name = "http://HOST:4318", value_parser = endpoint)]
    pub otel: Option<Endpoint>,
    /// How progress is shown on standard error
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// Write what the run came to, when it ends in whatever way: a page if FILE ends in .html, JSON if in .json; repeatable. That it
    /// cannot be written at the end is said and changes no exit status
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub report: Vec<PathBuf>,
    /// What fails on purpose.
    #[command(flatten)]
    pub chaos: ChaosArgs,
    /// What is logged and shown.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What fails on purpose.
#[derive(Clone, Debug, Default, Args)]
pub struct ChaosArgs {
    /// Make programs, links between nodes and writes to disk fail, by a schedule that this number repeats; the result stays the same.
    /// No attempt (max_attempts) is used up by that. With state the worker itself can be killed, and is started again: nodes=2%
    #[arg(long, value_name = "SEED", value_parser = seed)]
    pub chaos: Option<u64>,
    /// How much of it: a share of programs, links and disks, or by name as in programs=20%,links=1%,disks=0%; by name also nodes (the
    /// worker killed), syncs (that fail) and slow (operations of the disk) [default: programs=5%,links=5%,disks=0.5%]
    #[arg(long, value_name = "SHARES", requires = "chaos", value_parser = rates)]
    pub chaos_rate: Option<Rates>,
    /// At what share of the points beside its writes the worker itself is killed: for `worker test`, which starts it again
    #[arg(long, hide = true, requires = "chaos", value_parser = killed)]
    pub chaos_process: Option<f64>,
    /// Which life of a worker this is that its parent starts again, and where its faults are noted
    #[arg(long, hide = true, requires_all = ["chaos", "chaos_notes"])]
    pub chaos_life: Option<u64>,
    /// The file that faults of all lives are noted in
    #[arg(long, hide = true, requires = "chaos_life")]
    pub chaos_notes: Option<PathBuf>,
}

/// Which PID namespaces are made for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PidNamespaceMode {
    /// One where this user may make one, as root may
    Auto,
    /// One also where that takes a user namespace, in which files of others seem to be nobody's
    User,
    /// None: programs see, and can signal, every process that the worker can
    Off,
}

impl From<PidNamespaceMode> for PidNamespace {
    fn from(mode: PidNamespaceMode) -> Self {
        match mode {
            PidNamespaceMode::Auto => PidNamespace::Auto,
            PidNamespaceMode::User => PidNamespace::User,
            PidNamespaceMode::Off => PidNamespace::Off,
        }
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, else lines
    Auto,
    /// A bar that is redrawn
    Bar,
    /// A line every few seconds
    Lines,
    /// Nothing
    None,
}

/// What is logged and shown.
#[derive(Clone, Debug, Default, Args)]
pub struct LogArgs {
    /// Say more; twice for everything
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Which log messages, such as worker_bin=debug [default: by -v and -q]
    #[arg(long = "log", value_name = "FILTER", value_parser = log_filter)]
    pub filter: Option<String>,
    /// How log lines look; with json all of standard error is JSON, and progress is shown only where --progress says how
    #[arg(long = "log-format", value_enum, default_value_t = Form::Human, value_name = "FORM")]
    pub format: Form,
}

/// Arguments of `worker check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Pipeline file, or - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Value of a variable of the file; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, add = ArgValueCandidates::new(complete::variables_of_file))]
    pub set: Vec<(String, String)>,
    /// Print every default as well, and the memory and disk it may take
    #[arg(long)]
    pub full: bool,
    /// Print all that is found as one JSON object, errors and warnings too, and nothing else; with every default
    #[arg(long, conflicts_with = "full")]
    pub json: bool,
    /// Run each batch stage on this file whole and in pieces, and compare
    #[arg(long, value_name = "INPUT")]
    pub sample: Option<PathBuf>,
    /// Lay it out over the nodes of this file
    #[arg(long, value_name = "CLUSTER", requires = "name")]
    pub cluster: Option<PathBuf>,
    /// As this node
    #[arg(long, value_name = "NODE", requires = "cluster", add = ArgValueCandidates::new(complete::nodes_of_file))]
    pub name: Option<String>,
}

impl CheckArgs {
    /// To check a file, and nothing else.
    #[must_use]
    pub fn of(file: PathBuf) -> Self {
        Self { file, set: Vec::new(), full: false, json: false, sample: None, cluster: None, name: None }
    }
}

/// Arguments of `worker schema`.
#[derive(Clone, Copy, Debug, Args)]
pub struct SchemaArgs {
    /// Of cluster files
    #[arg(long)]
    pub cluster: bool,
}

/// Arguments of `worker node`.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// Which node of the cluster file this is
    #[arg(long, value_name = "NODE", add = ArgValueCandidates::new(complete::nodes_of_file))]
    pub name: String,
    /// Cluster file, the same on every node
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: PathBuf,
    /// Pipeline file, the same on every node
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Value of a variable of the file, the same on every node; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, add = ArgValueCandidates::new(complete::variables_of_file))]
    pub set: Vec<(String, String)>,
    /// How long a finished node waits for the last goodbyes of its peers
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub linger: Duration,
    /// Stop every source of this node after this many records; not with state
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<u64>,
    /// How many batch programs may run at once here [default: as the cluster file says, or one per core]
    #[arg(long, value_name = "N", value_parser = slots)]
    pub slots: Option<NonZeroUsize>,
    /// Whether what was done survives this process, and where it is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// What is the same for every run.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Reads a command line, program name first.
///
/// # Errors
/// What clap says, help and version included; `exit` on it prints and gives status 2, or 0 for help.
pub fn parse(argv: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<WorkerArgs, clap::Error> {
    let argv: Vec<OsString> = argv.into_iter().map(Into::into).collect();
    let command = wrong::said_first(WorkerArgs::command()).color(color_of(&argv));
    let matches =
        command.try_get_matches_from(&argv).map_err(|error| wrong::with_the_command(error, &argv))?;
    let args = WorkerArgs::from_arg_matches(&matches)?;
    if let WorkerCommand::Run(run) = &args.command {
        wrong::one_pipeline(run)?;
    }
    Ok(args)
}

/// What a command line wants of colours in what is said of the command line itself.
///
/// By clap alone a variable CI would give colours to a terminal that has none.
fn color_of(argv: &[OsString]) -> clap::ColorChoice {
    let mut words = argv.iter().filter_map(|word| word.to_str());
    let mut choice = clap::ColorChoice::Auto;
    while let Some(word) = words.next() {
        let value = if word == "--color" { words.next() } else { word.strip_prefix("--color=") };
        match value {
            Some("always") => choice = clap::ColorChoice::Always,
            Some("never") => choice = clap::ColorChoice::Never,
            Some("auto") => choice = clap::ColorChoice::Auto,
            Some(_) | None => {}
        }
        if word == "--" {
            break;
        }
    }
    let none = choice == clap::ColorChoice::Auto && !colors_wanted();
    if none { clap::ColorChoice::Never } else { choice }
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::text::units::parse_duration(text)
        .ok_or_else(|| "expected a duration such as 100ms, 30s, 1m or 2h".to_owned())
}

/// One that passes.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| match time.is_zero() {
        true => Err("expected a duration above 0, such as 3s".to_owned()),
        false => Ok(time),
    })
}

fn slots(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected how many programs may run at once, from 1 on".to_owned())
}

pub(super) fn at_least_one(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected a number of records from 1 on".to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    crate::logging::check(text).map(|()| text.to_owned())
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}, such as 7", u64::MAX))
}

fn killed(text: &str) -> Result<f64, String> {
    parse_share(text).ok_or_else(|| "expected a percentage from 0% to 100%, such as 5%".to_owned())
}

fn rates(text: &str) -> Result<Rates, String> {
    text.parse().map_err(|error: RatesError| error.to_string())
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse()
}

#[cfg(test)]
mod tests;
