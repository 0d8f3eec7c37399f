//! Words of the commands that look at running workers.

use crate::admin::Place;
use crate::cli::args::some_time;
use crate::cli::complete;
use clap::{Args, Subcommand, ValueHint};
use clap_complete::ArgValueCandidates;
use std::path::PathBuf;
use std::time::Duration;

/// A look at running workers.
#[derive(Clone, Debug, Subcommand)]
pub enum ObserveCommand {
    /// Say why work waits, down to the root cause, or what limits the throughput
    #[command(after_help = WHY_EXAMPLES)]
    Why(WhyArgs),
    /// Watch stages, links and stalls live, in the terminal
    Top(TopArgs),
    /// Print the state of running workers, as JSON or in short
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Show records as they pass a stage, without slowing it
    #[command(after_help = TAP_EXAMPLES)]
    Tap(TapArgs),
    /// Hold a stage up: its tasks start no new work until `worker resume`
    Pause(OrderArgs),
    /// Let a paused stage go on
    Resume(OrderArgs),
    /// Stop running workers in good order, and wait until they have ended
    #[command(after_help = STOP_EXAMPLES)]
    Stop(StopArgs),
    /// Let running workers take no new input, finish what is under way and end; does not wait for that
    #[command(after_help = DRAIN_HELP)]
    Drain(DrainArgs),
    /// Change what running workers log, from now on
    #[command(after_help = LEVEL_EXAMPLES)]
    LogLevel(LevelArgs),
}

const WHY_EXAMPLES: &str = "\
Examples:
  worker why                                # the worker that runs here, or how the last one ended
  worker why --watch
  worker why --cluster cluster.toml         # ask all nodes, and follow each wait to its cause on another node
  worker why --json | jq '.chains[].root'

Exit status: 0 nothing is stalled; 3 something is, or the run has failed; 1 no worker was found; 2 the command line is wrong.";

const STATUS_EXAMPLES: &str = "\
Examples:
  worker status                             # one line a stage
  worker status --json | jq '.[0].tasks[] | select(.queued_records > 0)'
  worker status --list                      # which workers run here, and where their admin addresses and tokens are";

const TAP_EXAMPLES: &str = "\
Examples:
  worker tap errors                         # what its tasks give
  worker tap per_path --in --key /index.html --limit 10
  worker tap errors --json | jq -r .record.task";

const STOP_EXAMPLES: &str = "\
Sources end, and what was accepted is finished or, with state, kept for the next start: what SIGTERM does. --now is a second signal.

Examples:
  worker stop                               # the worker that runs here
  worker stop --pipeline access --timeout 1m
  worker stop --cluster cluster.toml        # all nodes; of one alone the others hold what is for it until it is started again
  worker stop --now                         # programs are killed; with state nothing is lost, and the next start goes on

Exit status: 0 all have ended; 3 a run has failed or died; 1 no worker was found, one could not be told, or --timeout has passed; \
2 the command line is wrong.";

const DRAIN_HELP: &str = "\
Sources end, and all that was taken goes through every stage to the sinks, however long that takes; then the worker ends with the status \
of a run that is done: 0, or 3 with dead letters. worker stop does not wait for all that: with state it finishes what programs have in \
hand, and keeps the rest.

In memory the end of the sources is the end of the input. With state it is not: the next start reads on; windows are cut; a program of \
mode = \"stream\" without window keeps its input for the next start.

Examples:
  worker drain                              # the worker that runs here
  worker drain --cluster cluster.toml       # all nodes; this command must go on until they have ended
  worker drain --timeout 10m                # then worker stop ends it

Exit status: 0 all have ended; 3 a run has failed or died; 1 no worker was found, one could not be told, or --timeout has passed; \
2 the command line is wrong.";

const LEVEL_EXAMPLES: &str = "\
Examples:
  worker log-level debug
  worker log-level debug worker_net         # only that part of it
  worker log-level warn worker_net          # as before

Exit status: 0 done; 1 no worker was found, or one could not be told; 2 the command line is wrong.";

/// A module's path.
fn part(text: &str) -> Result<String, String> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if text.split("::").all(is_name) {
        return Ok(text.to_owned());
    }
    Err("expected a part of the program, such as worker_net or worker_bin::runtime".to_owned())
}

fn address(text: &str) -> Result<Place, String> {
    text.parse()
}

/// Which worker is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct TargetArgs {
    /// The worker of this pipeline, where several run here
    #[arg(long, value_name = "NAME", conflicts_with_all = ["admin", "cluster"], add = ArgValueCandidates::new(complete::pipelines))]
    pub pipeline: Option<String>,
    /// The worker whose admin address this is, https://HOST:PORT where TLS is spoken; if it runs elsewhere the token is taken from
    /// --admin-token-file or WORKER_ADMIN_TOKEN
    #[arg(long, value_name = "HOST:PORT", value_parser = address, conflicts_with = "cluster")]
    pub admin: Option<Place>,
    /// All nodes of this cluster file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cluster: Option<PathBuf>,
    /// A file whose first line is the token of workers that run elsewhere
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub admin_token_file: Option<PathBuf>,
    /// Ask by TLS, and believe whom a certificate in this file vouches for, in PEM, that it is the host that is asked [default: of a
    /// node of --cluster what that file says; of a worker of this machine its own word]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub admin_ca: Option<PathBuf>,
}

/// Arguments of `worker why`.
#[derive(Clone, Debug, Args)]
pub struct WhyArgs {
    /// Which worker is meant.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    /// Say it again every second, until interrupted or the run ends
    #[arg(long)]
    pub watch: bool,
}

/// Arguments of `worker status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Which worker is meant.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print everything, as a JSON array with an object for each node
    #[arg(long)]
    pub json: bool,
    /// List the workers of this machine's user, running or ended lately
    #[arg(long, conflicts_with_all = ["pipeline", "admin", "cluster"])]
    pub list: bool,
}

/// Arguments of `worker top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// Which worker is meant.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Arguments of `worker tap`.
#[derive(Clone, Debug, Args)]
pub struct TapArgs {
    /// The stage, source or sink
    #[arg(value_name = "STAGE", add = ArgValueCandidates::new(complete::running_stages))]
    pub stage: String,
    /// Which worker is meant.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Show what its tasks take; a batch that is tried again is shown again
    #[arg(long = "in", conflicts_with = "output")]
    pub input: bool,
    /// Show what its tasks give, which is the default
    #[arg(long = "out", id = "output")]
    pub output: bool,
    /// Only records whose key is this: as the stage routes by with --in, as the stages behind it do with --out
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Stop after this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// A JSON line for each record, with its task
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `worker pause` and `worker resume`.
#[derive(Clone, Debug, Args)]
pub struct OrderArgs {
    /// The stage, source or sink
    #[arg(value_name = "STAGE", add = ArgValueCandidates::new(complete::running_stages))]
    pub stage: String,
    /// Which worker is meant.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print what each node did, as a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `worker stop`.
#[derive(Clone, Debug, Args)]
pub struct StopArgs {
    /// Which worker is meant.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Do not wait for what is under way: what a second signal does
    #[arg(long)]
    pub now: bool,
    /// Give up waiting after so long, and say what they wait for [default: each worker has its --drain-timeout]
    #[arg(long, value_name = "DURATION", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// Arguments of `worker drain`.
#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// Which worker is meant.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Give up waiting after so long, and say what they wait for; they go on draining [default: as long as it takes]
    #[arg(long, value_name = "DURATION", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// Arguments of `worker log-level`.
#[derive(Clone, Debug, Args)]
pub struct LevelArgs {
    /// How much is logged
    #[arg(value_name = "LEVEL", value_parser = ["off", "error", "warn", "info", "debug", "trace"])]
    pub level: String,
    /// Only of this part of the program, such as worker_net
    #[arg(value_name = "TARGET", value_parser = part)]
    pub part: Option<String>,
    /// Which worker is meant.
    #[command(flatten)]
    pub target: TargetArgs,
}
