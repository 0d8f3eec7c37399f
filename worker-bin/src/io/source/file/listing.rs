//! Files that are found by a thread of its own, while the first of them are read.

use super::paths::Listed;
use crate::io::source::reader::Total;
use crate::io::source::{SourceError, Stop};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long the start of a run waits for the rest of its files. So what is wrong with one of them is as a rule known before
/// anything is read, and the size of the input; a large or slow tree is read while it is looked through.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often it is looked whether a reader that waits for a file is stopped.
const LOOK: Duration = Duration::from_millis(50);

/// The files that were not handed out yet, in their order. They are found as fast as that goes, whoever reads.
#[derive(Debug)]
pub(super) struct Listing {
    found: Receiver<Result<Listed, SourceError>>,
    total: Total,
}

/// What of a listing comes next.
#[derive(Debug)]
pub(super) enum Next {
    File(Listed),
    /// Nobody knows yet.
    Later,
    End,
}

impl Listing {
    /// Begins to take `files`; the first error is the last thing that it takes.
    ///
    /// # Errors
    /// The system has no thread.
    pub(super) fn begin(
        files: impl Iterator<Item = Result<Listed, SourceError>> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, found) = channel();
        let total = Total::default();
        let settled = total.clone();
        let thread = std::thread::Builder::new().name("list files".to_owned());
        thread.spawn(move || take(files, &sender, &settled))?;
        Ok(Self { found, total })
    }

    /// Of all files, once they are found, if all of them have a size.
    pub(super) fn total(&self) -> Total {
        self.total.clone()
    }

    /// At least the first file; all, and `true`, if they are found soon.
    ///
    /// # Errors
    /// What is wrong with one of those.
    pub(super) fn first(&self) -> Result<(Vec<Listed>, bool), SourceError> {
        self.first_within(PATIENCE)
    }

    pub(super) fn first_within(&self, patience: Duration) -> Result<(Vec<Listed>, bool), SourceError> {
        let until = Instant::now() + patience;
        let mut files = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let found = match files.is_empty() {
                true => self.found.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => self.found.recv_timeout(left),
            };
            match found {
                Ok(found) => files.push(found?),
                Err(RecvTimeoutError::Timeout) => return Ok((files, false)),
                Err(RecvTimeoutError::Disconnected) => return Ok((files, true)),
            }
            if left.is_zero() {
                return Ok((files, false));
            }
        }
    }

    /// The next one, if it is known; `waits`: else when it is. A stop is the end.
    ///
    /// # Errors
    /// What is wrong with it, or with the directories between the last one and it.
    pub(super) fn next(&self, waits: bool, stop: Option<&Stop>) -> Result<Next, SourceError> {
        loop {
            match self.found.recv_timeout(if waits { LOOK } else { Duration::ZERO }) {
                Ok(found) => return found.map(Next::File),
                Err(RecvTimeoutError::Disconnected) => return Ok(Next::End),
                Err(RecvTimeoutError::Timeout) if !waits => return Ok(Next::Later),
                Err(RecvTimeoutError::Timeout) if stop.is_some_and(Stop::is_stopped) => return Ok(Next::End),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Until nobody wants them any more.
fn take(
    files: impl Iterator<Item = Result<Listed, SourceError>>,
    found: &Sender<Result<Listed, SourceError>>,
    total: &Total,
) {
    let mut bytes = Some(0_u64);
    for file in files {
        bytes = match &file {
            Ok(file) => bytes.zip(file.begun).map(|(bytes, begun)| bytes + begun.length),
            Err(_) => None,
        };
        let is_failed = file.is_err();
        if found.send(file).is_err() || is_failed {
            return;
        }
    }
    bytes.inspect(|&bytes| total.settle(bytes));
}
