//! Which files are open, which are closed, and which logs are in none.

use super::{Catalog, GONE_MAX, GONE_S, NOT_SEEN, OPEN_MAX, now_s};
use crate::io::source::file::follow::find::Seen;
use crate::io::source::file::follow::known::LogId;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

impl Catalog {
    /// The file of a log; nothing if it is not there any more, or cannot be read for now.
    pub(in super::super) fn open(&mut self, id: LogId, path: &Path) -> Option<Arc<File>> {
        let now = Instant::now();
        let log = self.logs.get_mut(&id)?;
        log.used = now;
        if let Some(file) = &log.open {
            return Some(Arc::clone(file));
        }
        let seen = Seen { path: path.to_owned(), key: log.known.file, length: 0, modified: (0, 0) };
        match seen.open() {
            Ok(None) => {
                (log.length, log.modified) = NOT_SEEN;
                None
            }
            Ok(Some(file)) => {
                let file = Arc::new(file);
                log.open = Some(Arc::clone(&file));
                self.said.remove(path);
                self.opened += 1;
                self.close_some();
                Some(file)
            }
            Err(error) => {
                (log.length, log.modified) = NOT_SEEN;
                if self.said.insert(path.to_owned()) {
                    tracing::warn!(
                        "{} is not read for now: {error}; it is tried again until that works",
                        path.display()
                    );
                }
                None
            }
        }
    }

    /// As few files are open as may be; what has no name stays, as nobody could open it again. Several are closed at once, those that
    /// were used least lately, so that not all are looked at for each that is opened.
    fn close_some(&mut self) {
        if self.opened <= OPEN_MAX {
            return;
        }
        let mut open: Vec<(bool, Instant, LogId)> = (self.logs.iter())
            .filter(|(_, log)| log.open.is_some())
            .map(|(id, log)| (log.is_away, log.used, *id))
            .collect();
        open.sort_unstable();
        let too_many = open.len().saturating_sub(OPEN_MAX);
        let spare = if too_many > 0 { OPEN_MAX / 4 } else { 0 };
        self.opened = open.len();
        for (_, _, id) in open.into_iter().filter(|(is_away, ..)| !is_away).take(too_many + spare) {
            if let Some(log) = self.logs.get_mut(&id) {
                log.open = None;
                self.opened -= 1;
            }
        }
    }

    /// Files that have been silent for long are closed; with them their last record, if it had no end.
    pub(super) fn close_silent(&mut self, now: Instant) {
        let silent: Vec<LogId> = (self.logs.iter())
            .filter(|(_, log)| !log.is_gone() && !log.is_queued)
            .filter(|(_, log)| !log.is_closed && now - log.changed >= self.idle)
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            let Some(log) = self.logs.get_mut(&id) else { continue };
            log.is_closed = true;
            if log.has_more() && log.known.packed.is_none() {
                self.enqueue(id, true);
            } else if log.is_away {
                self.lose(id);
            } else {
                log.open = None;
            }
        }
    }

    /// The file of a log is not as it was when it was looked at.
    pub(in super::super) fn was_changed(&mut self, id: LogId) {
        self.current = None;
        if let Some(log) = self.logs.get_mut(&id) {
            (log.length, log.modified) = NOT_SEEN;
        }
    }

    /// A log was read as far as there was something.
    pub(in super::super) fn was_read(&mut self, id: LogId) {
        self.current = None;
        let Some(log) = self.logs.get_mut(&id).filter(|log| log.is_closed && !log.is_queued) else { return };
        log.open = None;
        if log.is_away {
            self.lose(id);
        }
    }

    /// No file has it any more. Of what nothing was given nothing need be known.
    pub(super) fn lose(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else { return };
        if self.by_file.get(&log.known.file) == Some(&id) {
            self.by_file.remove(&log.known.file);
        }
        (log.open, log.known.gone_s, log.is_away) = (None, Some(now_s()), false);
        self.losses += 1;
        let is_nothing = log.known.content.bytes == 0;
        self.note_behind(id);
        if is_nothing && self.current != Some(id) {
            self.logs.remove(&id);
            self.dirty.remove(&id);
            self.forgotten.push(id);
        } else {
            self.dirty.insert(id);
        }
    }

    pub(super) fn forget_gone(&mut self) {
        let now = now_s();
        let mut gone: Vec<(u64, LogId)> =
            self.logs.iter().filter_map(|(id, log)| Some((log.known.gone_s?, *id))).collect();
        gone.sort_unstable();
        let too_many = gone.len().saturating_sub(GONE_MAX);
        for (_, (_, id)) in (gone.iter().enumerate())
            .filter(|(index, (at, _))| *index < too_many || now.saturating_sub(*at) > GONE_S)
        {
            self.logs.remove(id);
            self.dirty.remove(id);
            self.forgotten.push(*id);
        }
    }
}
