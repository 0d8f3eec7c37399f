//! A file's bytes, unpacked where its first bytes say that it is packed.

use super::SourceError;
use flate2::bufread::MultiGzDecoder;
use rustix::buffer::spare_capacity;
use rustix::fs::Advice;
use rustix::io::retry_on_intr;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const MAGIC_BYTES: u64 = 4;
const PACKED_READ_BYTES: usize = 64 * 1024;
/// Most unpacked at once, in bytes: the unpackers need zeroed room.
const UNPACKED_BYTES_MAX: usize = 128 * 1024;

/// One open file.
pub(super) struct FileReader {
    path: PathBuf,
    input: Input,
}

enum Input {
    Plain(RawFile),
    /// Several members one after the other are one file.
    Gzip(MultiGzDecoder<BufReader<RawFile>>),
    /// Several frames one after the other are one file.
    Zstd(zstd::Decoder<'static, BufReader<RawFile>>),
}

impl FileReader {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let opened = RawFile::open(path).and_then(|(file, head)| Input::new(file, head));
        match opened {
            Ok(input) => Ok(Self { path: path.to_owned(), input }),
            Err(e) if e.kind() == io::ErrorKind::IsADirectory => {
                Err(SourceError::Directory { path: path.to_owned() })
            }
            Err(source) => Err(SourceError::Open { path: path.to_owned(), source }),
        }
    }

    /// Appends to `buffer`, whose spare capacity must not be empty; 0 at the end of the file.
    pub(super) fn read_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize, SourceError> {
        let (result, format) = match &mut self.input {
            Input::Plain(file) => (file.read_into(buffer), None),
            Input::Gzip(decoder) => (unpack_into(decoder, buffer), Some("gzip")),
            Input::Zstd(decoder) => (unpack_into(decoder, buffer), Some("zstd")),
        };
        result.map_err(|source| match format {
            Some(format) if source.raw_os_error().is_none() => {
                SourceError::Corrupt { path: self.path.clone(), format, offset: self.offset(), source }
            }
            Some(_) | None => {
                SourceError::Read { name: self.path.display().to_string(), offset: self.offset(), source }
            }
        })
    }

    /// Bytes read of the file, as stored.
    pub(super) fn done_bytes(&self) -> u64 {
        match &self.input {
            Input::Plain(file) => file.bytes,
            Input::Gzip(decoder) => decoder.get_ref().get_ref().bytes,
            Input::Zstd(decoder) => decoder.get_ref().get_ref().bytes,
        }
    }

    /// How far the unpacker is in the file.
    fn offset(&self) -> u64 {
        let ahead = match &self.input {
            Input::Plain(_) => 0,
            Input::Gzip(decoder) => decoder.get_ref().buffer().len(),
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
    fn new(file: RawFile, head: [u8; 4]) -> io::Result<Self> {
        Ok(match head {
            [0x1f, 0x8b, 0x08, _] => {
                Self::Gzip(MultiGzDecoder::new(BufReader::with_capacity(PACKED_READ_BYTES, file)))
            }
            // A frame of data, or one to be skipped that comes before it.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                Self::Zstd(zstd::Decoder::with_buffer(BufReader::with_capacity(PACKED_READ_BYTES, file))?)
            }
            _ => Self::Plain(file),
        })
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

/// A file, and the bytes that were read to recognise its kind if it cannot be rewound (a named pipe).
struct RawFile {
    file: File,
    head: Vec<u8>,
    bytes: u64,
}

impl RawFile {
    /// The file and its first bytes, zeros where it is shorter.
    fn open(path: &Path) -> io::Result<(Self, [u8; 4])> {
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(MAGIC_BYTES).read_to_end(&mut head)?;
        let mut magic = [0; 4];
        magic[..head.len()].copy_from_slice(&head);
        if file.seek(SeekFrom::Start(0)).is_ok() {
            head.clear();
            // Only a hint: what cannot be advised is read all the same.
            rustix::fs::fadvise(&file, 0, None, Advice::Sequential).ok();
        }
        Ok((Self { file, head, bytes: 0 }, magic))
    }

    fn read_into(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let read = if self.head.is_empty() {
            retry_on_intr(|| rustix::io::read(&self.file, spare_capacity(buffer)))?
        } else {
            let read = self.head.len();
            buffer.append(&mut self.head);
            read
        };
        self.bytes += read as u64;
        Ok(read)
    }
}

impl Read for RawFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = if self.head.is_empty() {
            self.file.read(into)?
        } else {
            let read = self.head.len().min(into.len());
            into[..read].copy_from_slice(&self.head[..read]);
            self.head.drain(..read);
            read
        };
        self.bytes += read as u64;
        Ok(read)
    }
}
