//! What stands at the beginning of a spool: where it begins, and of which streams it is.

use super::streams::Streams;
use crate::descriptors;
use crate::io::layout::{Reader, Tag, Writer};
use crate::io::source::SourceError;
use crate::io::source::stream::PIPE_BYTES;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const TAG: Tag = *b"WSP2";

/// Before it was kept where streams begin.
const TAG_BEFORE: Tag = *b"WSP1";
const BYTES_BEFORE: usize = 128;

/// Room for it in the file is a multiple of this.
const PAGE_BYTES: usize = 4096;

/// What it takes without the places where streams begin: its tag and numbers.
const FIXED_BYTES: usize = 4 + 18 * 8;

/// Of the file system that pipes without a name are on.
const PIPEFS_MAGIC: i64 = 0x5049_5045;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Where in the stream the file's first byte is.
    pub(super) base: u64,
    /// The system's start in which it was written.
    pub(super) boot: [u64; 2],
    pub(super) streams: Streams,
    /// Bytes of it that are on stable storage.
    pub(super) synced: u64,
    /// Where in the stream the bytes begin and end that are being taken from a socket; both the same: none are.
    pub(super) noted: [u64; 2],
}

/// Which stream it is, within one start of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) kind: Kind,
    device: u64,
    inode: u64,
    /// Bytes that the pipe may hold. A named one is made anew with the system's size when nobody has had it open for a moment: one
    /// that still has the size that an earlier life [gave](mark) it has been open all the time.
    size: u64,
    /// It has a name, so that several pipes may have its inode, one after the other.
    pub(super) is_named: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pipe,
    Socket,
    Other,
}

impl Identity {
    pub(super) fn of(stream: &OwnedFd) -> io::Result<Self> {
        let stat: Stat = rustix::fs::fstat(stream)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            FileType::RegularFile
            | FileType::Directory
            | FileType::Symlink
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Kind::Other,
        };
        let size = rustix::pipe::fcntl_getpipe_size(stream).unwrap_or(0) as u64;
        let is_nameless = rustix::fs::fstatfs(stream).is_ok_and(|system| system.f_type == PIPEFS_MAGIC);
        let is_named = kind == Kind::Pipe && !is_nameless;
        Ok(Self { kind, device: stat.st_dev, inode: stat.st_ino, size, is_named })
    }

    fn read(mut number: impl FnMut() -> Option<u64>) -> Option<Self> {
        let kind = match number()? {
            1 => Kind::Pipe,
            2 => Kind::Socket,
            _ => Kind::Other,
        };
        let (device, inode, size, is_named) = (number()?, number()?, number()?, number()? != 0);
        Some(Self { kind, device, inode, size, is_named })
    }

    fn numbers(&self) -> [u64; 5] {
        let kind = match self.kind {
            Kind::Pipe => 1,
            Kind::Socket => 2,
            Kind::Other => 0,
        };
        [kind, self.device, self.inode, self.size, self.is_named.into()]
    }

    /// Whether a stream is this one, as it was found earlier since the system's start, and goes on where that was left.
    pub(super) fn is(&self, now: &Self) -> bool {
        let Self { kind, device, inode, size, is_named } = *now;
        let is_one = (kind, device, inode, is_named) == (self.kind, self.device, self.inode, self.is_named);
        // The size that pipes are made with proves nothing.
        let made_with = fresh_size();
        let is_marked = self.size != made_with;
        let was_open = !is_named || (is_marked && (size == self.size || size > self.size.max(made_with)));
        kind != Kind::Other && is_one && was_open
    }
}

/// Bytes for a header that says where `count` streams begin.
fn room(count: usize) -> usize {
    (FIXED_BYTES + 8 * count).next_multiple_of(PAGE_BYTES)
}

impl Header {
    /// That of the file at `path`, with what stands behind it; `None`: there is none, or it was never whole.
    pub(super) fn load(path: &Path) -> io::Result<Option<(Self, Vec<u8>)>> {
        let mut bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let header =
            if bytes.starts_with(&TAG_BEFORE) { Self::read_before(&bytes) } else { Self::read(&bytes) };
        let Some((header, header_bytes)) = header.filter(|(_, header_bytes)| *header_bytes <= bytes.len())
        else {
            return Ok(None);
        };
        let data = bytes.split_off(header_bytes);
        Ok(Some((header, data)))
    }

    /// With how many bytes it takes.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader::new(bytes, TAG).ok()?;
        let mut number = || reader.number().ok();
        let (base, boot) = (number()?, [number()?, number()?]);
        let now = Identity::read(&mut number)?;
        let (synced, noted) = (number()?, [number()?, number()?]);
        let (has_before, before) = (number()? != 0, Identity::read(&mut number)?);
        let count = usize::try_from(number()?).ok().filter(|count| room(*count) <= bytes.len())?;
        let begun = (0..count).map(|_| number()).collect::<Option<Vec<u64>>>()?;
        let streams = Streams { now, before: has_before.then_some(before), begun };
        Some((Self { base, boot, streams, synced, noted }, room(count)))
    }

    fn read_before(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader::new(bytes, TAG_BEFORE).ok()?;
        let mut number = || reader.number().ok();
        let (base, boot) = (number()?, [number()?, number()?]);
        let streams = Streams { now: Identity::read(&mut number)?, before: None, begun: Vec::new() };
        let (synced, noted) = (number()?, [number()?, number()?]);
        Some((Self { base, boot, streams, synced, noted }, BYTES_BEFORE))
    }

    /// How many bytes it takes in the file.
    pub(super) fn bytes(&self) -> u64 {
        room(self.streams.begun.len()) as u64
    }

    /// Writes it over the one that stands there, which takes as many bytes.
    pub(super) fn store(&self, file: &File) -> io::Result<()> {
        let Streams { now, before, begun } = &self.streams;
        let [boot, boot_too] = self.boot;
        let [noted, noted_end] = self.noted;
        let mut numbers = vec![self.base, boot, boot_too];
        numbers.extend(now.numbers());
        numbers.extend([self.synced, noted, noted_end, before.is_some().into()]);
        numbers.extend(before.unwrap_or(*now).numbers());
        numbers.push(begun.len() as u64);
        numbers.extend(begun);
        let mut bytes = numbers.into_iter().fold(Writer::new(TAG), Writer::number).finish();
        bytes.resize(room(begun.len()), 0);
        file.write_all_at(&bytes, 0)
    }

    /// Whether the journal, which has all before `taken`, has all that the spool has not.
    pub(super) fn check(&self, path: &Path, taken: u64) -> Result<(), SourceError> {
        if taken < self.base {
            return Err(SourceError::Ahead { path: path.to_owned(), begins: self.base, taken });
        }
        Ok(())
    }

    /// How many bytes behind `taken` are on stable storage.
    pub(super) fn synced_behind(&self, taken: u64) -> u64 {
        (self.base + self.synced).saturating_sub(taken)
    }

    /// How many of the file's `bytes` count.
    pub(super) fn kept(&self, bytes: u64) -> u64 {
        if self.boot != boot() {
            return self.synced.min(bytes);
        }
        let [from, to] = self.noted;
        // What is not there to its end was not taken.
        if from < to && self.base + bytes < to { from.saturating_sub(self.base).min(bytes) } else { bytes }
    }

    /// Takes what was copied from a socket, to the end of `data`, if the process died before it was taken: then it comes first.
    pub(super) fn take_noted(&self, stream: &OwnedFd, data: &[u8]) -> io::Result<()> {
        let [from, to] = self.noted;
        let copied = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        if copied == 0 || copied > data.len() || self.base + data.len() as u64 != to {
            return Ok(());
        }
        let mut comes = vec![0; copied];
        match rustix::net::recv(stream, &mut comes[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((count, _)) if count == copied && data.ends_with(&comes) => take_from_socket(stream, count),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Gives a pipe another size than pipes are made with, by which a later life knows it: a large one, or where that may not be, a
/// small one.
pub(super) fn mark(stream: &OwnedFd, now: &Identity) {
    const LARGE: [usize; 3] = [PIPE_BYTES, PIPE_BYTES / 4, PIPE_BYTES / 8];
    if now.kind != Kind::Pipe {
        return;
    }
    let is_set = |size: usize| rustix::pipe::fcntl_setpipe_size(stream, size).is_ok();
    let made_with = fresh_size();
    let is_marked = LARGE.into_iter().any(is_set) || now.size != made_with;
    if !is_marked && now.is_named {
        // Refused if it holds more than that already; then it is known by nothing.
        is_set(usize::try_from(made_with / 2).unwrap_or(0));
    }
}

/// Bytes that a new pipe of this user holds.
fn fresh_size() -> u64 {
    let make = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from);
    let made = descriptors::patiently("make a pipe", make);
    made.ok().and_then(|(pipe, _)| rustix::pipe::fcntl_getpipe_size(&pipe).ok()).unwrap_or(0) as u64
}

/// Takes `count` bytes that lie in a socket.
pub(super) fn take_from_socket(stream: &OwnedFd, count: usize) -> io::Result<()> {
    let mut taken = 0;
    let mut bytes = vec![0; count];
    while taken < count {
        match rustix::net::recv(stream, &mut bytes[taken..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => break,
            Ok((more, _)) => taken += more,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Which start of the system this is.
pub(super) fn boot() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |part: Option<&str>| part.and_then(|part| u64::from_str_radix(part, 16).ok()).unwrap_or(0);
    [half(digits.get(..16)), half(digits.get(16..32))]
}
