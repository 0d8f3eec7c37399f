//! A state directory that this start has made, and what becomes of it if the run does not begin.

use crate::io::made::missing;
use std::io;
use std::path::{Path, PathBuf};
use worker_journal::Lock;

/// Nothing was in the directory before. A state of a run that never began would only be in the way: what the user mends in the pipeline
/// file would be refused as a change.
#[derive(Debug)]
pub(super) struct FirstStart {
    /// That were made for it, from the innermost.
    made: Vec<PathBuf>,
}

impl FirstStart {
    /// What is known before `dir` is made; nothing where something is there already.
    pub(super) fn look(dir: &Path) -> Option<Self> {
        let is_lock = |name: &std::ffi::OsStr| name == Lock::NAME;
        let mut there = std::fs::read_dir(dir).into_iter().flatten();
        let is_empty = there.all(|entry| entry.is_ok_and(|entry| is_lock(&entry.file_name())));
        is_empty.then(|| Self { made: missing(dir) })
    }

    /// Removes all of it, which is what is called so; the lock is held by the caller.
    pub(super) fn undo(&self, dir: &Path, names: &[&str]) -> io::Result<()> {
        // The manifest goes first: without it what is left is as good as nothing.
        for name in std::iter::once(&"manifest.json").chain(names) {
            let path = dir.join(name);
            let removed = match path.symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path),
                Ok(_) => std::fs::remove_file(&path),
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        for directory in &self.made {
            // Others may have put something there meanwhile.
            std::fs::remove_dir(directory).ok();
        }
        Ok(())
    }
}
