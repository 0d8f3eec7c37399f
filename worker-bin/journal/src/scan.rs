//! Reading one segment: which of its records are whole, and how far anything in it says that the journal is durable.

use super::error::Damage;
use super::format::{
    self, Binding, Position, RECORD_HEADER_BYTES, RECORD_HEADER_LEN, RECORD_MAGIC, RecordHeader, RecordKind,
    SEGMENT_HEADER_BYTES, SEGMENT_HEADER_LEN, SegmentHeader,
};
use super::record::{self, CheckpointHead, HEAD_LENGTH_BYTES, HEAD_LENGTH_LEN};
use super::sense::{NUMBER_MAX, Sense};
use super::storage::{StorageError, StorageFile};
use crc32fast::Hasher;
use memchr::memmem;
use worker_proto::JournalId;

/// How much is read at once, in bytes: little enough to stay in the cache until its checksum is computed.
const WINDOW_BYTES: usize = 256 * 1024;

/// What one segment file holds.
#[derive(Debug)]
pub(super) struct SegmentScan {
    pub(super) number: u64,
    /// `None`: the first bytes are no header of this segment.
    pub(super) header: Option<SegmentHeader>,
    /// Where the whole records end, as an offset in the file.
    pub(super) end: u64,
    /// The largest point that anything in the file says is on stable storage, whole records behind bad bytes included.
    pub(super) durable_to: Position,
    /// Of the first checkpoint.
    pub(super) checkpoint: Option<CheckpointHead>,
}

/// A record that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordAt {
    pub(super) header: RecordHeader,
    /// Offset of its header in the file.
    pub(super) offset: u64,
}

impl RecordAt {
    pub(super) fn payload_offset(&self) -> u64 {
        self.offset + RECORD_HEADER_BYTES
    }

    pub(super) fn end(&self) -> u64 {
        self.payload_offset() + u64::from(self.header.len)
    }
}

/// Why a segment cannot be read.
#[derive(Debug)]
pub(super) enum ScanError {
    Storage(StorageError),
    Damage(Damage),
}

impl From<StorageError> for ScanError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Damage> for ScanError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

/// The header of segment `number`, if there is one.
pub(super) fn header<F: StorageFile>(file: &F, number: u64) -> Result<Option<SegmentHeader>, ScanError> {
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    let read = file.read_at(&mut bytes, 0)?;
    let header = SegmentHeader::decode(&bytes[..read], number);
    header.iter().try_for_each(format::known_version)?;
    match header.filter(|header| header.base.0 > NUMBER_MAX || header.epoch.0 > NUMBER_MAX) {
        Some(header) => {
            let what = format!("position {}, epoch {}", header.base.0, header.epoch);
            Err(Damage::Senseless { segment: format::file_name(number), offset: 0, what }.into())
        }
        None => Ok(header),
    }
}

/// Reads all of segment `number` of `journal`.
pub(super) fn scan<F: StorageFile>(
    file: &F,
    number: u64,
    journal: JournalId,
) -> Result<SegmentScan, ScanError> {
    let header = header(file, number)?.filter(|h| h.journal == journal);
    let mut window = ReadWindow::new(file)?;
    let mut found = SegmentScan {
        number,
        header,
        end: 0,
        durable_to: header.map_or(Position(0), |h| h.durable_to),
        checkpoint: None,
    };
    if let Some(header) = &header {
        let mut records = Records::new(header);
        while let Some(record) = records.next(&mut window)? {
            found.durable_to = found.durable_to.max(record.header.durable_to);
            if record.header.kind == RecordKind::Checkpoint && found.checkpoint.is_none() {
                found.checkpoint = Some(head_of(&mut window, number, &record)?.0);
            }
        }
        found.end = records.offset;
    }
    let behind = claims_behind(&mut window, Binding::new(journal, number), found.end)?;
    found.durable_to = found.durable_to.max(behind);
    Ok(found)
}

/// The head of a record, and the offset in the file of what follows it.
pub(super) fn head_of<F: StorageFile, T: serde::de::DeserializeOwned + Sense>(
    window: &mut ReadWindow<'_, F>,
    number: u64,
    record: &RecordAt,
) -> Result<(T, u64), ScanError> {
    let senseless =
        |what: String| Damage::Senseless { segment: format::file_name(number), offset: record.offset, what };
    let at = record.payload_offset();
    let len = match window.bytes(at, HEAD_LENGTH_LEN)? {
        &[a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
        _ => return Err(senseless("no head".to_owned()).into()),
    };
    let (from, to) = (at + HEAD_LENGTH_BYTES, at + HEAD_LENGTH_BYTES + u64::from(len));
    if to > record.end() {
        return Err(senseless(format!("a head of {len} bytes in a record of {}", record.header.len)).into());
    }
    let bytes = window.bytes(from, len as usize)?;
    let head: T = record::decode(bytes).map_err(senseless)?;
    head.sense().map_err(senseless)?;
    Ok((head, to))
}

/// Goes over the whole records of a segment, in order.
#[derive(Debug)]
pub(super) struct Records {
    binding: Binding,
    /// Of the next record.
    pub(super) offset: u64,
    crc: u32,
}

impl Records {
    pub(super) fn new(header: &SegmentHeader) -> Self {
        let binding = Binding::new(header.journal, header.number);
        Self { binding, offset: SEGMENT_HEADER_BYTES, crc: binding.seed }
    }

    /// The next record, if it is whole.
    pub(super) fn next<F: StorageFile>(
        &mut self,
        window: &mut ReadWindow<'_, F>,
    ) -> Result<Option<RecordAt>, StorageError> {
        let bytes = window.bytes(self.offset, RECORD_HEADER_LEN)?;
        let Some(header) = RecordHeader::decode(bytes, self.binding, self.offset) else { return Ok(None) };
        let record = RecordAt { header, offset: self.offset };
        if record.end() > window.file_bytes {
            return Ok(None);
        }
        let mut hasher = Hasher::new_with_initial(self.crc);
        let mut at = record.payload_offset();
        while at < record.end() {
            let left = usize::try_from(record.end() - at).unwrap_or(usize::MAX);
            let some = window.part(at, left)?;
            if some.is_empty() {
                return Ok(None);
            }
            hasher.update(some);
            at += some.len() as u64;
        }
        if hasher.finalize() != header.crc {
            return Ok(None);
        }
        self.crc = header.crc;
        self.offset = record.end();
        Ok(Some(record))
    }
}

/// A part of a file in memory.
#[derive(Debug)]
pub(super) struct ReadWindow<'f, F> {
    file: &'f F,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
    pub(super) file_bytes: u64,
}

impl<'f, F: StorageFile> ReadWindow<'f, F> {
    pub(super) fn new(file: &'f F) -> Result<Self, StorageError> {
        Ok(Self { file, buffer: Vec::new(), start: 0, filled: 0, file_bytes: file.bytes()? })
    }

    /// `count` bytes at an offset; fewer at the end of the file.
    pub(super) fn bytes(&mut self, at: u64, count: usize) -> Result<&[u8], StorageError> {
        let there = self.file_bytes.saturating_sub(at);
        let count = count.min(usize::try_from(there).unwrap_or(usize::MAX));
        if at < self.start || at + count as u64 > self.start + self.filled as u64 {
            self.fill(at, count)?;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX).min(self.filled);
        Ok(&self.buffer[from..self.filled.min(from + count)])
    }

    /// At least one and at most `max` bytes at an offset; none at the end of the file.
    fn part(&mut self, at: u64, max: usize) -> Result<&[u8], StorageError> {
        let held = at >= self.start && at < self.start + self.filled as u64;
        let count = if held {
            usize::try_from(self.start + self.filled as u64 - at).unwrap_or(usize::MAX)
        } else {
            WINDOW_BYTES
        };
        self.bytes(at, count.min(max))
    }

    fn fill(&mut self, at: u64, count: usize) -> Result<(), StorageError> {
        let there = usize::try_from(self.file_bytes - at).unwrap_or(usize::MAX);
        let wanted = count.max(WINDOW_BYTES).min(there);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        self.filled = 0;
        self.start = at;
        self.filled = self.file.read_at(&mut self.buffer[..wanted], at)?;
        Ok(())
    }
}

/// The largest point that a record header at or behind `from` says is on stable storage, wherever it lies: it was written
/// when that was known, whether or not everything before it is whole.
fn claims_behind<F: StorageFile>(
    window: &mut ReadWindow<'_, F>,
    binding: Binding,
    from: u64,
) -> Result<Position, StorageError> {
    let finder = memmem::Finder::new(&RECORD_MAGIC);
    let header_bytes = RECORD_HEADER_LEN;
    let mut largest = Position(0);
    let mut at = from;
    loop {
        let bytes = window.bytes(at, WINDOW_BYTES)?;
        for found in finder.find_iter(bytes) {
            let offset = at + found as u64;
            if let Some(header) = RecordHeader::decode(&bytes[found..], binding, offset) {
                largest = largest.max(header.durable_to);
            }
        }
        if bytes.len() < WINDOW_BYTES {
            return Ok(largest);
        }
        at += (WINDOW_BYTES - header_bytes) as u64;
    }
}
