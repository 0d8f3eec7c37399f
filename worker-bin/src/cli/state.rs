//! `--fresh`: starting over.

use crate::explain::words;
use crate::hints;
use crate::pipeline::plan::{Plan, Role};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use worker_journal::{Lock, StateError};

/// What a state directory has in it; nothing else is ever removed.
const OURS: [&str; 9] = [
    "manifest.json",
    REMOVED,
    "tasks",
    "dead",
    "sources",
    "replays",
    "reserve",
    "peers.json",
    "peers.json.new",
];

/// The journals on their way out: no part of them may be taken for all of them.
const REMOVED: &str = "tasks.removed";

/// Why a state directory is not removed.
#[derive(Debug, Error)]
pub(super) enum FreshError {
    /// Another process uses it.
    #[error("{0}{hint}", hint = hints::of_state(.0))]
    Held(#[from] StateError),
    #[error("cannot remove {}: {source}; remove it by hand, or check its permissions", path.display())]
    Remove {
        /// What was to be removed.
        path: PathBuf,
        source: io::Error,
    },
}

/// Whether a directory holds a state.
pub(super) fn is_there(dir: &Path) -> bool {
    dir.join("manifest.json").exists() || dir.join("tasks").exists()
}

/// A file that a sink of a new run would refuse to write to.
pub(super) fn sink_in_the_way(plan: &Plan) -> Option<&Path> {
    plan.local.iter().find_map(|task| match &task.role {
        Role::Sink(sink) => sink.target.in_the_way(),
        Role::Source(_) | Role::Stage(_) => None,
    })
}

/// Removes the state in `dir`; says what that was, if there was any.
pub(super) fn remove(dir: &Path) -> Result<Option<String>, FreshError> {
    if !is_there(dir) {
        return Ok(None);
    }
    let lock = Lock::take(dir)?;
    let (mut files, mut bytes, mut dead) = (0_u64, 0_u64, 0_u64);
    for name in OURS {
        measure(&dir.join(name), &mut |path, size| {
            files += 1;
            bytes += size;
            if path.parent().is_some_and(|p| p.ends_with("dead")) {
                dead +=
                    std::fs::read(path).map_or(0, |text| memchr::memchr_iter(b'\n', &text).count() as u64);
            }
        });
    }
    let tasks = dir.join("tasks");
    if tasks.exists() && !dir.join(REMOVED).exists() {
        std::fs::rename(&tasks, dir.join(REMOVED))
            .map_err(|source| FreshError::Remove { path: tasks, source })?;
    }
    // The manifest goes last: without its journals it is refused, so a removal that is interrupted has to be begun again.
    for name in OURS.iter().skip(1).chain(OURS.first()) {
        let path = dir.join(name);
        let removed = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|source| FreshError::Remove { path, source })?;
    }
    drop(lock);
    let letters =
        if dead > 0 { format!(", {} among them", words::dead_letters(dead)) } else { String::new() };
    Ok(Some(format!(
        "--fresh: removed the state in {} ({} in {}{letters})",
        dir.display(),
        words::bytes(bytes),
        words::plural(files, "file")
    )))
}

fn measure(path: &Path, tell: &mut dyn FnMut(&Path, u64)) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if !metadata.is_dir() {
        return tell(path, metadata.len());
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        measure(&entry.path(), tell);
    }
}
