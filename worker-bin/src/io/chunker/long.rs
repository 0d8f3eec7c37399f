//! Records over the limit, passed over: what is kept of one is its beginning and its length.
//!
//! ```text
//!   none ──over the limit, all before it given──▶ passing over ──its end──▶ whole ──taken as a piece──▶ none
//! ```
//! Limit: `max_record` and [`REST_BYTES_MAX`] bytes of it are held, however long it is.

use super::{Chunker, RecordTooLong, content_length};
use crate::io::framing::Found;
use worker_proto::Batch;

/// How much is kept of what lies behind the limit.
const REST_BYTES_MAX: usize = 64 * 1024;

/// What a chunker gives next, in the order of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Records(Batch),
    Long(LongRecord),
}

/// A record that is longer than the pipeline allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongRecord {
    /// Which record of the stream, from 1.
    pub record: u64,
    /// Where it starts in the stream, in bytes from 0.
    pub offset: u64,
    /// All its bytes in the stream, the newline or zero byte that ends it too if it has one.
    pub bytes: u64,
    /// As much of it as a record may have.
    pub head: Vec<u8>,
    /// What follows that, or its beginning; no terminator.
    pub rest: Vec<u8>,
    is_whole: bool,
    has_terminator: bool,
    /// The last of its bytes is not of the input, which lacked its end.
    pub lacks_end: bool,
}

impl LongRecord {
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Its bytes without a terminator.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.bytes - u64::from(self.has_terminator)
    }

    fn add(&mut self, more: &[u8], max_record: usize) {
        self.bytes += more.len() as u64;
        let (head, behind) = more.split_at(more.len().min(max_record - self.head.len()));
        self.head.extend_from_slice(head);
        let room = REST_BYTES_MAX - self.rest.len();
        self.rest.extend_from_slice(&behind[..behind.len().min(room)]);
    }
}

impl Chunker {
    /// Like [`Chunker::next`], with the records that are too long between the batches.
    ///
    /// # Errors
    /// [`RecordTooLong`], unless they are passed over.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, RecordTooLong> {
        self.piece(false)
    }

    /// Like [`Chunker::flush`], with the records that are too long between the batches.
    ///
    /// # Errors
    /// [`RecordTooLong`], unless they are passed over.
    pub fn flush_piece(&mut self) -> Result<Option<Piece>, RecordTooLong> {
        self.piece(true)
    }

    /// Whether it holds a whole record that is too long, so that it does not know yet how many follow.
    pub fn holds_long(&mut self) -> bool {
        self.passes_over && (self.long.is_some() || self.scan().is_err())
    }

    fn piece(&mut self, however_few: bool) -> Result<Option<Piece>, RecordTooLong> {
        loop {
            if self.long.is_some() {
                self.pass_over();
                return Ok(self.long.take_if(|long| long.is_whole).map(Piece::Long));
            }
            match self.scan() {
                Err(refused) if !self.passes_over => return Err(refused),
                // What comes before it goes first.
                Err(_) if self.partial > 0 => return Ok(self.cut().map(Piece::Records)),
                Err(refused) => self.begin_long(&refused),
                Ok(()) if however_few || self.has_enough() => return Ok(self.cut().map(Piece::Records)),
                Ok(()) => return Ok(None),
            }
        }
    }

    /// Finds records; says whether one is too long, which is left to [`Chunker::piece`].
    pub(super) fn scan_or_pass_over(&mut self) -> Result<bool, RecordTooLong> {
        match self.scan() {
            Err(refused) if !self.passes_over => Err(refused),
            found => Ok(found.is_err()),
        }
    }

    /// The incomplete record at the beginning of the buffer is too long.
    fn begin_long(&mut self, refused: &RecordTooLong) {
        self.long = Some(LongRecord {
            record: refused.record,
            offset: refused.offset,
            bytes: 0,
            head: Vec::new(),
            rest: Vec::new(),
            is_whole: false,
            has_terminator: false,
            lacks_end: false,
        });
    }

    /// Takes from the buffer what belongs to the long record.
    fn pass_over(&mut self) {
        if self.long.as_ref().is_none_or(|long| long.is_whole) {
            return;
        }
        let (own, is_whole) = match self.splitter.find(&self.buffer, self.scanned) {
            Found::End(own) => (own, true),
            // What may be its end is kept until that is known.
            Found::More(own) => (content_length(&self.buffer[..own], self.terminator), false),
        };
        self.scanned = self.buffer.len();
        // Moving what is kept should not cost more than taking the rest.
        if !is_whole && own < self.buffer.len() - own {
            return;
        }
        let lacks_end = own > 0 && self.ends_completed(own);
        let Some(long) = &mut self.long else { return };
        long.lacks_end |= lacks_end;
        let record = &self.buffer[..own];
        let length = if is_whole { content_length(record, self.terminator) } else { own };
        long.add(&record[..length], self.max_record);
        if is_whole {
            long.bytes += (own - length) as u64;
            (long.is_whole, long.has_terminator) = (true, own > length);
            self.records += 1;
            self.scanned = 0;
        } else {
            self.splitter.drop_front(own);
            self.scanned -= own;
        }
        self.buffer.drain(..own);
        self.bytes_before += own as u64;
    }

    /// Ends the long record that is first, if there is one and no other is on its way: nothing comes behind what is there.
    pub(super) fn end_long_that_waits(&mut self) {
        if self.partial == 0 && self.long.is_none() {
            let refused = self.refuse();
            self.begin_long(&refused);
            self.end_long();
        }
    }

    /// Ends the record that is passed over, if there is one.
    pub(super) fn end_long(&mut self) -> bool {
        if self.long.is_none() {
            return false;
        }
        self.pass_over();
        let lacks_end = !self.buffer.is_empty() && self.ends_completed(self.buffer.len());
        match &mut self.long {
            Some(long) if !long.is_whole => {
                long.lacks_end |= lacks_end;
                let length = content_length(&self.buffer, self.terminator);
                long.add(&self.buffer[..length], self.max_record);
                long.bytes += (self.buffer.len() - length) as u64;
                (long.is_whole, long.has_terminator) = (true, self.buffer.len() > length);
                self.records += 1;
                self.bytes_before += self.buffer.len() as u64;
                self.buffer.clear();
                self.scanned = 0;
                self.splitter.begin();
                true
            }
            // Behind it another record has begun.
            Some(_) | None => self.buffer.is_empty(),
        }
    }

    /// Forgets the incomplete record at the end and gives as much of it as is at hand.
    pub fn take_partial(&mut self) -> Vec<u8> {
        let mut partial = match &self.long {
            Some(long) if !long.is_whole => long.head.clone(),
            Some(_) | None => self.buffer[self.partial..].to_vec(),
        };
        self.discard_partial();
        partial.truncate(REST_BYTES_MAX);
        partial
    }

    /// Forgets the record that is passed over, if there is one without its end, as if it had not come; says how many bytes it had.
    pub(super) fn discard_long(&mut self) -> Option<usize> {
        self.pass_over();
        let long = self.long.take_if(|long| !long.is_whole)?;
        self.bytes_before -= long.bytes;
        let kept = std::mem::take(&mut self.buffer).len();
        self.scanned = 0;
        self.splitter.begin();
        Some(usize::try_from(long.bytes).unwrap_or(usize::MAX).saturating_add(kept))
    }
}

#[cfg(test)]
mod tests;
