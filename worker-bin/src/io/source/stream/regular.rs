//! A regular file as standard input: a later life that finds the same file there goes on in it.

use crate::io::durable;
use crate::io::layout::{Reader, Tag, Writer};
use crate::io::source::SourceError;
use rustix::fs::{FileType, SeekFrom};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const TAG: Tag = *b"WSR1";

pub(super) fn is_regular(stream: &OwnedFd) -> bool {
    rustix::fs::fstat(stream).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// Puts the descriptor behind the `taken` bytes that earlier lives have of this file, which `path` knows; of another file it reads
/// on where the descriptor stands. Says whether it is the same.
///
/// A file is known by its inode, as files that are sources are.
pub(super) fn go_on(stream: &OwnedFd, path: &Path, taken: u64, name: &str) -> Result<bool, SourceError> {
    let read =
        |e: rustix::io::Errno| SourceError::Read { name: name.to_owned(), offset: taken, source: e.into() };
    let stat = rustix::fs::fstat(stream).map_err(read)?;
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    let known = std::fs::read(path).ok().and_then(|bytes| decode(&bytes));
    if let Some((_, begin)) = known.filter(|(inode, _)| *inode == stat.st_ino) {
        let to = begin.wrapping_add(taken);
        if length < to {
            return Err(SourceError::Shorter { path: PathBuf::from(name), length, expected: to });
        }
        rustix::fs::seek(stream, SeekFrom::Start(to)).map_err(read)?;
        return Ok(true);
    }
    let now = rustix::fs::tell(stream).map_err(read)?;
    let bytes = Writer::new(TAG).number(stat.st_ino).number(now.wrapping_sub(taken)).finish();
    let stored: io::Result<()> = durable::make_directory(durable::parent(path), "list")
        .and_then(|()| durable::replace_file(path, &bytes, "list"));
    stored.map_err(|source| SourceError::List { path: path.to_owned(), source })?;
    Ok(false)
}

/// The file's inode, and where in it the stream begins.
fn decode(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut reader = Reader::new(bytes, TAG).ok()?;
    Some((reader.number().ok()?, reader.number().ok()?))
}
