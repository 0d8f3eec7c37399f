//! Disk that is set aside, so that a full disk can always be left again.

use super::directory::StateError;
use crate::fault;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const NAME: &str = "reserve";
const BYTES: u64 = 64 << 20;

/// What the system counts blocks in.
const BLOCK_BYTES: u64 = 512;

/// Of a small disk no more than this share of what is free is set aside.
const FREE_SHARE: u64 = 8;

/// How much more than itself must be free before it is set aside again, as a share of it: it must not come and go.
const MARGIN_SHARE: u64 = 4;

/// A file of the state directory that is of no use but for its room.
///
/// When the disk is full it is [given up](Reserve::give_up): commits of what was admitted, checkpoints and sinks' progress go on in
/// its place, while nothing new is admitted. When there is room it is [made again](Reserve::restore). A file that was given up keeps its
/// length and has no blocks, so that the next start knows how large it was: on a full disk nothing else could say so.
#[derive(Debug)]
pub struct Reserve {
    directory: PathBuf,
    bytes: u64,
    is_whole: bool,
}

impl Reserve {
    /// Sets disk aside in `directory`. What is set aside already stays; on a disk that is full it starts given up.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn new(directory: &Path) -> Result<Self, StateError> {
        Self::with_bytes(directory, BYTES)
    }

    /// The same with at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn with_bytes(directory: &Path, bytes_max: u64) -> Result<Self, StateError> {
        let there = std::fs::metadata(directory.join(NAME)).ok();
        let (length, allocated) = there.map_or((0, 0), |m| (m.len(), m.blocks() * BLOCK_BYTES));
        let free = free_bytes(directory)? + allocated;
        let bytes = length.max(free / FREE_SHARE).min(bytes_max);
        let mut reserve = Self { directory: directory.to_owned(), bytes, is_whole: false };
        if length > bytes {
            reserve.give_up()?;
        }
        // Only what is missing of it has to be free.
        let missing = bytes.saturating_sub(allocated);
        reserve.is_whole = (missing == 0 && length == bytes)
            || (free_bytes(directory)? >= missing + missing / MARGIN_SHARE && reserve.make()?);
        Ok(reserve)
    }

    /// Its disk is set aside now.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How much is set aside, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the disk to whoever writes next; whether there was any to give.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn give_up(&mut self) -> Result<bool, StateError> {
        let had = std::mem::replace(&mut self.is_whole, false);
        self.release()?;
        Ok(had)
    }

    /// Sets the disk aside again if there is room; whether it is whole now.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn restore(&mut self) -> Result<bool, StateError> {
        if !self.is_whole && free_bytes(&self.directory)? >= self.bytes + self.bytes / MARGIN_SHARE {
            self.is_whole = self.make()?;
        }
        Ok(self.is_whole)
    }

    /// Whether there was room.
    fn make(&self) -> Result<bool, StateError> {
        let path = self.directory.join(NAME);
        let made = fault::around("reserve.make", || {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            allocate(&file, self.bytes)
        });
        match made {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => {
                self.release()?;
                Ok(false)
            }
            Err(error) => Err(StateError::io("set disk aside in", &path)(error)),
        }
    }

    /// Leaves the length, which says how much is to be set aside again, and no blocks.
    fn release(&self) -> Result<(), StateError> {
        let path = self.directory.join(NAME);
        let released = fault::around("reserve.release", || {
            let file = OpenOptions::new().write(true).open(&path)?;
            let length = file.metadata()?.len();
            if length > 0 && !punch_hole(&file, length)? {
                file.set_len(0)?;
            }
            file.set_len(self.bytes)?;
            // The room is there for others only when this is on the disk.
            file.sync_all()
        });
        match released {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            released => released.map_err(StateError::io("give up", &path)),
        }
    }
}

/// Gives the blocks of a file back and leaves its length; whether the file system can.
fn punch_hole(file: &File, bytes: u64) -> io::Result<bool> {
    match rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // Without allocation there is nothing to set aside; the length says that it was tried.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes),
        other => other.map_err(io::Error::from),
    }
}

fn free_bytes(directory: &Path) -> Result<u64, StateError> {
    let stat = rustix::fs::statvfs(directory);
    let stat = stat.map_err(|e| StateError::io("see how much is free in", directory)(e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_aside(directory: &Path) -> u64 {
        std::fs::metadata(directory.join(NAME)).map_or(0, |m| m.blocks() * 512)
    }

    #[test]
    fn disk_is_set_aside_given_up_and_set_aside_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut reserve = Reserve::with_bytes(path, 1 << 20).unwrap();
        assert!(reserve.is_whole());
        assert!(set_aside(path) >= 1 << 20);
        assert!(reserve.give_up().unwrap());
        assert!(!reserve.give_up().unwrap());
        assert_eq!((reserve.is_whole(), set_aside(path)), (false, 0));
        assert!(reserve.restore().unwrap());
        assert!(set_aside(path) >= 1 << 20);
        drop(reserve);
        let smaller = Reserve::with_bytes(path, 1 << 19).unwrap();
        assert_eq!(smaller.bytes(), 1 << 19);
        assert_eq!(std::fs::metadata(path.join(NAME)).unwrap().len(), 1 << 19);
    }

    #[test]
    fn one_that_was_given_up_is_known_by_its_length_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut reserve = Reserve::with_bytes(path, 1 << 20).unwrap();
        reserve.give_up().unwrap();
        assert_eq!((std::fs::metadata(path.join(NAME)).unwrap().len(), set_aside(path)), (1 << 20, 0));
        let again = Reserve::with_bytes(path, 1 << 20).unwrap();
        assert_eq!((again.bytes(), again.is_whole()), (1 << 20, true));
        assert!(set_aside(path) >= 1 << 20);
    }

    #[test]
    fn it_waits_for_more_room_than_it_needs() {
        let directory = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::with_bytes(directory.path(), 1 << 20).unwrap();
        reserve.give_up().unwrap();
        reserve.bytes = u64::MAX / 2;
        assert!(!reserve.restore().unwrap());
        assert_eq!(set_aside(directory.path()), 0);
    }
}
