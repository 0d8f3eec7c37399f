//! Where records come from: files ([`FileSource`]) and open streams ([`StreamSource`]).

mod decode;
mod files;
mod fixed;
mod header;
mod paths;
mod position;
mod stop;
mod stream;

pub use files::{FileSource, first_record};
pub use fixed::SourceFiles;
pub use header::Header;
pub use paths::expand;
pub use stop::Stop;
pub use stream::StreamSource;

use super::LayoutError;
use super::chunker::RecordTooLong;
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use worker_proto::Batch;

/// Reads records from outside, a chunk at a time. Blocks.
pub trait SourceReader: Send {
    /// The next records; `None`, from then on always, when there are no more.
    ///
    /// # Errors
    /// [`SourceError`]; the source is of no use after it.
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError>;

    /// How far it is.
    fn progress(&self) -> Progress;

    /// The header kept aside under [`Header::Repeat`], terminator included, once it was read.
    fn header(&self) -> Option<Bytes>;

    /// Where the records given so far end, for a later life to go on with; before the first chunk, the first position.
    ///
    /// `None` if it was not opened to be gone on with.
    fn position(&self) -> Option<Bytes> {
        None
    }
}

/// What all kinds of sources can be told.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The byte that ends a record.
    pub terminator: u8,
    /// Longest record, in bytes, without its terminator.
    pub max_record: usize,
    /// What is done with the first record of each file.
    pub header: Header,
    /// End after this many records.
    pub limit: Option<u64>,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self { terminator: b'\n', max_record: 1 << 20, header: Header::Keep, limit: None }
    }
}

/// How far a source is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read, as they are stored: of packed files, packed bytes.
    pub done_bytes: u64,
    /// Bytes there are; `None` where nobody can know.
    pub total_bytes: Option<u64>,
    pub records: u64,
}

/// Why a source cannot go on.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The user's pattern names nothing.
    #[error(
        "`{pattern}` matches no file in {directory}; check the pattern, and that it is relative to that directory"
    )]
    NoMatch {
        /// As the user wrote it.
        pattern: String,
        /// What it is relative to.
        directory: String,
    },
    /// The user's pattern is not one.
    #[error("`{pattern}` is not a file pattern: {why}; use `*`, `?`, `[a-z]` and `**`")]
    BadPattern {
        /// As the user wrote it.
        pattern: String,
        /// What is wrong, and where.
        why: String,
    },
    /// The user named a directory.
    #[error("{} is a directory, expected a file; name the files in it, as in `{}/*`", path.display(), path.display())]
    Directory { path: PathBuf },
    /// A file or directory cannot be opened.
    #[error("cannot open {}: {source}; check that it exists and may be read", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// Reading failed on the way.
    #[error("cannot read {name} at byte {offset}: {source}")]
    Read {
        /// The file's path or the stream's name.
        name: String,
        /// Where, in bytes from 0, as stored.
        offset: u64,
        source: io::Error,
    },
    /// A packed file is damaged or cut short.
    #[error("{}: damaged or truncated {format} data near byte {offset} of the file ({source}); check it with `{format} -t`", path.display())]
    Corrupt {
        path: PathBuf,
        /// `gzip` or `zstd`.
        format: &'static str,
        /// Where, in bytes from 0, as stored.
        offset: u64,
        /// What the unpacker says.
        source: io::Error,
    },
    /// A record is too long.
    #[error("{name}: {source}")]
    TooLong {
        /// The file's path or the stream's name.
        name: String,
        /// Where in it, unpacked.
        source: RecordTooLong,
    },
    /// Files to be read as one have different first records.
    #[error(
        "{second} begins with another header than {first} (`{second_header}`, expected `{first_header}`); read them as \
         two sources, or use `header = \"skip\"`"
    )]
    HeadersDiffer {
        /// The file that came first.
        first: String,
        first_header: String,
        /// The file that differs.
        second: String,
        second_header: String,
    },
    /// Only regular files can be read again from where an earlier life was.
    #[error(
        "{} is not a regular file; where every record counts exactly once, a named pipe or device must be the only \
         path of its source", path.display()
    )]
    NotRegular { path: PathBuf },
    /// A file of the first start is not there any more.
    #[error(
        "{} is gone, and this run has not read all of it; put it back, or begin a new run with --fresh", path.display()
    )]
    Gone { path: PathBuf },
    /// A file of the first start is another one now.
    #[error(
        "{} is not the file that this run began to read: {what}; put that one back, or begin a new run with --fresh",
        path.display()
    )]
    Replaced { path: PathBuf, what: &'static str },
    /// A file of the first start was cut.
    #[error(
        "{} ends after {length} bytes, but had {expected} when this run began; restore it, or begin a new run with \
         --fresh", path.display()
    )]
    Shorter { path: PathBuf, length: u64, expected: u64 },
    /// What an earlier life has kept of its position is of no use.
    #[error(
        "the position kept for {name} cannot be used: {source}; run the version of worker that began this run, or \
         begin a new one with --fresh"
    )]
    Mark {
        /// The stream's name, or what stands for the files.
        name: String,
        source: LayoutError,
    },
    /// The list of the first start's files cannot be stored or read.
    #[error(
        "the source's list of files, {}: {source}; make sure that there is room and that it may be read and written, \
         or begin a new run with --fresh", path.display()
    )]
    List { path: PathBuf, source: io::Error },
}

const FIRST_CHUNK_BYTES: usize = 16 * 1024;
const CHUNK_BYTES: usize = 256 * 1024;

/// Sizes of chunks: small ones first, so that a small input too is spread over the partitions.
#[derive(Debug)]
struct SlowStart(usize);

impl SlowStart {
    fn new() -> Self {
        Self(FIRST_CHUNK_BYTES)
    }

    fn bytes(&self) -> usize {
        self.0
    }

    fn grow(&mut self) -> usize {
        self.0 = (self.0 * 2).min(CHUNK_BYTES);
        self.0
    }
}

/// Counts records given, up to the limit.
#[derive(Debug)]
struct Counter {
    given: u64,
    limit: u64,
}

impl Counter {
    fn new(limit: Option<u64>) -> Self {
        Self { given: 0, limit: limit.unwrap_or(u64::MAX) }
    }

    fn is_full(&self) -> bool {
        self.given >= self.limit
    }

    fn admit(&mut self, batch: Batch) -> Batch {
        let left = usize::try_from(self.limit - self.given).unwrap_or(usize::MAX);
        let batch = if batch.len() > left { batch.slice(0..left) } else { batch };
        self.given += batch.len() as u64;
        batch
    }
}
