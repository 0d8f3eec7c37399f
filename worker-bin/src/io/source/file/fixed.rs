//! The files of a source as they were when the pipeline first started: what every later life reads.

use super::decode::{FileReader, Unpacking};
use super::first::first_of;
use crate::descriptors;
use crate::io::identity::FileId;
use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use crate::io::source::header::KeptHeader;
use crate::io::source::{Header, SourceError, SourceOptions, Written, kept};
use bytes::Bytes;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const TAG: Tag = *b"WSL1";
/// How much of a file's beginning tells it from another, in bytes.
const PREFIX_BYTES_MAX: u64 = 4096;

/// The files of a source, fixed: only the bytes they had are read, and only from these very files.
///
/// A file is known by its inode and a hash of its first 4 KiB, not by its device: the number of that changes with a mount
/// on some file systems (btrfs, overlayfs, NFS), and so with the reboot after a power cut. The list is stored once, beside
/// the journal, before the source's first [position](crate::io::source::SourceReader::position); each position has the list's
/// [hash](SourceFiles::hash). Under [`Header::Repeat`] the list also has the header, which later lives need when the first
/// file is long gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFiles {
    files: Vec<FixedFile>,
    header: Option<KeptHeader>,
    hash: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FixedFile {
    pub(super) path: PathBuf,
    pub(super) length: u64,
    inode: u64,
    prefix_hash: u64,
}

impl SourceFiles {
    /// These files, as they are now.
    ///
    /// # Errors
    /// A path that cannot be read or is no regular file, and what reading a header can run into.
    pub fn fix(paths: Vec<PathBuf>, options: &SourceOptions) -> Result<Self, SourceError> {
        let files = paths.into_iter().map(FixedFile::fix).collect::<Result<Vec<_>, _>>()?;
        let header = match options.header {
            Header::Repeat => find_header(&files, options)?,
            Header::Keep | Header::Skip => None,
        };
        let mut fixed = Self { files, header, hash: 0 };
        fixed.hash = xxh3_64(&fixed.encode());
        Ok(fixed)
    }

    /// The paths, in the order in which they are read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The header kept under [`Header::Repeat`], terminator included.
    #[must_use]
    pub fn header(&self) -> Option<Bytes> {
        self.header.as_ref().map(|header| header.record.clone())
    }

    /// Tells this list from any other.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The bytes that [`SourceFiles::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut all = Writer::new(TAG).number(self.files.len() as u64);
        for file in &self.files {
            all = all.string(file.path.as_os_str().as_bytes()).number(file.inode);
            all = all.number(file.prefix_hash).number(file.length);
        }
        match &self.header {
            None => all.number(0),
            Some(header) => all.number(1).string(&header.record).string(header.origin.as_bytes()),
        }
        .finish()
    }

    /// Reads what [`SourceFiles::encode`] gave.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut reader = Reader::new(bytes, TAG)?;
        let mut files = Vec::new();
        for _ in 0..reader.number()? {
            files.push(FixedFile {
                path: PathBuf::from(OsStr::from_bytes(reader.string()?)),
                inode: reader.number()?,
                prefix_hash: reader.number()?,
                length: reader.number()?,
            });
        }
        let header = match reader.number()? {
            0 => None,
            1 => Some(KeptHeader {
                record: Bytes::copy_from_slice(reader.string()?),
                origin: String::from_utf8_lossy(reader.string()?).into_owned(),
            }),
            _ => return Err(LayoutError::Contradiction),
        };
        reader.finish()?;
        Ok(Self { files, header, hash: xxh3_64(bytes) })
    }

    /// Puts the list at `path`, durable when this returns; makes the directory it is in (not those above).
    ///
    /// # Errors
    /// [`SourceError::List`].
    pub fn store(&self, path: &Path) -> Result<(), SourceError> {
        kept::store(path, &self.encode())
            .map_err(|source| SourceError::List { path: path.to_owned(), source })
    }

    /// Reads the list at `path`.
    ///
    /// # Errors
    /// [`SourceError::List`].
    pub fn load(path: &Path) -> Result<Self, SourceError> {
        kept::load(path)
            .and_then(|bytes| Self::decode(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e)))
            .map_err(|source| SourceError::List { path: path.to_owned(), source })
    }

    pub(super) fn files(&self) -> &[FixedFile] {
        &self.files
    }

    /// One of these files that it has, also by another name, and what goes with it.
    pub(super) fn one_of(&self, written: &Written) -> Option<(PathBuf, String)> {
        let inodes: HashSet<u64> = written.keys().map(|id| id.inode()).collect();
        self.files.iter().filter(|file| inodes.contains(&file.inode)).find_map(|file| {
            let sink = written.get(&FileId::of(&file.path.metadata().ok()?))?;
            Some((file.path.clone(), sink.clone()))
        })
    }

    pub(super) fn kept_header(&self) -> Option<KeptHeader> {
        self.header.clone()
    }

    /// Bytes to read, as they are stored, of the files before `file`.
    pub(super) fn bytes_before(&self, file: usize) -> u64 {
        self.files[..file].iter().map(|file| file.length).sum()
    }

    /// That the files from `first` on are those that were fixed; what to tell the user of those that have grown.
    pub(super) fn check_from(&self, first: usize) -> Result<Option<String>, SourceError> {
        let mut grown: Vec<&Path> = Vec::new();
        for file in self.files[first..].iter().filter(|file| file.length > 0) {
            let (_, length) = file.open()?;
            if length > file.length {
                grown.push(&file.path);
            }
        }
        Ok(grown.first().map(|first| {
            let others = match grown.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            format!(
                "{}{others} has grown since this run began; only what it held then is read, the rest is for a new run",
                first.display()
            )
        }))
    }
}

impl FixedFile {
    fn fix(path: PathBuf) -> Result<Self, SourceError> {
        let open = |source| SourceError::Open { path: path.clone(), source };
        let metadata = path.metadata().map_err(open)?;
        if metadata.is_dir() {
            return Err(SourceError::Directory { path });
        }
        // Before it is opened: opening a named pipe waits for its writer.
        if !metadata.is_file() {
            return Err(SourceError::NotRegular { path });
        }
        let file = descriptors::open(&path).map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        let length = metadata.len();
        if !has_length(&file, length).map_err(open)? {
            return Err(SourceError::NoLength { path });
        }
        let prefix_hash = prefix_hash(&file, length).map_err(open)?;
        Ok(Self { length, inode: metadata.ino(), prefix_hash, path })
    }

    /// The file, if it is still the same, and its length now.
    pub(super) fn open(&self) -> Result<(File, u64), SourceError> {
        let path = || self.path.clone();
        let open = |source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                return SourceError::Gone { path: path() };
            }
            SourceError::Open { path: path(), source }
        };
        let identity = |m: &std::fs::Metadata| m.is_file() && m.ino() == self.inode;
        let replaced = |what| SourceError::Replaced { path: path(), what };
        if !identity(&self.path.metadata().map_err(open)?) {
            return Err(replaced("another file is in its place"));
        }
        let file = descriptors::open(&self.path).map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        if !identity(&metadata) {
            return Err(replaced("another file is in its place"));
        }
        if metadata.len() < self.length {
            let (length, expected) = (metadata.len(), self.length);
            return Err(SourceError::Shorter { path: path(), length, expected, read: 0 });
        }
        if prefix_hash(&file, self.length).map_err(open)? != self.prefix_hash {
            return Err(replaced("it begins with other bytes"));
        }
        Ok((file, metadata.len()))
    }
}

/// Whether what the system says of a file's length is so: below /proc it is 0, and below /sys one page, whatever they give.
fn has_length(file: &File, length: u64) -> io::Result<bool> {
    let has = |at| Ok::<bool, io::Error>(file.read_at(&mut [0], at)? > 0);
    match length.checked_sub(1) {
        Some(last) => has(last),
        // It may have grown since.
        None => Ok(!has(0)? || file.metadata()?.len() > 0),
    }
}

/// Of the first bytes of a file that has at least `length` of them.
pub(in crate::io::source) fn prefix_hash(file: &File, length: u64) -> io::Result<u64> {
    let bytes = length.min(PREFIX_BYTES_MAX);
    let mut prefix = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut prefix, 0)?;
    Ok(xxh3_64(&prefix))
}

/// The first record of the first file that has one.
fn find_header(files: &[FixedFile], options: &SourceOptions) -> Result<Option<KeptHeader>, SourceError> {
    for file in files.iter().filter(|file| file.length > 0) {
        let reader = FileReader::open_fixed(file, Unpacking::of(options))?;
        if let Some(record) = first_of(reader, &file.path, options)? {
            return Ok(Some(KeptHeader { record, origin: file.path.display().to_string() }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
