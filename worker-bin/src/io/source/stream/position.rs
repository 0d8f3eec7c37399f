//! Where the records given so far end, in the terms of a stream.

use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use crate::io::source::SourceError;
use bytes::Bytes;
use std::ops::{Add, Sub};

const TAG: Tag = *b"WSS2";
/// Before it was kept how much was taken: nothing but what was given.
const TAG_BEFORE: Tag = *b"WSS1";

/// So many records, and their bytes, unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::io::source) struct Extent {
    pub(in crate::io::source) bytes: u64,
    pub(in crate::io::source) records: u64,
}

/// The position of a source that reads a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamPosition {
    /// What was given in all lives.
    pub(super) given: Extent,
    /// Hash of the header that was taken off.
    pub(super) header: Option<u64>,
    /// Where that ends in the bytes of the stream.
    pub(super) taken: u64,
}

impl StreamPosition {
    pub(super) fn encode(&self) -> Bytes {
        let position = Writer::new(TAG).number(self.given.bytes).number(self.given.records);
        position
            .number(self.header.is_some().into())
            .number(self.header.unwrap_or(0))
            .number(self.taken)
            .finish()
            .into()
    }

    pub(super) fn decode(bytes: &[u8], name: &str) -> Result<Self, SourceError> {
        Self::read(bytes).map_err(|source| SourceError::Position { name: name.to_owned(), source })
    }

    fn read(bytes: &[u8]) -> Result<Self, LayoutError> {
        let (mut reader, has_taken) = match Reader::new(bytes, TAG) {
            Err(LayoutError::Tag) => (Reader::new(bytes, TAG_BEFORE)?, false),
            reader => (reader?, true),
        };
        let given = Extent { bytes: reader.number()?, records: reader.number()? };
        let (has_header, hash) = (reader.number()?, reader.number()?);
        let taken = if has_taken { reader.number()? } else { given.bytes };
        reader.finish()?;
        Ok(Self { given, header: (has_header != 0).then_some(hash), taken })
    }
}

impl Add for Extent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, records: self.records + other.records }
    }
}

impl Sub for Extent {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { bytes: self.bytes - other.bytes, records: self.records - other.records }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_were_written() {
        for header in [None, Some(0), Some(u64::MAX)] {
            let position = StreamPosition { given: Extent { bytes: 12, records: 3 }, header, taken: 17 };
            assert_eq!(StreamPosition::decode(&position.encode(), "x").unwrap(), position);
        }
        let before = Writer::new(TAG_BEFORE).number(12).number(3).number(0).number(0).finish();
        assert_eq!(StreamPosition::decode(&before, "x").unwrap().taken, 12, "of the version before");
        let other = StreamPosition::decode(b"WSF1", "standard input").unwrap_err().to_string();
        assert!(other.contains("standard input") && other.contains("--fresh"), "{other}");
    }
}
