//! Where a journal's files are: the few operations it needs, so that a directory, a simulated disk and later an object store
//! look the same to it.

mod dir;
mod memory;

pub use dir::{DirFile, DirStorage};
pub use memory::{MemFile, MemStorage};

use rustix::io::Errno;
use std::fmt;
use std::io::{self, IoSlice};
use thiserror::Error;

/// A flat place for files. Creating, renaming and removing are durable only when [`Storage::names`] was synced after it.
pub trait Storage: fmt::Debug + Send {
    /// An open file of it.
    type File: StorageFile;

    /// Names of all files, in no order.
    ///
    /// # Errors
    /// [`StorageError`].
    fn list(&self) -> Result<Vec<String>, StorageError>;

    /// Creates a file of that many zero bytes; fails if the name is taken.
    ///
    /// # Errors
    /// [`StorageError`]; [`StorageError::Exists`] if the name is taken.
    fn create(&self, name: &str, bytes: u64) -> Result<Self::File, StorageError>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// [`StorageError`].
    fn open(&self, name: &str) -> Result<Self::File, StorageError>;

    /// Opens a file for reading, changing nothing.
    ///
    /// # Errors
    /// [`StorageError`].
    fn open_read_only(&self, name: &str) -> Result<Self::File, StorageError>;

    /// Gives a file a new name, at once; fails if that name is taken.
    ///
    /// # Errors
    /// [`StorageError`]; [`StorageError::Exists`] if the new name is taken.
    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Removes a file; those who have it open keep it.
    ///
    /// # Errors
    /// [`StorageError`].
    fn remove(&self, name: &str) -> Result<(), StorageError>;

    /// What makes names durable, from any thread.
    fn names(&self) -> Self::File;

    /// Where this is, for people.
    fn describe(&self) -> String;
}

/// An open file. Clones are the same file and may be used from several threads at once.
pub trait StorageFile: Clone + fmt::Debug + Send + Sync {
    /// Writes all of `parts`, one behind the other, at `offset`.
    ///
    /// # Errors
    /// [`StorageError`]; what was written of it then is not known.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<(), StorageError>;

    /// Reads at `offset` until `buffer` is full or the file ends; gives how many bytes were read.
    ///
    /// # Errors
    /// [`StorageError`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError>;

    /// Makes everything written before durable. After a failure nothing is known about any of it, whatever a later call says.
    ///
    /// # Errors
    /// [`StorageError`].
    fn sync(&self) -> Result<(), StorageError>;

    /// Size in bytes.
    ///
    /// # Errors
    /// [`StorageError`].
    fn bytes(&self) -> Result<u64, StorageError>;

    /// Gives back what lies behind so many bytes.
    ///
    /// # Errors
    /// [`StorageError`].
    fn shrink(&self, bytes: u64) -> Result<(), StorageError>;

    /// Nobody else has this file open.
    fn is_only_handle(&self) -> bool;
}

/// No file can be opened, by this process or by any.
pub(super) fn no_descriptor(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| [Errno::MFILE, Errno::NFILE].contains(&Errno::from_raw_os_error(code)))
}

/// What to do about a limit on the size of files, to be put behind an error; empty for any other error.
#[must_use]
pub fn size_limit_advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::FileTooLarge {
        "; raise the limit on the size of files (ulimit -f, LimitFSIZE), then start again"
    } else {
        ""
    }
}

/// Why a storage did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// No room: disk, quota or file descriptors. It passes, so it is tried again.
    #[error("cannot {what} {path}: {source}; {}", if no_descriptor(source) { "raise the limit of open files (ulimit -n)" } else { "make room there" })]
    Full {
        /// What was to be done.
        what: &'static str,
        /// To which file or directory.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The name is taken.
    #[error("cannot {what} {path}: it exists already")]
    Exists {
        /// What was to be done.
        what: &'static str,
        /// The name.
        path: String,
    },
    /// Anything else.
    #[error("cannot {what} {path}: {source}{}", size_limit_advice(source))]
    Io {
        /// What was to be done.
        what: &'static str,
        /// To which file or directory.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

impl StorageError {
    pub(super) fn new(what: &'static str, path: impl fmt::Display, source: io::Error) -> Self {
        let path = path.to_string();
        let kind = source.kind();
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) || no_descriptor(&source)
        {
            Self::Full { what, path, source }
        } else if kind == io::ErrorKind::AlreadyExists {
            Self::Exists { what, path }
        } else {
            Self::Io { what, path, source }
        }
    }
}
