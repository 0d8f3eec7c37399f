//! Dead letters in memory mode: one file of JSON lines for a run.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;
use worker_core::event::DeadLetter;
use worker_proto::Seq;

/// How many names are tried beside files of earlier runs.
const NAMES_MAX: u32 = 10_000;

/// Appends dead letters to a file that is created with the first of them.
///
/// A line has `time`, `task`, `reason`, `attempts`, then `record` (without its terminator; `record_b64` if it is not
/// UTF-8), and where they are known `stderr_tail` and `origin` (the task it came from and its position on that link).
/// Each line is written at once. A file of an earlier run is left alone: `NAME.dead.jsonl` becomes `NAME.dead-1.jsonl`.
#[derive(Debug)]
pub struct DeadLetterFile {
    path: PathBuf,
    terminator: u8,
    file: Option<File>,
    count: u64,
}

/// A dead letter could not be kept.
#[derive(Debug, Error)]
#[error("cannot keep a dead letter in {}: {source}; make sure that there is room and that the directory may be written", path.display())]
pub struct DeadLetterError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl DeadLetterFile {
    /// Nothing is created yet. `terminator` is what records end with.
    #[must_use]
    pub fn new(path: PathBuf, terminator: u8) -> Self {
        Self { path, terminator, file: None, count: 0 }
    }

    /// Keeps a letter of `task`; `from` names the task that sent it the record.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn put(
        &mut self,
        task: &str,
        from: Option<&str>,
        letter: &DeadLetter,
    ) -> Result<(), DeadLetterError> {
        let line = self.line(task, from, letter, SystemTime::now());
        self.file().and_then(|mut file| file.write_all(&line)).map_err(|source| self.failed(source))?;
        self.count += 1;
        Ok(())
    }

    /// Letters kept.
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
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn line(&self, task: &str, from: Option<&str>, letter: &DeadLetter, now: SystemTime) -> Vec<u8> {
        let record = letter.record.strip_suffix(&[self.terminator]).unwrap_or(&letter.record);
        let text = std::str::from_utf8(record);
        let line = Line {
            time: rfc3339(now),
            task,
            reason: &letter.reason,
            attempts: letter.attempts,
            record: text.ok(),
            record_b64: text.is_err().then(|| STANDARD.encode(record)),
            stderr_tail: Some(letter.stderr_tail.as_str()).filter(|tail| !tail.is_empty()),
            origin: letter.origin.map(|(_, seq)| Origin { from, seq }),
        };
        let mut bytes = serde_json::to_vec(&line).expect("strings and numbers always serialise");
        bytes.push(b'\n');
        bytes
    }

    fn failed(&self, source: io::Error) -> DeadLetterError {
        DeadLetterError { path: self.path.clone(), source }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    task: &'a str,
    reason: &'a str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_tail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin<'a>>,
}

#[derive(Serialize)]
struct Origin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    seq: Seq,
}

/// A new file at `path`, or with a number in its name if there is one already.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    for n in 0..NAMES_MAX {
        let candidate = numbered(path, n);
        match OpenOptions::new().append(true).create_new(true).open(&candidate) {
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

/// UTC with milliseconds, such as `2024-02-29T23:59:59.999Z`.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a day since 1970-01-01, counted in years that begin in March, so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
