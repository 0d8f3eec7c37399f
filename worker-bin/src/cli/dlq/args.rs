//! The words of `worker dlq`.

use crate::cli::args::{ProcessArgs, variable};
use crate::cli::complete;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use std::borrow::Cow;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Arguments of `worker dlq`.
#[derive(Clone, Debug, Args)]
pub struct DlqArgs {
    /// What to do with dead letters.
    #[command(subcommand)]
    pub command: DlqCommand,
}

/// What to do with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters, and count them by reason
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show all that is known about one
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Write a directory in which its program can be run on it again
    #[command(after_help = REPRO_EXAMPLES)]
    Repro(ReproArgs),
    /// Process dead letters again: their stage and everything behind it, into the pipeline's sinks
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Box<ReplayArgs>),
}

/// The end of the help of `worker dlq`.
pub const DLQ_EXAMPLES: &str = "\
A dead letter is called TASK:NUMBER, such as errors/0:17; one that a replay has dead-lettered rN/TASK:NUMBER.

Examples:
  worker dlq list access.toml                          # in its state directory or its file
  worker dlq list --state /var/lib/access --stage errors
  worker dlq show --state /var/lib/access errors/0:17
  worker dlq repro access.toml errors/0:17 --out bug; sh bug/run.sh
  worker dlq replay access.toml all";

const LIST_EXAMPLES: &str = "\
Examples:
  worker dlq list access.toml
  worker dlq list --state /var/lib/access --stage errors --json
  worker dlq list access.dead-letters.jsonl            # of a run that kept no state";

const SHOW_EXAMPLES: &str = "\
Examples:
  worker dlq show access.toml errors/0:17
  worker dlq show --state /var/lib/access errors/0:17 --raw > record";

const REPRO_EXAMPLES: &str = "\
Example:
  worker dlq repro access.toml errors/0:17 --out bug
  sh bug/run.sh";

const REPLAY_EXAMPLES: &str = "\
A replay is a run with a state of its own, below the pipeline's or beside its file of dead letters: after a crash the same command goes on with it. No letter \
is replayed twice; one that fails again is a dead letter of the replay. The pipeline must be finished, or --out given.

Examples:
  worker dlq replay access.toml all
  worker dlq replay access.toml errors/0:17 errors/1:3
  worker dlq replay access.toml --stage errors --out again.txt
  worker dlq replay access.toml all --letters access.dead-letters.jsonl    # of a run that kept no state

Exit status: as of worker run.";

/// Where dead letters are.
#[derive(Clone, Debug, Default, Args)]
pub struct LettersArgs {
    /// State directory of the run [default: as for worker run FILE]
    #[arg(long, value_name = "DIR", conflicts_with = "letters", value_hint = clap::ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// Dead letters of a run that kept no state [default: NAME.dead-letters.jsonl, the newest]
    #[arg(long, value_name = "FILE")]
    pub letters: Option<PathBuf>,
    /// Value of a variable of the file; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, add = ArgValueCandidates::new(complete::variables_of_file))]
    pub set: Vec<(String, String)>,
}

/// Arguments of `worker dlq list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Pipeline file, or a file of dead letters (.jsonl)
    #[arg(value_name = "FILE", required_unless_present_any = ["state", "letters"])]
    pub file: Option<PathBuf>,
    /// Where they are.
    #[command(flatten)]
    pub from: LettersArgs,
    /// Only those of this stage
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(complete::stages_of_file))]
    pub stage: Option<String>,
    /// One JSON object a line, with everything that is known
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `worker dlq show`.
#[derive(Clone, Debug, Args)]
#[command(override_usage = "worker dlq show [OPTIONS] <FILE|--state DIR|--letters FILE> <ID>")]
pub struct ShowArgs {
    /// Pipeline file, or a file of dead letters (.jsonl); then which letter, as `worker dlq list` calls it
    #[arg(value_name = "FILE ID", num_args = 1..=2, required = true)]
    words: Vec<OsString>,
    /// Where it is.
    #[command(flatten)]
    pub from: LettersArgs,
    /// Only the record, byte by byte
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

impl ShowArgs {
    /// Which letter.
    #[must_use]
    pub fn id(&self) -> Cow<'_, str> {
        self.words.last().map_or(Cow::Borrowed(""), |word| word.to_string_lossy())
    }

    /// The file, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self.words.as_slice() {
            [file, _] => Some(Path::new(file)),
            _ => None,
        }
    }
}

/// Arguments of `worker dlq repro`.
#[derive(Clone, Debug, Args)]
pub struct ReproArgs {
    /// Pipeline file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which, as `worker dlq list` calls it
    #[arg(value_name = "ID")]
    pub id: String,
    /// The directory to write; it must be new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where it is.
    #[command(flatten)]
    pub from: LettersArgs,
}

/// Arguments of `worker dlq replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Pipeline file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which, as `worker dlq list` calls them, or `all` that were not replayed yet [default: only go on with a replay that
    /// was interrupted]
    #[arg(value_name = "ID", conflicts_with = "stage")]
    pub ids: Vec<String>,
    /// All of this stage that were not replayed yet
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(complete::stages_of_file))]
    pub stage: Option<String>,
    /// State directory of the run [default: as for worker run FILE]
    #[arg(long, value_name = "DIR", conflicts_with = "letters", value_hint = clap::ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// Dead letters of a run that kept no state [default: NAME.dead-letters.jsonl, the newest]; what was replayed of them is noted in
    /// FILE.replayed
    #[arg(long, value_name = "FILE")]
    pub letters: Option<PathBuf>,
    /// Value of a variable of the file; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, add = ArgValueCandidates::new(complete::variables_of_file))]
    pub set: Vec<(String, String)>,
    /// Write the results to this new file, and not to the pipeline's sinks
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How many batch programs may run at once [default: one per core]
    #[arg(long, value_name = "N")]
    pub slots: Option<NonZeroUsize>,
    /// What is the same for every run.
    #[command(flatten)]
    pub process: ProcessArgs,
}
