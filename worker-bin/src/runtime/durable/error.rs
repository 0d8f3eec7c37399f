//! Why a state directory cannot be used, with what to do.

use crate::hints;
use crate::io::dead::DeadLogError;
use crate::manifest::ManifestError;
use crate::runtime::peers::PeersError;
use std::path::PathBuf;
use thiserror::Error;
use worker_journal::{JournalError, StateError, StorageError};

/// Why a state directory cannot be used.
#[derive(Debug, Error)]
pub enum DurableError {
    /// The directory itself: held by another process, not writable.
    #[error("{0}{hint}", hint = hints::of_state(.0))]
    State(#[from] StateError),
    /// Its manifest: of a newer format, damaged.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    #[error("{0}{hint}", hint = hints::of_journal(.0))]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// A task's dead letters.
    #[error("{0}")]
    Dead(#[from] DeadLogError),
    #[error("{0}")]
    Peers(#[from] PeersError),
    /// A link that leads nowhere.
    #[error(
        "{} is a link to {}, and nothing is there: make that directory, or remove the link", dir.display(), target.display()
    )]
    Dangling { dir: PathBuf, target: PathBuf },
    /// There is something else.
    #[error(
        "{} holds other things ({names}) and no state of a pipeline; name a directory of its own with --state, such as {}/state",
        dir.display(), dir.display()
    )]
    Foreign {
        dir: PathBuf,
        /// What is there.
        names: String,
    },
    /// It was made by another pipeline.
    #[error(
        "the state in {} is of pipeline `{found}`, not of `{expected}`; give this pipeline a directory of its own with --state, \
         or start over with --fresh, which removes what is there", dir.display()
    )]
    OtherPipeline {
        dir: PathBuf,
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The pipeline, or where its tasks run, is not what it was.
    #[error(
        "the pipeline has changed since the state in {} was begun, in a way that its results depend on:\n{differences}\
         Undo the change, give the changed pipeline a state directory of its own with --state, or start over with --fresh",
        dir.display()
    )]
    Changed {
        dir: PathBuf,
        /// What has changed, a line each.
        differences: String,
    },
    /// A column's journal is behind that of another.
    #[error(
        "the journal in {} {ends}, before what other tasks of this node have from it ({why}): the file was cut, or is an older copy than \
         the rest of the state; put the whole state directory back from one copy, or start over with --fresh", file.display()
    )]
    Behind {
        /// The segment in which it ends.
        file: PathBuf,
        /// Where it ends there.
        ends: String,
        /// What shows that.
        why: String,
    },
    /// A task's journal is gone.
    #[error(
        "the journal of {task} is gone from {}: without it records would be lost or repeated; put it back from a copy, or start \
         over with --fresh", path.display()
    )]
    Missing { task: String, path: PathBuf },
    /// A task was moved.
    #[error(
        "tasks run elsewhere than when the state in {} was begun:\n{differences}\
         What they keep is on the old node: undo the change, or start every node over with --fresh", dir.display()
    )]
    Moved {
        dir: PathBuf,
        /// Which tasks, a line each.
        differences: String,
    },
}
