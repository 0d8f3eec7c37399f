//! The dead letters of one task, as durable as its journal.

use super::line::{Line, text_of};
use super::{Envelopes, FILE_MODE};
use crate::descriptors;
use crate::fault;
use crate::io::durable;
use crate::io::loss::{Loss, loss};
use crate::text::units::number;
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;
use worker_core::config::TaskName;
use worker_core::event::DeadLetter;
use worker_journal::size_limit_advice;

const SCAN_BYTES: usize = 256 * 1024;

/// Appends a task's dead letters to a file that is created with the first of them.
///
/// The letters of a commit are [appended](DeadLetterLog::append), and on stable storage, before the commit is; the commit
/// stores the file's length. Recovery cuts what lies behind the committed length: the commit never was, so its letters will
/// be written again. A letter's `id` is its number within the task, from 1, in all lives.
#[derive(Debug)]
pub struct DeadLetterLog {
    path: PathBuf,
    task: String,
    envelopes: Envelopes,
    /// What heads the records that the task is given, where letters cannot say it themselves.
    header: Option<Bytes>,
    file: Option<File>,
    length: u64,
    count: u64,
    /// Why nothing can be kept any more.
    failed: Option<String>,
}

/// A letter to be kept.
#[derive(Clone, Copy, Debug)]
pub struct NewLetter<'a> {
    pub letter: &'a DeadLetter,
    /// The task that sent the record, if another did.
    pub from: Option<&'a str>,
    /// The batch it was in when it failed for good.
    pub batch_id: Option<&'a str>,
}

/// Dead letters cannot be kept or read.
#[derive(Debug, Error)]
pub enum DeadLogError {
    /// No room: disk or quota. Nothing was kept; it can be tried again.
    #[error("no room for dead letters in {}: {source}; make room on that disk", path.display())]
    Full {
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be opened, created or written. Nothing was kept.
    #[error("cannot keep dead letters in {}: {source}{}", path.display(), unwritable_advice(source))]
    Write { path: PathBuf, source: io::Error },
    /// What was written may not be on the disk.
    #[error(
        "cannot bring the dead letters in {} to stable storage: {source}; check the disk, then start again with the \
         same --state", path.display()
    )]
    Sync {
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Letters that are committed are not there any more.
    #[error(
        "{} has {length} bytes, but {committed} bytes of dead letters are committed: someone has cut or removed it; \
         restore it, or begin a new run with --fresh", path.display(), length = number(*length), committed = number(*committed)
    )]
    Shorter {
        path: PathBuf,
        /// Bytes it has; 0 if it is gone.
        length: u64,
        committed: u64,
    },
    /// The committed letters do not end where they should.
    #[error(
        "{} was changed by someone else: no line ends at byte {committed}, where the committed dead letters end; restore \
         it, or begin a new run with --fresh", path.display(), committed = number(*committed)
    )]
    Changed { path: PathBuf, committed: u64 },
    /// The file cannot be read.
    #[error("cannot read dead letters in {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        source: io::Error,
    },
    /// The last line of a run's own file has no end.
    #[error(
        "{}, line {line} breaks off: its run was killed amid that letter, had no room for it, or is writing it just now; its record is \
         in no other line", path.display()
    )]
    BreaksOff {
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
    },
    /// A line is no dead letter.
    #[error("{}, line {line}: not a dead letter ({source}); the lines around it are fine", path.display())]
    Line {
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

fn unwritable_advice(error: &io::Error) -> &'static str {
    match size_limit_advice(error) {
        "" => "; check that its directory may be written",
        advice => advice,
    }
}

/// Where the letters of a task are: `STATE/dead/STAGE-PARTITION.jsonl`.
#[must_use]
pub fn log_path(state: &Path, stage: &str, partition: u32) -> PathBuf {
    state.join("dead").join(format!("{stage}-{partition}.jsonl"))
}

impl DeadLetterLog {
    /// The log of `task` (as `stage/partition`), of which `committed` bytes count; whatever lies behind them is cut.
    ///
    /// `envelopes` are those of the task's records. The state directory must exist; the one of the letters is made with the first.
    ///
    /// # Errors
    /// [`DeadLogError::Shorter`], [`DeadLogError::Changed`], and what opening and cutting can run into.
    pub fn open(
        path: PathBuf,
        task: String,
        envelopes: Envelopes,
        committed: u64,
    ) -> Result<Self, DeadLogError> {
        let (file, header, failed) = (None, None, None);
        let mut log = Self { path, task, envelopes, header, file, length: committed, count: 0, failed };
        let file = match log.options().open(&log.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound && committed == 0 => return Ok(log),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(DeadLogError::Shorter { path: log.path, length: 0, committed });
            }
            Err(source) => return Err(log.unwritable(source)),
        };
        let length = file.metadata().map_err(|e| log.unwritable(e))?.len();
        if length < committed {
            return Err(DeadLogError::Shorter { path: log.path, length, committed });
        }
        log.count = log.count_lines(&file)?;
        if length > committed {
            fault::around("dead.cut", || file.set_len(committed).and_then(|()| file.sync_all()))
                .map_err(|source| DeadLogError::Sync { path: log.path.clone(), source })?;
        }
        // Without committed letters its name may not be durable yet: the first letter sees to that.
        log.file = (committed > 0).then_some(file);
        Ok(log)
    }

    /// Keeps the letters of one commit, on stable storage when this returns, and says how long the file is then.
    ///
    /// # Errors
    /// [`DeadLogError::Shorter`], [`DeadLogError::Full`] and [`DeadLogError::Write`] leave the file as it was; after [`DeadLogError::Sync`] the log is
    /// of no use.
    pub fn append(&mut self, letters: &[NewLetter<'_>]) -> Result<u64, DeadLogError> {
        if let Some(why) = &self.failed {
            return Err(self.unsynced(io::Error::other(why.clone())));
        }
        if letters.is_empty() {
            return Ok(self.length);
        }
        let lines = self.lines(letters, SystemTime::now());
        if self.file.is_none() {
            self.file = Some(self.create().map_err(|e| self.unwritable(e))?);
        }
        let Some(mut file) = self.file.as_ref() else { return Ok(self.length) };
        let left = match loss(file, self.length) {
            None => None,
            Some(Loss::Removed) => Some(0),
            Some(Loss::Cut(length)) => Some(length),
        };
        if let Some(length) = left {
            return Err(DeadLogError::Shorter { path: self.path.clone(), length, committed: self.length });
        }
        if let Err(e) = fault::around("dead.write", || file.write_all(&lines)) {
            if let Err(back) = file.set_len(self.length) {
                self.failed = Some(format!("{e}, and what that write has left cannot be taken back: {back}"));
            }
            return Err(self.unwritable(e));
        }
        if let Err(e) = fault::around("dead.sync", || file.sync_data()) {
            self.failed = Some(e.to_string());
            return Err(self.unsynced(e));
        }
        self.length += lines.len() as u64;
        self.count += letters.len() as u64;
        Ok(self.length)
    }

    /// Letters kept, in all lives.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The file's length, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The same; what came stands under this header, which has its terminator.
    #[must_use]
    pub fn headed(self, header: Option<Bytes>) -> Self {
        Self { header, ..self }
    }

    /// The file; it exists once there is a letter.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lines(&self, letters: &[NewLetter<'_>], now: SystemTime) -> Vec<u8> {
        let stage = TaskName::of(&self.task).stage;
        let mut all = Vec::new();
        for (id, new) in (self.count + 1..).zip(letters) {
            let mut line = Line::new(&self.task, new.from, new.letter, self.envelopes, now);
            line.id = Some(id);
            line.stage = Some(stage);
            line.batch_id = new.batch_id;
            if let Some(header) = self.header.as_ref().filter(|_| new.letter.origin.is_some()) {
                line.stands_under(self.envelopes.taken.content(header));
            }
            all.append(&mut text_of(&line));
        }
        all
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(FILE_MODE);
        options
    }

    fn create(&self) -> io::Result<File> {
        let directory = durable::parent(&self.path);
        durable::make_directory(directory, "dead")?;
        let file = self.options().create(true).open(&self.path)?;
        durable::sync_directory(directory, "dead")?;
        Ok(file)
    }

    /// Of the committed ones.
    fn count_lines(&self, file: &File) -> Result<u64, DeadLogError> {
        let committed = self.length;
        let read = |source| DeadLogError::Read { path: self.path.clone(), source };
        if let Some(last) = committed.checked_sub(1) {
            let mut end = [0];
            file.read_exact_at(&mut end, last).map_err(read)?;
            if end != *b"\n" {
                return Err(DeadLogError::Changed { path: self.path.clone(), committed });
            }
        }
        let mut bytes = vec![0; SCAN_BYTES];
        let mut lines = 0;
        let mut committed = file.take(committed);
        loop {
            match committed.read(&mut bytes).map_err(read)? {
                0 => return Ok(lines),
                n => lines += memchr::memchr_iter(b'\n', &bytes[..n]).count() as u64,
            }
        }
    }

    fn unwritable(&self, source: io::Error) -> DeadLogError {
        let path = self.path.clone();
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if full.contains(&source.kind()) || descriptors::none_left(&source) {
            return DeadLogError::Full { path, source };
        }
        DeadLogError::Write { path, source }
    }

    fn unsynced(&self, source: io::Error) -> DeadLogError {
        DeadLogError::Sync { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests;
