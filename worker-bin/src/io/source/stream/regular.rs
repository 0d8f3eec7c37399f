//! A regular file as standard input: a later life that finds the same file there goes on in it.

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

const TAG: Tag = *b"WSR2";
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
    let known = std::fs::read(path).ok().and_then(|bytes| Known::decode(&bytes));
    if let Some(known) = known.filter(|_| taken > 0) {
        let replaced = |what| SourceError::Replaced { path: PathBuf::from(name), what };
        if known.inode != metadata.ino() {
            return Err(replaced("another file is in its place"));
        }
        let to = known.begin.wrapping_add(taken);
        let (length, expected) = (metadata.len(), to.max(known.length));
        if length < expected {
            return Err(SourceError::Shorter { path: PathBuf::from(name), length, expected });
        }
        if prefix_hash(&file, known.length).map_err(read)? != known.prefix_hash {
            return Err(replaced("it begins with other bytes"));
        }
        rustix::fs::seek(stream, SeekFrom::Start(to)).map_err(|e| read(e.into()))?;
        return Ok(true);
    }
    let now = rustix::fs::tell(stream).map_err(|e| read(e.into()))?;
    let (inode, length) = (metadata.ino(), metadata.len());
    let prefix_hash = prefix_hash(&file, length).map_err(read)?;
    let known = Known { inode, begin: now.wrapping_sub(taken), length, prefix_hash };
    let stored: io::Result<()> = durable::make_directory(durable::parent(path), "list")
        .and_then(|()| durable::replace_file(path, &known.encode(), "list"));
    stored.map_err(|source| SourceError::List { path: path.to_owned(), source })?;
    Ok(false)
}

/// Another stream is read now: where this one would go on is not known any more.
pub(super) fn forget(path: &Path) -> Result<(), SourceError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SourceError::List { path: path.to_owned(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A file as it was when it was first read.
struct Known {
    inode: u64,
    /// Where in it the stream begins.
    begin: u64,
    length: u64,
    prefix_hash: u64,
}

impl Known {
    fn encode(&self) -> Vec<u8> {
        let all = Writer::new(TAG).number(self.inode).number(self.begin);
        all.number(self.length).number(self.prefix_hash).finish()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if let Ok(mut reader) = Reader::new(bytes, TAG_BEFORE) {
            // Of its content it says nothing, which is what no bytes at all have as well.
            let (inode, begin) = (reader.number().ok()?, reader.number().ok()?);
            return Some(Self { inode, begin, length: 0, prefix_hash: xxh3_64(&[]) });
        }
        let mut reader = Reader::new(bytes, TAG).ok()?;
        let mut number = || reader.number().ok();
        Some(Self { inode: number()?, begin: number()?, length: number()?, prefix_hash: number()? })
    }
}
