//! Why letters are not replayed.

use crate::cli::dlq::store::LetterId;
use crate::hints;
use crate::io::dead::DeadLogError;
use crate::manifest::ManifestError;
use crate::pipeline;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use worker_journal::{JournalError, StateError};

/// Why letters are not replayed. None is claimed then that was not before.
#[derive(Debug, Error)]
pub(crate) enum ReplayError {
    /// Nothing was asked for, and no replay is open.
    #[error("say which dead letters: their ids, --stage STAGE, or all; no replay was interrupted")]
    NothingAsked,
    /// `all` and more.
    #[error("`all` are all: name no others beside it")]
    AllAndOthers,
    /// The state is another pipeline's.
    #[error("the state in {} is of pipeline `{found}`, not of `{wanted}`; name the directory of this one with --state", state.display())]
    OtherPipeline {
        state: PathBuf,
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// Another replay is running.
    #[error("dead letters are being replayed by {holder}: wait until that has finished")]
    Busy { holder: String },
    /// The pipeline is running.
    #[error(
        "{pipeline} is running ({holder}), and its sinks are its own: wait until it has finished, or replay into a file with --out"
    )]
    Running { pipeline: String, holder: String },
    /// The pipeline was stopped.
    #[error(
        "{pipeline} is not finished, and what it writes next belongs behind what its sinks have now: let `worker run` finish \
         it with the same state first, or replay into a file with --out"
    )]
    Unfinished { pipeline: String },
    /// Other nodes have the sinks.
    #[error(
        "this is the state of node `{node}` of a cluster, whose sinks may be on other nodes: replay into a file with --out"
    )]
    OneOfSeveral { node: String },
    /// The result would go where state is.
    #[error("--out names a file in the state directory {}; name one elsewhere", state.display())]
    OutInState { state: PathBuf },
    #[error(
        "dead letter {id} was given to replay {replay} already, and each is replayed once; `worker dlq list` shows what became of it"
    )]
    Replayed { id: LetterId, replay: u32 },
    #[error("there is no dead letter {id}{near}; `worker dlq list` shows those that are there")]
    NoLetter {
        id: LetterId,
        /// The one that was probably meant.
        near: String,
    },
    /// Its way in is not known.
    #[error(
        "the record of {id} was dead-lettered on its way out of `{stage}`, for want of a key, and the pipeline file does not say \
         which stage it was for; give its record to the pipeline as new input"
    )]
    NoWayIn { id: LetterId, stage: String },
    /// It is none.
    #[error(
        "dead letter {id} is a piece of input and no record that could be given to the pipeline ({reason}); mend that input, and give \
         what is missing to the pipeline as new input (`worker dlq show --raw` prints what is there)"
    )]
    NoRecord {
        id: LetterId,
        /// Why it was dead-lettered.
        reason: String,
    },
    /// It would not be one record.
    #[error("dead letter {id} cannot go into `{into}`: {why}")]
    Unfit {
        id: LetterId,
        /// Where it would go.
        into: String,
        /// What is wrong with it.
        why: String,
    },
    /// The pipeline has changed.
    #[error(transparent)]
    Pipeline(pipeline::ReplayError),
    #[error("{0}{hint}", hint = hints::of_state(.0))]
    State(StateError),
    #[error(transparent)]
    Manifest(ManifestError),
    /// A file of letters.
    #[error(transparent)]
    Letters(DeadLogError),
    #[error("what is committed is not known: {0}")]
    Journal(JournalError),
    /// No room, or no permission.
    #[error("cannot write {}: {source}; check that this user may, and that there is room", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl ReplayError {
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}
