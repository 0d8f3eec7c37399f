//! Words of the commands that look at running workers.

use crate::admin::host_and_port;
use crate::cli::complete;
use clap::{Args, Subcommand, ValueHint};
use clap_complete::ArgValueCandidates;
use std::path::PathBuf;

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

fn address(text: &str) -> Result<String, String> {
    host_and_port(text)
        .ok_or_else(|| "expected HOST:PORT, such as 127.0.0.1:7480, or http://HOST:PORT/".to_owned())
}

/// Which worker is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct TargetArgs {
    /// The worker of this pipeline, where several run here
    #[arg(long, value_name = "NAME", conflicts_with_all = ["admin", "cluster"], add = ArgValueCandidates::new(complete::pipelines))]
    pub pipeline: Option<String>,
    /// The worker whose admin address this is; orders take their token from WORKER_ADMIN_TOKEN if it runs elsewhere
    #[arg(long, value_name = "HOST:PORT", value_parser = address, conflicts_with = "cluster")]
    pub admin: Option<String>,
    /// All nodes of this cluster file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cluster: Option<PathBuf>,
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
}
