//! What was read of a source and is not given yet, where its rate lets less through than is read at once, or only a sample goes on.
//!
//! Positions are in whole chunks, as readers give them; within one it is counted how many of its records are done with. What the chunk
//! has beside records goes with its last part, so that no life gives it twice.

use super::sample::{Picked, Sampler, Seen};
use crate::io::source::{Part, SourceReader};
use bytes::Bytes;
use worker_core::config::Measure;
use worker_core::event::{Amount, DeadLetter, Origin};
use worker_proto::Batch;

/// The rest of what was read last.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Rest {
    chunk: Option<Chunk>,
    /// So many records that come next were done with by an earlier life.
    done_before: u64,
    /// Of chunks all of whose records were.
    letters: Vec<DeadLetter>,
    /// `None`: all records go on.
    sampler: Option<Sampler>,
    /// Where there is one.
    seen: Seen,
}

#[derive(Debug)]
struct Chunk {
    records: Batch,
    /// Of a sample, for each of them how many records of what was read are done with behind it, and how many of these were left out;
    /// reversed, so the next is the last.
    ends: Option<Vec<(u64, u64)>>,
    letters: Vec<DeadLetter>,
    /// Where it begins, if it may be given in parts and a later life goes on.
    before: Option<Bytes>,
    /// Records read before it.
    read_before: u64,
    /// Of its records.
    done: u64,
    /// Where it ends.
    after: Option<Bytes>,
    /// Where all of its records lie outside, if they all go on together.
    origin: Option<(u32, u64)>,
    /// Of a sample: in all, and what was told of.
    left_out: u64,
    told: u64,
}

/// What goes on now.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) batch: Batch,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) position: Option<Bytes>,
    /// Records that were read and do not go on.
    pub(super) left_out: u64,
    /// Where they lie outside.
    pub(super) origin: Option<Box<Origin>>,
}

/// The reader's own position in one that may be within a chunk.
pub(super) fn within(position: Bytes) -> Bytes {
    Part::of(position).reader
}

impl Rest {
    /// The position that a reader goes on from, and what behind that was done with by earlier lives.
    pub(in crate::runtime) fn after(position: Option<Bytes>) -> (Option<Bytes>, Self) {
        let Some(part) = position.map(Part::of) else { return (None, Self::default()) };
        let (read, given) = part.sampled.unwrap_or_default();
        let rest = Self { done_before: part.given, seen: Seen { read, given }, ..Self::default() };
        (Some(part.reader), rest)
    }

    /// Only a sample goes on.
    pub(in crate::runtime) fn sampled(self, sampler: Option<Sampler>) -> Self {
        Self { sampler, ..self }
    }

    /// Of the records that come next.
    pub(in crate::runtime) fn done_before(&self) -> u64 {
        self.done_before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunk.is_none()
    }

    /// No more of them is to go on.
    pub(super) fn is_full(&self) -> bool {
        self.is_empty() && self.sampler.as_ref().is_some_and(|sampler| sampler.is_full(self.seen))
    }

    /// Keeps what `reader` has given last, which began at `before`.
    pub(super) fn hold(&mut self, batch: Batch, reader: &mut dyn SourceReader, before: Option<Bytes>) {
        let (read, read_before) = (batch.len() as u64, self.seen.read);
        let done = self.done_before.min(read);
        self.done_before -= done;
        let mut letters = std::mem::take(&mut self.letters);
        letters.extend(reader.take_letters());
        let (records, ends, left_out) = match &mut self.sampler {
            None => (batch.slice(usize::try_from(done).unwrap_or(usize::MAX)..batch.len()), None, 0),
            Some(sampler) => {
                let Picked { records, mut ends, letters: keyless, left_out } =
                    sampler.pick(&batch, self.seen, done);
                letters.extend(keyless);
                ends.reverse();
                (records, Some(ends), left_out)
            }
        };
        self.seen.read += read;
        if done > 0 && done == read {
            self.letters = letters;
            return;
        }
        let after = reader.position();
        let origin = reader.origin().filter(|_| done == 0 && ends.is_none());
        self.chunk = Some(Chunk {
            records,
            ends,
            letters,
            before,
            read_before,
            done,
            after,
            origin,
            left_out,
            told: 0,
        });
    }

    /// As much as may go on: all of it, where there is no limit.
    pub(super) fn give(&mut self, most: Option<Amount>) -> Given {
        let nothing = || Given {
            batch: Batch::empty(),
            letters: Vec::new(),
            position: None,
            left_out: 0,
            origin: None,
        };
        let Some(mut chunk) = self.chunk.take() else { return nothing() };
        let records = fitting(&chunk.records, most).min(chunk.records.len());
        self.seen.given += records as u64;
        if records == chunk.records.len() {
            let Chunk { records: batch, letters, after, left_out, told, origin, .. } = chunk;
            let position = after.map(|reader| self.position(reader, self.seen.read, 0));
            let origin =
                origin.map(|(file, offset)| Box::new(Origin { file, offset, records: batch.clone() }));
            return Given { batch, letters, position, left_out: left_out - told, origin };
        }
        let batch = chunk.records.slice(0..records);
        let told = chunk.told;
        (chunk.done, chunk.told) = match &mut chunk.ends {
            None => (chunk.done + records as u64, told),
            Some(ends) => ends.drain(ends.len() - records..).next().unwrap_or((chunk.done, told)),
        };
        let position =
            chunk.before.clone().map(|reader| self.position(reader, chunk.read_before, chunk.done));
        chunk.records = chunk.records.slice(records..chunk.records.len());
        let left_out = chunk.told - told;
        chunk.origin = None;
        self.chunk = Some(chunk);
        Given { batch, letters: Vec::new(), position, left_out, origin: None }
    }

    /// `given` records behind the reader's position, before which so many were read.
    fn position(&self, reader: Bytes, read: u64, given: u64) -> Bytes {
        let sampled = self.sampler.as_ref().map(|_| (read, self.seen.given));
        match (sampled, given) {
            (None, 0) => reader,
            (sampled, given) => Part { reader, given, sampled }.position(),
        }
    }
}

fn fitting(batch: &Batch, most: Option<Amount>) -> usize {
    match most {
        None => batch.len(),
        Some(Amount { count, of: Measure::Records }) => usize::try_from(count).unwrap_or(usize::MAX),
        Some(Amount { count, of: Measure::Bytes }) => batch.fitting(count).max(1),
    }
}

#[cfg(test)]
mod tests;
