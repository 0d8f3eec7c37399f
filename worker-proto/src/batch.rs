//! Records in one contiguous buffer, with the end offset of each.

use bytes::{Bytes, BytesMut};
use std::ops::Range;
use thiserror::Error;

const END_BYTES: usize = 4;

/// Records laid end to end in one buffer. Cloning and slicing copy nothing.
///
/// Each record includes what ends it (a newline, say), or stands before it, as the pipeline says. `ends` holds one
/// little-endian `u32` a record: the offset behind the record's last byte, counted from `base` bytes before the payload's
/// start, so that a slice of a batch is a slice of both buffers and the wire carries both as they are.
///
/// A record has at least one byte. What ends where the one before it does is none but a [boundary](Batch::boundary): a tuple without bytes,
/// which closes a run of records on a link that is kept in order. It takes a place in the sequence and counts as no record.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    payload: Bytes,
    ends: Bytes,
    base: u32,
    boundaries: usize,
}

/// Why bytes are not a batch: the sender broke the protocol.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The end offsets are not a whole number of 4-byte words.
    #[error("end offsets take {0} bytes, expected a multiple of 4")]
    RaggedEnds(usize),
    /// An end offset is before the one before it.
    #[error("record {index} ends before the record before it")]
    Decreasing {
        /// Index of the record, from 0.
        index: usize,
    },
    /// The last end offset is not the end of the payload.
    #[error("the last record ends at {last}, the payload at {payload}")]
    WrongEnd {
        /// Last end offset minus base, in bytes.
        last: u64,
        /// Payload length, in bytes.
        payload: usize,
    },
}

impl Batch {
    /// What a record costs beside its own bytes: its end offset.
    pub const END_BYTES: u64 = END_BYTES as u64;

    /// A batch from its three parts as they travel; checks every end offset.
    ///
    /// # Errors
    /// [`BatchError`] if the offsets are ragged, decrease from `base`, or do not end with the payload.
    pub fn from_parts(payload: Bytes, ends: Bytes, base: u32) -> Result<Self, BatchError> {
        if !ends.len().is_multiple_of(END_BYTES) {
            return Err(BatchError::RaggedEnds(ends.len()));
        }
        let mut previous = base;
        let (mut sorted, mut boundaries) = (true, 0);
        for end in words(&ends) {
            sorted &= end >= previous;
            boundaries += usize::from(end == previous);
            previous = end;
        }
        if !sorted {
            return Err(first_decreasing(&ends, base));
        }
        let last = u64::from(previous) - u64::from(base);
        if last != payload.len() as u64 {
            return Err(BatchError::WrongEnd { last, payload: payload.len() });
        }
        Ok(Self { payload, ends, base, boundaries })
    }

    /// A batch of the records in `payload`, each ended by `terminator`; bytes after the last terminator are a record too.
    ///
    /// # Panics
    /// If `payload` has 4 GiB or more: callers bound their buffers far below.
    #[must_use]
    pub fn from_terminated(payload: Bytes, terminator: u8) -> Self {
        assert!(u32::try_from(payload.len()).is_ok(), "a batch holds less than 4 GiB");
        let mut ends = Vec::with_capacity((payload.len() / 64 + 1) * END_BYTES);
        for at in memchr::memchr_iter(terminator, &payload) {
            push_end(&mut ends, at + 1);
        }
        if payload.last().is_some_and(|&b| b != terminator) {
            push_end(&mut ends, payload.len());
        }
        Self { payload, ends: ends.into(), base: 0, boundaries: 0 }
    }

    /// What closes a run of records: one tuple without bytes.
    #[must_use]
    pub fn boundary() -> Self {
        Self { payload: Bytes::new(), ends: Bytes::from_static(&[0; END_BYTES]), base: 0, boundaries: 1 }
    }

    /// One record, of at least one byte.
    ///
    /// # Panics
    /// If `payload` has 4 GiB or more.
    #[must_use]
    pub fn of_one(payload: Bytes) -> Self {
        debug_assert!(!payload.is_empty(), "a record has bytes");
        let mut ends = Vec::with_capacity(END_BYTES);
        push_end(&mut ends, payload.len());
        Self { payload, ends: ends.into(), base: 0, boundaries: 0 }
    }

    /// No records.
    #[must_use]
    pub fn empty() -> Self {
        Self { payload: Bytes::new(), ends: Bytes::new(), base: 0, boundaries: 0 }
    }

    /// How many tuples: records, and boundaries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / END_BYTES
    }

    /// How many records, which boundaries are not.
    #[must_use]
    pub fn records(&self) -> u64 {
        (self.len() - self.boundaries) as u64
    }

    /// How many boundaries.
    #[must_use]
    pub fn boundaries(&self) -> u64 {
        self.boundaries as u64
    }

    /// How many records come before the first boundary; `None` if there is none.
    #[must_use]
    pub fn before_boundary(&self) -> Option<usize> {
        if self.boundaries == 0 {
            return None;
        }
        let mut previous = self.base;
        words(&self.ends).position(|end| end == std::mem::replace(&mut previous, end))
    }

    /// Whether there are no tuples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Payload size in bytes, terminators included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// What a batch is charged with against credit and budgets, in bytes: payload and end offsets.
    #[must_use]
    pub fn cost(&self) -> u64 {
        (self.payload.len() + self.ends.len()) as u64
    }

    /// All records' bytes.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The end offsets as they travel: little-endian `u32`s, counted from [`Batch::base`].
    #[must_use]
    pub fn raw_ends(&self) -> &Bytes {
        &self.ends
    }

    /// What the end offsets count from.
    #[must_use]
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Record `index`, terminator included.
    ///
    /// # Panics
    /// If `index` is not below [`Batch::len`].
    #[must_use]
    pub fn record(&self, index: usize) -> &[u8] {
        &self.payload[self.offset(index)..self.offset(index + 1)]
    }

    /// All records in order, terminators included.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let mut start = 0;
        words(&self.ends).map(move |end| {
            let end = (end - self.base) as usize;
            let record = &self.payload[start..end];
            start = end;
            record
        })
    }

    /// The records in `range`, sharing this batch's buffers.
    ///
    /// # Panics
    /// If the range does not lie within `0..len`.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        if range.is_empty() {
            return Self::empty();
        }
        let (start, end) = (self.offset(range.start), self.offset(range.end));
        let (base, ends) = (self.end_word(range.start), range.start * END_BYTES..range.end * END_BYTES);
        let ends = self.ends.slice(ends);
        let boundaries = if self.boundaries == 0 { 0 } else { count_boundaries(&ends, base) };
        Self { payload: self.payload.slice(start..end), ends, base, boundaries }
    }

    /// How many leading records cost at most `cost_max` bytes together (see [`Batch::cost`]); may be 0.
    #[must_use]
    pub fn fitting(&self, cost_max: u64) -> usize {
        if self.cost() <= cost_max {
            return self.len();
        }
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = (low + high).div_ceil(2);
            if (self.offset(mid) + mid * END_BYTES) as u64 <= cost_max { low = mid } else { high = mid - 1 }
        }
        low
    }

    /// A copy that owns exactly its own bytes, for batches kept long that pin a larger buffer.
    #[must_use]
    pub fn compact(&self) -> Self {
        Self {
            payload: Bytes::copy_from_slice(&self.payload),
            ends: Bytes::copy_from_slice(&self.ends),
            base: self.base,
            boundaries: self.boundaries,
        }
    }

    /// These records and then `other`'s, in new buffers; for small batches that are kept long.
    ///
    /// # Panics
    /// If both together reach 4 GiB: callers join small batches only.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let mut payload = BytesMut::with_capacity(self.bytes() + other.bytes());
        payload.extend_from_slice(&self.payload);
        payload.extend_from_slice(&other.payload);
        let mut ends = Vec::with_capacity(self.ends.len() + other.ends.len());
        words(&self.ends).for_each(|end| push_end(&mut ends, (end - self.base) as usize));
        words(&other.ends).for_each(|end| push_end(&mut ends, self.bytes() + (end - other.base) as usize));
        let boundaries = self.boundaries + other.boundaries;
        Self { payload: payload.freeze(), ends: ends.into(), base: 0, boundaries }
    }

    /// Offset in the payload where record `index` starts (`index == len`: where the last one ends).
    fn offset(&self, index: usize) -> usize {
        (self.end_word(index) - self.base) as usize
    }

    /// The end offset of the record before `index`, as stored.
    fn end_word(&self, index: usize) -> u32 {
        if index == 0 {
            return self.base;
        }
        let at = (index - 1) * END_BYTES;
        let word = &self.ends[at..at + END_BYTES];
        u32::from_le_bytes([word[0], word[1], word[2], word[3]])
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} records, {} bytes)", self.len(), self.bytes())
    }
}

/// Gathers single records into a [`Batch`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    payload: BytesMut,
    ends: Vec<u8>,
    boundaries: usize,
}

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one record, which carries its terminator.
    ///
    /// # Panics
    /// If `record` is empty, or the batch would reach 4 GiB: callers bound their buffers far below.
    pub fn push(&mut self, record: &[u8]) {
        assert!(!record.is_empty(), "a record carries at least its terminator");
        self.payload.extend_from_slice(record);
        push_end(&mut self.ends, self.payload.len());
    }

    /// Adds everything that a batch has, boundaries included.
    ///
    /// # Panics
    /// If the batch would reach 4 GiB.
    pub fn append(&mut self, batch: &Batch) {
        let before = self.payload.len();
        self.payload.extend_from_slice(&batch.payload);
        words(&batch.ends).for_each(|end| push_end(&mut self.ends, before + (end - batch.base) as usize));
        self.boundaries += batch.boundaries;
    }

    /// Tuples so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / END_BYTES
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Payload bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Takes what was gathered, leaving the builder empty.
    pub fn take(&mut self) -> Batch {
        let ends = std::mem::take(&mut self.ends);
        let boundaries = std::mem::take(&mut self.boundaries);
        Batch { payload: self.payload.split().freeze(), ends: ends.into(), base: 0, boundaries }
    }
}

fn words(ends: &[u8]) -> impl Iterator<Item = u32> + '_ {
    ends.chunks_exact(END_BYTES).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
}

fn push_end(ends: &mut Vec<u8>, end: usize) {
    let end = u32::try_from(end).expect("a batch holds less than 4 GiB");
    ends.extend_from_slice(&end.to_le_bytes());
}

fn count_boundaries(ends: &[u8], base: u32) -> usize {
    let mut previous = base;
    words(ends).filter(|&end| end == std::mem::replace(&mut previous, end)).count()
}

fn first_decreasing(ends: &[u8], base: u32) -> BatchError {
    let mut previous = base;
    let index = words(ends).position(|end| end < std::mem::replace(&mut previous, end)).unwrap_or(0);
    BatchError::Decreasing { index }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str) -> Batch {
        Batch::from_terminated(Bytes::from_static(text.as_bytes()), b'\n')
    }

    #[test]
    fn splits_at_terminators_and_keeps_an_unterminated_tail() {
        let batch = lines("a\nbb\n\nlast");
        assert_eq!(batch.iter().collect::<Vec<_>>(), [&b"a\n"[..], b"bb\n", b"\n", b"last"]);
    }

    #[test]
    fn a_slice_survives_the_wire() {
        let slice = lines("one\ntwo\nthree\nfour\n").slice(1..3);
        assert_eq!(slice.record(1), b"three\n");
        let parts = Batch::from_parts(slice.payload().clone(), slice.raw_ends().clone(), slice.base());
        assert_eq!(parts, Ok(slice));
    }

    #[test]
    fn a_boundary_has_a_place_and_is_no_record() {
        let boundary = Batch::boundary();
        assert_eq!((boundary.len(), boundary.records(), boundary.bytes(), boundary.cost()), (1, 0, 0, 4));
        let mixed = boundary.joined(&lines("one\ntwo\n")).joined(&boundary).joined(&lines("three\n"));
        assert_eq!((mixed.len(), mixed.records(), mixed.boundaries()), (5, 3, 2));
        assert_eq!(mixed.iter().collect::<Vec<_>>(), [&b""[..], b"one\n", b"two\n", b"", b"three\n"]);
        let parts = Batch::from_parts(mixed.payload().clone(), mixed.raw_ends().clone(), mixed.base());
        assert_eq!(parts.as_ref(), Ok(&mixed));
        let mut builder = BatchBuilder::new();
        builder.push(b"first\n");
        builder.append(&mixed.slice(1..5));
        assert_eq!(builder.take(), lines("first\n").joined(&mixed.slice(1..5)));
        for (range, before) in [(0..5, Some(0)), (1..5, Some(2)), (1..3, None), (2..4, Some(1)), (4..5, None)]
        {
            let slice = mixed.slice(range.clone());
            assert_eq!(slice.before_boundary(), before, "{range:?}");
            let parts = Batch::from_parts(slice.payload().clone(), slice.raw_ends().clone(), slice.base());
            assert_eq!(parts, Ok(slice.compact()), "{range:?}");
        }
    }

    #[test]
    fn refuses_offsets_that_decrease_or_end_elsewhere() {
        let batch = lines("one\ntwo\n");
        let mut swapped = batch.raw_ends().to_vec();
        swapped.rotate_left(4);
        let refused = Batch::from_parts(batch.payload().clone(), swapped.into(), 0);
        assert_eq!(refused, Err(BatchError::Decreasing { index: 1 }));
        let short = Batch::from_parts(batch.payload().slice(..7), batch.raw_ends().clone(), 0);
        assert_eq!(short, Err(BatchError::WrongEnd { last: 8, payload: 7 }));
    }

    #[test]
    fn joining_keeps_records_and_order() {
        let joined = lines("one\ntwo\nthree\n").slice(1..3).joined(&lines("four\nfive\n").slice(1..2));
        assert_eq!(joined.iter().collect::<Vec<_>>(), [&b"two\n"[..], b"three\n", b"five\n"]);
        assert_eq!(Batch::from_parts(joined.payload().clone(), joined.raw_ends().clone(), 0), Ok(joined));
    }

    #[test]
    fn fitting_counts_whole_records_within_a_cost() {
        let batch = lines("a\nbb\nccc\n");
        assert_eq!(batch.fitting(5), 0);
        assert_eq!(batch.fitting(6), 1);
        assert_eq!(batch.fitting(batch.cost() - 1), 2);
        assert_eq!(batch.fitting(batch.cost()), 3);
    }
}
