//! What tells the beginning of a log from any other: so a log is known again whatever file it is in by now.

use crate::io::layout::{LayoutError, Reader, Writer};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use xxhash_rust::xxh3::xxh3_64;

/// The first so many bytes have a hash each, as far as there are so many.
const FIRST_BYTES: [usize; 4] = [64, 256, 1024, 4096];
const FIRST_BYTES_MAX: usize = FIRST_BYTES[FIRST_BYTES.len() - 1];
/// The last so many have one, too.
pub(super) const LAST_BYTES_MAX: usize = 1024;

/// The first `bytes` of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: u64,
    /// Of [`FIRST_BYTES`].
    first: Vec<u64>,
    /// Of the last [`LAST_BYTES_MAX`], or all.
    last: u64,
}

/// How what one file begins with goes together with what is known of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// It begins with all that is known.
    Whole,
    /// It is shorter, and what it has is the same.
    Shorter,
    Differs,
}

impl Default for Content {
    fn default() -> Self {
        Gathered::default().content()
    }
}

impl Content {
    /// The first `bytes` of a file.
    ///
    /// # Errors
    /// It has not so many.
    pub(super) fn of(file: &File, bytes: u64) -> io::Result<Self> {
        Ok(Gathered::of(file, bytes)?.content())
    }

    /// Whether a file of `length` bytes begins with this.
    pub(super) fn agrees(&self, file: &File, length: u64) -> io::Result<Agreement> {
        if length >= self.bytes {
            let same = match Self::of(file, self.bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
                same => same? == *self,
            };
            return Ok(if same { Agreement::Whole } else { Agreement::Differs });
        }
        match Self::of(file, length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Agreement::Differs),
            begins => Ok(self.begins_with(&begins?)),
        }
    }

    /// Of its first bytes, where there are so many that they tell.
    pub(super) fn first_hash(&self) -> Option<u64> {
        self.first.first().copied()
    }

    /// Whether it can begin like `other`, the beginning of something.
    pub(super) fn may_begin_like(&self, other: &Self) -> bool {
        self.first.iter().zip(&other.first).all(|(own, other)| own == other)
    }

    /// How `other`, all of a file that is no longer than this, goes together with it.
    pub(super) fn begins_with(&self, other: &Self) -> Agreement {
        match () {
            () if other == self => Agreement::Whole,
            () if other.bytes < self.bytes && self.first.starts_with(&other.first) => Agreement::Shorter,
            () => Agreement::Differs,
        }
    }

    pub(super) fn write(&self, writer: Writer) -> Writer {
        let writer = writer.number(self.bytes).number(self.last).number(self.first.len() as u64);
        self.first.iter().fold(writer, |writer, hash| writer.number(*hash))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let (bytes, last, count) = (reader.number()?, reader.number()?, reader.number()?);
        if count > FIRST_BYTES.len() as u64 {
            return Err(LayoutError::Contradiction);
        }
        let first = (0..count).map(|_| reader.number()).collect::<Result<_, _>>()?;
        Ok(Self { bytes, first, last })
    }
}

/// Content that grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    bytes: u64,
    first: Vec<u64>,
    /// Until it is long enough for all of [`FIRST_BYTES`].
    beginning: Vec<u8>,
    last: Vec<u8>,
}

impl Gathered {
    pub(super) fn of(file: &File, bytes: u64) -> io::Result<Self> {
        let short = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
        let first = usize::try_from(bytes.min(FIRST_BYTES_MAX as u64)).map_err(short)?;
        let mut beginning = vec![0; first];
        file.read_exact_at(&mut beginning, 0)?;
        let mut gathered = Self::default();
        gathered.push(&beginning);
        if bytes > first as u64 {
            let mut last = vec![0; LAST_BYTES_MAX];
            file.read_exact_at(&mut last, bytes - LAST_BYTES_MAX as u64)?;
            (gathered.bytes, gathered.last) = (bytes, last);
        }
        Ok(gathered)
    }

    /// The last bytes of it.
    pub(super) fn last(&self) -> &[u8] {
        &self.last
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        self.bytes += more.len() as u64;
        keep_last(&mut self.last, more);
        if self.first.len() < FIRST_BYTES.len() {
            let room = FIRST_BYTES_MAX - self.beginning.len();
            self.beginning.extend_from_slice(&more[..more.len().min(room)]);
            for length in &FIRST_BYTES[self.first.len()..] {
                if let Some(bytes) = self.beginning.get(..*length) {
                    self.first.push(xxh3_64(bytes));
                }
            }
        }
    }

    /// So much comes that nobody looks at.
    pub(super) fn pass_over(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    pub(super) fn content(&self) -> Content {
        Content { bytes: self.bytes, first: self.first.clone(), last: xxh3_64(&self.last) }
    }
}

/// Adds to the last bytes of something.
pub(super) fn keep_last(last: &mut Vec<u8>, more: &[u8]) {
    if more.len() >= LAST_BYTES_MAX {
        last.clear();
    }
    last.extend_from_slice(&more[more.len().saturating_sub(LAST_BYTES_MAX)..]);
    last.drain(..last.len().saturating_sub(LAST_BYTES_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    proptest! {
        #[test]
        fn content_is_the_same_whether_it_is_gathered_or_read(
            bytes in proptest::collection::vec(0_u8..3, 0..9000),
            cuts in proptest::collection::vec(0_usize..9000, 0..6),
            length in 0_usize..9000,
        ) {
            let length = length.min(bytes.len());
            let mut gathered = Gathered::default();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(length)).chain([0, length]).collect();
            cuts.sort_unstable();
            for pair in cuts.windows(2) {
                gathered.push(&bytes[pair[0]..pair[1]]);
            }
            let content = gathered.content();
            prop_assert_eq!(&content, &Content::of(&file(&bytes), length as u64).unwrap());
            prop_assert_eq!(content.agrees(&file(&bytes), bytes.len() as u64).unwrap(), Agreement::Whole);
            let encoded = content.write(Writer::new(*b"WT01")).finish();
            let mut reader = Reader::new(&encoded, *b"WT01").unwrap();
            prop_assert_eq!(Content::read(&mut reader).unwrap(), content);
        }
    }

    #[test]
    fn what_was_cut_or_written_anew_does_not_agree() {
        let old: Vec<u8> = (0..3000_u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let content = Content::of(&file(&old), 20_000).unwrap();
        let agrees = |bytes: &[u8]| content.agrees(&file(bytes), bytes.len() as u64).unwrap();
        assert_eq!(agrees(&old), Agreement::Whole);
        assert_eq!(agrees(&old[..20_000]), Agreement::Whole);
        assert_eq!(agrees(&old[..19_999]), Agreement::Shorter);
        assert_eq!(agrees(&old[..70]), Agreement::Shorter);
        let anew: Vec<u8> = (5..4000_u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        assert_eq!(agrees(&anew), Agreement::Differs);
        assert_eq!(agrees(&anew[..100]), Agreement::Differs);
        // The same beginning, and something else behind it.
        let other = [&old[..5000], &anew[..]].concat();
        assert_eq!(agrees(&other), Agreement::Differs);
    }
}
