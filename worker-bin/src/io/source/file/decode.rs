//! A file's bytes, unpacked where its first bytes say that it is packed.

use super::fixed::FixedFile;
use crate::descriptors;
use crate::io::identity::FileId;
use crate::io::source::unpack::{Beginning, Failure, Format, MARK_BYTES_MAX, Unpacked, Unpacker};
use crate::io::source::{OnDamage, SourceError, SourceOptions};
use rustix::buffer::spare_capacity;
use rustix::fs::Advice;
use rustix::io::retry_on_intr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What is unpacked at once of what is left out.
const SKIPPED_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct FileReader {
    path: PathBuf,
    raw: RawFile,
    /// `None`: the file is as it is.
    unpacker: Option<Unpacker>,
    /// Unpacked, and not given yet.
    ahead: Vec<u8>,
    /// Its length, where that is fixed.
    expected: Option<u64>,
    /// What is packed in it has no end.
    breaks_off: bool,
}

/// Whether a file is unpacked, and whether what is damaged in it is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpacking {
    Off,
    Halting,
    Skipping,
}

impl Unpacking {
    pub(super) fn of(options: &SourceOptions) -> Self {
        match options.on_damage {
            _ if options.is_plain => Self::Off,
            OnDamage::Halt => Self::Halting,
            OnDamage::Skip => Self::Skipping,
        }
    }
}

/// What a regular file was when it was found, at the beginning of the run: it must not be less when it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) length: u64,
    file: FileId,
}

impl Begun {
    pub(super) fn of(metadata: &std::fs::Metadata) -> Option<Self> {
        metadata.is_file().then(|| Self { length: metadata.len(), file: FileId::of(metadata) })
    }
}

impl FileReader {
    /// `begun`: what the file was when it was found.
    pub(super) fn open(path: &Path, begun: Option<Begun>, unpacking: Unpacking) -> Result<Self, SourceError> {
        // Before it is opened: opening a named pipe waits for its writer.
        if begun.is_some() && path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(SourceError::Swapped { path: path.to_owned() });
        }
        let opened = descriptors::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            let is_it = begun.is_none_or(|begun| begun.file == FileId::of(&metadata));
            Ok((RawFile::new(file, Length { fixed: None, least: begun.map(|begun| begun.length) })?, is_it))
        });
        match opened {
            Ok((_, false)) => Err(SourceError::Swapped { path: path.to_owned() }),
            Ok((raw, true)) => Self::with(path.to_owned(), raw, None, unpacking),
            Err(e) if e.kind() == io::ErrorKind::IsADirectory => {
                Err(SourceError::Directory { path: path.to_owned() })
            }
            Err(source) => Err(SourceError::Open { path: path.to_owned(), source }),
        }
    }

    /// What is open, from its beginning.
    pub(super) fn of(path: &Path, mut file: File, unpacking: Unpacking) -> Result<Self, SourceError> {
        let rewound = file.seek(SeekFrom::Start(0)).map(drop);
        match rewound.and_then(|()| RawFile::new(file, Length { fixed: None, least: None })) {
            Ok(raw) => Self::with(path.to_owned(), raw, None, unpacking),
            Err(source) => Err(SourceError::Open { path: path.to_owned(), source }),
        }
    }

    /// Only the bytes that `file` had, if it is still that file.
    pub(super) fn open_fixed(file: &FixedFile, unpacking: Unpacking) -> Result<Self, SourceError> {
        let (opened, _) = file.open()?;
        let path = file.path.clone();
        match RawFile::new(opened, Length { fixed: Some(file.length), least: None }) {
            Ok(raw) => Self::with(path, raw, Some(file.length), unpacking),
            Err(source) => Err(SourceError::Open { path, source }),
        }
    }

    fn with(
        path: PathBuf,
        (raw, head): (RawFile, Vec<u8>),
        expected: Option<u64>,
        unpacking: Unpacking,
    ) -> Result<Self, SourceError> {
        let unpacker = match Beginning::of(&head) {
            None => None,
            Some(_) if unpacking == Unpacking::Off => None,
            Some(encoding) => match encoding.format {
                Some(format) => Some(Unpacker::new(format, unpacking == Unpacking::Skipping)),
                None => return Err(SourceError::encoded(path.display().to_string(), encoding)),
            },
        };
        Ok(Self { path, raw, unpacker, ahead: Vec::new(), expected, breaks_off: false })
    }

    /// What is told of it once it is at its end: a record, and why it is none.
    pub(super) fn take_remark(&mut self) -> Option<(Vec<u8>, String)> {
        self.unpacker.as_mut()?.take_remark(&self.path.display().to_string())
    }

    /// Leaves out the next `bytes`, unpacked; nothing was read yet.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), SourceError> {
        if self.unpacker.is_none() {
            return self.raw.seek(bytes).map_err(|e| self.unreadable(e));
        }
        self.skip_to(bytes, |_| ())
    }

    /// Leaves out the next `bytes`, unpacked, and says what they are; nothing was read yet.
    pub(super) fn skip_to(&mut self, bytes: u64, mut skips: impl FnMut(&[u8])) -> Result<(), SourceError> {
        let mut left = bytes;
        let mut skipped = Vec::with_capacity(SKIPPED_BYTES);
        while left > 0 {
            skipped.clear();
            let read = self.unpack_into(&mut skipped)? as u64;
            if read == 0 {
                let why = "it ends before the record to go on with".to_owned();
                return Err(self.failed(Failure::Damaged(why)));
            }
            let behind = usize::try_from(left.min(read)).unwrap_or(skipped.len());
            skips(&skipped[..behind]);
            self.ahead = skipped[behind..].to_vec();
            left = left.saturating_sub(read);
        }
        Ok(())
    }

    /// What is read are the file's own bytes, and they are on stable storage.
    pub(super) fn lies_durably(&self) -> bool {
        self.unpacker.is_none() && !goes_with_the_power(&self.raw.file) && self.raw.file.sync_data().is_ok()
    }

    /// Nothing is left; a packed file may not know it yet.
    pub(super) fn is_at_end(&self) -> bool {
        self.unpacker.is_none() && self.raw.left == Some(0)
    }

    /// Appends to `buffer`, whose spare capacity must not be empty; 0 at the end of the file.
    pub(super) fn read_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize, SourceError> {
        if !self.ahead.is_empty() {
            let read = self.ahead.len();
            buffer.append(&mut self.ahead);
            return Ok(read);
        }
        if self.unpacker.is_some() {
            return self.unpack_into(buffer);
        }
        self.raw.read_into(buffer).map_err(|e| self.unreadable(e))
    }

    fn unpack_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize, SourceError> {
        let Some(unpacker) = &mut self.unpacker else { return Ok(0) };
        loop {
            match unpacker.unpack_into(buffer) {
                Ok(Unpacked::Bytes(read)) => return Ok(read),
                Ok(Unpacked::AtItsEnd) => return Ok(0),
                Ok(Unpacked::WantsInput) => match self.raw.read_into(unpacker.input()) {
                    Ok(0) => unpacker.end_input(),
                    Ok(_) => {}
                    Err(e) => return Err(self.unreadable(e)),
                },
                Err(failure) => {
                    self.breaks_off = matches!(failure, Failure::BrokenOff(_));
                    return Err(self.failed(failure));
                }
            }
        }
    }

    /// Whether it failed because there was no more.
    pub(super) fn breaks_off(&self) -> bool {
        self.breaks_off
    }

    fn failed(&self, failure: Failure) -> SourceError {
        let name = self.path.display().to_string();
        match &self.unpacker {
            Some(unpacker) => SourceError::unpacking(name, unpacker, failure),
            None => {
                SourceError::Read { name, offset: self.raw.bytes, source: io::ErrorKind::InvalidData.into() }
            }
        }
    }

    fn unreadable(&self, source: io::Error) -> SourceError {
        let (path, read) = (self.path.clone(), self.done_bytes());
        if let Some(expected) = self.raw.least.or(self.expected).filter(|_| self.raw.is_short) {
            let length = self.raw.file.metadata().map_or(read, |now| now.len());
            return match self.expected {
                Some(_) => SourceError::Shorter { path, length, expected, read },
                None => SourceError::Cut { path, length, expected, read },
            };
        }
        SourceError::Read { name: path.display().to_string(), offset: read, source }
    }

    /// Bytes read of the file, as stored.
    pub(super) fn done_bytes(&self) -> u64 {
        self.raw.bytes
    }
}

/// What a regular file is decoded as.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    let mut head = Vec::new();
    File::open(path).ok()?.take(MARK_BYTES_MAX as u64).read_to_end(&mut head).ok()?;
    Beginning::of(&head)?.format
}

/// How many bytes a file has.
#[derive(Clone, Copy)]
struct Length {
    /// So many are read, whatever there is.
    fixed: Option<u64>,
    /// It has at least so many.
    least: Option<u64>,
}

/// A file, and the bytes that were read to recognise its kind if it cannot be rewound (a named pipe).
#[derive(Debug)]
struct RawFile {
    file: File,
    head: Vec<u8>,
    bytes: u64,
    /// Bytes to read yet, where the length is fixed.
    left: Option<u64>,
    least: Option<u64>,
    /// It ended before its length.
    is_short: bool,
}

impl RawFile {
    /// The file and its first bytes.
    fn new(mut file: File, Length { fixed, least }: Length) -> io::Result<(Self, Vec<u8>)> {
        let mut head = Vec::new();
        let most = MARK_BYTES_MAX as u64;
        let magic_bytes = fixed.map_or(most, |length| length.min(most));
        Read::by_ref(&mut file).take(magic_bytes).read_to_end(&mut head)?;
        let magic = head.clone();
        if file.seek(SeekFrom::Start(0)).is_ok() {
            head.clear();
            // Only a hint: what cannot be advised is read all the same.
            rustix::fs::fadvise(&file, 0, None, Advice::Sequential).ok();
        }
        Ok((Self { file, head, bytes: 0, left: fixed, least, is_short: false }, magic))
    }

    /// Goes on at byte `to`, from the start.
    fn seek(&mut self, to: u64) -> io::Result<()> {
        self.left = match self.left.map(|left| left.checked_sub(to)) {
            Some(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(left) => left,
            None => None,
        };
        self.bytes = self.file.seek(SeekFrom::Start(to))?;
        Ok(())
    }

    fn read_into(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        if self.left == Some(0) {
            return Ok(0);
        }
        let before = buffer.len();
        if self.head.is_empty() {
            let mut read = || retry_on_intr(|| rustix::io::read(&self.file, spare_capacity(buffer)));
            if read()? == 0 && self.least.is_some_and(|least| self.bytes < least) && self.has_its_length()? {
                // It has been cut and has grown since; or, as below /sys, its length is not that of its content.
                if read()? == 0 {
                    self.least = None;
                }
            }
        } else {
            buffer.append(&mut self.head);
        }
        let read = self.took(buffer.len() - before)?;
        buffer.truncate(before + read);
        Ok(read)
    }

    fn has_its_length(&self) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        Ok(self.least.is_none_or(|least| length >= least))
    }

    /// How much counts of `read` bytes, 0 at the end of the file.
    fn took(&mut self, read: usize) -> io::Result<usize> {
        let mut counts = read;
        if read == 0 && self.least.is_some_and(|least| self.bytes < least) {
            self.is_short = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(left) = &mut self.left {
            if read == 0 {
                self.is_short = true;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            counts = usize::try_from(*left).map_or(read, |left| left.min(read));
            *left -= counts as u64;
        }
        self.bytes += counts as u64;
        Ok(counts)
    }
}
/// It is on a file system in memory, which says of a sync that it is done.
fn goes_with_the_power(file: &File) -> bool {
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    const RAMFS: rustix::fs::FsWord = 0x8584_58f6;
    rustix::fs::fstatfs(file).is_ok_and(|of| [TMPFS, RAMFS].contains(&of.f_type))
}
