//! How positions and lists of ends are written: four bytes that say what and which version, then numbers and strings.
//!
//! Numbers are little-endian `u64`s; a string is its length and its bytes.

use thiserror::Error;

/// What something begins with.
pub(super) type Tag = [u8; 4];

/// Why bytes cannot be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    /// It is something else, or of another version.
    #[error("it is of another kind or version")]
    Tag,
    /// It ends too early.
    #[error("it is cut short")]
    Short,
    /// Something follows its end.
    #[error("it is longer than it should be")]
    Long,
    /// Its parts do not go together.
    #[error("its parts contradict each other")]
    Contradiction,
}

#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(tag: Tag) -> Self {
        Self(tag.to_vec())
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(super) fn string(self, string: &[u8]) -> Self {
        let mut all = self.number(string.len() as u64);
        all.0.extend_from_slice(string);
        all
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what a [`Writer`] wrote, in the same order.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], tag: Tag) -> Result<Self, LayoutError> {
        bytes.strip_prefix(&tag).map(Self).ok_or(LayoutError::Tag)
    }

    pub(super) fn number(&mut self) -> Result<u64, LayoutError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(LayoutError::Short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], LayoutError> {
        let length = usize::try_from(self.number()?).map_err(|_| LayoutError::Short)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(LayoutError::Short)?;
        self.0 = rest;
        Ok(string)
    }

    pub(super) fn finish(self) -> Result<(), LayoutError> {
        if self.0.is_empty() { Ok(()) } else { Err(LayoutError::Long) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Parts<'a> = (u64, &'a [u8], u64);

    fn read(bytes: &[u8]) -> Result<Parts<'_>, LayoutError> {
        let mut reader = Reader::new(bytes, *b"WT01")?;
        let parts = (reader.number()?, reader.string()?, reader.number()?);
        reader.finish().map(|()| parts)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_nothing_shorter_or_longer(a: u64, text: Vec<u8>, b: u64) {
            let mut bytes = Writer::new(*b"WT01").number(a).string(&text).number(b).finish();
            prop_assert_eq!(read(&bytes), Ok((a, &text[..], b)));
            for cut in 0..bytes.len() {
                prop_assert!(read(&bytes[..cut]).is_err());
            }
            bytes.push(0);
            prop_assert_eq!(read(&bytes), Err(LayoutError::Long));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            read(&[b"WT01", &bytes[..]].concat()).ok();
            let other = [b"WT02", &bytes[..]].concat();
            prop_assert_eq!(read(&other), Err(LayoutError::Tag));
        }
    }
}
