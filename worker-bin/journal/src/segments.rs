//! Segment files: the one that is appended to, and those before it.

use super::format::{
    Binding, Position, RECORD_HEADER_BYTES, RecordHeader, RecordKind, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::images::Member;
use super::record::{OfHead, Payload};
use super::storage::{StorageError, StorageFile};
use std::io::{self, IoSlice};

/// The payload of a record that names a task has at most so many bytes.
const OF_BYTES: u64 = 16;

/// The segment that is appended to.
#[derive(Debug)]
pub(super) struct Active<F> {
    pub(super) file: F,
    pub(super) header: SegmentHeader,
    /// Where the next record goes, in the file.
    pub(super) offset: u64,
    /// Where its checkpoint ends.
    pub(super) start: u64,
    /// Room set aside for it, in bytes.
    pub(super) bytes: u64,
    /// Its name is durable.
    pub(super) named: bool,
    binding: Binding,
    crc: u32,
    /// Whose the next record is.
    pub(super) of: Member,
}

/// A segment that is not appended to any more.
#[derive(Debug)]
pub(super) struct Sealed<F> {
    pub(super) file: F,
    pub(super) base: Position,
    pub(super) end: Position,
    pub(super) bytes: u64,
    pub(super) named: bool,
}

impl<F: StorageFile> Active<F> {
    pub(super) fn new(file: F, header: SegmentHeader, bytes: u64) -> Self {
        let binding = Binding::new(header.journal, header.number);
        let offset = SEGMENT_HEADER_BYTES;
        Self {
            file,
            header,
            offset,
            start: offset,
            bytes,
            named: false,
            binding,
            crc: binding.seed,
            of: Member(0),
        }
    }

    pub(super) fn write_header(&self) -> Result<(), StorageError> {
        self.file.write_at(&[IoSlice::new(&self.header.encode())], 0)
    }

    /// Appends a record that is of no task, or of the same one as the record before.
    pub(super) fn append(
        &mut self,
        kind: RecordKind,
        durable_to: Position,
        payload: &Payload<'_>,
    ) -> Result<u64, StorageError> {
        self.append_of(self.of, kind, durable_to, payload)
    }

    /// Appends a record of a task; gives the offset of its payload. After a failure nothing was appended.
    pub(super) fn append_of(
        &mut self,
        member: Member,
        kind: RecordKind,
        durable_to: Position,
        payload: &Payload<'_>,
    ) -> Result<u64, StorageError> {
        let of = (member != self.of).then(|| Payload::default().with_head(&OfHead { member: member.0 }));
        let (mut offset, mut crc) = (self.offset, self.crc);
        let mut header = |kind, payload: &Payload<'_>| {
            let len = u32::try_from(payload.bytes()).map_err(|_| too_long(payload.bytes()))?;
            crc = payload.crc(crc);
            let header = RecordHeader { kind, len, durable_to, crc }.encode(self.binding, offset);
            offset += RECORD_HEADER_BYTES + u64::from(len);
            Ok::<_, StorageError>(header)
        };
        let of_header = of.as_ref().map(|of| header(RecordKind::Of, of)).transpose()?;
        let own_header = header(kind, payload)?;
        let mut parts = Vec::new();
        if let (Some(header), Some(of)) = (&of_header, &of) {
            parts.push(IoSlice::new(header));
            parts.extend(of.parts().map(IoSlice::new));
        }
        parts.push(IoSlice::new(&own_header));
        parts.extend(payload.parts().map(IoSlice::new));
        self.file.write_at(&parts, self.offset)?;
        (self.offset, self.crc, self.of) = (offset, crc, member);
        self.bytes = self.bytes.max(self.offset);
        Ok(offset - payload.bytes())
    }

    /// Whether a record of that many bytes stays within the room set aside; a segment takes at least one.
    pub(super) fn has_room(&self, member: Member, payload_bytes: u64) -> bool {
        let of = if member == self.of { 0 } else { RECORD_HEADER_BYTES + OF_BYTES };
        self.offset == self.start || self.offset + of + RECORD_HEADER_BYTES + payload_bytes <= self.bytes
    }

    /// Where the next record goes, in the journal.
    pub(super) fn position(&self) -> Position {
        self.header.position(self.offset)
    }

    pub(super) fn seal(self) -> (u64, Sealed<F>) {
        let (base, end) = (self.header.base, self.position());
        (self.header.number, Sealed { file: self.file, base, end, bytes: self.bytes, named: self.named })
    }
}

fn too_long(bytes: u64) -> StorageError {
    let error = io::Error::new(io::ErrorKind::InvalidInput, "a record has less than 4 GiB");
    StorageError::new("append", format_args!("a record of {bytes} bytes"), error)
}
