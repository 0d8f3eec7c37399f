//! Why a sink cannot go on.

use crate::io::LayoutError;
use crate::text::units::number;
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use worker_journal::size_limit_advice;

/// Why a sink cannot go on.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The user did not allow it to replace a file.
    #[error("{} exists already; choose another path, remove it, or set `exists = \"replace\"` or \"append\" (on the command line --force or --append)", path.display())]
    Exists { path: PathBuf },
    /// What would go behind its records stands under another header.
    #[error(
        "{} begins with {found}, and what would go behind it stands under the header {header}: give it a path of its own, or set \
         `exists = \"replace\"` (on the command line --force)",
        path.display()
    )]
    Headed {
        path: PathBuf,
        /// Its first line.
        found: String,
        header: String,
    },
    /// The user named a directory.
    #[error("{} is a directory, expected a file; write `{}/` for one file per partition in it", path.display(), path.display())]
    Directory { path: PathBuf },
    /// A link that leads nowhere.
    #[error(
        "{} is a link to {}, and nothing is there: make that file (an empty one will do), or remove the link", path.display(),
        target.display()
    )]
    Dangling { path: PathBuf, target: PathBuf },
    /// The file, or the directory it is in, cannot be created or opened.
    #[error("cannot write to {}: {source}; check the path and its permissions", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// No room: disk or quota.
    #[error(
        "{name}: no room left after {written} bytes ({source}); make room there, or choose a path on another disk",
        written = number(*written)
    )]
    Full {
        /// The file's path or the stream's name.
        name: String,
        /// Bytes written to it.
        written: u64,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody could take what is written.
    #[error(
        "standard {what} is closed; give it a file or a pipe (> /dev/null throws all of it away), or name a file to write to"
    )]
    Closed { what: &'static str },
    /// Nobody has this named pipe open to read it, for now.
    #[error("nobody reads {name}; it is written to when somebody does")]
    NoReader { name: String },
    /// The program that reads what we write has closed its end. For standard output this is a clean end.
    #[error("{name}: its reader closed it after {written} bytes", written = number(*written))]
    ReaderGone {
        name: String,
        /// Bytes written to it.
        written: u64,
    },
    #[error("cannot write to {name} after {written} bytes: {source}{}", size_limit_advice(source), written = number(*written))]
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
    /// Somebody has removed the file while it was written.
    #[error(
        "{} was removed while this run wrote it: the {written} bytes that it has written are lost; run again, and leave the \
         file where it is", path.display(), written = number(*written)
    )]
    Removed { path: PathBuf, written: u64 },
    /// Somebody has replaced the file while it was written.
    #[error(
        "another file was put in the place of {} while this run wrote it: the {written} bytes that it has written are in the \
         file that was there, if that was kept; run again, and leave the file where it is", path.display(),
        written = number(*written)
    )]
    Elsewhere { path: PathBuf, written: u64 },
    /// Somebody has cut the file while it was written.
    #[error(
        "{} has {length} bytes, but {expected} were written: someone has cut it meanwhile, and what is missing is lost; \
         remove it and run again", path.display(), length = number(*length), expected = number(*expected)
    )]
    Cut { path: PathBuf, length: u64, expected: u64 },
    /// The file of an earlier life is not there any more.
    #[error(
        "{} is gone; it held {committed} bytes that are delivered and will not be written again: put it back, or begin \
         a new run with --fresh", path.display(), committed = number(*committed)
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
         restore it, or begin a new run with --fresh", path.display(), length = number(*length), committed = number(*committed)
    )]
    Shorter { path: PathBuf, length: u64, committed: u64 },
    /// Somebody else writes to a file of which each byte must be known.
    #[error(
        "{} has {length} bytes, but this run has written it up to {committed} only: something else writes to it too; see \
         that nothing does, then start again with the same --state: what is foreign behind byte {committed} is cut off",
        path.display(), length = number(*length), committed = number(*committed)
    )]
    Grown { path: PathBuf, length: u64, committed: u64 },
    /// The end of what was committed is not what was written.
    #[error(
        "{} was changed by someone else: its bytes before {committed} are not those that this run has written; restore \
         it, or begin a new run with --fresh", path.display(), committed = number(*committed)
    )]
    Changed { path: PathBuf, committed: u64 },
    /// What an earlier life has kept of the file is of no use.
    #[error(
        "what was kept of {} cannot be used: {source}; run the version of worker that began this run, or begin a new \
         one with --fresh", path.display()
    )]
    Position { path: PathBuf, source: LayoutError },
}

impl SinkError {
    /// The same of a file that a finished run has written.
    pub(crate) fn afterwards(&self) -> String {
        match self {
            Self::Gone { path, .. } => {
                format!("{} is not there any more: moved or removed since", path.display())
            }
            Self::Replaced { path } => {
                format!("{} is another file than the one that was written", path.display())
            }
            Self::Shorter { path, length, committed } => {
                let (length, committed) = (number(*length), number(*committed));
                format!("{} was cut since: {length} bytes are left of {committed}", path.display())
            }
            Self::Changed { path, .. } => {
                format!("{} is not what was written: changed since", path.display())
            }
            Self::Exists { .. }
            | Self::Headed { .. }
            | Self::Directory { .. }
            | Self::Dangling { .. }
            | Self::Open { .. }
            | Self::Full { .. }
            | Self::Closed { .. }
            | Self::NoReader { .. }
            | Self::ReaderGone { .. }
            | Self::Write { .. }
            | Self::Sync { .. }
            | Self::Removed { .. }
            | Self::Elsewhere { .. }
            | Self::Cut { .. }
            | Self::Grown { .. }
            | Self::Position { .. } => self.to_string(),
        }
    }

    pub(super) fn writing(name: &str, written: u64, e: Errno) -> Self {
        let (name, source) = (name.to_owned(), io::Error::from(e));
        match e {
            Errno::PIPE | Errno::CONNRESET => Self::ReaderGone { name, written },
            Errno::NOSPC | Errno::DQUOT => Self::Full { name, written, source },
            _ => Self::Write { name, written, source },
        }
    }
}
