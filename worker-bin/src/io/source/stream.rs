//! Records of an open stream: standard input, or what a program prints.

mod position;

pub(super) use position::Extent;

use super::header::HeaderFilter;
use super::{Counter, Progress, SlowStart, SourceError, SourceOptions, SourceReader, Stop};
use crate::io::chunker::Chunker;
use bytes::Bytes;
use position::StreamPosition;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use worker_proto::Batch;
use worker_stdio::Stream;
use xxhash_rust::xxh3::xxh3_64;

const PIPE_BYTES: usize = 1 << 20;

/// Reads a stream with low latency: records are given as soon as no more bytes are there right now.
///
/// A later life goes on with what comes then: nothing can be read again. It counts records on, and where headers are
/// taken off, it takes one off again only if the stream begins with the very header that was taken before, as it does when a
/// program starts anew.
#[derive(Debug)]
pub struct StreamSource {
    stream: OwnedFd,
    name: String,
    stop: Stop,
    ended: bool,
    was_stopped: bool,
    /// A last record without its end is not given before it is asked for.
    holds_last: bool,
    chunker: Chunker,
    size: SlowStart,
    counter: Counter,
    header: HeaderFilter,
    header_due: bool,
    /// What was given, in all lives; the header is none of it.
    position: StreamPosition,
    /// Bytes given in earlier lives.
    earlier_bytes: u64,
}

/// What waiting came to.
enum Readiness {
    Readable,
    NothingNow,
    Stopped,
}

impl StreamSource {
    /// Reads `stream`, called `name` in messages, until it ends or `stop` says so.
    ///
    /// When stopped, whole records read so far are still given; an incomplete one is not.
    #[must_use]
    pub fn new(stream: OwnedFd, name: String, options: &SourceOptions, stop: Stop) -> Self {
        // Not every stream is a pipe, and not every user may have larger ones: both work as they are.
        rustix::pipe::fcntl_setpipe_size(&stream, PIPE_BYTES).ok();
        let size = SlowStart::new();
        Self {
            stream,
            name,
            stop,
            ended: false,
            was_stopped: false,
            holds_last: false,
            chunker: Chunker::new(options.terminator, options.max_record, size.bytes()),
            size,
            counter: Counter::new(options.limit),
            header: HeaderFilter::new(options.header),
            header_due: true,
            position: StreamPosition::default(),
            earlier_bytes: 0,
        }
    }

    /// Goes on after an earlier life that had come to `position`; call it before anything is read.
    ///
    /// # Errors
    /// [`SourceError::Position`].
    pub fn resume(mut self, position: &[u8]) -> Result<Self, SourceError> {
        self.position = StreamPosition::decode(position, &self.name)?;
        self.counter.given = self.position.given.records;
        self.earlier_bytes = self.position.given.bytes;
        Ok(self)
    }

    /// Keeps a last record that has no end until it is known whether it counts.
    #[must_use]
    pub fn holding_the_last(self) -> Self {
        Self { holds_last: true, ..self }
    }

    /// The last record, if it has no end and was held.
    ///
    /// # Errors
    /// It is too long.
    pub fn last_record(&mut self) -> Result<Option<Batch>, SourceError> {
        match self.chunker.finish().map_err(|e| self.too_long(e))? {
            Some(batch) if !self.counter.is_full() => self.pass(batch),
            Some(_) | None => Ok(None),
        }
    }

    /// Forgets the last record, if it has no end and was held; says how many bytes it had.
    pub fn leave_last_out(&mut self) -> usize {
        self.chunker.discard_partial()
    }

    /// Whether it ended because it was told to.
    #[must_use]
    pub fn was_stopped(&self) -> bool {
        self.was_stopped
    }

    /// Whether it has given as many records as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.counter.is_full()
    }

    /// Reads the process's standard input.
    ///
    /// # Errors
    /// Standard input is closed.
    pub fn stdin(options: &SourceOptions, stop: Stop) -> Result<Self, SourceError> {
        let name = "standard input".to_owned();
        if Stream::Input.was_closed() {
            return Err(SourceError::Closed);
        }
        match io::stdin().as_fd().try_clone_to_owned() {
            Ok(stream) => Ok(Self::new(stream, name, options, stop)),
            Err(source) => Err(SourceError::Read { name, offset: 0, source }),
        }
    }

    /// The next batch as it is in the stream, header included.
    fn gather(&mut self) -> Result<Option<Batch>, SourceError> {
        while !self.ended {
            if let Some(batch) = self.chunker.next().map_err(|e| self.too_long(e))? {
                return Ok(Some(batch));
            }
            match self.wait(!self.chunker.has_records())? {
                Readiness::Readable => self.read()?,
                Readiness::NothingNow => return self.chunker.flush().map_err(|e| self.too_long(e)),
                Readiness::Stopped => {
                    (self.ended, self.was_stopped) = (true, true);
                    self.chunker.discard_partial();
                }
            }
        }
        let rest = if self.holds_last { self.chunker.flush() } else { self.chunker.finish() };
        rest.map_err(|e| self.too_long(e))
    }

    /// What of a batch is given, if anything is.
    fn pass(&mut self, batch: Batch) -> Result<Option<Batch>, SourceError> {
        let batch = self.take_header(batch)?;
        if batch.is_empty() {
            return Ok(None);
        }
        self.chunker.set_chunk_bytes(self.size.grow());
        let batch = self.counter.admit(batch);
        let given = Extent { bytes: batch.bytes() as u64, records: batch.len() as u64 };
        self.position.given = self.position.given + given;
        Ok(Some(batch))
    }

    /// Takes the header off the first batch, if it begins with one.
    fn take_header(&mut self, batch: Batch) -> Result<Batch, SourceError> {
        if !std::mem::take(&mut self.header_due) || self.header.keeps() {
            return Ok(batch);
        }
        let hash = xxh3_64(batch.record(0));
        if self.position.header.is_some_and(|earlier| earlier != hash) {
            return Ok(batch);
        }
        self.position.header = Some(hash);
        self.header.take(&batch, &self.name)
    }

    fn wait(&self, block: bool) -> Result<Readiness, SourceError> {
        let mut fds = [PollFd::new(&self.stop, PollFlags::IN), PollFd::new(&self.stream, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            match poll(&mut fds, if block { None } else { Some(&at_once) }) {
                Ok(0) => return Ok(Readiness::NothingNow),
                Ok(_) if !fds[0].revents().is_empty() => return Ok(Readiness::Stopped),
                Ok(_) => return Ok(Readiness::Readable),
                Err(Errno::INTR) => {}
                Err(e) => return Err(self.unreadable(e)),
            }
        }
    }

    fn read(&mut self) -> Result<(), SourceError> {
        match rustix::io::read(&self.stream, spare_capacity(self.chunker.space())) {
            Ok(0) => self.ended = true,
            // Another process may have made the stream non-blocking: wait again.
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(self.unreadable(e)),
        }
        Ok(())
    }

    fn unreadable(&self, e: Errno) -> SourceError {
        SourceError::Read { name: self.name.clone(), offset: self.chunker.bytes(), source: e.into() }
    }

    fn too_long(&self, source: crate::io::chunker::RecordTooLong) -> SourceError {
        SourceError::TooLong { name: self.name.clone(), source }
    }
}

impl SourceReader for StreamSource {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        while !self.counter.is_full() {
            let Some(batch) = self.gather()? else {
                return Ok(None);
            };
            if let Some(batch) = self.pass(batch)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn progress(&self) -> Progress {
        let done_bytes = self.earlier_bytes + self.chunker.bytes();
        Progress { done_bytes, total_bytes: None, records: self.counter.given }
    }

    fn header(&self) -> Option<Bytes> {
        self.header.kept()
    }

    fn position(&self) -> Option<Bytes> {
        Some(self.position.encode())
    }
}

#[cfg(test)]
mod tests;
