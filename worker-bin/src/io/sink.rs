//! Where records go: files ([`FileSink`], [`DurableFileSink`]) and open streams ([`StreamSink`]).

mod durable;
mod file;
mod stream;
mod vectored;

pub use durable::{DurableFileSink, SinkSync};
pub use file::{Exists, FileSink, partition_path};
pub use stream::StreamSink;
pub use vectored::Moved;

use super::LayoutError;
use bytes::Bytes;
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use worker_proto::Batch;

/// Writes records to the outside. Blocks.
///
/// Only files that were opened durably have positions: the position taken after a write says how long the file is then, and becomes
/// true when a sync that started after the write has succeeded. Of the others nobody can tell what arrived: after a crash
/// they get the last records again.
pub trait SinkWriter: Send {
    /// Writes all of `batches`, in order.
    ///
    /// # Errors
    /// [`SinkError`]; how much of them was written is unknown but for the count in the message.
    fn write(&mut self, batches: &[Batch]) -> Result<(), SinkError>;

    /// Everything was written: hands it over to the system and closes. Only what has positions is synced to the disk.
    ///
    /// # Errors
    /// [`SinkError`].
    fn close(&mut self) -> Result<(), SinkError>;

    /// Makes everything ready for the first write and gives the first position, which is true already. It must be on stable
    /// storage before the first write.
    ///
    /// # Errors
    /// [`SinkError`].
    fn begin(&mut self) -> Result<Option<Bytes>, SinkError> {
        Ok(None)
    }

    /// What a later life needs to go on behind everything written so far.
    fn position(&self) -> Option<Bytes> {
        None
    }

    /// Returns when everything written so far is on stable storage.
    ///
    /// # Errors
    /// [`SinkError::Sync`]; the sink is of no use after it.
    fn sync(&mut self) -> Result<(), SinkError> {
        self.sync_handle().map_or(Ok(()), |handle| handle.sync())
    }

    /// Counts what is taken of its writes there from now on.
    fn count_into(&mut self, moved: Moved);

    /// To sync from another thread while writing goes on; `None` where there is nothing to sync.
    fn sync_handle(&self) -> Option<SinkSync> {
        None
    }
}

/// Why a sink cannot go on.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The user did not allow it to replace a file.
    #[error("{} exists already; choose another path, remove it, or set `exists = \"replace\"`", path.display())]
    Exists { path: PathBuf },
    /// The user named a directory.
    #[error("{} is a directory, expected a file; write `{}/` for one file per partition in it", path.display(), path.display())]
    Directory { path: PathBuf },
    /// The file, or the directory it is in, cannot be created or opened.
    #[error("cannot write to {}: {source}; check the path and its permissions", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// No room: disk, quota or file size limit.
    #[error(
        "{name}: no room left after {written} bytes ({source}); make room, or choose a path on another disk, and run again"
    )]
    Full {
        /// The file's path or the stream's name.
        name: String,
        /// Bytes written to it.
        written: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The program that reads what we write has closed its end. For standard output this is a clean end.
    #[error("{name}: its reader closed it after {written} bytes")]
    ReaderGone {
        name: String,
        /// Bytes written to it.
        written: u64,
    },
    #[error("cannot write to {name} after {written} bytes: {source}")]
    Write {
        /// The file's path or the stream's name.
        name: String,
        /// Bytes written to it.
        written: u64,
        source: io::Error,
    },
    /// What was written may not be on the disk; nobody can know any more, and trying again would only hide it.
    #[error(
        "cannot bring {} to stable storage: {source}; check the disk, then start again with the same --state: the file \
         goes on from what was certain before", path.display()
    )]
    Sync {
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file of an earlier life is not there any more.
    #[error(
        "{} is gone; it held {committed} bytes that are delivered and will not be written again: put it back, or begin \
         a new run with --fresh", path.display()
    )]
    Gone { path: PathBuf, committed: u64 },
    /// The file of an earlier life is another one now.
    #[error(
        "{} is not the file that this run has written: another one is in its place; put the first one back, or begin a \
         new run with --fresh", path.display()
    )]
    Replaced { path: PathBuf },
    /// The file has lost bytes that will not come again.
    #[error(
        "{} has {length} bytes, but {committed} are delivered and will not be written again: someone has cut it; \
         restore it, or begin a new run with --fresh", path.display()
    )]
    Shorter { path: PathBuf, length: u64, committed: u64 },
    /// The end of what was committed is not what was written.
    #[error(
        "{} was changed by someone else: its bytes before {committed} are not those that this run has written; restore \
         it, or begin a new run with --fresh", path.display()
    )]
    Changed { path: PathBuf, committed: u64 },
    /// What an earlier life has kept of the file is of no use.
    #[error(
        "what was kept of {} cannot be used: {source}; run the version of worker that began this run, or begin a new \
         one with --fresh", path.display()
    )]
    Mark { path: PathBuf, source: LayoutError },
}

impl SinkError {
    fn writing(name: &str, written: u64, e: Errno) -> Self {
        let (name, source) = (name.to_owned(), io::Error::from(e));
        match e {
            Errno::PIPE | Errno::CONNRESET => Self::ReaderGone { name, written },
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::Full { name, written, source },
            _ => Self::Write { name, written, source },
        }
    }
}

#[cfg(test)]
mod tests;
