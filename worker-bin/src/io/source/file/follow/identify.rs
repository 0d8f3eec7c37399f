//! Whose content a file has that was not known: a log of its own, or a copy of one that was read.
//!
//! Logs are rotated by copies: copytruncate copies and then cuts, gzip copies and then removes. So a copy may be seen while it
//! grows, and before what it is a copy of is gone. What is no longer than it and the same so far waits until that is known.

use super::catalog::{Catalog, Log, unreadable};
use super::content::{Agreement, Content};
use super::find::{Modified, Seen};
use super::kin::Head;
use super::known::{LogId, Packed};
use super::survey::survey;
use crate::io::source::SourceError;
use crate::io::source::unpack::{Beginning, MARK_BYTES_MAX};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file that has not grown for so long is no copy that is being made.
const SETTLE: Duration = Duration::from_secs(2);
/// When a file is looked at again whose original was changing.
const SOON: Duration = Duration::from_millis(100);
/// So many bytes in common are no chance, whatever the file is called …
const SURE_BYTES: u64 = 1024;
/// … and so many where it is called like a copy.
const SURE_BYTES_OF_KIN: u64 = 64;

/// A file about which nothing is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    length: u64,
    modified: Modified,
    /// Of the catalog, when it was looked at.
    losses: u64,
    /// When it was seen to change last.
    changed: Instant,
    /// When time may decide.
    pub(super) again: Option<Instant>,
    /// It was there when the first life began, beside what it may be a copy of: then it is one only if that goes soon.
    is_of_first: bool,
}

impl Pending {
    /// To be looked at again.
    pub(super) fn of(seen: &Seen, now: Instant) -> Self {
        let Seen { length, modified, .. } = *seen;
        Self { length, modified, losses: 0, changed: now, again: Some(now), is_of_first: false }
    }
}

/// What a file is.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A log of its own.
    New(Option<Packed>),
    /// A log that is known goes on in it; where it has less of that than was given, so much.
    Is {
        id: LogId,
        content: Option<Content>,
        packed: Option<Packed>,
    },
    Wait(Pending),
}

/// What is known of a file before it is decided.
struct Arrival<'a> {
    seen: &'a Seen,
    pending: Pending,
    /// It has not grown for a while.
    is_settled: bool,
    /// Nor for so long that it would be closed.
    is_silent: bool,
}

impl Arrival<'_> {
    fn wait(&self, again: Option<Instant>) -> Verdict {
        Verdict::Wait(Pending { again: again.filter(|at| *at > Instant::now()), ..self.pending })
    }

    /// Whether it is not read, being the same so far as what is there; `is_sure`: that is no chance.
    fn waits_for_its_original(&self, is_sure: bool) -> bool {
        !self.is_settled || (is_sure && !self.pending.is_of_first)
    }

    /// Waits until it has settled; then it is what it seems to be.
    fn settle(&self) -> Verdict {
        self.wait(Some(self.pending.changed + SETTLE))
    }

    fn unreadable(&self, source: io::Error) -> SourceError {
        unreadable(&self.seen.path, 0, source)
    }
}

impl Catalog {
    /// What a file is, and what it begins with.
    pub(super) fn identify(&mut self, seen: &Seen, now: Instant) -> Result<(Verdict, Head), SourceError> {
        let undecided = |verdict| Ok((verdict, Head::default()));
        let Seen { length, modified, .. } = *seen;
        let (losses, is_of_first) = (self.losses, self.is_first);
        let mut pending = Pending { length, modified, losses, changed: now, again: None, is_of_first };
        if let Some(before) = self.pending.get(&seen.key) {
            let is_same = (before.length, before.modified) == (length, modified);
            if is_same && before.losses == losses && before.again.is_none_or(|again| again > now) {
                return undecided(Verdict::Wait(*before));
            }
            pending.is_of_first = before.is_of_first;
            if is_same {
                pending.changed = before.changed;
            }
        }
        let age = now - pending.changed;
        let (is_settled, is_silent) = (age >= SETTLE, age >= self.idle());
        let arrival = Arrival { seen, pending, is_settled, is_silent };
        // What it will be is not known.
        if length == 0 {
            return undecided(arrival.wait(None));
        }
        let opened = seen.open();
        let Some(file) = opened.or_else(|error| self.say_unreadable(seen, &error))? else {
            return undecided(arrival.wait(Some(now + SETTLE)));
        };
        let head = Head::of(&file, seen).map_err(|e| arrival.unreadable(e))?;
        let verdict = match encoding(&file).map_err(|e| arrival.unreadable(e))? {
            Encoding::Plain => self.identify_plain(&arrival, (&file, &head), now),
            Encoding::Undecided if is_settled => self.identify_plain(&arrival, (&file, &head), now),
            Encoding::Undecided => Ok(arrival.settle()),
            Encoding::Packed => self.identify_packed(&arrival, &file, now),
            Encoding::Refused(what) => {
                Err(SourceError::NotFollowedEncoding { path: seen.path.clone(), what })
            }
        };
        Ok((verdict?, head))
    }

    fn say_unreadable(&mut self, seen: &Seen, error: &io::Error) -> Result<Option<File>, SourceError> {
        if self.say_once(&seen.path) {
            tracing::warn!(
                "{} is not read for now: {error}; it is tried again until that works",
                seen.path.display()
            );
        }
        Ok(None)
    }

    fn identify_plain(
        &self,
        arrival: &Arrival<'_>,
        (file, head): (&File, &Head),
        now: Instant,
    ) -> Result<Verdict, SourceError> {
        let seen = arrival.seen;
        let fail = |error| arrival.unreadable(error);
        let content = Content::of(file, seen.length.min(SURE_BYTES)).map_err(fail)?;
        let mut best: Option<(u64, Verdict)> = None;
        for id in self.kin.candidates(seen, head, &content) {
            let Some(log) = self.logs.get(&id) else { continue };
            #[cfg(test)]
            self.compared.set(self.compared.get() + 1);
            let known = &log.known;
            if (log.is_gone() && known.content.bytes == 0) || !known.content.may_begin_like(&content) {
                continue;
            }
            let verdict = match log.is_gone() {
                true => match known.content.agrees(file, seen.length).map_err(fail)? {
                    Agreement::Whole
                        if is_sure(log, seen, known.content.bytes) || is_copied_and_cut(log, seen) =>
                    {
                        Some((known.content.bytes, Verdict::Is { id, content: None, packed: None }))
                    }
                    // What was cut in its place begins anew.
                    Agreement::Shorter if known.file == seen.key => None,
                    Agreement::Shorter if !arrival.is_settled => {
                        let may_be = known.is_kin(&seen.path) || seen.length >= SURE_BYTES;
                        may_be.then(|| (seen.length, arrival.settle()))
                    }
                    Agreement::Shorter if is_sure(log, seen, seen.length) => {
                        let content = Some(Content::of(file, seen.length).map_err(fail)?);
                        Some((seen.length, Verdict::Is { id, content, packed: None }))
                    }
                    Agreement::Whole | Agreement::Shorter | Agreement::Differs => None,
                },
                false if known.is_kin(&seen.path) => {
                    let all = Content::of(file, seen.length).map_err(fail)?;
                    match original(log, &all) {
                        Original::Like if arrival.waits_for_its_original(all.bytes >= SURE_BYTES) => {
                            Some((seen.length, arrival.settle()))
                        }
                        // The next look knows more.
                        Original::Changing => Some((seen.length, arrival.wait(Some(now + SOON)))),
                        Original::Like | Original::Other => None,
                    }
                }
                false => None,
            };
            if let Some((bytes, verdict)) = verdict
                && best.as_ref().is_none_or(|(most, _)| bytes > *most)
            {
                best = Some((bytes, verdict));
            }
        }
        Ok(best.map_or(Verdict::New(None), |(_, verdict)| verdict))
    }

    fn identify_packed(
        &self,
        arrival: &Arrival<'_>,
        file: &File,
        now: Instant,
    ) -> Result<Verdict, SourceError> {
        let seen = arrival.seen;
        // It is decoded to be known; not at each of its steps while it grows.
        if !arrival.is_settled && self.logs.values().all(|log| !log.is_gone()) && !self.logs.is_empty() {
            return Ok(arrival.settle());
        }
        let stored = Content::of(file, seen.length).map_err(|e| arrival.unreadable(e))?;
        let packed = |is_done| Some(Packed { stored: stored.clone(), is_done });
        let known = self.logs.iter().map(|(id, log)| (*id, &log.known.content));
        let surveyed = survey(&seen.path, file, known.filter(|(_, content)| content.bytes > 0).collect())?;
        if !surveyed.is_whole && !arrival.is_silent {
            let again = if arrival.is_settled { self.idle() } else { SETTLE };
            return Ok(arrival.wait(Some(arrival.pending.changed + again)));
        }
        let all = &surveyed.content;
        for id in surveyed.agree.iter().rev() {
            let Some(log) = self.logs.get(id) else { continue };
            let bytes = log.known.content.bytes;
            if log.is_gone() && (is_sure(log, seen, bytes) || is_called_as_packed(log, seen)) {
                return Ok(Verdict::Is { id: *id, content: None, packed: packed(bytes == all.bytes) });
            }
        }
        for log in self.logs.values().filter(|log| !log.is_gone() && log.known.is_kin(&seen.path)) {
            match original(log, all) {
                Original::Like if arrival.waits_for_its_original(true) => return Ok(arrival.settle()),
                Original::Changing => return Ok(arrival.wait(Some(now + SOON))),
                Original::Like | Original::Other => {}
            }
        }
        let shorter = self.logs.iter().find(|(_, log)| {
            log.is_gone()
                && log.known.content.begins_with(all) == Agreement::Shorter
                && is_sure(log, seen, all.bytes)
        });
        Ok(match shorter {
            Some((&id, _)) => Verdict::Is { id, content: Some(all.clone()), packed: packed(true) },
            None => Verdict::New(packed(false)),
        })
    }
}

/// Whether so many bytes in common are enough.
fn is_sure(log: &Log, seen: &Seen, bytes: u64) -> bool {
    let is_kin = log.known.is_kin(&seen.path) && bytes >= SURE_BYTES_OF_KIN;
    is_kin || bytes >= SURE_BYTES || log.known.file == seen.key
}

/// copytruncate: what was cut is still where it was, and its copy lies beside it. Then any number of bytes is enough.
fn is_copied_and_cut(log: &Log, seen: &Seen) -> bool {
    let is_there = |metadata: Metadata| metadata.ino() == log.known.file.inode;
    log.known.is_kin(&seen.path) && std::fs::metadata(&log.known.path).is_ok_and(is_there)
}

/// Packers add to the name of what they pack and remove.
fn is_called_as_packed(log: &Log, seen: &Seen) -> bool {
    let added = seen.path.as_os_str().as_bytes().strip_prefix(log.known.path.as_os_str().as_bytes());
    added.is_some_and(|added| added.starts_with(b".") && !added.contains(&b'/'))
}

/// What a log that is there is to a file that may be a copy of it.
enum Original {
    /// It has all of that, and first.
    Like,
    Other,
    /// It is not what it was when it was looked at.
    Changing,
}

fn original(log: &Log, content: &Content) -> Original {
    if log.known.packed.is_some() {
        return Original::Other;
    }
    let Log { known, length, modified, .. } = log;
    let seen = Seen { path: known.path.clone(), key: known.file, length: *length, modified: *modified };
    let own = match &log.open {
        Some(own) => Some(Arc::clone(own)),
        None => seen.open().ok().flatten().map(Arc::new),
    };
    let Some(own) = own else { return Original::Changing };
    let is_same = |content: &Content| Content::of(&own, content.bytes).is_ok_and(|own| own == *content);
    let is_as_it_was = || own.metadata().is_ok_and(|own| own.len() >= *length) && is_same(&known.content);
    match is_same(content) {
        true => Original::Like,
        false if is_as_it_was() => Original::Other,
        false => Original::Changing,
    }
}

enum Encoding {
    Plain,
    /// Too little is there to know.
    Undecided,
    Packed,
    /// Nothing whose lines could be read while it grows.
    Refused(&'static str),
}

fn encoding(file: &File) -> io::Result<Encoding> {
    let mut head = [0; MARK_BYTES_MAX];
    let count = file.read_at(&mut head, 0)?;
    let mut beginning = Beginning::default();
    let encoding = beginning.look(&head[..count]);
    Ok(match encoding {
        None if beginning.is_passed() => Encoding::Plain,
        None => Encoding::Undecided,
        Some(encoding) => match encoding.format {
            Some(format) if format.is_compression() => Encoding::Packed,
            Some(_) | None => Encoding::Refused(encoding.what),
        },
    })
}
