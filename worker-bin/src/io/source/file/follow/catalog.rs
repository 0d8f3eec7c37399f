//! The logs that are known, the files they are in, and which of them have something to give.
//!
//! ```text
//!   found ──▶ reading ⇄ at its end ──idle──▶ closed ──grows──▶ reading
//!                │ renamed: the same, by another name
//!                │ in no directory that is looked at: away, while it is open ──idle──▶ gone
//!                └ truncated, replaced, removed while closed: gone ──a copy has it──▶ reading
//!   gone ──a day──▶ forgotten
//! ```
//! Limit: [`OPEN_MAX`] files are open, [`GONE_MAX`] that are gone are known; of each some 300 bytes and its paths.

mod behind;
mod changes;
mod files;

use super::content::{Agreement, Content};
use super::find::{Modified, Renamed, Seen};
use super::identify::{Pending, Verdict};
use super::kin::{Head, Kin};
use super::known::{FileKey, Known, LogId};
use crate::io::identity::FileId;
use crate::io::source::{SourceError, Written};
use behind::Behind;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Files that are open at a time.
const OPEN_MAX: usize = 256;
/// So long after its last file is gone a log is known again in a copy, in seconds.
const GONE_S: u64 = 24 * 60 * 60;
const GONE_MAX: usize = 10_000;
/// A record without its end that is longer is read again when it has doubled, or after so long.
const PARTIAL_BYTES: u64 = 64 * 1024;
const PARTIAL_PAUSE: Duration = Duration::from_secs(1);
/// So many changes go into one commit; the others, which a later life would find again, into later ones.
const CHANGES_MAX: usize = 256;

/// So it is looked at again as one that has changed.
const NOT_SEEN: (u64, Modified) = (0, (0, 0));

/// A log, and what this life knows of its file.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) known: Known,
    pub(super) length: u64,
    pub(super) modified: Modified,
    /// When that was seen to change.
    changed: Instant,
    used: Instant,
    pub(super) open: Option<Arc<File>>,
    /// Bytes behind what was given, of a record without its end, and when they were read.
    partial: (u64, Instant),
    is_queued: bool,
    /// It has no name any more by which it was found.
    is_away: bool,
    /// It was closed as one that stays silent.
    is_closed: bool,
}

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Next {
    pub(super) id: LogId,
    /// It closes: what it has is all of it.
    pub(super) closes: bool,
}

#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) logs: BTreeMap<LogId, Log>,
    pub(super) by_file: HashMap<FileKey, LogId>,
    by_path: HashMap<PathBuf, LogId>,
    /// Logs of earlier lives, by files whose device may have another number now; until the first look.
    moved: HashMap<FileKey, LogId>,
    /// Nothing was looked at in any life.
    pub(super) is_first: bool,
    next_id: LogId,
    /// Files that are not known to be a log of their own, or of whom.
    pub(super) pending: HashMap<FileKey, Pending>,
    /// Grows with each log that is gone: what is pending may be a copy of it.
    pub(super) losses: u64,
    queue: VecDeque<Next>,
    /// The log that is read.
    current: Option<LogId>,
    /// To be put into the queue at the end of a look, in their order.
    fresh: Vec<(Modified, PathBuf, Next)>,
    /// Logs whose last record is too long to be read again at each of its pieces.
    growing: BTreeSet<LogId>,
    dirty: BTreeSet<LogId>,
    forgotten: Vec<LogId>,
    idle: Duration,
    /// What was said that a file cannot be opened.
    said: HashSet<PathBuf>,
    /// Which logs a file may be a copy of; in a look.
    pub(super) kin: Kin,
    /// How many files may be open.
    opened: usize,
    pub(super) behind: Behind,
    /// How many logs were held against a file as what it may be a copy of.
    #[cfg(test)]
    pub(super) compared: std::cell::Cell<usize>,
}

impl Log {
    fn new(known: Known, seen: &Seen, now: Instant) -> Self {
        Self {
            known,
            length: seen.length,
            modified: seen.modified,
            changed: now,
            used: now,
            open: None,
            partial: (0, now),
            is_queued: false,
            is_away: false,
            is_closed: false,
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.known.gone_s.is_some()
    }

    /// Another file is where it was.
    pub(super) fn is_rotated(&self) -> bool {
        self.is_away || self.known.path != self.known.origin
    }

    fn has_more(&self) -> bool {
        match &self.known.packed {
            Some(packed) => !packed.is_done,
            None => self.length > self.known.content.bytes,
        }
    }

    /// Whether a record without its end is too long to be read again for each of its pieces.
    fn is_growing(&self) -> bool {
        let (partial, at) = self.partial;
        let all = self.length.saturating_sub(self.known.content.bytes);
        partial > PARTIAL_BYTES && all < 2 * partial && at.elapsed() < PARTIAL_PAUSE
    }
}

impl Catalog {
    pub(super) fn new(known: BTreeMap<LogId, Known>, idle: Duration) -> Self {
        let now = Instant::now();
        let next_id = known.keys().next_back().map_or(1, |last| last + 1);
        let mut catalog = Self {
            logs: BTreeMap::new(),
            by_file: HashMap::new(),
            by_path: HashMap::new(),
            moved: HashMap::new(),
            is_first: known.is_empty(),
            next_id,
            pending: HashMap::new(),
            losses: 0,
            queue: VecDeque::new(),
            current: None,
            fresh: Vec::new(),
            growing: BTreeSet::new(),
            dirty: BTreeSet::new(),
            forgotten: Vec::new(),
            idle,
            said: HashSet::new(),
            kin: Kin::default(),
            opened: 0,
            behind: Behind::default(),
            #[cfg(test)]
            compared: std::cell::Cell::default(),
        };
        for (id, known) in known {
            // Nothing of it was seen yet.
            let seen = Seen { path: PathBuf::new(), key: known.file, length: 0, modified: (0, 0) };
            if known.gone_s.is_none() {
                catalog.by_file.insert(known.file, id);
                catalog.moved.insert(known.file.on_any_device(), id);
            }
            catalog.logs.insert(id, Log::new(known, &seen, now));
        }
        catalog
    }

    /// Takes in what is there now.
    pub(super) fn look(&mut self, seen: Vec<Seen>) -> Result<(), SourceError> {
        let now = Instant::now();
        let (mut present, mut arrivals) = (HashSet::new(), BTreeMap::new());
        self.by_path.clear();
        for seen in seen {
            let Some(id) = self.known_as(&seen) else {
                arrivals.entry(seen.key).or_insert(seen);
                continue;
            };
            // By another name it may be there, too.
            let first = present.insert(id);
            if first || self.logs.get(&id).is_some_and(|log| log.known.path == seen.path) {
                self.is_at(id, &seen);
            }
            arrivals.extend(self.check(id, seen, false, now)?.map(|seen| (seen.key, seen)));
        }
        self.moved.clear();
        self.find_missing(&present, &mut arrivals, now)?;
        self.pending.retain(|key, _| arrivals.contains_key(key));
        let mut arrivals: Vec<Seen> = arrivals.into_values().collect();
        // What is copied has the shorter name.
        arrivals.sort_by_key(|seen| (seen.path.as_os_str().len(), seen.path.clone()));
        if !arrivals.is_empty() {
            self.kin = Kin::of(self.logs.iter());
        }
        for seen in arrivals {
            let (verdict, head) = self.identify(&seen, now)?;
            self.accept(seen, verdict, head, now);
        }
        for id in std::mem::take(&mut self.growing) {
            self.enqueue(id, false);
        }
        self.is_first = false;
        self.close_silent(now);
        self.forget_gone();
        self.kin = Kin::default();
        self.by_path.extend(
            self.logs.iter().filter(|(_, log)| !log.is_gone()).map(|(id, log)| (log.known.path.clone(), *id)),
        );
        self.enqueue_fresh();
        Ok(())
    }

    /// Looks at one file, which has changed; whether it is one that is known.
    pub(super) fn look_at(&mut self, path: &Path) -> Result<bool, SourceError> {
        let Some(&id) = self.by_path.get(path) else { return Ok(false) };
        let seen = Seen::at(path).filter(|seen| self.by_file.get(&seen.key) == Some(&id));
        let Some(seen) = seen else { return Ok(false) };
        let is_other = self.check(id, seen, true, Instant::now())?.is_some();
        self.enqueue_fresh();
        Ok(!is_other)
    }

    fn known_as(&mut self, seen: &Seen) -> Option<LogId> {
        if let Some(id) = self.by_file.get(&seen.key) {
            return Some(*id);
        }
        let id = self.moved.remove(&seen.key.on_any_device())?;
        let log = self.logs.get_mut(&id)?;
        self.by_file.remove(&log.known.file);
        log.known.file = seen.key;
        self.by_file.insert(seen.key, id);
        Some(id)
    }

    fn is_at(&mut self, id: LogId, seen: &Seen) {
        let Some(log) = self.logs.get_mut(&id) else { return };
        log.is_away = false;
        if log.known.path != seen.path {
            log.known.path.clone_from(&seen.path);
            self.dirty.insert(id);
        }
    }

    /// Whether the file of a log has grown; given back where it is another one now, from its beginning.
    fn check(
        &mut self,
        id: LogId,
        seen: Seen,
        is_told: bool,
        now: Instant,
    ) -> Result<Option<Seen>, SourceError> {
        let Some(log) = self.logs.get_mut(&id) else { return Ok(None) };
        if (log.length, log.modified) == (seen.length, seen.modified) && !is_told {
            return Ok(None);
        }
        if (log.length, log.modified) != (seen.length, seen.modified) {
            (log.changed, log.is_closed) = (now, false);
        }
        (log.length, log.modified) = (seen.length, seen.modified);
        self.note_behind(id);
        let Some(log) = self.logs.get(&id) else { return Ok(None) };
        let stored = log.known.packed.as_ref().map(|packed| packed.stored.clone());
        let content = stored.as_ref().unwrap_or(&log.known.content).clone();
        if content.bytes > 0 {
            let Some(file) = self.open(id, &seen.path) else { return Ok(None) };
            let agrees = content.agrees(&file, seen.length);
            let agrees = agrees.map_err(|source| unreadable(&seen.path, content.bytes, source))?;
            if agrees != Agreement::Whole || stored.is_some_and(|stored| stored.bytes != seen.length) {
                tracing::debug!(file = %seen.path.display(), "it was cut or written anew");
                self.lose(id);
                return Ok(Some(seen));
            }
        }
        self.enqueue(id, false);
        Ok(None)
    }

    /// The logs whose files were not found where they match: by another name beside that, or open still.
    fn find_missing(
        &mut self,
        present: &HashSet<LogId>,
        arrivals: &mut BTreeMap<FileKey, Seen>,
        now: Instant,
    ) -> Result<(), SourceError> {
        let mut renamed = Renamed::default();
        let missing: Vec<LogId> = (self.logs.iter())
            .filter(|(id, log)| !log.is_gone() && !present.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in missing {
            let Some(log) = self.logs.get(&id) else { continue };
            let (key, path) = (log.known.file, log.known.path.clone());
            match renamed.find(&path, key) {
                Some(seen) => {
                    let seen = Seen { key, ..seen };
                    self.is_at(id, &seen);
                    // What is no match is no new log either.
                    if let Some(other) = self.check(id, seen, false, now)? {
                        arrivals.remove(&other.key);
                    }
                }
                None => self.look_at_away(id, now)?,
            }
        }
        Ok(())
    }

    fn look_at_away(&mut self, id: LogId, now: Instant) -> Result<(), SourceError> {
        let Some(log) = self.logs.get_mut(&id) else { return Ok(()) };
        let metadata = log.open.as_ref().map(|file| file.metadata());
        match metadata {
            Some(Ok(metadata)) => {
                log.is_away = true;
                let seen = Seen { key: log.known.file, ..Seen::of(&log.known.path, &metadata) };
                self.check(id, seen, false, now).map(drop)
            }
            Some(Err(_)) | None => {
                self.lose(id);
                Ok(())
            }
        }
    }

    fn accept(&mut self, seen: Seen, verdict: Verdict, head: Head, now: Instant) {
        let id = match verdict {
            // What was read of it is about to be given.
            Verdict::Is { id, .. } if self.current == Some(id) => {
                self.pending.insert(seen.key, Pending::of(&seen, now));
                return;
            }
            Verdict::Wait(pending) => {
                self.pending.insert(seen.key, pending);
                return;
            }
            Verdict::New(packed) => {
                let id = self.next_id;
                self.next_id += 1;
                self.logs.insert(id, Log::new(Known::new(&seen.path, seen.key, packed), &seen, now));
                id
            }
            Verdict::Is { id, content, packed } => {
                let Some(log) = self.logs.remove(&id) else { return };
                let mut known =
                    Known { path: seen.path.clone(), file: seen.key, gone_s: None, packed, ..log.known };
                known.content = content.unwrap_or(known.content);
                tracing::debug!(file = %seen.path.display(), log = %known.origin.display(), "it is a copy of what was read");
                self.logs.insert(id, Log::new(known, &seen, now));
                self.dirty.insert(id);
                id
            }
        };
        self.pending.remove(&seen.key);
        self.by_file.insert(seen.key, id);
        if let Some(log) = self.logs.get(&id) {
            self.kin.add(id, log, head);
        }
        self.note_behind(id);
        self.enqueue(id, false);
    }

    /// All that is pending counts as read: up to its last whole record, which `end` finds.
    pub(super) fn begin_at_the_end(
        &mut self,
        mut end: impl FnMut(&File, u64) -> io::Result<u64>,
    ) -> Result<(), SourceError> {
        let ids: Vec<LogId> = self.logs.keys().copied().collect();
        for id in ids {
            let Some(log) = self.logs.get(&id) else { continue };
            let (path, length) = (log.known.path.clone(), log.length);
            let Some(file) = self.open(id, &path) else { continue };
            let content = end(&file, length).and_then(|end| Content::of(&file, end));
            let content = content.map_err(|source| unreadable(&path, length, source))?;
            let Some(log) = self.logs.get_mut(&id) else { continue };
            match &mut log.known.packed {
                Some(packed) => packed.is_done = true,
                None => log.known.content = content,
            }
            log.is_queued = false;
            self.dirty.insert(id);
            self.note_behind(id);
        }
        self.queue.clear();
        Ok(())
    }

    /// What is read next.
    pub(super) fn next(&mut self) -> Option<Next> {
        let next = self.queue.pop_front()?;
        if let Some(log) = self.logs.get_mut(&next.id) {
            log.is_queued = false;
        }
        self.current = Some(next.id);
        Some(next)
    }

    pub(super) fn has_next(&self) -> bool {
        !self.queue.is_empty()
    }

    fn enqueue(&mut self, id: LogId, closes: bool) {
        let Some(log) = self.logs.get_mut(&id) else { return };
        let has_news =
            closes || log.known.packed.is_some() || log.length > log.known.content.bytes + log.partial.0;
        if !closes && has_news && log.is_growing() {
            self.growing.insert(id);
        } else if !log.is_queued && log.has_more() && has_news {
            log.is_queued = true;
            self.fresh.push((log.modified, log.known.path.clone(), Next { id, closes }));
        }
    }

    /// Those written last come last: a log that was rotated before the one that follows it.
    fn enqueue_fresh(&mut self) {
        self.fresh.sort();
        self.queue.extend(self.fresh.drain(..).map(|(_, _, next)| next));
    }

    /// One of these files that is a log, and what goes with it.
    pub(super) fn one_of(&self, written: &Written) -> Option<(PathBuf, String)> {
        self.logs.values().filter(|log| !log.is_gone()).find_map(|log| {
            let sink = written.get(&FileId::of(&log.known.path.metadata().ok()?))?;
            Some((log.known.path.clone(), sink.clone()))
        })
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.logs.values().filter(|log| log.open.is_some()).count()
    }

    /// How long a file stays silent before it closes.
    pub(super) fn idle(&self) -> Duration {
        self.idle
    }

    /// So much of a log has no end yet.
    pub(super) fn has_partial(&mut self, id: LogId, bytes: u64) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.partial = (bytes, Instant::now());
        }
    }

    /// Whether something of a path has not been said yet.
    pub(super) fn say_once(&mut self, path: &Path) -> bool {
        self.said.insert(path.to_owned())
    }

    /// Whether something is to be decided that time decides.
    pub(super) fn waits_for_time(&self) -> bool {
        !self.growing.is_empty() || self.pending.values().any(|pending| pending.again.is_some())
    }
}

pub(super) fn unreadable(path: &Path, offset: u64, source: io::Error) -> SourceError {
    SourceError::Read { name: path.display().to_string(), offset, source }
}

/// Since 1970. Where the clock is set back, what is gone is known for longer.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs().max(1))
}
