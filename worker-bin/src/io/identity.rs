//! Which file something is, whatever it is called.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Tells a file from every other one that is there at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Of what is open.
    #[must_use]
    pub fn of_open(stat: &rustix::fs::Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    #[must_use]
    pub fn inode(self) -> u64 {
        self.inode
    }
}
