//! Positions within what a reader gives at once, where a rate lets only a part of that go on: a later life gives the rest. And those
//! of a source of which only a sample goes on, that count what was read and given.

use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use bytes::Bytes;

const TAG: Tag = *b"WSP1";
const SAMPLED_TAG: Tag = *b"WSP2";

/// So many records behind a position of the reader were given, or left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The reader's own position.
    pub reader: Bytes,
    pub given: u64,
    /// Of a sample: records read before the reader's position, and records given in all.
    pub sampled: Option<(u64, u64)>,
}

impl Part {
    #[must_use]
    pub fn position(&self) -> Bytes {
        let written = match self.sampled {
            None => Writer::new(TAG),
            Some((read, given)) => Writer::new(SAMPLED_TAG).number(read).number(given),
        };
        written.number(self.given).string(&self.reader).finish().into()
    }

    /// What a position stands for: a reader's own is one behind which nothing was given. What is wrong with it is said by the reader.
    #[must_use]
    pub fn of(position: Bytes) -> Self {
        read(&position).unwrap_or(Self { reader: position, given: 0, sampled: None })
    }
}

fn read(position: &[u8]) -> Result<Part, LayoutError> {
    let (mut reader, sampled) = match Reader::new(position, SAMPLED_TAG) {
        Ok(mut reader) => {
            let sampled = (reader.number()?, reader.number()?);
            (reader, Some(sampled))
        }
        Err(_) => (Reader::new(position, TAG)?, None),
    };
    let (given, own) = (reader.number()?, reader.string()?);
    reader.finish()?;
    Ok(Part { reader: Bytes::copy_from_slice(own), given, sampled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_back_and_a_position_without_one_is_a_reader_s_own() {
        for sampled in [None, Some((5, 2))] {
            let part = Part { reader: Bytes::from_static(b"WSF1 and more"), given: 77, sampled };
            assert_eq!(Part::of(part.position()), part);
        }
        for own in
            [&b"WSF1 and more"[..], b"", b"WSP1", b"WSP1\x01\0\0\0\0\0\0\0\xff", b"WSP2\x01\0\0\0\0\0\0\0"]
        {
            let own = Bytes::copy_from_slice(own);
            assert_eq!(Part::of(own.clone()), Part { reader: own, given: 0, sampled: None });
        }
    }

    #[test]
    fn positions_keep_their_layout() {
        let numbers =
            |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        let part = Part { reader: Bytes::from_static(b"own"), given: 3, sampled: None };
        assert_eq!(part.position(), [b"WSP1", &numbers(&[3, 3])[..], b"own"].concat());
        let sampled = Part { sampled: Some((9, 4)), ..part };
        assert_eq!(sampled.position(), [b"WSP2", &numbers(&[9, 4, 3, 3])[..], b"own"].concat());
    }
}
