//! How segments and records begin on the disk; little endian throughout.

use super::error::Damage;
use super::sense::NUMBER_MAX;
use crc32fast::Hasher;
use worker_proto::{Epoch, Fingerprint, JournalId};

/// The newest version of the format that this program knows.
pub(super) const VERSION: u32 = 3;

/// The version that a journal of so many tasks is written in: one of a single task is what older programs know.
pub(super) fn version_for(tasks: usize) -> u32 {
    if tasks == 1 { 1 } else { VERSION }
}

/// Size of a segment's header, in bytes.
pub(super) const SEGMENT_HEADER_BYTES: u64 = SEGMENT_HEADER_LEN as u64;
pub(super) const SEGMENT_HEADER_LEN: usize = 64;

/// Size of a record's header, in bytes.
pub(super) const RECORD_HEADER_BYTES: u64 = RECORD_HEADER_LEN as u64;
pub(super) const RECORD_HEADER_LEN: usize = 24;

/// What every record begins with, so that records can be found behind bad bytes.
pub(super) const RECORD_MAGIC: [u8; 2] = [0xA7, b'w'];

const SEGMENT_MAGIC: [u8; 4] = *b"WKJ1";
const SUFFIX: &str = ".wj";

/// A point of a journal: bytes of records before it, over all segments that ever were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// What stands at the start of a segment file. All versions have these 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) version: u32,
    pub(super) journal: JournalId,
    pub(super) number: u64,
    pub(super) epoch: Epoch,
    /// The journal's position at the first byte behind this header.
    pub(super) base: Position,
    /// Everything before this was on stable storage when the segment got its name.
    pub(super) durable_to: Position,
    pub(super) fingerprint: Fingerprint,
}

/// What stands before a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) kind: RecordKind,
    /// Length of the payload, in bytes.
    pub(super) len: u32,
    /// Everything before this was on stable storage when the record was written.
    pub(super) durable_to: Position,
    /// CRC-32 of the payload, begun with the `crc` of the record before, or with [`Binding::seed`].
    pub(super) crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// A life of the task begins.
    Life = 1,
    /// A step of the task.
    Commit = 2,
    /// An output that is not committed yet.
    Stage = 3,
    /// A part of the keyed state; the next checkpoint counts how many belong to it.
    State = 4,
    /// Everything as of here.
    Checkpoint = 5,
    /// A live batch, moved here from an older segment.
    Copied = 6,
    /// What is about to be in flight.
    Note = 7,
    /// What follows is of another task, up to the next record of this kind.
    Of = 8,
    /// A checkpoint's part: everything of one task but the last. The checkpoint itself has the last one's.
    Part = 9,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Life,
            2 => Self::Commit,
            3 => Self::Stage,
            4 => Self::State,
            5 => Self::Checkpoint,
            6 => Self::Copied,
            7 => Self::Note,
            8 => Self::Of,
            9 => Self::Part,
            _ => return None,
        })
    }
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[..4].copy_from_slice(&SEGMENT_MAGIC);
        bytes[4..8].copy_from_slice(&self.version.to_le_bytes());
        let words =
            [self.journal.0, self.number, self.epoch.0, self.base.0, self.durable_to.0, self.fingerprint.0];
        for (at, word) in (8..).step_by(8).zip(words) {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header of segment `number`; `None` if these bytes are none.
    pub(super) fn decode(bytes: &[u8], number: u64) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER_LEN)?;
        let whole = bytes[..4] == SEGMENT_MAGIC
            && crc32fast::hash(&bytes[..CRC_AT]) == word32(bytes, CRC_AT)
            && bytes[CRC_AT + 4..].iter().all(|&b| b == 0)
            && word64(bytes, 16) == number;
        whole.then(|| Self {
            version: word32(bytes, 4),
            journal: JournalId(word64(bytes, 8)),
            number,
            epoch: Epoch(word64(bytes, 24)),
            base: Position(word64(bytes, 32)),
            durable_to: Position(word64(bytes, 40)),
            fingerprint: Fingerprint(word64(bytes, 48)),
        })
    }

    /// The journal's position at a file offset behind the header.
    pub(super) fn position(&self, offset: u64) -> Position {
        Position(self.base.0 + offset.saturating_sub(SEGMENT_HEADER_BYTES))
    }
}

const CRC_AT: usize = 56;

/// Where a record header may be valid: it is bound to journal, segment and offset, so that what a recycled file held before,
/// or a copy of a record, is never taken for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    /// What the CRC of the segment's first record begins with.
    pub(super) seed: u32,
}

impl Binding {
    pub(super) fn new(journal: JournalId, number: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&journal.0.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        Self { seed: hasher.finalize() }
    }

    fn check(self, offset: u64, fields: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.seed);
        hasher.update(&offset.to_le_bytes());
        hasher.update(fields);
        hasher.finalize()
    }
}

impl RecordHeader {
    pub(super) fn encode(&self, binding: Binding, offset: u64) -> [u8; RECORD_HEADER_LEN] {
        let mut bytes = [0; RECORD_HEADER_LEN];
        bytes[..2].copy_from_slice(&RECORD_MAGIC);
        bytes[2] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.durable_to.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.crc.to_le_bytes());
        let check = binding.check(offset, &bytes[..20]);
        bytes[20..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The record header at a file offset; `None` if these bytes are none.
    pub(super) fn decode(bytes: &[u8], binding: Binding, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_LEN)?;
        if bytes[..2] != RECORD_MAGIC || bytes[3] != 0 {
            return None;
        }
        let kind = RecordKind::from_byte(bytes[2])?;
        (binding.check(offset, &bytes[..20]) == word32(bytes, 20)).then(|| Self {
            kind,
            len: word32(bytes, 4),
            durable_to: Position(word64(bytes, 8)),
            crc: word32(bytes, 16),
        })
    }
}

/// The file name of a segment.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// The segment a file name is of.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    // One is left for who goes on.
    (number > 0 && number < NUMBER_MAX && file_name(number) == name).then_some(number)
}

/// Fails for a version this program does not know.
pub(super) fn known_version(header: &SegmentHeader) -> Result<(), Damage> {
    if (1..=VERSION).contains(&header.version) {
        Ok(())
    } else {
        Err(Damage::Newer { version: header.version })
    }
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | u64::from(word32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            version: VERSION,
            journal: JournalId(7),
            number: 3,
            epoch: Epoch(2),
            base: Position(1 << 40),
            durable_to: Position(1 << 41),
            fingerprint: Fingerprint(u64::MAX),
        }
    }

    #[test]
    fn a_segment_header_survives_and_no_flipped_bit_does() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes, 3), Some(header()));
        assert_eq!(SegmentHeader::decode(&bytes, 4), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad, 3), None, "bit {bit}");
        }
    }

    #[test]
    fn a_record_header_counts_only_where_it_was_written() {
        let record = RecordHeader { kind: RecordKind::Commit, len: 5, durable_to: Position(9), crc: 1 };
        let binding = Binding::new(JournalId(7), 3);
        let bytes = record.encode(binding, 64);
        assert_eq!(RecordHeader::decode(&bytes, binding, 64), Some(record));
        assert_eq!(RecordHeader::decode(&bytes, binding, 65), None);
        assert_eq!(RecordHeader::decode(&bytes, Binding::new(JournalId(7), 4), 64), None);
        assert_eq!(RecordHeader::decode(&bytes, Binding::new(JournalId(8), 3), 64), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bad, binding, 64), None, "bit {bit}");
        }
    }

    #[test]
    fn file_names_are_taken_only_as_written() {
        assert_eq!(segment_number(&file_name(0x1f)), Some(0x1f));
        for other in ["1f.wj", "000000000000001F.wj", "0000000000000000.wj", "new.tmp", "000000000000001f"] {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}
