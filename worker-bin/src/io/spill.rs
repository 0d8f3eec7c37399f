//! Batches outside memory, in temporary files.

mod segment;

use crate::descriptors;
use crate::io::beside::make_directory;
use crate::mutex::lock;
use crate::text::units::number;
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use segment::Segment;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use thiserror::Error;
use worker_core::event::Place;
use worker_proto::Batch;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const SEGMENT_BYTES: u64 = 64 << 20;

/// Keeps batches in files that have no name: whatever ends the process, nothing is left behind.
///
/// Batches are appended to segments. What is discarded is given back to the file system at once, block by block where it
/// can punch holes, and with the whole segment when nothing in it is live, so that the disk holds little more than the
/// live bytes. How much is stored is bounded by the links' spill budgets, not here. All methods may be called from
/// several threads at once; reading and writing happen outside the lock.
#[derive(Debug)]
pub struct SpillStore {
    directory: PathBuf,
    segment_bytes: u64,
    index: Mutex<Index>,
    /// It was not there before.
    made: bool,
}

#[derive(Debug, Default)]
struct Index {
    entries: HashMap<u64, SpilledBatch>,
    segments: HashMap<u64, Segment>,
    /// The segment that is appended to.
    active: Option<u64>,
    places: u64,
    segments_made: u64,
    live_bytes: u64,
}

/// Where a batch is and what it must look like.
#[derive(Clone, Copy, Debug)]
struct SpilledBatch {
    segment: u64,
    offset: u64,
    payload_bytes: u64,
    ends_bytes: u64,
    base: u32,
    checksum: u64,
}

fn room_advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::FileTooLarge {
        "raise the limit on the size of files (prlimit --fsize)"
    } else {
        "make room there"
    }
}

/// Why a batch is not stored, or not given back.
#[derive(Debug, Error)]
pub enum SpillError {
    /// A wrong word, or a disk that is not mounted.
    #[error(
        "the directory for temporary files {} cannot be made: there is no {}; name one that exists", directory.display(),
        parent.display()
    )]
    NoParent { directory: PathBuf, parent: PathBuf },
    /// No temporary file can be made.
    #[error("cannot make a temporary file in {}: {source}; check that the directory exists and may be written", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    /// No room: disk, quota or file size limit.
    #[error(
        "no room for {bytes} bytes of spilled output in {} ({source}), which holds {stored} bytes of it; {}: \
         it goes on by itself; or lower `spill_limit`", directory.display(), room_advice(source), bytes = number(*bytes), stored = number(*stored)
    )]
    Full {
        directory: PathBuf,
        /// Size of the batch.
        bytes: u64,
        stored: u64,
        /// What the system says.
        source: io::Error,
    },
    #[error("cannot write spilled output in {}: {source}", directory.display())]
    Write { directory: PathBuf, source: io::Error },
    #[error("cannot read spilled output back in {}: {source}", directory.display())]
    Read { directory: PathBuf, source: io::Error },
    /// What was read is not what was written: the disk or the memory is faulty.
    #[error("spilled output in {} was damaged ({bytes} bytes do not match their checksum); check the disk, then run again", directory.display(), bytes = number(*bytes))]
    Damaged {
        directory: PathBuf,
        /// Size of the batch.
        bytes: u64,
    },
    /// The caller asks for what was never stored or was discarded.
    #[error("nothing is stored at place {}", place.0)]
    Unknown { place: Place },
}

impl SpillStore {
    /// A store in `directory`; checks that temporary files can be made there. A directory that is missing is made and removed
    /// again, but not the one it is in: that is a wrong word.
    ///
    /// # Errors
    /// [`SpillError::Directory`].
    pub fn new(directory: &Path) -> Result<Self, SpillError> {
        Self::with_segments_of(directory, SEGMENT_BYTES)
    }

    fn with_segments_of(directory: &Path, segment_bytes: u64) -> Result<Self, SpillError> {
        let failed = |source| SpillError::Directory { directory: directory.to_owned(), source };
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(missing) = parent.filter(|parent| !parent.exists()) {
            return Err(SpillError::NoParent { directory: directory.to_owned(), parent: missing.to_owned() });
        }
        let made = !directory.exists();
        make_directory(directory, || tempfile::tempfile_in(directory).map(drop)).map_err(failed)?;
        Ok(Self { directory: directory.to_owned(), segment_bytes, index: Mutex::default(), made })
    }

    /// Leaves no directory that was not there before. To be called when nothing is made in it any more.
    pub fn leave(&self) {
        if self.made {
            // What others have put there stays, and it.
            std::fs::remove_dir(&self.directory).ok();
        }
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// [`SpillError`]; nothing is kept then.
    pub fn store(&self, batch: &Batch) -> Result<Place, SpillError> {
        let bytes = batch.cost();
        let (segment, offset, file) = self.reserve(bytes)?;
        if let Err(e) = write_at(&file, offset, [batch.payload(), batch.raw_ends()]) {
            self.release(segment, offset, bytes);
            let (directory, source) = (self.directory.clone(), e.into());
            return Err(match e {
                Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
                    SpillError::Full { directory, bytes, stored: self.bytes(), source }
                }
                _ => SpillError::Write { directory, source },
            });
        }
        let entry = SpilledBatch {
            segment,
            offset,
            payload_bytes: batch.payload().len() as u64,
            ends_bytes: batch.raw_ends().len() as u64,
            base: batch.base(),
            checksum: checksum(batch.payload(), batch.raw_ends()),
        };
        let mut index = self.index();
        index.places += 1;
        let place = index.places;
        index.entries.insert(place, entry);
        Ok(Place(place))
    }

    /// Reads a batch, which stays stored.
    ///
    /// # Errors
    /// [`SpillError`].
    pub fn load(&self, place: Place) -> Result<Batch, SpillError> {
        let (entry, file) = {
            let index = self.index();
            let entry = *index.entries.get(&place.0).ok_or(SpillError::Unknown { place })?;
            (entry, Arc::clone(index.segments[&entry.segment].file()))
        };
        let bytes = entry.bytes();
        let damaged = || SpillError::Damaged { directory: self.directory.clone(), bytes };
        let all = read_at(&file, entry.offset, bytes).map_err(|e| match e {
            Errno::NODATA => damaged(),
            _ => SpillError::Read { directory: self.directory.clone(), source: e.into() },
        })?;
        let mut payload = Bytes::from(all);
        let ends = payload.split_off(usize::try_from(entry.payload_bytes).map_err(|_| damaged())?);
        if checksum(&payload, &ends) != entry.checksum {
            return Err(damaged());
        }
        Batch::from_parts(payload, ends, entry.base).map_err(|_| damaged())
    }

    /// Forgets a batch; one that is not stored is ignored.
    pub fn discard(&self, place: Place) {
        let removed = self.index().entries.remove(&place.0);
        if let Some(entry) = removed {
            self.release(entry.segment, entry.offset, entry.bytes());
        }
    }

    /// Live bytes, those being written included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.index().live_bytes
    }

    /// Room for `bytes` in the active segment, or in a new one.
    fn reserve(&self, bytes: u64) -> Result<(u64, u64, Arc<File>), SpillError> {
        let mut index = self.index();
        let fits = |s: &Segment| s.has_room(bytes, self.segment_bytes);
        let id = match index.active.filter(|id| index.segments.get(id).is_some_and(fits)) {
            Some(id) => id,
            None => {
                let file = tempfile::tempfile_in(&self.directory).map_err(|source| {
                    let directory = self.directory.clone();
                    if descriptors::none_left(&source) {
                        let stored = index.live_bytes;
                        return SpillError::Full { directory, bytes, stored, source };
                    }
                    SpillError::Directory { directory, source }
                })?;
                index.segments_made += 1;
                let id = index.segments_made;
                index.segments.insert(id, Segment::new(file));
                index.active = Some(id);
                id
            }
        };
        index.live_bytes += bytes;
        let segment = index.segments.get_mut(&id).expect("the active segment is one of the segments");
        Ok((id, segment.append(bytes), Arc::clone(segment.file())))
    }

    fn release(&self, id: u64, offset: u64, bytes: u64) {
        let mut index = self.index();
        index.live_bytes -= bytes;
        let Some(segment) = index.segments.get_mut(&id) else { return };
        let hole = segment.free(offset, bytes);
        // Closing a large file and punching take time: after the lock.
        let dropped = if segment.is_dead() { index.segments.remove(&id) } else { None };
        drop(index);
        if let (None, Some(hole)) = (dropped, hole) {
            hole.punch();
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }
}

impl SpilledBatch {
    fn bytes(&self) -> u64 {
        self.payload_bytes + self.ends_bytes
    }
}

fn checksum(payload: &[u8], ends: &[u8]) -> u64 {
    xxh3_64_with_seed(ends, xxh3_64(payload))
}

fn write_at(file: &File, mut offset: u64, parts: [&[u8]; 2]) -> Result<(), Errno> {
    let mut slices = parts.map(IoSlice::new);
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match rustix::io::pwritev(file, left, offset) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(taken) => {
                offset += taken as u64;
                IoSlice::advance_slices(&mut left, taken);
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// `NODATA` if the file ends before.
fn read_at(file: &File, offset: u64, bytes: u64) -> Result<Vec<u8>, Errno> {
    let bytes = usize::try_from(bytes).map_err(|_| Errno::NODATA)?;
    let mut all = Vec::with_capacity(bytes);
    while all.len() < bytes {
        let at = offset + all.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut all), at) {
            Ok(0) => return Err(Errno::NODATA),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    // The allocator may have given more room than asked for, and the file has more to fill it.
    all.truncate(bytes);
    Ok(all)
}

#[cfg(test)]
mod tests;
