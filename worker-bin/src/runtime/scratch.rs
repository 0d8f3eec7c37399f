//! The directory for programs' own files (`WORKER_TMPDIR`), and those that killed workers have left.

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::{DirEntry, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use tempfile::TempDir;

/// What the names of such directories begin with.
const PREFIX: &str = "worker-tmp-";

/// The file in it that the living worker holds. Without it a directory is nobody's to remove: it may be anything.
const LOCK: &str = "worker-tmp.lock";

/// So often another is made where one is swept away between its making and its locking.
const ATTEMPTS_MAX: usize = 16;

/// A directory that other users cannot look into, removed at the end of the run, or at the start of a later one.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: TempDir,
    /// The kernel lets go of it with the process, whatever ends that; `None`: this file system knows no locks.
    _lock: Option<File>,
}

impl Scratch {
    pub(super) fn make(parent: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS_MAX {
            let closed = Permissions::from_mode(0o700);
            let dir = tempfile::Builder::new().prefix(PREFIX).permissions(closed).tempdir_in(parent)?;
            if let Some(lock) = locked(dir.path())? {
                return Ok(Self { dir, _lock: lock });
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "another worker removes what is made"))
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn close(self) -> io::Result<()> {
        self.dir.close()
    }
}

/// `None`: who sweeps has it, and removes it.
fn locked(dir: &Path) -> io::Result<Option<Option<File>>> {
    let path = dir.join(LOCK);
    let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if lock.metadata()?.nlink() > 0 => Ok(Some(Some(lock))),
        Ok(()) | Err(Errno::WOULDBLOCK) => Ok(None),
        Err(_) => {
            std::fs::remove_file(&path)?;
            Ok(Some(None))
        }
    }
}

/// Removes what workers have left in `parent` that are not there any more. What cannot be removed is in nobody's way.
pub(super) fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let path = entry.path();
        match remove_if_free(&path) {
            Ok(true) => {
                tracing::info!(path = %path.display(), "removed temporary files of a worker that was killed")
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot remove temporary files of a worker that was killed");
            }
        }
    }
}

/// Says whether it was one of a dead worker of this user, and is gone.
fn remove_if_free(dir: &Path) -> io::Result<bool> {
    let found = dir.symlink_metadata()?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    let path = dir.join(LOCK);
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if lock.metadata()?.nlink() > 0 => {}
        Ok(()) | Err(_) => return Ok(false),
    }
    // The lock last: where something else cannot be removed, the next start tries again.
    let others = |entry: &DirEntry| entry.file_name() != LOCK;
    let entries: Vec<DirEntry> = std::fs::read_dir(dir)?.collect::<io::Result<_>>()?;
    for entry in entries.iter().filter(|&entry| others(entry)) {
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    std::fs::remove_file(&path)?;
    std::fs::remove_dir(dir)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn names(dir: &Path) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    /// As one that was killed leaves it.
    fn left(parent: &Path, name: &str) -> PathBuf {
        let dir = parent.join(name);
        std::fs::create_dir_all(dir.join("task-0/deep")).unwrap();
        std::fs::write(dir.join("task-0/deep/file"), "x").unwrap();
        std::fs::write(dir.join(LOCK), "").unwrap();
        dir
    }

    #[test]
    fn what_the_dead_have_left_is_removed_and_what_the_living_hold_stays() {
        let parent = tempfile::tempdir().unwrap();
        let held = Scratch::make(parent.path()).unwrap();
        std::fs::create_dir(held.path().join("task-0")).unwrap();
        let dead = left(parent.path(), "worker-tmp-dead");
        sweep(parent.path());
        assert!(!dead.exists());
        assert!(held.path().join("task-0").is_dir());
        assert_eq!(held.path().metadata().unwrap().mode() & 0o777, 0o700);
        held.close().unwrap();
        assert_eq!(names(parent.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn nothing_else_is_touched() {
        let parent = tempfile::tempdir().unwrap();
        let target = left(parent.path(), "state");
        std::os::unix::fs::symlink(&target, parent.path().join("worker-tmp-link")).unwrap();
        std::fs::create_dir(parent.path().join("worker-tmp-mine")).unwrap();
        std::fs::write(parent.path().join("worker-tmp-file"), "").unwrap();
        let before = names(parent.path());
        sweep(parent.path());
        sweep(&parent.path().join("nowhere"));
        assert_eq!(names(parent.path()), before);
        assert!(target.join("task-0/deep/file").exists());
    }

    #[test]
    fn what_cannot_be_removed_is_tried_again() {
        let parent = tempfile::tempdir().unwrap();
        let dead = left(parent.path(), "worker-tmp-dead");
        // Where the lock should be alone, there is a directory in its place: it cannot be unlinked.
        std::fs::remove_file(dead.join(LOCK)).unwrap();
        std::fs::create_dir(dead.join(LOCK)).unwrap();
        sweep(parent.path());
        assert!(dead.exists());
        std::fs::remove_dir(dead.join(LOCK)).unwrap();
        std::fs::write(dead.join(LOCK), "").unwrap();
        sweep(parent.path());
        assert!(!dead.exists());
    }
}
