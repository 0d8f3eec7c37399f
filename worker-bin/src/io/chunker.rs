//! Bytes in arbitrary pieces become [`Batch`]es of whole records.

mod last;
mod long;
mod marks;

pub use last::{Ended, FinishError, LeftOut, TornRecord};
pub use long::{LongRecord, Piece};

use crate::io::buffers::{self, BUFFER_BYTES};
use crate::io::framing::{Found, Framing, Splitter};
use crate::text::units::number;
use bytes::Bytes;
use std::ops::ControlFlow;
use thiserror::Error;
use worker_proto::Batch;
use worker_proto::limits::{FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES};

/// Largest `max_record` honoured, in bytes: it keeps every buffer below the 4 GiB that a [`Batch`] may hold.
pub const MAX_RECORD_BYTES_MAX: usize = 1 << 30;

const CHUNK_BYTES_MIN: usize = 4 * 1024;
const CHUNK_BYTES_MAX: usize = 64 << 20;
const END_BYTES: usize = 4;

/// Gathers bytes and cuts them into batches of whole records.
///
/// Read into [`Chunker::space`], then take batches with [`Chunker::next`] until it gives none, and so on; at the end
/// [`Chunker::finish`]. The records are the same however the bytes were split into reads. Bytes are kept as they are,
/// carriage returns included.
///
/// Each byte is looked at once, however often an incomplete record is added to. A batch owns a buffer of at most twice
/// its size; what follows the last whole record is carried over into the next buffer.
#[derive(Debug)]
pub struct Chunker {
    splitter: Splitter,
    /// What a last record is given where it lacks it; not counted in its length.
    terminator: Option<u8>,
    max_record: usize,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    /// End offsets of the whole records in `buffer`, as a [`Batch`] has them.
    ends: Vec<u8>,
    /// Where the incomplete record starts: behind the last whole one.
    partial: usize,
    /// How far `buffer` was searched for ends of records.
    scanned: usize,
    /// Whole records found so far, those in `buffer` included.
    records: u64,
    /// Bytes that have left `buffer`.
    bytes_before: u64,
    /// Where in the stream the last line was given its newline, which is not of the input.
    completed: Option<u64>,
    /// Records over the limit are passed over and told of, not refused.
    passes_over: bool,
    /// The one that is passed over, or that was and is to be told of.
    long: Option<LongRecord>,
}

/// Largest `max_record` that a pipeline may have, in bytes: a record fits a frame, with the byte that ends it.
pub const MAX_RECORD_BYTES_OF_FRAME: u64 = (FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES - 1) as u64;

/// What to do so that a record of at least so many bytes fits: a value that would be refused is no advice.
#[must_use]
pub fn raise_max_record(bytes: u64) -> String {
    let most = number(MAX_RECORD_BYTES_OF_FRAME);
    if bytes > MAX_RECORD_BYTES_OF_FRAME {
        return format!(
            "`max_record` can be {most} at most: split it before it comes here, or let it name a file"
        );
    }
    format!("raise `max_record`, up to {most}")
}

/// A record is longer than the pipeline allows.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "record {record} (starting at byte {offset}) is longer than {limit} bytes; {}, or check that the input ends its records as \
     `framing` says",
    raise_max_record(*limit as u64 + 1), record = number(*record), offset = number(*offset), limit = number(*limit as u64)
)]
pub struct RecordTooLong {
    /// The limit, in bytes, terminator not counted.
    pub limit: usize,
    /// Which record of the stream, from 1.
    pub record: u64,
    /// Where it starts in the stream, in bytes from 0.
    pub offset: u64,
}

impl Chunker {
    /// A chunker of records that follow one another as `framing` says, each of at most `max_record` bytes without a newline or zero
    /// byte that ends it.
    ///
    /// Batches have about `chunk_bytes`; only a single longer record makes a larger one. `max_record` is capped at
    /// [`MAX_RECORD_BYTES_MAX`].
    #[must_use]
    pub fn new(framing: &Framing, max_record: usize, chunk_bytes: usize) -> Self {
        Self {
            splitter: framing.splitter(),
            terminator: framing.terminator(),
            max_record: max_record.min(MAX_RECORD_BYTES_MAX),
            chunk_bytes: chunk_bytes.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
            buffer: Vec::new(),
            ends: Vec::new(),
            partial: 0,
            scanned: 0,
            records: 0,
            bytes_before: 0,
            completed: None,
            passes_over: false,
            long: None,
        }
    }

    /// The same, passing over records that are too long: take [`Piece`]s of it, not batches.
    #[must_use]
    pub fn passing_over_long(mut self, passes_over: bool) -> Self {
        self.passes_over = passes_over;
        self
    }

    /// Changes the size of batches from here on.
    pub fn set_chunk_bytes(&mut self, chunk_bytes: usize) {
        self.chunk_bytes = chunk_bytes.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    }

    /// The buffer to append to: read into its spare capacity, at least a quarter of `chunk_bytes`.
    ///
    /// Only append: what it holds already is not searched again.
    pub fn space(&mut self) -> &mut Vec<u8> {
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < self.chunk_bytes / 4 {
            // Behind a cut there is the beginning of a record, and nothing else.
            if self.chunk_bytes == BUFFER_BYTES && self.buffer.capacity() < BUFFER_BYTES / 2 {
                let carry = std::mem::replace(&mut self.buffer, buffers::take());
                self.buffer.extend_from_slice(&carry);
            } else {
                self.buffer.reserve(self.chunk_bytes);
            }
        }
        &mut self.buffer
    }

    /// A batch, if about `chunk_bytes` with at least one whole record were gathered.
    ///
    /// # Errors
    /// [`RecordTooLong`], again at every further call.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: more may come after it gave nothing")]
    pub fn next(&mut self) -> Result<Option<Batch>, RecordTooLong> {
        self.scan()?;
        Ok(if self.has_enough() { self.cut() } else { None })
    }

    fn has_enough(&self) -> bool {
        self.buffer.len() >= self.chunk_bytes - self.chunk_bytes / 4
    }

    /// The whole records gathered so far, however few.
    ///
    /// # Errors
    /// [`RecordTooLong`].
    pub fn flush(&mut self) -> Result<Option<Batch>, RecordTooLong> {
        self.scan()?;
        Ok(self.cut())
    }

    /// Gives back all that was appended, of which no record was found.
    pub fn take_back(&mut self) -> Vec<u8> {
        self.scanned = 0;
        self.splitter.begin();
        std::mem::take(&mut self.buffer)
    }

    /// Forgets the incomplete record at the end and says how many bytes it had.
    pub fn discard_partial(&mut self) -> usize {
        if let Some(dropped) = self.discard_long() {
            return dropped;
        }
        // An overlong record stays incomplete; the caller that discards it does not want to hear of it.
        if self.scan().is_err() || self.partial < self.buffer.len() {
            let dropped = self.buffer.len() - self.partial;
            self.buffer.truncate(self.partial);
            self.scanned = self.partial;
            self.splitter.begin();
            return dropped;
        }
        0
    }

    /// Whether whole records wait to be taken (as of the last call).
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.partial > 0 || self.long.as_ref().is_some_and(LongRecord::is_whole)
    }

    /// Whether bytes after the last whole record wait for their end (as of the last call).
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.partial < self.buffer.len() || self.long.as_ref().is_some_and(|long| !long.is_whole())
    }

    /// Whether nothing at all is gathered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.long.is_none()
    }

    /// Whole records found so far, those not taken yet included.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes gathered so far since the start, those not taken yet included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_before + self.buffer.len() as u64
    }

    fn scan(&mut self) -> Result<(), RecordTooLong> {
        match self.splitter {
            Splitter::Byte(terminator) => self.scan_for(terminator),
            Splitter::Csv(_)
            | Splitter::Counted(_)
            | Splitter::Starts(_)
            | Splitter::Ends(_)
            | Splitter::Measured(_)
            | Splitter::Json(_) => self.scan_with_splitter(),
        }
    }

    fn scan_for(&mut self, terminator: u8) -> Result<(), RecordTooLong> {
        let Self { buffer, ends, scanned, max_record, .. } = self;
        let (mut start, before) = (self.partial, ends.len());
        let told = marks::each_place(&buffer[*scanned..], terminator, |at| {
            let at = *scanned + at;
            if at - start > *max_record {
                return ControlFlow::Break(());
            }
            start = at + 1;
            push_end(ends, start);
            ControlFlow::Continue(())
        });
        self.records += ((self.ends.len() - before) / END_BYTES) as u64;
        self.partial = start;
        self.scanned = self.buffer.len();
        if told.is_break() || self.buffer.len() - start > self.max_record {
            return Err(self.refuse());
        }
        Ok(())
    }

    fn scan_with_splitter(&mut self) -> Result<(), RecordTooLong> {
        if self.scanned == self.buffer.len() {
            return Ok(());
        }
        loop {
            let record = &self.buffer[self.partial..];
            let found = self.splitter.find(record, self.scanned - self.partial);
            let (Found::End(own) | Found::More(own)) = found;
            if content_length(&record[..own], self.terminator) > self.max_record {
                self.splitter.begin();
                return Err(self.refuse());
            }
            if matches!(found, Found::More(_)) {
                self.scanned = self.buffer.len();
                return Ok(());
            }
            self.partial += own;
            self.scanned = self.partial;
            self.records += 1;
            push_end(&mut self.ends, self.partial);
        }
    }

    /// The incomplete record is too long; it is searched again from its beginning.
    fn refuse(&mut self) -> RecordTooLong {
        self.scanned = self.partial;
        RecordTooLong {
            limit: self.max_record,
            record: self.records + 1,
            offset: self.bytes_before + self.partial as u64,
        }
    }

    /// Takes the whole records out; the incomplete one moves to the front of a buffer.
    fn cut(&mut self) -> Option<Batch> {
        if self.partial == 0 {
            return None;
        }
        let payload = if self.partial < self.buffer.capacity() / 2 {
            let payload = Bytes::copy_from_slice(&self.buffer[..self.partial]);
            self.buffer.drain(..self.partial);
            payload
        } else {
            let carry = self.buffer[self.partial..].to_vec();
            let mut whole = std::mem::replace(&mut self.buffer, carry);
            whole.truncate(self.partial);
            buffers::filled(whole)
        };
        let ends = if self.ends.len() < self.ends.capacity() / 2 {
            let ends = Bytes::copy_from_slice(&self.ends);
            self.ends.clear();
            ends
        } else {
            let likely = self.ends.len() + self.ends.len() / 8 + END_BYTES;
            Bytes::from(std::mem::replace(&mut self.ends, Vec::with_capacity(likely)))
        };
        self.bytes_before += self.partial as u64;
        self.scanned -= self.partial;
        self.partial = 0;
        Some(
            Batch::from_parts(payload, ends, 0)
                .expect("the end offsets found increase up to the last end of a record"),
        )
    }
}

#[inline]
fn push_end(ends: &mut Vec<u8>, end: usize) {
    let end = u32::try_from(end).expect("the caps on max_record and chunk_bytes keep buffers below 4 GiB");
    ends.extend_from_slice(&end.to_le_bytes());
}

impl Drop for Chunker {
    fn drop(&mut self) {
        buffers::give_back(std::mem::take(&mut self.buffer));
    }
}

/// How long a record is without the byte that ends it.
fn content_length(record: &[u8], terminator: Option<u8>) -> usize {
    record.len() - usize::from(record.last().is_some_and(|&last| terminator == Some(last)))
}

#[cfg(test)]
mod tests;
