//! When to look again: the system tells what has changed in directories, and where it cannot, time does.
//!
//! ```text
//!   watching ──no watch left, the system refuses──▶ polling
//! ```
//! What it tells is a hint and nothing more: each look finds out by itself how things are. So a lost or doubled event costs time.

use super::super::super::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use worker_journal::fault;

/// How often all is looked at where the system tells of nothing, or not of all …
const POLL: Duration = Duration::from_secs(1);
/// … and where it tells of all, to be sure.
const POLL_WATCHED: Duration = Duration::from_secs(10);
/// While something is to be decided.
const POLL_SOON: Duration = Duration::from_millis(250);
/// Looks are not closer together …
const LOOK_MIN: Duration = Duration::from_millis(50);
/// … and no more than this share of the time goes into them, unless one takes very long.
const SHARE: u32 = 20;
/// Directories that are watched.
const WATCHES_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Watch {
    inotify: Option<OwnedFd>,
    paths: BTreeMap<i32, PathBuf>,
    watched: BTreeMap<PathBuf, i32>,
    /// Some directory may change without the system telling of it.
    is_blind: bool,
    last: Option<Instant>,
    cost: Duration,
    /// Something has changed that only a look can tell.
    is_due: bool,
    /// Something waits to be decided.
    is_soon: bool,
    has_said: bool,
}

/// What waiting came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Files that may have grown; none where it is time to look.
    Changed(BTreeSet<PathBuf>),
    Stopped,
}

impl Watch {
    pub(super) fn new() -> Self {
        let made = fault::around("follow.watch", || {
            Ok(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
        });
        let mut watch = Self {
            inotify: None,
            paths: BTreeMap::new(),
            watched: BTreeMap::new(),
            is_blind: false,
            last: None,
            cost: Duration::ZERO,
            is_due: false,
            is_soon: false,
            has_said: false,
        };
        match made {
            Ok(inotify) => watch.inotify = Some(inotify),
            Err(error) => watch.poll_from_now(&error.to_string()),
        }
        watch
    }

    /// Whether all should be looked at now.
    pub(super) fn is_due(&self) -> bool {
        self.left() == Duration::ZERO
    }

    fn left(&self) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        let pause = match () {
            () if self.is_due => LOOK_MIN,
            () if self.is_soon => POLL_SOON,
            () if self.inotify.is_some() && !self.is_blind => POLL_WATCHED,
            () => POLL,
        };
        pause.max((self.cost * SHARE).min(POLL_WATCHED)).saturating_sub(last.elapsed())
    }

    /// A look that began `at` is over; more may appear in these directories.
    pub(super) fn looked(
        &mut self,
        at: Instant,
        directories: BTreeSet<PathBuf>,
        is_blind: bool,
        is_soon: bool,
    ) {
        (self.is_due, self.is_soon, self.is_blind) = (false, is_soon, is_blind);
        self.watch(directories);
        (self.cost, self.last) = (at.elapsed(), Some(Instant::now()));
    }

    fn watch(&mut self, directories: BTreeSet<PathBuf>) {
        let Some(inotify) = &self.inotify else { return };
        let stale: Vec<i32> = (self.watched.iter())
            .filter(|(path, _)| !directories.contains(*path))
            .map(|(_, watch)| *watch)
            .collect();
        for watch in &stale {
            // It may be gone with its directory.
            inotify::remove_watch(inotify, *watch).ok();
        }
        stale.into_iter().for_each(|watch| self.forget(watch));
        let mut failure = None;
        for directory in directories {
            self.is_blind |= !tells(&directory);
            if self.watched.contains_key(&directory) {
                continue;
            }
            match self.add(&directory) {
                Ok(()) => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => self.is_blind = true,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.poll_from_now(&std::io::Error::from(error).to_string());
        }
    }

    fn add(&mut self, directory: &Path) -> Result<(), Errno> {
        let Some(inotify) = &self.inotify else { return Ok(()) };
        if self.watched.len() >= WATCHES_MAX {
            return Err(Errno::NOSPC);
        }
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let watch = inotify::add_watch(inotify, directory, flags)?;
        // Two names of one directory are one watch; the look finds what changes by either.
        self.paths.insert(watch, directory.to_owned());
        self.watched.insert(directory.to_owned(), watch);
        Ok(())
    }

    fn forget(&mut self, watch: i32) {
        self.paths.remove(&watch);
        self.watched.retain(|_, own| *own != watch);
    }

    fn poll_from_now(&mut self, why: &str) {
        (self.inotify, self.is_due) = (None, true);
        self.paths.clear();
        self.watched.clear();
        if !std::mem::replace(&mut self.has_said, true) {
            tracing::warn!(
                why,
                "the system does not tell of changes in these directories, so they are looked at every second; \
                 a higher fs.inotify.max_user_watches or max_user_instances may help"
            );
        }
    }

    /// Waits until something has changed, or it is time to look. `waits`: else says what is known by now.
    pub(super) fn wait(&mut self, stop: &Stop, waits: bool) -> std::io::Result<Woken> {
        loop {
            let left = if waits { self.left() } else { Duration::ZERO };
            let timeout =
                Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
            fds.extend(self.inotify.iter().map(|inotify| PollFd::new(inotify, PollFlags::IN)));
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(Woken::Stopped),
                Ok(_) => {
                    let has_events = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
                    let changed = if has_events { self.events() } else { BTreeSet::new() };
                    if !waits || !changed.is_empty() || self.is_due() {
                        return Ok(Woken::Changed(changed));
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn events(&mut self) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        let mut gone = Vec::new();
        let Some(inotify) = &self.inotify else { return changed };
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        // What comes faster than it is read is read the next time.
        for _ in 0..10_000 {
            let Ok(event) = reader.next() else { break };
            let (kind, directory) = (event.events(), self.paths.get(&event.wd()));
            if kind.contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
            }
            match (directory, event.file_name()) {
                (Some(directory), Some(name)) if kind == ReadFlags::MODIFY => {
                    changed.insert(directory.join(OsStr::from_bytes(name.to_bytes())));
                }
                // Overflow, too: what it was that happened is not known.
                (Some(_) | None, _) => self.is_due = true,
            }
        }
        for watch in gone {
            self.forget(watch);
        }
        changed
    }

    /// Something is not as it was found.
    pub(super) fn look_again(&mut self) {
        self.is_soon = true;
    }

    /// What has changed is none of what is known.
    pub(super) fn look_soon(&mut self) {
        self.is_due = true;
    }
}

/// Whether the system knows of all that changes there: what another machine writes it does not.
fn tells(directory: &Path) -> bool {
    const EXT: i64 = 0xef53;
    const XFS: i64 = 0x5846_5342;
    const BTRFS: i64 = 0x9123_683e;
    const TMPFS: i64 = 0x0102_1994;
    const F2FS: i64 = 0xf2f5_2010;
    const ZFS: i64 = 0x2fc1_2fc1;
    const BCACHEFS: i64 = 0xca45_1a4e;
    let kind = rustix::fs::statfs(directory).map(|system| system.f_type & 0xffff_ffff);
    kind.is_ok_and(|kind| [EXT, XFS, BTRFS, TMPFS, F2FS, ZFS, BCACHEFS].contains(&kind))
}
