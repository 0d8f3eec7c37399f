//! Gives the records one after the other.

use super::{Generate, Records};
use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use crate::io::source::{Counter, Header, Opening, Progress, SlowStart, SourceError, SourceReader};
use bytes::Bytes;
use worker_proto::Batch;

const TAG: Tag = *b"WSG1";
const NAME: &str = "generated records";

#[derive(Debug)]
pub(super) struct GeneratedSource {
    records: Records,
    /// Number of the last record; they count from 1.
    last: Option<u64>,
    /// Number of the next one.
    next: u64,
    /// From one to the next: the tasks of a source share the numbers.
    step: u64,
    terminator: u8,
    size: SlowStart,
    counter: Counter,
}

impl GeneratedSource {
    pub(super) fn open(what: &Generate, opening: &Opening<'_>) -> Result<Self, SourceError> {
        let options = &opening.options;
        let (own, step) = (u64::from(opening.task.0), u64::from(opening.task.1).max(1));
        let first = own
            + match options.header {
                Header::Keep | Header::Repeat => 1,
                Header::Skip => 2,
            };
        let next = match opening.durable.as_ref().and_then(|lives| lives.position.as_ref()) {
            Some(position) => {
                number(position).map_err(|source| SourceError::Position { name: NAME.to_owned(), source })?
            }
            None => first,
        };
        let mut counter = Counter::new(options.limit);
        counter.given = next.saturating_sub(first) / step;
        Ok(Self {
            records: what.made(),
            last: what.records,
            next,
            step,
            terminator: options.framing.terminator().unwrap_or(b'\n'),
            size: SlowStart::new(),
            counter,
        })
    }

    /// How many records are left to be made here.
    fn left(&self) -> u64 {
        self.last.map_or(u64::MAX, |last| (last + 1).saturating_sub(self.next).div_ceil(self.step))
    }

    fn record_bytes(&self) -> u64 {
        self.records.bytes + 1
    }
}

impl SourceReader for GeneratedSource {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        let left = self.left();
        if left == 0 || self.counter.is_full() {
            return Ok(None);
        }
        let fits = (self.size.bytes() as u64 / self.record_bytes()).max(1);
        let due = fits.min(left);
        let mut payload = Vec::with_capacity(usize::try_from(due * self.record_bytes()).unwrap_or(0));
        for number in (0..due).map(|at| self.next + at * self.step) {
            self.records.append(&mut payload, number);
            payload.push(self.terminator);
        }
        let batch = self.counter.admit(Batch::from_terminated(payload.into(), self.terminator));
        self.next += batch.len() as u64 * self.step;
        self.size.grow();
        Ok(Some(batch))
    }

    fn progress(&self) -> Progress {
        let bytes = |records: u64| records.saturating_mul(self.record_bytes());
        let all = self.last.map(|_| (self.counter.given + self.left()).min(self.counter.limit));
        Progress {
            done_bytes: bytes(self.counter.given),
            total_bytes: all.map(bytes),
            records: self.counter.given,
        }
    }

    fn header(&self) -> Option<Bytes> {
        None
    }

    fn position(&self) -> Option<Bytes> {
        Some(Writer::new(TAG).number(self.next).finish().into())
    }
}

/// The number that a position stands for.
fn number(position: &[u8]) -> Result<u64, LayoutError> {
    let mut reader = Reader::new(position, TAG)?;
    let number = reader.number()?;
    reader.finish()?;
    if number == 0 { Err(LayoutError::Contradiction) } else { Ok(number) }
}
