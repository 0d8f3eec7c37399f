//! Dead letters, one JSON line each: [`DeadLetterFile`] in memory mode, [`DeadLetterLog`] with a state directory.
//!
//! A line has `time`, `task`, `reason`, `attempts`, then `record` (without its terminator; `record_b64` if it is not
//! UTF-8), and where they are known `exit_status` or `signal` of the program, `stderr_tail` and `origin` (the task it came
//! from and its position on that link). Without an origin `contents` says what it is: a `record`, or `input` that became none. Where a stage with
//! `output_header` has printed what the record stands under, `header` says that (`header_b64` if it is not UTF-8). With a state directory it also has `id`, `stage` and, where known, `batch_id`.

mod line;
mod log;
mod read;

pub(crate) use line::{rfc3339, word};
pub use log::{DeadLetterLog, DeadLogError, NewLetter, log_path};
pub use read::{Letter, LetterOrigin, Letters, read_letters};

use crate::descriptors;
use crate::io::loss::{Loss, loss};
use line::{Line, text_of};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;
use worker_core::event::DeadLetter;
use worker_core::route::Envelope;
use worker_journal::size_limit_advice;

/// What failed may be secret: it is its owner's alone.
const FILE_MODE: u32 = 0o600;

/// How many names are tried beside files of earlier runs.
const NAMES_MAX: u32 = 10_000;

/// What is not content of the records that a task takes and gives.
#[derive(Clone, Copy, Debug)]
pub struct Envelopes {
    pub taken: Envelope,
    pub given: Envelope,
}

impl Default for Envelopes {
    fn default() -> Self {
        Self::from(b'\n')
    }
}

impl From<u8> for Envelopes {
    fn from(terminator: u8) -> Self {
        Self { taken: terminator.into(), given: terminator.into() }
    }
}

impl Envelopes {
    /// The content of a letter's record: one that came, or that the task has made or read.
    fn content(self, letter: &DeadLetter) -> &[u8] {
        let envelope = if letter.origin.is_some() { self.taken } else { self.given };
        envelope.content(&letter.record)
    }

    fn header(self, letter: &DeadLetter) -> Option<&[u8]> {
        let envelope = if letter.origin.is_some() { self.taken } else { self.given };
        letter.header.as_ref().map(|header| envelope.content(header))
    }
}

/// Appends dead letters to a file that is created with the first of them.
///
/// Each line is written at once. A file of an earlier run is left alone: `NAME.dead.jsonl` becomes `NAME.dead-1.jsonl`.
#[derive(Debug)]
pub struct DeadLetterFile {
    path: PathBuf,
    file: Option<File>,
    /// What was written to it, in bytes.
    length: u64,
    count: u64,
}

/// A dead letter could not be kept.
#[derive(Debug, Error)]
#[error("cannot keep a dead letter in {}: {source}{}", path.display(), advice(source))]
pub struct DeadLetterError {
    pub path: PathBuf,
    pub source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        "; make room there: it goes on by itself"
    } else if error.get_ref().is_some_and(|error| error.is::<Loss>()) {
        "; the letters that were in it are lost; run again, and leave the file where it is"
    } else {
        match size_limit_advice(error) {
            "" => "; make sure that the directory is there and may be written",
            advice => advice,
        }
    }
}

impl DeadLetterFile {
    /// Nothing is created yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, length: 0, count: 0 }
    }

    /// Keeps a letter of `task`, whose records are in `envelopes`; `from` names the task that sent it the record.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn put(
        &mut self,
        task: &str,
        from: Option<&str>,
        letter: &DeadLetter,
        envelopes: Envelopes,
    ) -> Result<(), DeadLetterError> {
        let line = text_of(&Line::new(task, from, letter, envelopes, SystemTime::now()));
        self.check()?;
        self.file().and_then(|file| append_whole(file, &line)).map_err(|source| self.failed(source))?;
        self.length += line.len() as u64;
        self.count += 1;
        Ok(())
    }

    /// Whether all letters that were put in it are still there.
    ///
    /// # Errors
    /// The file was removed or cut meanwhile.
    pub fn check(&self) -> Result<(), DeadLetterError> {
        let loss = self.file.as_ref().and_then(|file| loss(file, self.length));
        loss.map_or(Ok(()), |loss| Err(self.failed(io::Error::other(loss))))
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The file, once there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let (path, file) = create_beside(&self.path)?;
            self.path = path;
            self.file = Some(file);
        }
        self.file.as_ref().ok_or_else(|| Errno::NOENT.into())
    }

    fn failed(&self, source: io::Error) -> DeadLetterError {
        DeadLetterError { path: self.path.clone(), source }
    }
}

/// A line is in the file whole or not at all, so that it can be written again when there is room.
fn append_whole(mut file: &File, line: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = file.write_all(line);
    if written.is_err() {
        file.set_len(before)?;
    }
    written
}

/// A new file at `path`, or with a number in its name if there is one already.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    for n in 0..NAMES_MAX {
        let candidate = numbered(path, n);
        let create = || OpenOptions::new().append(true).create_new(true).mode(FILE_MODE).open(&candidate);
        match descriptors::patiently("keep dead letters", create) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|file| (candidate, file)),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{NAMES_MAX} files of earlier runs; remove some"),
    ))
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    if n == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{n}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
