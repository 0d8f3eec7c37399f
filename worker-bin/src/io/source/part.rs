//! Positions within what a reader gives at once: where a rate lets only a part of that go on, a later life gives the rest.

use crate::io::layout::{Reader, Tag, Writer};
use bytes::Bytes;

const TAG: Tag = *b"WSP1";

/// So many records behind a position of the reader were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The reader's own position.
    pub reader: Bytes,
    pub given: u64,
}

impl Part {
    #[must_use]
    pub fn position(&self) -> Bytes {
        Writer::new(TAG).number(self.given).string(&self.reader).finish().into()
    }

    /// What a position stands for: a reader's own is one behind which nothing was given. What is wrong with it is said by the reader.
    #[must_use]
    pub fn of(position: Bytes) -> Self {
        read(&position).unwrap_or(Self { reader: position, given: 0 })
    }
}

fn read(position: &[u8]) -> Option<Part> {
    let mut reader = Reader::new(position, TAG).ok()?;
    let (given, own) = (reader.number().ok()?, reader.string().ok()?);
    reader.finish().ok()?;
    Some(Part { reader: Bytes::copy_from_slice(own), given })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_back_and_a_position_without_one_is_a_reader_s_own() {
        let part = Part { reader: Bytes::from_static(b"WSF1 and more"), given: 77 };
        assert_eq!(Part::of(part.position()), part);
        for own in [&b"WSF1 and more"[..], b"", b"WSP1", b"WSP1\x01\0\0\0\0\0\0\0\xff"] {
            let own = Bytes::copy_from_slice(own);
            assert_eq!(Part::of(own.clone()), Part { reader: own, given: 0 });
        }
    }
}
