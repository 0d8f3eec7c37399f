//! What the journal keeps of a sink's file.

use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use bytes::Bytes;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;
use xxhash_rust::xxh3::xxh3_64;

const TAG: Tag = *b"WKF1";
/// How much of a file's end tells whether it was changed, in bytes.
pub(super) const TAIL_BYTES_MAX: usize = 4096;

/// Which file it is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SinkPosition {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// When it was made, in nanoseconds since 1970; 0 if the file system does not know.
    pub(super) born: u64,
    /// Its length before the first life.
    pub(super) start: u64,
    /// Its length with everything that the position covers.
    pub(super) committed: u64,
}

impl SinkPosition {
    /// With the hash of its [`Tail`].
    pub(super) fn encode(&self, tail_hash: u64) -> Bytes {
        let position = Writer::new(TAG).number(self.device).number(self.inode).number(self.born);
        position.number(self.start).number(self.committed).number(tail_hash).finish().into()
    }

    /// Whether a file may be it, if its tail is the same too.
    ///
    /// A device's number changes with a mount on some file systems (btrfs, overlayfs, NFS, whatever is on a loop device), and
    /// so with the reboot after a power cut; it counts only where neither a tail nor the file's birth tells it from another.
    pub(super) fn names(&self, file: &Metadata) -> bool {
        let is_same_birth = self.born > 0 && self.born == born(file);
        self.inode == file.ino() && (self.device == file.dev() || self.committed > 0 || is_same_birth)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, u64), LayoutError> {
        let mut reader = Reader::new(bytes, TAG)?;
        let (device, inode, born) = (reader.number()?, reader.number()?, reader.number()?);
        let (start, committed, tail_hash) = (reader.number()?, reader.number()?, reader.number()?);
        reader.finish()?;
        if committed < start {
            return Err(LayoutError::Contradiction);
        }
        Ok((Self { device, inode, born, start, committed }, tail_hash))
    }
}

/// When a file was made, in nanoseconds since 1970; 0 if that is not known.
pub(super) fn born(file: &Metadata) -> u64 {
    let since = file.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

/// The last bytes of a file, at most [`TAIL_BYTES_MAX`].
#[derive(Debug)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// `bytes` are no more than a tail may have.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
        let surplus = (self.0.len() + bytes.len()).saturating_sub(TAIL_BYTES_MAX);
        self.0.drain(..surplus);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn hash(&self) -> u64 {
        xxh3_64(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_keep_their_layout() {
        let position =
            SinkPosition { device: 0x0801, inode: 0x1234_5678, born: 9, start: 5, committed: 0x1_0000_0000 };
        let numbers = [0x0801, 0x1234_5678, 9, 5, 0x1_0000_0000, 0xfeed_u64].map(u64::to_le_bytes).concat();
        let bytes = [b"WKF1", &numbers[..]].concat();
        assert_eq!(position.encode(0xfeed), bytes);
        assert_eq!(SinkPosition::decode(&bytes), Ok((position, 0xfeed)));
        let cut = SinkPosition { start: 7, committed: 6, ..position };
        assert_eq!(SinkPosition::decode(&cut.encode(0)), Err(LayoutError::Contradiction));
    }

    #[test]
    fn a_file_is_known_behind_another_device_number() {
        let file = tempfile::tempfile().unwrap().metadata().unwrap();
        let (device, inode, born) = (file.dev(), file.ino(), born(&file));
        assert!(born > 0, "the temporary directory's file system does not know when a file was made");
        let empty = SinkPosition { device, inode, born, start: 0, committed: 0 };
        let mounted_again = SinkPosition { device: device + 1, ..empty };
        assert!(empty.names(&file) && mounted_again.names(&file));
        let written = SinkPosition { born: 0, committed: 7, ..mounted_again };
        assert!(written.names(&file), "its tail will tell");
        for other in
            [SinkPosition { born: born + 1, ..mounted_again }, SinkPosition { born: 0, ..mounted_again }]
        {
            assert!(!other.names(&file), "{other:?}");
        }
        assert!(!SinkPosition { inode: inode + 1, ..written }.names(&file));
    }

    proptest! {
        #[test]
        fn a_tail_is_the_end_of_everything(pieces in proptest::collection::vec((any::<u8>(), 0usize..6000), 0..12)) {
            let mut all = Vec::new();
            let mut tail = Tail::of(Vec::new());
            for (byte, length) in pieces {
                let piece = vec![byte; length];
                tail.push(&piece);
                all.extend(piece);
                prop_assert_eq!(&tail.0, &all[all.len().saturating_sub(TAIL_BYTES_MAX)..]);
            }
        }
    }
}
