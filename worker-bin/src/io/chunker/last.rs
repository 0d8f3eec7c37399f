//! The last record, behind which nothing comes.

use super::{Chunker, RecordTooLong};
use crate::io::framing::Last;
use crate::text::units::number;
use thiserror::Error;
use worker_proto::Batch;

/// What ending a record came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Bytes that the input was given: the newline that it lacked at its end.
    pub invented: u64,
    /// What was left out, without what it was given.
    pub left_out: Option<LeftOut>,
}

/// What is no whole record, at the end of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// So many bytes of blanks behind the last value.
    Blanks(u64),
    Torn(TornRecord),
}

/// The input ends within a record, of which a part is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "record {record} (starting at byte {offset}) breaks off: {why}",
    record = number(*record), offset = number(*offset)
)]
pub struct TornRecord {
    /// Which record of the stream, from 1.
    pub record: u64,
    /// Where it starts in the stream, in bytes from 0.
    pub offset: u64,
    /// What is there and what was expected.
    pub why: String,
    /// What there is of it.
    pub bytes: Vec<u8>,
}

/// Why the end cannot be given.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FinishError {
    #[error(transparent)]
    TooLong(#[from] RecordTooLong),
    #[error("{0}; check that `framing` says how its records follow one another")]
    Torn(TornRecord),
}

impl Chunker {
    /// All that is left; a last record of text without its end is given one.
    ///
    /// # Errors
    /// [`FinishError`]; of one that breaks off, once all before it was given.
    pub fn finish(&mut self) -> Result<Option<Batch>, FinishError> {
        let ended = self.end_record()?;
        if let Some(LeftOut::Torn(torn)) = ended.left_out {
            return Err(FinishError::Torn(torn));
        }
        Ok(self.cut())
    }

    /// No more comes of its input: text without its last newline is given one, so that its last line is one like the others. Says
    /// how many bytes that took.
    pub fn complete(&mut self) -> u64 {
        let lacks = |byte: &u8| self.buffer.last().is_some_and(|last| last != byte);
        let Some(byte) = self.terminator.filter(lacks) else { return 0 };
        self.completed = Some(self.bytes());
        self.buffer.push(byte);
        1
    }

    /// Ends the incomplete record, if there is one: what comes next is another record.
    ///
    /// Where records are passed over, only one such is ended, and what is behind it by another call, once it was taken.
    ///
    /// # Errors
    /// [`RecordTooLong`].
    pub fn end_record(&mut self) -> Result<Ended, RecordTooLong> {
        let invented = self.complete();
        let as_it_is = Ended { invented, left_out: None };
        if self.end_long() {
            return Ok(as_it_is);
        }
        if self.scan_or_pass_over()? {
            self.end_long_that_waits();
            return Ok(as_it_is);
        }
        if self.partial == self.buffer.len() {
            return Ok(as_it_is);
        }
        match self.splitter.last(&self.buffer[self.partial..]) {
            Last::Whole => {
                self.partial = self.buffer.len();
                self.scanned = self.partial;
                self.records += 1;
                self.splitter.begin();
                super::push_end(&mut self.ends, self.partial);
                Ok(as_it_is)
            }
            Last::Blank => {
                let left_out = LeftOut::Blanks(self.take_last().len() as u64);
                Ok(Ended { invented: 0, left_out: Some(left_out) })
            }
            Last::Torn(why) => {
                let (record, offset) = (self.records + 1, self.bytes_before + self.partial as u64);
                let bytes = self.take_last();
                let left_out = LeftOut::Torn(TornRecord { record, offset, why, bytes });
                Ok(Ended { invented: 0, left_out: Some(left_out) })
            }
        }
    }

    /// Nothing more is waited for: a record that looks whole is one, though nothing behind it shows that.
    ///
    /// # Errors
    /// [`RecordTooLong`].
    pub fn end_what_looks_whole(&mut self) -> Result<Ended, RecordTooLong> {
        let is_long = self.long.is_some() || self.scan_or_pass_over()?;
        let record = &self.buffer[self.partial..];
        if is_long || record.is_empty() || !self.splitter.looks_whole(record) {
            return Ok(Ended::default());
        }
        self.end_record()
    }

    /// The incomplete record, without what it was given.
    fn take_last(&mut self) -> Vec<u8> {
        let was_given = self.ends_completed(self.buffer.len());
        self.completed = None;
        let mut bytes = self.buffer.split_off(self.partial);
        self.scanned = self.partial;
        self.splitter.begin();
        bytes.truncate(bytes.len() - usize::from(was_given));
        bytes
    }

    /// Whether the last of the first `own` bytes at hand is not of the input.
    pub(super) fn ends_completed(&self, own: usize) -> bool {
        self.completed.is_some_and(|at| at + 1 == self.bytes_before + own as u64)
    }
}
