//! One file as a sink whose content survives crashes, each record once.

mod position;

use super::Exists;
use super::headed::is_headed;
use super::plain::{Place, holds_any, identity, missing_end, place};
use crate::fault;
use crate::io::durable::sync_directories_of;
use crate::io::identity::FileId;
use crate::io::loss::{Loss, is_replaced, loss, warn_if_moved};
use crate::io::made::Made;
use crate::io::sink::vectored::{Moved, write_batches, write_slices};
use crate::io::sink::{SinkError, SinkWriter};
use bytes::Bytes;
use position::{SinkPosition, TAIL_BYTES_MAX, Tail};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use worker_proto::Batch;

/// Writes a file at its final path, so that a later life can cut it back to what was committed and go on.
///
/// The order is: [`begin`](SinkWriter::begin), make its position durable; then write, take a position, sync, make the position durable,
/// and so on; writing may go on meanwhile. Recovery cuts whatever lies behind the newest durable position: those bytes were
/// never acknowledged. It never cuts into what the file held before the first life, nor a file that is not the one it wrote.
///
/// What is no regular file (a device, a named pipe) is written to as a stream is, without positions.
#[derive(Debug)]
pub struct DurableFileSink {
    path: PathBuf,
    file: Arc<File>,
    state: State,
    /// As of the last write; `None` for what is no regular file.
    written: Option<(SinkPosition, Tail)>,
    moved: Moved,
    /// What its records end with.
    terminator: Option<u8>,
    failed: Failed,
    /// Until a first position is given.
    made: Made,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing written; what the file holds stays as it is.
    Kept,
    /// Nothing written; the file is to be emptied.
    Replaced,
    /// A first position was given.
    Begun,
}

/// Syncs a sink's file from any thread.
#[derive(Clone, Debug)]
pub struct SinkSync {
    path: PathBuf,
    file: Arc<File>,
    failed: Failed,
}

/// Why nothing works any more, for whoever has to say it first: the thread that writes may do so before the one that syncs.
type Failed = Arc<OnceLock<String>>;

impl DurableFileSink {
    /// Opens `path`: without a `position` for the first time, as `exists` says; else it is the file of an earlier life, which
    /// is cut to the position. Its records end with `terminator`: what is written first behind the content of others begins
    /// with it where that has no end.
    ///
    /// The first time no content is changed before [`begin`](SinkWriter::begin), and an empty file is as good as none: a
    /// life that ended before its first position may have left it.
    ///
    /// # Errors
    /// As [`FileSink::open`](super::FileSink::open); with a position [`SinkError::Gone`], [`SinkError::Replaced`],
    /// [`SinkError::Shorter`], [`SinkError::Changed`], [`SinkError::Position`], [`SinkError::Open`], [`SinkError::Sync`].
    pub fn open(
        path: &Path,
        exists: Exists,
        terminator: Option<u8>,
        position: Option<&[u8]>,
    ) -> Result<Self, SinkError> {
        let mut opened = match position {
            None => Self::first(path, exists)?,
            Some(position) => Self::recover(path, position)?,
        };
        opened.terminator = terminator;
        Ok(opened)
    }

    fn first(path: &Path, exists: Exists) -> Result<Self, SinkError> {
        let open = |source| SinkError::Open { path: path.to_owned(), source };
        let mut made = Made::default();
        let (file, state) = match place(path)? {
            Place::New(file, new) => {
                made = new;
                (file, State::Kept)
            }
            Place::Regular(length) if length > 0 && exists == Exists::Error => {
                return Err(SinkError::Exists { path: path.to_owned() });
            }
            Place::Regular(_) if exists == Exists::Replace => (reopen(path).map_err(open)?, State::Replaced),
            Place::Regular(_) => (reopen(path).map_err(open)?, State::Kept),
            Place::Other => {
                let file = OpenOptions::new().append(true).open(path).map_err(open)?;
                return Ok(Self::of(path, file, State::Begun, None));
            }
        };
        let metadata = file.metadata().map_err(open)?;
        let length = if exists == Exists::Append { metadata.len() } else { 0 };
        let tail = Tail::read(&file, length).map_err(open)?;
        let (device, inode, born) = (metadata.dev(), metadata.ino(), position::born(&metadata));
        let position = SinkPosition { device, inode, born, start: length, committed: length };
        let mut sink = Self::of(path, file, state, Some((position, tail)));
        sink.made = made;
        Ok(sink)
    }

    /// Whether what was written up to `position` is in the file at `path`, which is not written to any more: what others have
    /// written behind that is theirs.
    ///
    /// # Errors
    /// As [`open`](Self::open) with a position.
    pub fn delivered(path: &Path, position: &[u8]) -> Result<(), SinkError> {
        known(path, position, |path| File::open(path)).map(drop)
    }

    fn recover(path: &Path, position: &[u8]) -> Result<Self, SinkError> {
        let Known { file, length, position, tail } = known(path, position, reopen)?;
        let committed = position.committed;
        if length > committed {
            // Synced, as the run may end without another write: what was cut must not come back with a power cut.
            fault::around("sink.cut", || file.set_len(committed).and_then(|()| file.sync_all()))
                .map_err(|source| SinkError::Sync { path: path.to_owned(), source })?;
        }
        Ok(Self::of(path, file, State::Begun, Some((position, tail))))
    }

    fn of(path: &Path, file: File, state: State, written: Option<(SinkPosition, Tail)>) -> Self {
        let (path, file) = (path.to_owned(), Arc::new(file));
        Self {
            path,
            file,
            state,
            written,
            moved: Moved::default(),
            terminator: Some(b'\n'),
            failed: Arc::default(),
            made: Made::default(),
        }
    }

    fn handle(&self) -> SinkSync {
        let (path, file, failed) = (self.path.clone(), Arc::clone(&self.file), Arc::clone(&self.failed));
        SinkSync { path, file, failed }
    }

    /// Empties what is replaced, and makes the file and its name durable.
    fn prepare(&self) -> io::Result<()> {
        if self.state == State::Replaced {
            fault::around("sink.cut", || self.file.set_len(0))?;
        }
        fault::around("sink.sync", || self.file.sync_all())?;
        sync_directories_of(&self.path, "sink")
    }

    /// Whether all that was written is still there, and where it is looked for.
    fn look_for_loss(&self) -> Result<(), SinkError> {
        let committed = self.written.as_ref().map_or(0, |(position, _)| position.committed);
        let path = self.path.clone();
        match loss(&self.file, committed) {
            None if is_replaced(&path, &self.file) => Err(SinkError::Replaced { path }),
            None => Ok(()),
            Some(Loss::Removed) => Err(SinkError::Gone { path, committed }),
            Some(Loss::Cut(length)) => Err(SinkError::Shorter { path, length, committed }),
        }
    }

    /// What is written goes to the file's end: where that is not where it should be, positions would say nothing.
    fn look_for_growth(&self) -> Result<(), SinkError> {
        let Some((SinkPosition { committed, .. }, _)) = self.written else { return Ok(()) };
        match self.file.metadata() {
            Ok(metadata) if metadata.len() > committed => {
                Err(SinkError::Grown { path: self.path.clone(), length: metadata.len(), committed })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What goes before the first record that is written behind what the file held before the first life. In every life, for
    /// what is not committed is cut together with it.
    fn missing_end(&self) -> Option<u8> {
        let (SinkPosition { start, committed, .. }, tail) = self.written.as_ref()?;
        missing_end(tail.bytes(), self.terminator).filter(|_| committed == start)
    }

    /// Takes back what a write that failed has left, so that it can be tried again.
    fn take_back(&self, length: u64) {
        let cut = |metadata: std::fs::Metadata| {
            if metadata.len() > length { self.file.set_len(length) } else { Ok(()) }
        };
        if let Err(error) = self.file.metadata().and_then(cut) {
            self.failed.set(format!("what a failed write has left cannot be taken back: {error}")).ok();
        }
    }
}

impl SinkWriter for DurableFileSink {
    /// After an error nothing of `batches` counts: they can be written again, where there was no room when there is.
    fn write(&mut self, batches: &[Batch]) -> Result<(), SinkError> {
        self.handle().check()?;
        debug_assert!(self.state == State::Begun, "a sink begins before it is written to");
        self.look_for_loss()?;
        self.look_for_growth()?;
        let mut taken = 0;
        let (file, end) = (&*self.file, self.missing_end().filter(|_| holds_any(batches)));
        let end = end.as_slice();
        let done = fault::around("sink.write", || {
            write_slices(file, &[end], &mut taken, &Moved::default())?;
            if let (Some(first), true) = (batches.first(), fault::is_short("sink.write")) {
                let payload = first.payload();
                write_slices(file, &[&payload[..payload.len() / 2]], &mut taken, &Moved::default())?;
                return Err(fault::no_room());
            }
            Ok(write_batches(file, batches, &mut taken, &self.moved)?)
        });
        let length = self.written.as_ref().map(|(position, _)| position.committed);
        if let Err(e) = done {
            length.inspect(|&length| self.take_back(length));
            let written = length.unwrap_or(0) + taken;
            let errno = Errno::from_io_error(&e).unwrap_or(Errno::IO);
            return Err(SinkError::writing(&self.path.display().to_string(), written, errno));
        }
        if let Some((position, tail)) = &mut self.written {
            position.committed += taken;
            tail.push(end);
            batches.iter().for_each(|batch| tail.push(batch.payload()));
        }
        Ok(())
    }

    fn write_header(&mut self, header: &Batch) -> Result<(), SinkError> {
        let committed = self.written.as_ref().map_or(0, |(position, _)| position.committed);
        match is_headed((&self.path, &self.file), committed, header)? {
            true => Ok(()),
            false => self.write(std::slice::from_ref(header)),
        }
    }

    fn close(&mut self) -> Result<(), SinkError> {
        self.begin()?;
        self.sync()?;
        self.look_for_loss()?;
        warn_if_moved(&self.path);
        Ok(())
    }

    fn begin(&mut self) -> Result<Option<Bytes>, SinkError> {
        if self.state != State::Begun {
            self.prepare().map_err(|source| SinkError::Sync { path: self.path.clone(), source })?;
            self.state = State::Begun;
            self.made.keep();
        }
        Ok(self.position())
    }

    fn position(&self) -> Option<Bytes> {
        self.written.as_ref().map(|(position, tail)| position.encode(tail.hash()))
    }

    fn take_made(&mut self) -> Made {
        std::mem::take(&mut self.made)
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn identity(&self) -> Option<FileId> {
        identity(&self.file)
    }

    fn count_into(&mut self, moved: Moved) {
        self.moved = moved;
    }

    fn sync_handle(&self) -> Option<SinkSync> {
        self.written.as_ref().map(|_| self.handle())
    }
}

impl SinkSync {
    /// Returns when everything written before the call is on stable storage.
    ///
    /// # Errors
    /// [`SinkError::Sync`], from then on always: what a failed sync has lost, a later one does not see.
    pub fn sync(&self) -> Result<(), SinkError> {
        self.check()?;
        let synced = fault::around("sink.sync", || self.file.sync_data());
        if let Err(error) = synced {
            // A later failure says nothing new.
            self.failed.set(error.to_string()).ok();
        }
        self.check()
    }

    fn check(&self) -> Result<(), SinkError> {
        let Some(why) = self.failed.get() else { return Ok(()) };
        Err(SinkError::Sync { path: self.path.clone(), source: io::Error::other(why.clone()) })
    }
}

/// A file that an earlier life has written, with everything that was committed.
struct Known {
    file: File,
    length: u64,
    position: SinkPosition,
    tail: Tail,
}

/// Finds the file that `position` is of.
fn known(
    path: &Path,
    position: &[u8],
    open_it: impl Fn(&Path) -> io::Result<File>,
) -> Result<Known, SinkError> {
    let (position, hash) = SinkPosition::decode(position)
        .map_err(|source| SinkError::Position { path: path.to_owned(), source })?;
    let committed = position.committed;
    let open = |source: io::Error| {
        if source.kind() == io::ErrorKind::NotFound {
            return SinkError::Gone { path: path.to_owned(), committed };
        }
        SinkError::Open { path: path.to_owned(), source }
    };
    // Looked at before it is opened: opening a named pipe may wait for ever.
    let is_ours = |m: &std::fs::Metadata| m.is_file() && position.names(m);
    if !is_ours(&path.metadata().map_err(open)?) {
        return Err(SinkError::Replaced { path: path.to_owned() });
    }
    let file = open_it(path).map_err(open)?;
    let metadata = file.metadata().map_err(open)?;
    let length = metadata.len();
    if !is_ours(&metadata) {
        return Err(SinkError::Replaced { path: path.to_owned() });
    }
    if length < committed {
        return Err(SinkError::Shorter { path: path.to_owned(), length, committed });
    }
    let tail = Tail::read(&file, committed).map_err(open)?;
    if tail.hash() != hash {
        return Err(SinkError::Changed { path: path.to_owned(), committed });
    }
    Ok(Known { file, length, position, tail })
}

fn reopen(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

impl Tail {
    /// The end of the first `length` bytes of `file`.
    fn read(file: &File, length: u64) -> io::Result<Self> {
        let bytes = length.min(TAIL_BYTES_MAX as u64);
        let mut tail = vec![0; usize::try_from(bytes).unwrap_or(TAIL_BYTES_MAX)];
        file.read_exact_at(&mut tail, length - bytes)?;
        Ok(Self::of(tail))
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[cfg(debug_assertions)]
mod kill_tests;
