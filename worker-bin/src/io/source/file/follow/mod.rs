//! Files that are read as they grow, through every way in which logs are rotated.
//!
//! ```text
//!   watch ──changed, or it is time──▶ look ──what has grown──▶ turns, one log after the other ──▶ records
//!                                      └──which log a file is: by inode, and by content──▶ catalog ──▶ positions
//! ```
//! A *log* is content with a position in it; the file that it is in may change its name, be copied and cut, or be packed. What was
//! given is known by the hashes of its first bytes and of the last before the position, so that it is found in whatever has it.

mod catalog;
mod content;
mod find;
mod identify;
mod kin;
mod known;
mod survey;
mod turn;
mod watch;

pub(super) use known::Sum;

use super::super::header::HeaderFilter;
use super::super::lag::Lag;
use super::super::{Counter, Progress, SlowStart, SourceError, SourceOptions, SourceReader, Stop, Written};
use crate::io::chunker::{LongRecord, Piece};
use bytes::Bytes;
use catalog::Catalog;
use find::Finder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use turn::{Given, Turn};
use watch::{Watch, Woken};
use worker_core::event::DeadLetter;
use worker_proto::Batch;

/// Where the first life begins to read what is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Since {
    #[default]
    Start,
    End,
}

/// What is followed, and how.
#[derive(Debug)]
pub(super) struct Following<'a> {
    pub(super) base: &'a Path,
    pub(super) patterns: &'a [String],
    pub(super) since: Since,
    /// A file that stays silent for so long is closed.
    pub(super) idle: Duration,
    pub(super) stop: Stop,
    /// Where every record counts once: the last position, and the state directory.
    pub(super) durable: Option<(Option<Bytes>, &'a Path)>,
}

#[derive(Debug)]
pub(super) struct FollowReader {
    finder: Finder,
    watch: Watch,
    catalog: Catalog,
    turn: Option<Turn>,
    header: HeaderFilter,
    size: SlowStart,
    counter: Counter,
    letters: Vec<DeadLetter>,
    done_bytes: u64,
    /// As of what was given last; none in memory.
    position: Option<Bytes>,
    /// The first life begins behind what is there.
    begins: bool,
    stop: Stop,
    options: SourceOptions,
}

impl FollowReader {
    /// Takes a first look; nothing is read yet.
    pub(super) fn open(following: Following<'_>, options: &SourceOptions) -> Result<Self, SourceError> {
        let Following { base, patterns, since, idle, stop, durable } = following;
        let (before, own) = durable.unzip();
        let before = before.flatten();
        let (given, known) = match &before {
            None => (0, BTreeMap::new()),
            Some(position) => Sum::decode(position).map_err(|source| {
                let name = patterns.join(", ");
                SourceError::Position { name, source }
            })?,
        };
        let begins = before.is_none() && since == Since::End;
        let mut reader = Self {
            finder: Finder::new(base, patterns, own.map(Path::to_owned)),
            watch: Watch::new(),
            catalog: Catalog::new(known, idle),
            turn: None,
            header: HeaderFilter::new(options.header),
            size: SlowStart::new(),
            counter: Counter { given, ..Counter::new(options.limit) },
            letters: Vec::new(),
            done_bytes: 0,
            position: own.map(|_| Bytes::new()),
            begins: begins && own.is_some(),
            stop,
            options: options.clone(),
        };
        reader.catalog.behind.lag = Lag::behind(patterns.join(", "));
        reader.look()?;
        if begins {
            reader.catalog.begin_at_the_end(|file, length| turn::last_end(file, length, options))?;
        }
        Ok(reader)
    }

    fn look(&mut self) -> Result<(), SourceError> {
        let at = Instant::now();
        let Some(found) = self.finder.find()? else {
            self.watch.looked(at, self.finder.roots(), true, true);
            return Ok(());
        };
        self.catalog.look(found.files)?;
        let is_blind = self.finder.has_many_directories();
        self.watch.looked(at, found.directories, is_blind, self.catalog.waits_for_time());
        Ok(())
    }

    /// Hears what has changed, and waits for that where there is nothing to read; `false` where it is told to stop.
    fn wait(&mut self) -> Result<bool, SourceError> {
        let waits = self.turn.is_none() && !self.catalog.has_next();
        self.catalog.behind.lag.waits(waits);
        let woken = self.watch.wait(&self.stop, waits);
        let failed = |source| SourceError::Unlisted { path: self.finder.base.clone(), source };
        match woken.map_err(failed)? {
            Woken::Stopped => return Ok(false),
            Woken::Changed(paths) => {
                for path in paths {
                    if !self.catalog.look_at(&path)? && self.finder.concerns(&path) {
                        self.watch.look_soon();
                    }
                }
            }
        }
        if self.watch.is_due() {
            self.look()?;
        }
        Ok(true)
    }

    /// Takes one step; never waits.
    fn advance(&mut self) -> Result<Option<Batch>, SourceError> {
        let Some(mut turn) = self.turn.take() else {
            if let Some(next) = self.catalog.next() {
                self.turn = Turn::begin(&mut self.catalog, next, &self.options, self.size.bytes())?;
                if self.turn.is_none() {
                    self.catalog.was_changed(next.id);
                    self.watch.look_again();
                }
            }
            return Ok(None);
        };
        let given = match turn.next()? {
            Given::Piece(piece, invented) => self.give(piece, invented, &mut turn)?,
            Given::Letter(letter) => {
                turn.told(&mut self.catalog);
                self.letters.push(letter);
                Some(Batch::empty())
            }
            Given::Nothing => {
                turn.end(&mut self.catalog);
                return Ok(None);
            }
        };
        if given.is_some() {
            self.note_position(&turn);
            self.size.grow();
        }
        self.turn = Some(turn);
        Ok(given)
    }

    /// What of a turn's records goes on; nothing where it was only a header.
    fn give(&mut self, piece: Piece, invented: u64, turn: &mut Turn) -> Result<Option<Batch>, SourceError> {
        let batch = match piece {
            Piece::Records(batch) => batch,
            Piece::Long(long) => return self.pass_over(long, invented, turn).map(Some),
        };
        let has_header = std::mem::take(&mut turn.header_due) && !self.header.keeps();
        let records = if has_header { self.header.take(&batch, &turn.name())? } else { batch.clone() };
        let admitted = self.counter.admit(records.clone());
        let all = batch.len() - (records.len() - admitted.len());
        let (given, invented) = if all == batch.len() { (batch, invented) } else { (batch.slice(0..all), 0) };
        self.done_bytes += given.bytes() as u64;
        turn.gave(&given, invented, &mut self.catalog);
        Ok((!admitted.is_empty()).then_some(admitted))
    }

    /// What goes on of a record that is too long; what does not is a letter.
    fn pass_over(&mut self, long: LongRecord, invented: u64, turn: &mut Turn) -> Result<Batch, SourceError> {
        if std::mem::take(&mut turn.header_due) && !self.header.keeps() {
            return Err(turn.too_long(crate::io::chunker::RecordTooLong {
                limit: self.options.max_record,
                record: long.record,
                offset: long.offset,
            }));
        }
        turn.passed_over(&long, invented, &mut self.catalog)?;
        self.done_bytes += long.bytes;
        let (name, (record, offset)) = (turn.name(), turn.place(long.record, long.offset));
        let SourceOptions { on_long, framing, max_record, .. } = &self.options;
        let shortened = on_long.treat(long, (&name, record, offset), framing, *max_record);
        self.letters.push(shortened.letter);
        Ok(self.counter.admit(shortened.batch))
    }

    fn note_position(&mut self, turn: &Turn) {
        if self.position.is_some() {
            self.position = Some(self.catalog.take_changes(self.counter.given, Some(turn.id)));
        }
    }
}

impl SourceReader for FollowReader {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        while !self.counter.is_full() && self.wait()? {
            if let Some(batch) = self.advance()? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn progress(&self) -> Progress {
        Progress { done_bytes: self.done_bytes, total_bytes: None, records: self.counter.given }
    }

    fn take_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }

    fn header(&self) -> Option<Bytes> {
        None
    }

    fn lag(&self) -> Option<Lag> {
        Some(self.catalog.behind.lag.clone())
    }

    fn begin(&mut self) -> Option<Bytes> {
        std::mem::take(&mut self.begins).then(|| self.catalog.take_all_changes(self.counter.given))
    }

    fn position(&self) -> Option<Bytes> {
        self.position.clone()
    }

    fn would_read(&mut self, written: &Arc<Written>) -> Option<(PathBuf, String)> {
        self.finder.written = Arc::clone(written);
        self.catalog.one_of(written)
    }
}

#[cfg(test)]
mod tests;
