//! The directory that all of a node's state is in.

use crate::fault;
use crate::storage::size_limit_advice;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another process uses it.
    #[error(
        "the state directory {} is in use by {holder}; stop that process first, or give this one a directory of its own", directory.display()
    )]
    InUse {
        /// The state directory.
        directory: PathBuf,
        /// Who, in its own words.
        holder: String,
    },
    /// The file system refuses.
    #[error("cannot {what} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was to be done.
        what: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    let kind = error.kind();
    if kind == io::ErrorKind::ReadOnlyFilesystem || kind == io::ErrorKind::PermissionDenied {
        "; choose a directory that may be written"
    } else if kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded {
        "; make room there, or choose another directory"
    } else if matches!(
        kind,
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
    ) {
        "; choose another directory"
    } else {
        size_limit_advice(error)
    }
}

impl StateError {
    /// What to say of an error of the file system at `path`, where `what` was to be done.
    pub fn io(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path: path.clone(), source }
    }
}

/// Makes a directory, mode 0700, and those above it that are missing; all of them durably.
///
/// # Errors
/// [`StateError::Io`].
pub fn make_directory(path: &Path) -> Result<(), StateError> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        // The process that made it may have died before it was durable; one that we may not open is not our work.
        return match sync_directory(parent) {
            Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    make_directory(parent)?;
    match fault::around("state.mkdir", || DirBuilder::new().mode(0o700).create(path)) {
        Ok(()) => sync_directory(parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(StateError::io("make the directory", path)(error)),
    }
}

/// Makes what was created, renamed and removed in a directory durable.
///
/// # Errors
/// [`StateError::Io`].
pub fn sync_directory(path: &Path) -> Result<(), StateError> {
    fault::around("state.syncdir", || File::open(path)?.sync_all())
        .map_err(StateError::io("sync the directory", path))
}
