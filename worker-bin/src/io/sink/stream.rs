//! Standard output, or what a program reads.

use super::vectored::{Moved, write_batches};
use super::{PipeReader, SinkError, SinkWriter};
use crate::io::identity::FileId;
use rustix::fd::OwnedFd;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use worker_proto::Batch;
use worker_stdio::Stream;

/// Writes to an open stream.
#[derive(Debug)]
pub struct StreamSink {
    stream: Option<OwnedFd>,
    name: String,
    written: u64,
    moved: Moved,
    reader: Option<PipeReader>,
}

impl StreamSink {
    /// Writes to `stream`, called `name` in messages. Closing it ends a program's standard input.
    #[must_use]
    pub fn new(stream: OwnedFd, name: String) -> Self {
        Self { stream: Some(stream), name, written: 0, moved: Moved::default(), reader: None }
    }

    /// Writes to the process's standard output.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn stdout() -> Result<Self, SinkError> {
        let name = "standard output".to_owned();
        if Stream::Output.was_closed() {
            return Err(SinkError::Closed { what: "output" });
        }
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(stream) => Ok(Self::new(stream, name)),
            Err(source) => Err(SinkError::Write { name, written: 0, source }),
        }
    }
}

impl StreamSink {
    /// What is written to it is done when it was taken, if it is a pipe.
    #[must_use]
    pub fn followed(self) -> Self {
        let is_pipe = |stream: &OwnedFd| {
            rustix::fs::fstat(stream).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Fifo)
        };
        let pipe = self.stream.as_ref().filter(|stream| is_pipe(stream));
        let reader = pipe.and_then(|pipe| pipe.try_clone().ok()).map(|pipe| {
            let reader = PipeReader::new(self.name.clone(), false);
            reader.is_at(Some(pipe));
            reader
        });
        Self { reader, ..self }
    }
}

impl SinkWriter for StreamSink {
    fn write(&mut self, batches: &[Batch]) -> Result<(), SinkError> {
        let result = match &self.stream {
            Some(stream) => write_batches(stream, batches, &mut self.written, &self.moved),
            None => Err(Errno::BADF),
        };
        result.map_err(|e| SinkError::writing(&self.name, self.written, e))
    }

    fn close(&mut self) -> Result<(), SinkError> {
        self.stream = None;
        if let Some(reader) = &self.reader {
            reader.is_at(None);
        }
        Ok(())
    }

    fn place(&self) -> Option<&Path> {
        Some(Path::new("/proc/self/fd/1"))
    }

    /// A terminal or a socket may well be both ends.
    fn identity(&self) -> Option<FileId> {
        let stat = rustix::fs::fstat(self.stream.as_ref()?).ok()?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        matches!(kind, FileType::RegularFile | FileType::Fifo).then(|| FileId::of_open(&stat))
    }

    fn reader(&self) -> Option<PipeReader> {
        self.reader.clone()
    }

    fn count_into(&mut self, moved: Moved) {
        self.moved = moved;
    }
}
