//! What stands at the beginning of a spool: where it begins, and of which stream it is.

use crate::io::layout::{Reader, Tag, Writer};
use crate::io::source::stream::PIPE_BYTES;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const TAG: Tag = *b"WSP1";

/// Room for it in the file.
pub(super) const HEADER_BYTES: u64 = 128;

/// Of the file system that pipes without a name are on.
const PIPEFS_MAGIC: i64 = 0x5049_5045;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Where in the stream the file's first byte is.
    pub(super) base: u64,
    /// The system's start in which it was written.
    pub(super) boot: [u64; 2],
    pub(super) identity: Identity,
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
}

impl Header {
    /// That of the file at `path`, with what stands behind it; `None`: there is none, or it was never whole.
    pub(super) fn load(path: &Path) -> io::Result<Option<(Self, Vec<u8>)>> {
        let mut bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let header_bytes = usize::try_from(HEADER_BYTES).unwrap_or(usize::MAX);
        if bytes.len() < header_bytes {
            return Ok(None);
        }
        let data = bytes.split_off(header_bytes);
        Ok(Self::read(&bytes).map(|header| (header, data)))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, TAG).ok()?;
        let mut number = || reader.number().ok();
        let (base, boot) = (number()?, [number()?, number()?]);
        let kind = match number()? {
            1 => Kind::Pipe,
            2 => Kind::Socket,
            _ => Kind::Other,
        };
        let (device, inode, size, is_named) = (number()?, number()?, number()?, number()? != 0);
        let identity = Identity { kind, device, inode, size, is_named };
        Some(Self { base, boot, identity, synced: number()?, noted: [number()?, number()?] })
    }

    /// Writes it over the one that stands there.
    pub(super) fn store(&self, file: &File) -> io::Result<()> {
        let kind = match self.identity.kind {
            Kind::Pipe => 1,
            Kind::Socket => 2,
            Kind::Other => 0,
        };
        let Identity { device, inode, size, is_named, .. } = self.identity;
        let [boot, boot_too] = self.boot;
        let mut bytes = Writer::new(TAG).number(self.base).number(boot).number(boot_too);
        let [noted, noted_end] = self.noted;
        for number in [kind, device, inode, size, is_named.into(), self.synced, noted, noted_end] {
            bytes = bytes.number(number);
        }
        let mut bytes = bytes.finish();
        bytes.resize(usize::try_from(HEADER_BYTES).unwrap_or(bytes.len()), 0);
        file.write_all_at(&bytes, 0)
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

    /// Whether a stream is the one that this was written of, and goes on where that was left.
    pub(super) fn is_of(&self, now: &Identity) -> bool {
        let Identity { kind, device, inode, size, is_named } = *now;
        let then = self.identity;
        let is_one = (kind, device, inode, is_named) == (then.kind, then.device, then.inode, then.is_named);
        // The size that pipes are made with proves nothing.
        let made_with = fresh_size();
        let is_marked = then.size != made_with;
        let was_open = !is_named || (is_marked && (size == then.size || size > then.size.max(made_with)));
        self.boot == boot() && kind != Kind::Other && is_one && was_open
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
    let made = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    made.and_then(|(pipe, _)| rustix::pipe::fcntl_getpipe_size(&pipe)).unwrap_or(0) as u64
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
