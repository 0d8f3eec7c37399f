//! A named pipe as a sink: it waits for its readers, the first one and each that comes after one has left.
//!
//! ```text
//!   no reader ──one opens it──▶ written ──its last reader leaves (EPIPE)──▶ no reader, the pipe stays open here
//! ```
//! While it is open here, what the last reader left in the pipe stays there for the next one, which so begins with the very byte
//! that the last one had not taken. What a reader had taken and not used is not known of.

use crate::io::sink::vectored::{Moved, write_slices};
use crate::io::sink::{SinkError, SinkWriter};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use worker_proto::Batch;

/// Writes a named pipe. Without a reader a write fails with [`SinkError::NoReader`]; done again with the same records it goes on.
#[derive(Debug)]
pub struct FifoSink {
    path: PathBuf,
    pipe: Option<File>,
    /// It has no name by which another reader could come, as what a shell makes for `>(…)`.
    is_nameless: bool,
    /// Bytes of the present write that are in the pipe, or were taken from it.
    done: u64,
    written: u64,
    moved: Moved,
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
        Self { path, pipe: None, is_nameless: false, done: 0, written: 0, moved }
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
        if self.pipe.as_ref().is_some_and(|pipe| self.was_replaced(pipe)) {
            // Nobody can open the old one any more.
            self.pipe = None;
        }
        let pipe = match self.pipe.take() {
            Some(pipe) => pipe,
            None => open(&self.path).map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::NXIO | Errno::NOENT) => self.no_reader(),
                Some(_) | None => SinkError::Open { path: self.path.clone(), source: error },
            })?,
        };
        self.is_nameless = is_nameless(&pipe);
        let is_read = has_reader(&pipe);
        self.pipe = Some(pipe);
        if is_read { Ok(()) } else { Err(self.no_reader()) }
    }

    /// Whether another pipe is at the path now, and nobody reads this one.
    fn was_replaced(&self, pipe: &File) -> bool {
        match (pipe.metadata(), self.path.metadata()) {
            (Ok(ours), Ok(there)) => {
                (ours.dev(), ours.ino()) != (there.dev(), there.ino()) && !has_reader(pipe)
            }
            (Ok(_) | Err(_), _) => false,
        }
    }
}

impl SinkWriter for FifoSink {
    fn write(&mut self, batches: &[Batch]) -> Result<(), SinkError> {
        self.connect()?;
        let Some(pipe) = &self.pipe else { return Err(self.no_reader()) };
        let before = self.written;
        let result = write_slices(pipe, &behind(batches, self.done), &mut self.written, &self.moved);
        self.done += self.written - before;
        match result {
            Ok(()) => {
                self.done = 0;
                Ok(())
            }
            Err(Errno::PIPE) => Err(self.no_reader()),
            Err(e) => Err(SinkError::writing(&self.name(), self.written, e)),
        }
    }

    /// What lies in the pipe would go with it if nobody reads it, so a reader is waited for.
    fn close(&mut self) -> Result<(), SinkError> {
        if !self.is_nameless && self.pipe.as_ref().is_some_and(|pipe| held(pipe) > 0 && !has_reader(pipe)) {
            return Err(self.no_reader());
        }
        self.pipe = None;
        Ok(())
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

fn has_reader(pipe: &File) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && !fds[0].revents().contains(PollFlags::ERR)
}

fn is_nameless(pipe: &File) -> bool {
    /// Of the file system that pipes without a name are on.
    const PIPEFS_MAGIC: i64 = 0x5049_5045;
    rustix::fs::fstatfs(pipe).is_ok_and(|system| system.f_type == PIPEFS_MAGIC)
}

/// Bytes that lie in a pipe.
fn held(pipe: &File) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
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
