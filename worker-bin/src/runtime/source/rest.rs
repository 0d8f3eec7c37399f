//! What was read of a source and is not given yet, where its rate lets less through than is read at once.
//!
//! Positions are in whole chunks, as readers give them; within one it is counted how many of its records were given. What the chunk
//! has beside records goes with its last part, so that no life gives it twice.

use crate::io::source::{Part, SourceReader};
use bytes::Bytes;
use worker_core::config::Measure;
use worker_core::event::{Amount, DeadLetter};
use worker_proto::Batch;

/// The rest of what was read last.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Rest {
    chunk: Option<Chunk>,
    /// So many records that come next were given by an earlier life.
    given_before: u64,
    /// Of chunks all of whose records were given by one.
    letters: Vec<DeadLetter>,
}

#[derive(Debug)]
struct Chunk {
    records: Batch,
    letters: Vec<DeadLetter>,
    /// Where it begins, if it may be given in parts and a later life goes on.
    before: Option<Bytes>,
    /// Of its records.
    given: u64,
    /// Where it ends.
    after: Option<Bytes>,
}

/// What goes on now.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) batch: Batch,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) position: Option<Bytes>,
}

/// The reader's own position in one that may be within a chunk.
pub(super) fn within(position: Bytes) -> Bytes {
    Part::of(position).reader
}

impl Rest {
    /// The position that a reader goes on from, and what behind that was given by earlier lives.
    pub(in crate::runtime) fn after(position: Option<Bytes>) -> (Option<Bytes>, Self) {
        let part = position.map(Part::of);
        let given_before = part.as_ref().map_or(0, |part| part.given);
        (part.map(|part| part.reader), Self { given_before, ..Self::default() })
    }

    /// Of the records that come next.
    pub(in crate::runtime) fn given_before(&self) -> u64 {
        self.given_before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunk.is_none()
    }

    /// Keeps what `reader` has given last, which began at `before`.
    pub(super) fn hold(&mut self, batch: Batch, reader: &mut dyn SourceReader, before: Option<Bytes>) {
        let given = self.given_before.min(batch.len() as u64);
        self.given_before -= given;
        let mut letters = std::mem::take(&mut self.letters);
        letters.extend(reader.take_letters());
        if given > 0 && given == batch.len() as u64 {
            self.letters = letters;
            return;
        }
        let records = batch.slice(usize::try_from(given).unwrap_or(usize::MAX)..batch.len());
        self.chunk = Some(Chunk { records, letters, before, given, after: reader.position() });
    }

    /// As much as may go on: all of it, where there is no limit.
    pub(super) fn give(&mut self, most: Option<Amount>) -> Given {
        let nothing = || Given { batch: Batch::empty(), letters: Vec::new(), position: None };
        let Some(mut chunk) = self.chunk.take() else { return nothing() };
        let records = fitting(&chunk.records, most);
        if records >= chunk.records.len() {
            return Given { batch: chunk.records, letters: chunk.letters, position: chunk.after };
        }
        let batch = chunk.records.slice(0..records);
        chunk.given += records as u64;
        let part = |reader| Part { reader, given: chunk.given }.position();
        let position = chunk.before.clone().map(part);
        chunk.records = chunk.records.slice(records..chunk.records.len());
        self.chunk = Some(chunk);
        Given { batch, letters: Vec::new(), position }
    }
}

fn fitting(batch: &Batch, most: Option<Amount>) -> usize {
    match most {
        None => batch.len(),
        Some(Amount { count, of: Measure::Records }) => usize::try_from(count).unwrap_or(usize::MAX),
        Some(Amount { count, of: Measure::Bytes }) => batch.fitting(count).max(1),
    }
}
