//! Where records go: files ([`FileSink`]) and open streams ([`StreamSink`]).

mod file;
mod stream;
mod vectored;

pub use file::{Exists, FileSink, partition_path};
pub use stream::StreamSink;

use rustix::io::Errno;
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use worker_proto::Batch;

/// Writes records to the outside. Blocks.
pub trait SinkWriter: Send {
    /// Writes all of `batches`, in order.
    ///
    /// # Errors
    /// [`SinkError`]; how much of them was written is unknown but for the count in the message.
    fn write(&mut self, batches: &[Batch]) -> Result<(), SinkError>;

    /// Everything was written: hands it over to the system and closes. Nothing is synced to the disk.
    ///
    /// # Errors
    /// [`SinkError`].
    fn close(&mut self) -> Result<(), SinkError>;
}

/// Why a sink cannot go on.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The user did not allow it to replace a file.
    #[error("{} exists already; choose another path, remove it, or set `exists = \"replace\"`", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// The user named a directory.
    #[error("{} is a directory, expected a file; write `{}/` for one file per partition in it", path.display(), path.display())]
    Directory {
        /// Which.
        path: PathBuf,
    },
    /// The file, or the directory it is in, cannot be created or opened.
    #[error("cannot write to {}: {source}; check the path and its permissions", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
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
        /// The stream's name.
        name: String,
        /// Bytes written to it.
        written: u64,
    },
    /// Writing failed otherwise.
    #[error("cannot write to {name} after {written} bytes: {source}")]
    Write {
        /// The file's path or the stream's name.
        name: String,
        /// Bytes written to it.
        written: u64,
        /// Why.
        source: io::Error,
    },
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
