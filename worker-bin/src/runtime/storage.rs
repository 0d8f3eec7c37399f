//! The disk that commits go to, when it is full.

use super::cell::Tell;
use crate::io::sink::SinkError;
use crate::mutex::lock;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use worker_core::event::{Event, NodeEvent};
use worker_journal::{Lock, Reserve};

/// How often it is tried to set the reserve aside again.
const RESTORE_EVERY: Duration = Duration::from_secs(1);

/// What the system counts blocks in.
const BLOCK_BYTES: u64 = 512;

/// Gives up the reserve when the disk is full, so that what was admitted can be committed, and sets it aside again.
///
/// ```text
///   whole ──a write finds no room──▶ given up (the node admits nothing) ──room for the reserve again──▶ whole
/// ```
#[derive(Debug)]
pub struct StorageGuard {
    /// The state directory.
    dir: PathBuf,
    reserve: Mutex<Option<Reserve>>,
    keepers: Mutex<Vec<Weak<dyn GivesBack>>>,
}

/// What keeps more on the disk than it needs, for a while.
pub(super) trait GivesBack: std::fmt::Debug + Send + Sync {
    /// Removes what is done with.
    fn give_back(&self);
}

impl StorageGuard {
    pub(super) fn new(dir: PathBuf, reserve: Option<Reserve>) -> Self {
        Self { dir, reserve: Mutex::new(reserve), keepers: Mutex::default() }
    }

    /// Nothing will be written any more: the reserve is of no use.
    pub(super) fn gives_reserve_up(&self) {
        if let Some(Err(error)) = lock(&self.reserve).take().map(|mut reserve| reserve.give_up()) {
            tracing::debug!(%error, "the reserve stays");
        }
    }

    /// `keeper` is asked for room while there is none.
    pub(super) fn asks(&self, keeper: Weak<dyn GivesBack>) {
        lock(&self.keepers).push(keeper);
    }

    /// A sink has no room on the disk that this one guards, and now there is some: it is worth trying again at once.
    pub(super) fn helps(self: &Arc<Self>, error: &SinkError, to: &Weak<dyn Tell>) -> bool {
        let SinkError::Full { name, .. } = error else { return false };
        let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
        let state = device(&self.dir);
        state.is_some() && state == device(Path::new(name)) && self.is_full_now(to, &error.to_string())
    }

    /// A write has found no room. Says whether that has changed something, so that it is worth trying again at once.
    pub(super) fn is_full_now(self: &Arc<Self>, to: &Weak<dyn Tell>, why: &str) -> bool {
        {
            let mut reserve = lock(&self.reserve);
            let Some(reserve) = reserve.as_mut() else { return false };
            if !reserve.is_whole() {
                return false;
            }
            if let Err(error) = reserve.give_up() {
                tracing::warn!(%error, "the disk is full, and its reserve cannot be given up");
                return false;
            }
        }
        tracing::warn!(
            why,
            "the disk is full: what was admitted is finished from a reserve, nothing new is taken until there is room"
        );
        self.wait_for_room(to);
        true
    }

    /// At the start: on a disk that is full already nothing is taken until there is room.
    pub(super) fn starts(self: &Arc<Self>, to: &Weak<dyn Tell>) {
        let is_given_up = lock(&self.reserve).as_ref().is_some_and(|reserve| !reserve.is_whole());
        if is_given_up {
            tracing::warn!(
                state = %self.dir.display(),
                "the disk is full: nothing is taken until there is room for the reserve; then it goes on by itself"
            );
            self.wait_for_room(to);
        }
    }

    fn wait_for_room(self: &Arc<Self>, to: &Weak<dyn Tell>) {
        if let Some(to) = to.upgrade() {
            to.tell(Event::Node(NodeEvent::StorageFull { full: true }));
        }
        let (guard, to) = (Arc::clone(self), to.clone());
        let restore = move || {
            loop {
                std::thread::sleep(RESTORE_EVERY);
                let Some(to) = to.upgrade() else { return };
                lock(&guard.keepers).iter().filter_map(Weak::upgrade).for_each(|keeper| keeper.give_back());
                let restored =
                    lock(&guard.reserve).as_mut().is_some_and(|r| r.restore().is_ok_and(|whole| whole));
                if restored {
                    tracing::info!("there is room on the disk again");
                    return to.tell(Event::Node(NodeEvent::StorageFull { full: false }));
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("reserve".into()).spawn(restore) {
            tracing::warn!(%error, "cannot watch for room on the disk");
        }
    }
}

/// What is said of `why` a run with state in `dir` fails: where that is not there any more, this comes first, for the error itself has
/// only the name of a file in it.
pub(super) fn explained(dir: &Path, why: &str) -> String {
    if dir.join(Lock::NAME).exists() {
        return why.to_owned();
    }
    format!(
        "the state directory {} is gone: it was moved or removed while this run used it ({why}); where it was moved to, \
         --state NEWPLACE goes on with it, and where it was removed nothing knows what was done",
        dir.display()
    )
}

/// What the files below `path` take of the disk, in bytes.
pub(super) fn disk_bytes(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    let below = metadata.is_dir().then(|| std::fs::read_dir(path)).into_iter().flatten().flatten().flatten();
    let below: u64 = below.map(|entry| disk_bytes(&entry.path())).sum();
    metadata.blocks() * BLOCK_BYTES + below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_that_the_directory_is_gone_only_where_it_is() {
        let around = tempfile::tempdir().unwrap();
        let (dir, other) = (around.path().join("state"), around.path().join("other"));
        std::fs::create_dir(&dir).unwrap();
        let lock = Lock::take(&dir).unwrap();
        assert_eq!(explained(&dir, "it fails"), "it fails");
        std::fs::rename(&dir, &other).unwrap();
        let said = explained(&dir, "it fails");
        assert!(said.starts_with(&format!("the state directory {} is gone", dir.display())), "{said}");
        assert!(said.contains("(it fails)") && said.contains("--state NEWPLACE goes on"), "{said}");
        std::fs::create_dir(&dir).unwrap();
        assert_ne!(explained(&dir, "it fails"), "it fails", "another one is in its place");
        drop(lock);
    }
}
