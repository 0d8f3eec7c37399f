//! A named pipe as a sink: it waits for its readers, the first one and each that comes after one has left.
//!
//! ```text
//!   no reader ──one opens it──▶ written ──its last reader leaves (EPIPE)──▶ no reader, the pipe stays open here
//! ```
//! While it is open here, what the last reader left in the pipe stays there for the next one, which so begins with the very byte
//! that the last one had not taken; if another pipe has taken its place by then, which is looked for also while there is nothing to
//! write, it is taken back and written there. Where every
//! record counts, a write is done when a reader has taken it, so that what goes with the pipe is written again in a later life,
//! from the first record that was not taken whole. What a reader had taken and not used is not known of.

use crate::descriptors;
use crate::io::identity::FileId;
use crate::io::sink::reader::{PipeReader, has_reader, held};
use crate::io::sink::vectored::{Moved, write_slices};
use crate::io::sink::{SinkError, SinkWriter};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use worker_proto::Batch;

/// Of the file system that pipes without a name are on.
const PIPEFS_MAGIC: i64 = 0x5049_5045;

/// Writes a named pipe. Without a reader a write fails with [`SinkError::NoReader`]; done again with the same records it goes on.
#[derive(Debug)]
pub struct FifoSink {
    path: PathBuf,
    pipe: Option<File>,
    /// It has no name by which another reader could come, as what a shell makes for `>(…)`.
    is_nameless: bool,
    /// Bytes of the present write that are in the pipe, or were taken from it.
    done: u64,
    /// What nobody had taken of a pipe that another one has replaced.
    back: Vec<u8>,
    /// Another pipe has replaced the one that was written, and nobody has come to read it yet.
    reopens: bool,
    written: u64,
    moved: Moved,
    /// Whoever has to know how far the reader is.
    reader: Option<PipeReader>,
}

impl FifoSink {
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.metadata().is_ok_and(|m| m.file_type().is_fifo())
    }

    /// Nothing is opened before the first write, as that needs a reader.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let (path, moved) = (path.to_owned(), Moved::default());
        Self {
            path,
            pipe: None,
            is_nameless: false,
            done: 0,
            back: Vec::new(),
            reopens: false,
            written: 0,
            moved,
            reader: None,
        }
    }

    /// What is written to it is done when it was taken.
    #[must_use]
    pub fn followed(self) -> Self {
        // What a shell makes for `>(…)` has no reader but its first.
        let has_name = !rustix::fs::statfs(&self.path).is_ok_and(|system| system.f_type == PIPEFS_MAGIC);
        let reader = Some(PipeReader::new(self.name(), has_name));
        Self { reader, ..self }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn no_reader(&self) -> SinkError {
        let (name, written) = (self.name(), self.written);
        if self.is_nameless { SinkError::ReaderGone { name, written } } else { SinkError::NoReader { name } }
    }

    /// Opens the pipe, if it is not open. An error: nobody reads it.
    fn connect(&mut self) -> Result<(), SinkError> {
        if let Some(old) = self.pipe.take_if(|pipe| was_replaced(&self.path, pipe)) {
            self.reopens = true;
            self.take_back(&old)?;
        }
        let pipe = match self.pipe.take() {
            Some(pipe) => pipe,
            None => self.open()?,
        };
        self.reopens = false;
        self.is_nameless = is_nameless(&pipe);
        let is_read = has_reader(&pipe);
        self.pipe = Some(pipe);
        if is_read { Ok(()) } else { Err(self.no_reader()) }
    }

    fn open(&self) -> Result<File, SinkError> {
        let failed = |error| match Errno::from_io_error(&error) {
            Some(Errno::NXIO | Errno::NOENT) => self.no_reader(),
            Some(_) | None => SinkError::Open { path: self.path.clone(), source: error },
        };
        let pipe = descriptors::patiently("open a pipe", || open(&self.path)).map_err(failed)?;
        if let Some(reader) = &self.reader {
            let same = descriptors::patiently("open a pipe", || pipe.try_clone()).map_err(failed)?;
            reader.is_at(Some(same.into()));
        }
        Ok(pipe)
    }

    /// Takes what lies in a pipe that nobody can open any more, to be written to the one in its place.
    fn take_back(&mut self, old: &File) -> Result<(), SinkError> {
        let unread = held(old);
        let take = || read_out(old, unread);
        let taken = match &self.reader {
            Some(reader) => reader.taking_back(take),
            None => take(),
        };
        let is_all = taken.len() as u64 >= unread;
        // What was taken back before, and not written since, is behind it.
        self.back.splice(0..0, taken);
        if is_all { Ok(()) } else { Err(SinkError::Removed { path: self.path.clone(), written: unread }) }
    }

    /// Writes what was taken back to the pipe that is open now.
    fn write_back(&mut self) -> Result<(), SinkError> {
        let Some(pipe) = &self.pipe else { return Err(self.no_reader()) };
        let mut again = 0;
        let result = write_slices(pipe, &[&self.back], &mut again, &self.moved);
        self.back.drain(..usize::try_from(again).unwrap_or(usize::MAX).min(self.back.len()));
        result.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Errno) -> SinkError {
        match error {
            Errno::PIPE => self.no_reader(),
            error => SinkError::writing(&self.name(), self.written, error),
        }
    }

    /// The pipe has gone out of its readers' reach, and another one is in its place.
    fn is_replaced(&self) -> bool {
        self.reopens || self.pipe.as_ref().is_some_and(|pipe| was_replaced(&self.path, pipe))
    }
}

/// What lies in a pipe that is open here to be written: so many bytes, if nobody else takes of them.
fn read_out(pipe: &File, bytes: u64) -> Vec<u8> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", pipe.as_raw_fd()));
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut taken = Vec::new();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(nonblock);
    if let Ok(pipe) = descriptors::patiently("open a pipe", || options.open(&path)) {
        pipe.take(bytes).read_to_end(&mut taken).ok();
    }
    taken
}

/// Whether another pipe is at the path now, and nobody reads this one.
fn was_replaced(path: &Path, pipe: &File) -> bool {
    match (pipe.metadata(), path.metadata()) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) != (there.dev(), there.ino()) && !has_reader(pipe),
        (Ok(_) | Err(_), _) => false,
    }
}

impl SinkWriter for FifoSink {
    fn write(&mut self, batches: &[Batch]) -> Result<(), SinkError> {
        self.connect()?;
        self.write_back()?;
        let Some(pipe) = &self.pipe else { return Err(self.no_reader()) };
        let before = self.written;
        let result = write_slices(pipe, &behind(batches, self.done), &mut self.written, &self.moved);
        self.done += self.written - before;
        result.map_err(|error| self.failed(error))?;
        self.done = 0;
        Ok(())
    }

    /// Goes over to the pipe that has replaced the one it writes.
    fn tend(&mut self) -> Result<bool, SinkError> {
        if !self.is_nameless && self.is_replaced() {
            self.connect()?;
            self.write_back()?;
        }
        Ok(true)
    }

    /// What lies in the pipe would go with it if nobody reads it, so a reader is waited for.
    fn close(&mut self) -> Result<(), SinkError> {
        let tended = self.tend();
        let is_left = self.pipe.as_ref().is_some_and(|pipe| held(pipe) > 0 && !has_reader(pipe));
        if !self.back.is_empty() {
            tended?;
        }
        if !self.is_nameless && is_left {
            return Err(self.no_reader());
        }
        self.pipe = None;
        if let Some(reader) = &self.reader {
            reader.is_at(None);
        }
        Ok(())
    }

    fn reader(&self) -> Option<PipeReader> {
        self.reader.clone()
    }

    fn place(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn identity(&self) -> Option<FileId> {
        self.path.metadata().ok().map(|metadata| FileId::of(&metadata))
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn count_into(&mut self, moved: Moved) {
        self.moved = moved;
    }
}

/// Opened without waiting for a reader, and then written as any pipe.
fn open(path: &Path) -> io::Result<File> {
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().write(true).custom_flags(nonblock).open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it was a named pipe, and is none any more"));
    }
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

fn is_nameless(pipe: &File) -> bool {
    rustix::fs::fstatfs(pipe).is_ok_and(|system| system.f_type == PIPEFS_MAGIC)
}

/// The payloads without their first `done` bytes.
fn behind(batches: &[Batch], mut done: u64) -> Vec<&[u8]> {
    let mut slices = Vec::with_capacity(batches.len());
    for batch in batches {
        let payload = &batch.payload()[..];
        let skipped = usize::try_from(done).map_or(payload.len(), |done| done.min(payload.len()));
        done -= skipped as u64;
        slices.push(&payload[skipped..]);
    }
    slices
}

#[cfg(test)]
mod tests;
