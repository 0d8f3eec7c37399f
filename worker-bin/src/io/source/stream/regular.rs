//! A regular file as standard input: a later life that finds the same file there goes on in it.
//!
//! ```text
//!   none ──a file is opened──▶ known ──a record of it is committed──▶ read ──what is no file is opened──▶ refused
//!                               └──what is no file is opened──▶ left ◀── at its end ──┘
//! ```
//! What is known of it is forgotten by a commit that has something of what is read after it, and by nothing else: opening alone
//! says of no input that it is done with.

use crate::io::durable;
use crate::io::layout::{Reader, Tag, Writer};
use crate::io::source::SourceError;
use crate::io::source::file::prefix_hash;
use rustix::fs::{FileType, SeekFrom};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const TAG: Tag = *b"WSR3";
/// Before it was kept what else was read, before it and behind it.
const TAG_ALONE: Tag = *b"WSR2";
/// Before a file was known by its first bytes.
const TAG_BEFORE: Tag = *b"WSR1";

pub(super) fn is_regular(stream: &OwnedFd) -> bool {
    rustix::fs::fstat(stream).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// Puts the descriptor behind the `taken` bytes that earlier lives have of this file, which `path` knows; says whether they have
/// any. Nothing was taken of it, or of a pipe: it is read on where the descriptor stands.
///
/// A file is known as files that are sources are: by its inode and its first bytes.
pub(super) fn go_on(stream: &OwnedFd, path: &Path, taken: u64, name: &str) -> Result<bool, SourceError> {
    let read = |source| SourceError::Read { name: name.to_owned(), offset: taken, source };
    let file = stream.try_clone().map(File::from).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    if let Some(known) = Known::load(path).filter(|known| known.is_read_to(taken)) {
        let replaced = |what| SourceError::Replaced { path: PathBuf::from(name), what };
        if known.inode != metadata.ino() {
            return Err(replaced("another file is in its place"));
        }
        let to = known.begin.wrapping_add(taken);
        let (length, expected) = (metadata.len(), to.max(known.length));
        if length < expected {
            return Err(SourceError::Shorter { path: PathBuf::from(name), length, expected, read: taken });
        }
        if prefix_hash(&file, known.length).map_err(read)? != known.prefix_hash {
            return Err(replaced("it begins with other bytes"));
        }
        if known.left_at.is_some() {
            Known { left_at: None, ..known }.store(path)?;
        }
        rustix::fs::seek(stream, SeekFrom::Start(to)).map_err(|e| read(e.into()))?;
        return Ok(true);
    }
    let now = rustix::fs::tell(stream).map_err(|e| read(e.into()))?;
    let (inode, length) = (metadata.ino(), metadata.len());
    let prefix_hash = prefix_hash(&file, length).map_err(read)?;
    let begin = now.wrapping_sub(taken);
    Known { inode, begin, length, prefix_hash, before: taken, left_at: None }.store(path)?;
    Ok(false)
}

/// What is no file is read now: it does not go on in the middle of the one that `path` knows, and that is not read behind it.
pub(super) fn leave(path: &Path, taken: u64, name: &str) -> Result<(), SourceError> {
    let Some(known) = Known::load(path).filter(|known| known.left_at.is_none_or(|at| taken <= at)) else {
        return Ok(());
    };
    let left = known.length.saturating_sub(known.begin.wrapping_add(taken));
    if known.is_read_to(taken) && left > 0 {
        return Err(SourceError::LeftOfFile { name: name.to_owned(), left });
    }
    Known { left_at: Some(taken), ..known }.store(path)
}

/// A file as it was when it was first read.
struct Known {
    inode: u64,
    /// Where in it the stream begins.
    begin: u64,
    length: u64,
    prefix_hash: u64,
    /// What earlier lives had of other input before it.
    before: u64,
    /// What they had in all when other input was opened after it.
    left_at: Option<u64>,
}

impl Known {
    fn load(path: &Path) -> Option<Self> {
        std::fs::read(path).ok().and_then(|bytes| Self::decode(&bytes))
    }

    fn store(&self, path: &Path) -> Result<(), SourceError> {
        let stored: io::Result<()> = durable::make_directory(durable::parent(path), "list")
            .and_then(|()| durable::replace_file(path, &self.encode(), "list"));
        stored.map_err(|source| SourceError::List { path: path.to_owned(), source })
    }

    /// Whether the last of the `taken` bytes that earlier lives have is of it.
    fn is_read_to(&self, taken: u64) -> bool {
        taken > self.before && self.left_at.is_none_or(|at| taken <= at)
    }

    fn encode(&self) -> Vec<u8> {
        let all = Writer::new(TAG).number(self.inode).number(self.begin);
        let all = all.number(self.length).number(self.prefix_hash).number(self.before);
        all.number(self.left_at.is_some().into()).number(self.left_at.unwrap_or(0)).finish()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let alone = |inode, begin, length, prefix_hash| {
            Some(Self { inode, begin, length, prefix_hash, before: 0, left_at: None })
        };
        if let Ok(mut reader) = Reader::new(bytes, TAG_BEFORE) {
            // Of its content it says nothing, which is what no bytes at all have as well.
            let (inode, begin) = (reader.number().ok()?, reader.number().ok()?);
            return alone(inode, begin, 0, xxh3_64(&[]));
        }
        let (mut reader, is_alone) = match Reader::new(bytes, TAG) {
            Ok(reader) => (reader, false),
            Err(_) => (Reader::new(bytes, TAG_ALONE).ok()?, true),
        };
        let mut number = || reader.number().ok();
        let (inode, begin, length, prefix_hash) = (number()?, number()?, number()?, number()?);
        if is_alone {
            return alone(inode, begin, length, prefix_hash);
        }
        let (before, is_left, left_at) = (number()?, number()? != 0, number()?);
        Some(Self {
            before,
            left_at: is_left.then_some(left_at),
            ..alone(inode, begin, length, prefix_hash)?
        })
    }
}
