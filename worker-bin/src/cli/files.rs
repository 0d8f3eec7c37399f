//! Files that commands write for people, each whole or not at all.

use crate::io::beside::dangling;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What becomes of a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overwrite {
    Never,
    Replace,
}

/// Why a file is not written. What was there still is.
#[derive(Debug, Error)]
pub(super) enum WriteError {
    #[error("{} is there already, and is left as it is: name another, or say --force to replace it", .0.display())]
    Taken(PathBuf),
    #[error("{} is no regular file, and cannot be replaced", .0.display())]
    NoFile(PathBuf),
    #[error("{} is a link to {}, where nothing is: remove the link, or make what it leads to", path.display(), to.display())]
    Dangling { path: PathBuf, to: PathBuf },
    #[error("cannot write {}: {source}; check that this user may, and that there is room", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Whether a file is in the way.
///
/// # Errors
/// It is.
pub(super) fn refuse(path: &Path, overwrite: Overwrite) -> Result<(), WriteError> {
    match (path.symlink_metadata(), overwrite) {
        (Err(_), _) => Ok(()),
        (Ok(_), Overwrite::Never) => Err(WriteError::Taken(path.to_owned())),
        (Ok(_), Overwrite::Replace) => match path.metadata() {
            Ok(metadata) if !metadata.is_file() => Err(WriteError::NoFile(path.to_owned())),
            Ok(_) => Ok(()),
            // What would be written in its place is not what it leads to.
            Err(_) => match dangling(path) {
                Some(to) => Err(WriteError::Dangling { path: path.to_owned(), to }),
                None => Ok(()),
            },
        },
    }
}

/// Writes a file, and makes the directories above it that are missing.
///
/// # Errors
/// One is in the way, or it cannot be written.
pub(super) fn write(path: &Path, text: &str, overwrite: Overwrite) -> Result<(), WriteError> {
    refuse(path, overwrite)?;
    let failed = |source| WriteError::Io { path: path.to_owned(), source };
    if path.exists() {
        return replace(path, text).map_err(failed);
    }
    let directory = parent(path);
    std::fs::create_dir_all(directory).map_err(failed)?;
    let write = || {
        // As a shell would make it: the system takes the umask from that.
        let mut fresh = beside(directory, 0o666)?;
        fresh.write_all(text.as_bytes())?;
        fresh.as_file().sync_all()?;
        let kept = match overwrite {
            Overwrite::Never => fresh.persist_noclobber(path),
            Overwrite::Replace => fresh.persist(path),
        };
        kept.map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(WriteError::Taken(path.to_owned())),
        result => result.map_err(failed),
    }
}

/// Gives a file another text, with owner and mode as they are; where it is a link, the one it leads to.
///
/// # Errors
/// What the system says; the file is as it was then.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    // A directory that may be written does not make a file that may not be one.
    let metadata = OpenOptions::new().write(true).open(&path)?.metadata()?;
    let directory = parent(&path);
    let mut fresh = beside(directory, 0o600)?;
    fresh.write_all(text.as_bytes())?;
    let file = fresh.as_file();
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
        std::os::unix::fs::fchown(file, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    file.set_permissions(metadata.permissions())?;
    file.sync_all()?;
    fresh.persist(&path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

fn beside(directory: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".worker-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}
