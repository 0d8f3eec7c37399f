//! A file's bytes, unpacked where its first bytes say that it is packed.

use super::fixed::FixedFile;
use super::gzip::{Garbage, Members};
use crate::descriptors;
use crate::io::source::SourceError;
use crate::io::source::stream::encoded::{self, Encoding, MARK_BYTES_MAX};
use rustix::buffer::spare_capacity;
use rustix::fs::Advice;
use rustix::io::retry_on_intr;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const MAGIC_BYTES: usize = MARK_BYTES_MAX;
const PACKED_READ_BYTES: usize = 64 * 1024;
/// Most unpacked at once, in bytes: the unpackers need zeroed room.
const UNPACKED_BYTES_MAX: usize = 128 * 1024;

pub(super) struct FileReader {
    path: PathBuf,
    input: Input,
    /// Its length, where that is fixed.
    expected: Option<u64>,
    unpacked: u64,
}

enum Input {
    Plain(RawFile),
    /// Several members one after the other are one file.
    Gzip(Members<BufReader<RawFile>>),
    /// Several frames one after the other are one file.
    Zstd(zstd::Decoder<'static, BufReader<RawFile>>),
}

/// What a regular file was when the run began: it must not be less when it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) length: u64,
    file: (u64, u64),
}

impl Begun {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Self { length: metadata.len(), file: (metadata.dev(), metadata.ino()) })
    }
}

impl FileReader {
    /// `begun`: what the file was when the run began.
    pub(super) fn open(path: &Path, begun: Option<Begun>) -> Result<Self, SourceError> {
        let opened = descriptors::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            let is_it = begun.is_none_or(|begun| begun.file == (metadata.dev(), metadata.ino()));
            Ok((Input::of(file, Length { fixed: None, least: begun.map(|begun| begun.length) })?, is_it))
        });
        match opened {
            Ok((_, false)) => Err(SourceError::Swapped { path: path.to_owned() }),
            Ok((input, true)) => Self::with(path.to_owned(), input, None),
            Err(e) if e.kind() == io::ErrorKind::IsADirectory => {
                Err(SourceError::Directory { path: path.to_owned() })
            }
            Err(source) => Err(SourceError::Open { path: path.to_owned(), source }),
        }
    }

    /// Only the bytes that `file` had, if it is still that file.
    pub(super) fn open_fixed(file: &FixedFile) -> Result<Self, SourceError> {
        let (opened, _) = file.open()?;
        let path = file.path.clone();
        match Input::of(opened, Length { fixed: Some(file.length), least: None }) {
            Ok(input) => Self::with(path, input, Some(file.length)),
            Err(source) => Err(SourceError::Open { path, source }),
        }
    }

    fn with(
        path: PathBuf,
        input: Result<Input, &Encoding>,
        expected: Option<u64>,
    ) -> Result<Self, SourceError> {
        match input {
            Ok(input) => Ok(Self { path, input, expected, unpacked: 0 }),
            Err(Encoding { what, command, .. }) => {
                Err(SourceError::Encoded { name: path.display().to_string(), what, command })
            }
        }
    }

    /// Bytes given of it so far, those that were left out included.
    pub(super) fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// What lies behind the packed data and is none, once it is at its end.
    pub(super) fn garbage(&self) -> Option<Garbage> {
        match &self.input {
            Input::Gzip(members) => members.garbage().cloned(),
            Input::Plain(_) | Input::Zstd(_) => None,
        }
    }

    /// Appends the next byte to `buffer`, if it can be had.
    pub(super) fn next_byte(&mut self, buffer: &mut Vec<u8>) -> bool {
        let mut byte = [0];
        let read = match &mut self.input {
            Input::Plain(file) => file.read(&mut byte),
            Input::Gzip(decoder) => decoder.read(&mut byte),
            Input::Zstd(decoder) => decoder.read(&mut byte),
        };
        let is_there = read.is_ok_and(|read| read == 1);
        if is_there {
            buffer.push(byte[0]);
        }
        is_there
    }

    /// Leaves out the next `bytes`, unpacked; nothing was read yet.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), SourceError> {
        self.unpacked += bytes;
        let skipped = match &mut self.input {
            Input::Plain(file) => file.seek(bytes),
            Input::Gzip(decoder) => discard(decoder, bytes),
            Input::Zstd(decoder) => discard(decoder, bytes),
        };
        skipped.map_err(|e| self.failed(e))
    }

    /// Nothing is left; a packed file may not know it yet.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(&self.input, Input::Plain(file) if file.left == Some(0))
    }

    /// Appends to `buffer`, whose spare capacity must not be empty; 0 at the end of the file.
    pub(super) fn read_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize, SourceError> {
        let result = match &mut self.input {
            Input::Plain(file) => file.read_into(buffer),
            Input::Gzip(decoder) => unpack_into(decoder, buffer),
            Input::Zstd(decoder) => unpack_into(decoder, buffer),
        };
        let read = result.map_err(|e| self.failed(e))?;
        self.unpacked += read as u64;
        Ok(read)
    }

    fn failed(&self, source: io::Error) -> SourceError {
        let (path, offset) = (self.path.clone(), self.offset());
        let format = match &self.input {
            Input::Plain(_) => None,
            Input::Gzip(_) => Some("gzip"),
            Input::Zstd(_) => Some("zstd"),
        };
        let raw = self.raw();
        let (length, is_short) = (self.done_bytes(), raw.is_some_and(|raw| raw.is_short));
        if let Some(expected) = raw.and_then(|raw| raw.least).filter(|_| is_short) {
            return SourceError::Cut { path, length, expected };
        }
        match (self.expected.filter(|_| is_short), format) {
            (Some(expected), _) => SourceError::Shorter { path, length, expected },
            (None, Some(format)) if source.raw_os_error().is_none() => {
                SourceError::Corrupt { path, format, offset, source }
            }
            (None, Some(_) | None) => SourceError::Read { name: path.display().to_string(), offset, source },
        }
    }

    /// Bytes read of the file, as stored.
    pub(super) fn done_bytes(&self) -> u64 {
        self.raw().map_or(0, |raw| raw.bytes)
    }

    fn raw(&self) -> Option<&RawFile> {
        Some(match &self.input {
            Input::Plain(file) => file,
            Input::Gzip(decoder) => decoder.get_ref()?.get_ref(),
            Input::Zstd(decoder) => decoder.get_ref().get_ref(),
        })
    }

    /// How far the unpacker is in the file.
    fn offset(&self) -> u64 {
        let ahead = match &self.input {
            Input::Plain(_) => 0,
            Input::Gzip(decoder) => decoder.get_ref().map_or(0, |input| input.buffer().len()),
            Input::Zstd(decoder) => decoder.get_ref().buffer().len(),
        };
        self.done_bytes() - ahead as u64
    }
}

impl fmt::Debug for FileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileReader({} at {})", self.path.display(), self.offset())
    }
}

impl Input {
    /// Or how it is encoded, where that is not decoded here.
    fn of(file: File, length: Length) -> io::Result<Result<Self, &'static Encoding>> {
        let (file, head) = RawFile::new(file, length)?;
        Ok(Ok(match head {
            [0x1f, 0x8b, 0x08, ..] => {
                Self::Gzip(Members::new(BufReader::with_capacity(PACKED_READ_BYTES, file)))
            }
            // A frame of data, or one to be skipped that comes before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Self::Zstd(zstd::Decoder::with_buffer(BufReader::with_capacity(PACKED_READ_BYTES, file))?)
            }
            _ => match encoded::of_plain(&head) {
                Some(encoding) => return Ok(Err(encoding)),
                None => Self::Plain(file),
            },
        }))
    }
}

fn unpack_into(decoder: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let start = buffer.len();
    let room = (buffer.capacity() - start).min(UNPACKED_BYTES_MAX);
    buffer.resize(start + room, 0);
    let result = loop {
        match decoder.read(&mut buffer[start..]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    buffer.truncate(start + result.as_ref().copied().unwrap_or(0));
    result
}

/// Unpacks `bytes` for nothing.
fn discard(decoder: &mut impl Read, bytes: u64) -> io::Result<()> {
    if io::copy(&mut decoder.take(bytes), &mut io::sink())? < bytes {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before the record to go on with"));
    }
    Ok(())
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
    /// The file and its first bytes, zeros where it is shorter.
    fn new(mut file: File, Length { fixed, least }: Length) -> io::Result<(Self, [u8; MAGIC_BYTES])> {
        let mut head = Vec::new();
        let most = MAGIC_BYTES as u64;
        let magic_bytes = fixed.map_or(most, |length| length.min(most));
        Read::by_ref(&mut file).take(magic_bytes).read_to_end(&mut head)?;
        let mut magic = [0; MAGIC_BYTES];
        magic[..head.len()].copy_from_slice(&head);
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
            retry_on_intr(|| rustix::io::read(&self.file, spare_capacity(buffer)))?;
        } else {
            buffer.append(&mut self.head);
        }
        let read = self.took(buffer.len() - before)?;
        buffer.truncate(before + read);
        Ok(read)
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

impl Read for RawFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == Some(0) || into.is_empty() {
            return Ok(0);
        }
        let read = if self.head.is_empty() {
            self.file.read(into)?
        } else {
            let read = self.head.len().min(into.len());
            into[..read].copy_from_slice(&self.head[..read]);
            self.head.drain(..read);
            read
        };
        self.took(read)
    }
}
