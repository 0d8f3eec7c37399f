//! What was taken from a stream and may not be in the journal yet: a file, so that the death of the process loses none of it.
//!
//! ```text
//!   pipe ──splice──▶ file ──read──▶ records ──commit──▶ journal ──▶ the file is begun anew behind them
//! ```
//! One system call moves bytes from a pipe to the file, so that a kill finds each of them in one of the two. From a socket they
//! are copied (`MSG_PEEK`) and noted before they are taken; a kill between the two is seen by their coming again. From what is
//! neither (a terminal, a device) they are read into room that was made before, and written: a kill between the two loses them.
//!
//! Nothing is synced but at a stop in good order, and what was synced stays so: a power cut takes what lies in a pipe anyway. After
//! another start of the system only what was synced counts.
//!
//! It may be of several streams, one after the other: where each [begins](Streams), and whether a later life reads the last one,
//! which it knows by its [`Identity`], stands in the file before any of it is taken.

mod header;
mod streams;

use super::super::SourceError;
use crate::descriptors;
use crate::fault;
use crate::io::durable;
use crate::text::units::number;
use header::{Header, Identity, Kind, boot};
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::pipe::SpliceFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use streams::Streams;

/// Most that is taken at once.
const TAKE_BYTES: usize = 256 * 1024;

/// So much of the file may be done with before it is begun anew.
const DONE_BYTES_MAX: u64 = 4 << 20;

/// The bytes of a stream that are not known to be in the journal.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    file: File,
    header: Header,
    /// Where what was taken ends, in bytes of the stream.
    end: u64,
    /// How far it was read.
    read: u64,
    /// How many of the streams that it says begin have begun.
    begun: usize,
    /// The file system cannot be spliced to: bytes are read and written.
    by_copy: bool,
    /// Taken, and not in the file, which has no room.
    in_hand: Vec<u8>,
}

/// What taking came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Some,
    NothingNow,
    AtItsEnd,
    /// There is no room for it, so it stays where it is.
    NoRoom,
}

/// A spool, and how it goes on.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) spool: Spool,
    /// What it has came from the stream that is read now, which goes on behind it.
    pub(super) is_same: bool,
}

impl Spool {
    /// Opens the file at `path`, or makes it, for `stream`; of what it has, the journal has everything before `taken`.
    pub(super) fn open(path: &Path, stream: &OwnedFd, taken: u64) -> Result<Opened, SourceError> {
        let failed = |source| SourceError::Spool { path: path.to_owned(), source };
        let old = Header::load(path).map_err(failed)?;
        if let Some((old, _)) = &old {
            old.check(path, taken)?;
        }
        Self::find(path, stream, taken, old).map_err(failed)
    }

    fn find(path: &Path, stream: &OwnedFd, taken: u64, old: Option<(Header, Vec<u8>)>) -> io::Result<Opened> {
        durable::make_directory(durable::parent(path), "spool")?;
        header::mark(stream, &Identity::of(stream)?);
        let now = Identity::of(stream)?;
        let (mut left, mut is_same, mut synced) = (Vec::new(), false, 0);
        let mut streams = Streams::first(now, taken);
        if let Some((old, data)) = old {
            let kept = old.kept(data.len() as u64);
            // Behind its last byte a record has the end that it was given.
            if taken <= old.base + kept + 1 {
                let from = usize::try_from((taken - old.base).min(kept)).unwrap_or(usize::MAX);
                left = data[from..usize::try_from(kept).unwrap_or(usize::MAX)].to_vec();
                synced = old.synced_behind(taken).min(left.len() as u64);
            }
            let end = taken + left.len() as u64;
            streams = old.streams.clone();
            streams.keep(taken, end);
            is_same = streams.read_on(now, old.boot == boot(), end);
            if is_same {
                old.take_noted(stream, &data[..usize::try_from(kept).unwrap_or(usize::MAX)])?;
            }
        }
        let header = Header { base: taken, boot: boot(), streams, synced, noted: [0; 2] };
        let file = descriptors::patiently("keep what is read", || make(path, &header, &left))?;
        let (end, path) = (taken + left.len() as u64, path.to_owned());
        let in_hand = Vec::new();
        let spool = Self { path, file, header, end, read: taken, begun: 0, by_copy: false, in_hand };
        Ok(Opened { spool, is_same })
    }

    /// How many bytes the file at `path` has that the journal, which has everything before `taken`, has not.
    pub(super) fn left(path: &Path, taken: u64) -> Result<u64, SourceError> {
        let loaded =
            Header::load(path).map_err(|source| SourceError::Spool { path: path.to_owned(), source })?;
        let Some((header, data)) = loaded else { return Ok(0) };
        header.check(path, taken)?;
        Ok((header.base + header.kept(data.len() as u64)).saturating_sub(taken))
    }

    /// Whether another stream begins where it was read to.
    pub(super) fn begins_here(&self) -> bool {
        self.header.streams.begun.get(self.begun) == Some(&self.read)
    }

    /// That stream is read from now on.
    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }

    /// Leaves nothing of the stream that is read now; what others before it gave may not be in the journal yet.
    pub(super) fn leave_out(&mut self) -> io::Result<()> {
        let Some(&begun) = self.header.streams.begun.last() else { return self.remove() };
        let kept = begun - self.header.base;
        self.header.synced = self.header.synced.min(kept);
        self.header.store(&self.file)?;
        self.file.set_len(self.header.bytes() + kept)
    }

    fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)?;
        durable::sync_directory(durable::parent(&self.path), "spool")
    }

    /// Whether it is of a pipe that has a name.
    pub(super) fn is_of_named(&self) -> bool {
        self.header.streams.now.is_named
    }

    pub(super) fn error(&self, source: io::Error) -> SourceError {
        SourceError::Spool { path: self.path.clone(), source }
    }

    /// Bytes that were taken and not read.
    pub(super) fn unread(&self) -> u64 {
        self.end - self.read
    }

    /// Reads what was taken, of one stream.
    pub(super) fn read_into(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let before = buffer.len();
        let offset = self.header.bytes() + self.read - self.header.base;
        let next = self.header.streams.begun.get(self.begun);
        let one = usize::try_from(next.map_or(u64::MAX, |next| next - self.read)).unwrap_or(usize::MAX);
        rustix::io::retry_on_intr(|| rustix::io::pread(&self.file, spare_capacity(buffer), offset))?;
        buffer.truncate(before.saturating_add(one));
        let more = (buffer.len() - before) as u64;
        // A power cut has no say here: the file was written in this life.
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read += more;
        Ok(())
    }

    /// Takes what the stream has.
    pub(super) fn take(&mut self, stream: &OwnedFd) -> io::Result<Taken> {
        if !self.in_hand.is_empty() {
            return self.put_down();
        }
        let taken = fault::around("spool.take", || match self.header.streams.now.kind {
            Kind::Pipe if !self.by_copy => self.splice(stream),
            Kind::Socket => self.copy_and_take(stream),
            Kind::Pipe | Kind::Other => self.take_and_copy(stream),
        });
        match taken {
            Err(error) if is_full(&error) => Ok(Taken::NoRoom),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN | Errno::INTR) => Ok(Taken::NothingNow),
                Some(_) | None => Err(error),
            },
            Ok(taken) => Ok(taken),
        }
    }

    fn splice(&mut self, stream: &OwnedFd) -> io::Result<Taken> {
        let mut offset = self.offset();
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match rustix::pipe::splice(stream, None, &self.file, Some(&mut offset), TAKE_BYTES, flags) {
            Ok(count) => Ok(self.has_taken(count)),
            Err(Errno::INVAL | Errno::NOSYS) => {
                self.by_copy = true;
                self.take_and_copy(stream)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn take_and_copy(&mut self, stream: &OwnedFd) -> io::Result<Taken> {
        self.make_room()?;
        let mut bytes = Vec::with_capacity(TAKE_BYTES);
        rustix::io::read(stream, spare_capacity(&mut bytes))?;
        if bytes.is_empty() {
            return Ok(Taken::AtItsEnd);
        }
        self.in_hand = bytes;
        self.put_down()
    }

    /// What is taken cannot be put back, so there is room for it before.
    fn make_room(&self) -> io::Result<()> {
        let make = || {
            let made = fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.offset(), TAKE_BYTES as u64);
            made.map_err(io::Error::from)
        };
        match fault::around("spool.room", make) {
            // Not every file system can promise room.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::OPNOTSUPP | Errno::NOSYS)) => {
                Ok(())
            }
            made => made,
        }
    }

    fn put_down(&mut self) -> io::Result<Taken> {
        let write = || self.file.write_all_at(&self.in_hand, self.offset());
        match fault::around("spool.write", write) {
            Err(error) if is_full(&error) => return Ok(Taken::NoRoom),
            written => written?,
        }
        let count = std::mem::take(&mut self.in_hand).len();
        Ok(self.has_taken(count))
    }

    fn copy_and_take(&mut self, stream: &OwnedFd) -> io::Result<Taken> {
        let mut bytes = vec![0; TAKE_BYTES];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let (count, _) = rustix::net::recv(stream, &mut bytes[..], flags)?;
        bytes.truncate(count);
        if bytes.is_empty() {
            return Ok(Taken::AtItsEnd);
        }
        self.header.noted = [self.end, self.end + count as u64];
        self.header.store(&self.file)?;
        self.file.write_all_at(&bytes, self.offset())?;
        header::take_from_socket(stream, count)?;
        self.header.noted = [0; 2];
        self.header.store(&self.file)?;
        Ok(self.has_taken(count))
    }

    fn offset(&self) -> u64 {
        self.header.bytes() + self.end - self.header.base
    }

    fn has_taken(&mut self, count: usize) -> Taken {
        self.end += count as u64;
        if count == 0 { Taken::AtItsEnd } else { Taken::Some }
    }

    /// Whether so much of it is before `given`, what was given of the stream, that it should be begun anew when the journal has that.
    pub(super) fn is_done_with_much(&self, given: u64) -> bool {
        let (done, live) = (given.saturating_sub(self.header.base), self.end.saturating_sub(given));
        done > DONE_BYTES_MAX.max(live)
    }

    /// Begins the file anew behind `taken`: the journal has all before it on stable storage.
    pub(super) fn forget_before(&mut self, taken: u64) -> io::Result<()> {
        let taken = taken.clamp(self.header.base, self.end);
        let mut left = vec![0; usize::try_from(self.end - taken).unwrap_or(0)];
        self.file.read_exact_at(&mut left, self.header.bytes() + taken - self.header.base)?;
        let synced = self.header.synced_behind(taken).min(left.len() as u64);
        let mut header = Header { base: taken, synced, ..self.header.clone() };
        header.streams.keep(taken, self.end);
        let forgotten = self.header.streams.begun.len() - header.streams.begun.len();
        match make(&self.path, &header, &left) {
            Ok(file) => (self.file, self.header, self.begun) = (file, header, self.begun - forgotten),
            // Then it is begun anew later.
            Err(error) if is_full(&error) || descriptors::none_left(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Makes what it has outlive a power cut, too.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if !self.in_hand.is_empty() && self.put_down()? == Taken::NoRoom {
            let lost = number(self.in_hand.len() as u64);
            return Err(io::Error::other(format!(
                "no room for the last {lost} bytes that were read, which are lost"
            )));
        }
        self.header.synced = self.end - self.header.base;
        self.header.store(&self.file)?;
        fault::around("spool.sync", || self.file.sync_all())?;
        durable::sync_directory(durable::parent(&self.path), "spool")
    }
}

/// A new file in the place of the old one, in one step.
fn make(path: &Path, header: &Header, data: &[u8]) -> io::Result<File> {
    let fresh = path.with_extension("pipe.tmp");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = fault::around("spool.create", || options.open(&fresh))?;
    header.store(&file)?;
    file.write_all_at(data, header.bytes())?;
    // What was on stable storage stays there.
    if header.synced > 0 {
        fault::around("spool.sync", || file.sync_all())?;
    }
    fault::around("spool.rename", || std::fs::rename(&fresh, path))?;
    Ok(file)
}

fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

#[cfg(test)]
mod tests;
