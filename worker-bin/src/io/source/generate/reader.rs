//! Gives the records one after the other, no faster than they are due.

use super::rate::{Due, Pace};
use super::{Generate, Records};
use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use crate::io::source::{Counter, Header, Opening, Progress, SlowStart, SourceError, SourceReader, Stop};
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::time::{Duration, Instant};
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
    pace: Option<Pace>,
    stop: Stop,
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
            pace: what.rate.map(|rate| Pace::new(rate, Instant::now())),
            stop: opening.stop.clone(),
        })
    }

    /// How many of at most `most` records are due; waits until one is. None when stopped.
    fn wait(&mut self, most: u64) -> Result<u64, SourceError> {
        let Some(pace) = &mut self.pace else { return Ok(most) };
        loop {
            let now = Instant::now();
            let until = match pace.due(now, most) {
                Due::Now(records) => return Ok(records),
                Due::Later(until) => until,
            };
            if is_stopped(&self.stop, until.saturating_duration_since(now))? {
                return Ok(0);
            }
        }
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
        let due = self.wait(fits.min(left))?;
        if due == 0 {
            return Ok(None);
        }
        let mut payload = Vec::with_capacity(usize::try_from(due * self.record_bytes()).unwrap_or(0));
        for number in (0..due).map(|at| self.next + at * self.step) {
            self.records.append(&mut payload, number);
            payload.push(self.terminator);
        }
        let batch = self.counter.admit(Batch::from_terminated(payload.into(), self.terminator));
        self.next += batch.len() as u64 * self.step;
        if let Some(pace) = &mut self.pace {
            pace.give(batch.len() as u64);
        }
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

/// Waits for so long, unless it is to stop.
fn is_stopped(stop: &Stop, time: Duration) -> Result<bool, SourceError> {
    let seconds = time.as_secs().try_into().unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: time.subsec_nanos().into() };
    match poll(&mut [PollFd::new(stop, PollFlags::IN)], Some(&time)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(e) => Err(SourceError::Read { name: NAME.to_owned(), offset: 0, source: e.into() }),
    }
}
