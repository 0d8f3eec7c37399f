//! One file as a sink.

use super::headed::is_headed;
use crate::io::beside::dangling;
use crate::io::identity::FileId;
use crate::io::loss::{Loss, is_replaced, loss, warn_if_moved};
use crate::io::made::Made;
use crate::io::sink::vectored::{Moved, write_batches, write_slices};
use crate::io::sink::{SinkError, SinkWriter};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use worker_proto::Batch;

/// What happens if a sink's file exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exists {
    /// The pipeline does not start.
    #[default]
    Error,
    /// Its content is replaced.
    Replace,
    /// It stays, and records go behind its content, whose last record gets the end that it may lack.
    Append,
}

/// Writes a file at its final path.
///
/// Opening checks everything that can be checked and changes no content, so that all sinks can be opened before anything
/// is read. The first write, or the close, empties a file that is replaced. A sink dropped before that leaves an existing
/// file as it was and removes what it made. Replacing is not atomic: a run that fails on the way leaves what it wrote.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    file: File,
    state: State,
    /// Its length before the first write.
    start: u64,
    written: u64,
    moved: Moved,
    /// What goes before the first record: the last one that was there has no end.
    missing_end: Option<u8>,
    /// Until the first write.
    made: Made,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing written; the file holds what it held.
    Untouched,
    Started,
}

impl FileSink {
    /// Opens or creates `path`, and the directories it is in. Its records end with `terminator`.
    ///
    /// What is no regular file (a device, a named pipe) is written to whatever `exists` says.
    ///
    /// # Errors
    /// [`SinkError::Exists`], [`SinkError::Directory`], [`SinkError::Open`].
    pub fn open(path: &Path, exists: Exists, terminator: Option<u8>) -> Result<Self, SinkError> {
        let open = |source| SinkError::Open { path: path.to_owned(), source };
        let of = |file, state, start, missing_end, made| Self {
            path: path.to_owned(),
            file,
            state,
            start,
            written: 0,
            moved: Moved::default(),
            missing_end,
            made,
        };
        let state = match place(path)? {
            Place::New(file, made) => return Ok(of(file, State::Started, 0, None, made)),
            Place::Regular(_) if exists == Exists::Error => {
                return Err(SinkError::Exists { path: path.to_owned() });
            }
            Place::Regular(_) if exists == Exists::Replace => State::Untouched,
            Place::Regular(_) => {
                let file = OpenOptions::new().read(true).append(true).open(path).map_err(open)?;
                let start = file.metadata().map_err(open)?.len();
                let end = missing_end(&last_byte(&file, start).map_err(open)?, terminator);
                return Ok(of(file, State::Started, start, end, Made::default()));
            }
            Place::Other => State::Started,
        };
        let file = OpenOptions::new().append(true).open(path).map_err(open)?;
        Ok(of(file, state, 0, None, Made::default()))
    }

    /// Whether all that was written is still there, and where it is looked for.
    fn check(&self) -> Result<(), SinkError> {
        let (path, written) = (self.path.clone(), self.written);
        match loss(&self.file, self.start + written) {
            None if is_replaced(&path, &self.file) => Err(SinkError::Elsewhere { path, written }),
            None => Ok(()),
            Some(Loss::Removed) => Err(SinkError::Removed { path, written }),
            Some(Loss::Cut(length)) => Err(SinkError::Cut { path, length, expected: self.start + written }),
        }
    }

    fn start(&mut self) -> Result<(), SinkError> {
        if self.state == State::Untouched {
            self.file.set_len(0).map_err(|source| SinkError::Open { path: self.path.clone(), source })?;
        }
        self.state = State::Started;
        self.made.keep();
        Ok(())
    }
}

impl SinkWriter for FileSink {
    fn write(&mut self, batches: &[Batch]) -> Result<(), SinkError> {
        self.start()?;
        self.check()?;
        let mut write = || {
            if let Some(end) = self.missing_end.take_if(|_| holds_any(batches)) {
                write_slices(&self.file, &[&[end]], &mut self.written, &Moved::default())?;
            }
            write_batches(&self.file, batches, &mut self.written, &self.moved)
        };
        write().map_err(|e| SinkError::writing(&self.path.display().to_string(), self.written, e))
    }

    fn write_header(&mut self, header: &Batch) -> Result<(), SinkError> {
        self.start()?;
        match is_headed((&self.path, &self.file), self.start + self.written, header)? {
            true => Ok(()),
            false => self.write(std::slice::from_ref(header)),
        }
    }

    fn close(&mut self) -> Result<(), SinkError> {
        self.start()?;
        self.check()?;
        warn_if_moved(&self.path);
        Ok(())
    }

    fn take_made(&mut self) -> Made {
        std::mem::take(&mut self.made)
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn identity(&self) -> Option<FileId> {
        identity(&self.file)
    }

    fn count_into(&mut self, moved: Moved) {
        self.moved = moved;
    }
}

/// What is at a sink's path.
#[derive(Debug)]
pub(super) enum Place {
    /// Nothing was; now an empty file is, and the directories it is in.
    New(File, Made),
    /// A regular file of this length.
    Regular(u64),
    /// A device or a named pipe.
    Other,
}

/// Looks at `path`, and creates a file if there is none.
pub(super) fn place(path: &Path) -> Result<Place, SinkError> {
    let open = |source| SinkError::Open { path: path.to_owned(), source };
    if path.is_dir() {
        return Err(SinkError::Directory { path: path.to_owned() });
    }
    if let Some(target) = dangling(path) {
        return Err(SinkError::Dangling { path: path.to_owned(), target });
    }
    let made = Made::directories_of(path).map_err(open)?;
    match OpenOptions::new().read(true).append(true).create_new(true).open(path) {
        Ok(file) => Ok(Place::New(file, made.and_file(path))),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = path.metadata().map_err(open)?;
            Ok(if metadata.is_file() { Place::Regular(metadata.len()) } else { Place::Other })
        }
        Err(e) => Err(open(e)),
    }
}

/// The byte that is to go before the first record behind `before`, which the file ends with: else that and the last record there
/// would be one.
pub(super) fn missing_end(before: &[u8], terminator: Option<u8>) -> Option<u8> {
    before.last().and(terminator).filter(|byte| before.last() != Some(byte))
}

/// Whether there is anything to be written.
pub(super) fn holds_any(batches: &[Batch]) -> bool {
    batches.iter().any(|batch| !batch.payload().is_empty())
}

/// The last of the first `length` bytes of `file`, if it has any.
fn last_byte(file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut last = vec![0; usize::from(length > 0)];
    file.read_exact_at(&mut last, length.saturating_sub(1))?;
    Ok(last)
}

/// Which one it is, if it is a regular file.
pub(super) fn identity(file: &File) -> Option<FileId> {
    file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| FileId::of(&metadata))
}
