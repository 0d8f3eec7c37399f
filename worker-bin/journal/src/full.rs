//! Giving disk back while it is full: what that needs is there already, or is very little.
//!
//! - Finished segments that are kept to be used again go at once.
//! - Segments of which nothing is live go with a checkpoint that does not need them. It finds room in a file that nothing else is
//!   written to, [`ROOM_NAME`], which is made with the journal and replaced by the first segment that goes then.
//! - What is live in a mostly dead segment is copied into the segment that begins with such a checkpoint, so that it goes too: one segment
//!   at a time, the one with the least in it first, so that the room that is gained is enough for the next.
//!
//! Without a full disk, segments may take several times what is live ([`Journal::copy_forward`]): that costs less.

use super::error::JournalError;
use super::fold::Fold;
use super::format::{self, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use super::record;
use super::roll::Next;
use super::segments::Sealed;
use super::storage::{Storage, StorageError, StorageFile};
use super::writer::Journal;
use std::collections::{BTreeMap, BTreeSet};

/// The name of what is set aside for a checkpoint.
pub(super) const ROOM_NAME: &str = "room.tmp";

/// What a segment has beside its checkpoint and what it takes over, where there is hardly any room, in bytes.
const SLACK_BYTES: u64 = 64 << 10;

/// What the head of a batch that is copied takes at most, in bytes.
const COPIED_HEAD_BYTES: u64 = 128;

/// What a checkpoint says of a segment that it needs takes about so many bytes.
const NEED_BYTES: u64 = 16;

/// So many segments are looked at for the one that is emptied with the least.
const CANDIDATES: usize = 8;

/// A file that is set aside, and its size in bytes.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) bytes: u64,
}

impl<S: Storage, F: Fold> Journal<S, F> {
    /// Gives back what it can at once, and begins a segment if others can go then, as they would with the next append on a disk so
    /// full that nothing is appended. Whether it has begun one, which is to be made durable; then it may be asked for more.
    ///
    /// # Errors
    /// [`JournalError`]: the disk has no room even for that; it may be tried again.
    pub fn give_back(&mut self) -> Result<bool, JournalError> {
        self.poison.check()?;
        for (spare, _) in std::mem::take(&mut self.spares) {
            self.storage.remove(&format::file_name(spare))?;
        }
        let waits = self.sealed.keys().any(|number| self.images.live.segment(*number).is_none());
        let least = self.beginning_bytes(self.checkpoint_bytes());
        if let Some((number, bytes)) = self.sparsest(least) {
            match self.next_of(least + bytes, false) {
                Ok(next) => return self.begin(next, &BTreeSet::from([number])).map(|()| true),
                Err(error) if error.is_full() && waits => {}
                Err(error) => return Err(error),
            }
        }
        if waits {
            let next = self.next_of(least, true)?;
            self.begin(next, &BTreeSet::new())?;
        }
        Ok(waits)
    }

    /// What a segment needs that has nothing but a checkpoint of so many bytes.
    fn beginning_bytes(&self, checkpoint: u64) -> u64 {
        SEGMENT_HEADER_BYTES + checkpoint + checkpoint / 8 + self.slack_bytes()
    }

    /// How large a checkpoint would be now. The last one may have been much larger: what has been acknowledged since is in it.
    fn checkpoint_bytes(&self) -> u64 {
        let mut bytes = self.images.live.needs().len() as u64 * NEED_BYTES;
        for (image, fold) in self.images.tasks().iter().zip(&self.folds) {
            bytes += record::encode_image(image).len() as u64 + 2 * RECORD_HEADER_BYTES;
            fold.snapshot(&mut |chunk| bytes += chunk.len() as u64 + RECORD_HEADER_BYTES);
        }
        bytes
    }

    fn slack_bytes(&self) -> u64 {
        SLACK_BYTES.min(self.segment_bytes_max / 4)
    }

    /// The segment that is emptied by copying the least, if that gives at least as much again, and what it takes to copy it.
    fn sparsest(&self, least: u64) -> Option<(u64, u64)> {
        let staged: BTreeSet<u64> = self.staged.values().map(|at| at.segment).collect();
        let mut candidates = Vec::new();
        for (number, Sealed { bytes, .. }) in
            self.sealed.iter().filter(|(number, _)| !staged.contains(number))
        {
            let Some(live) = self.images.live.segment(*number) else { continue };
            if 2 * (least + live.bytes) <= *bytes {
                candidates.push((live.bytes, *number, *bytes));
            }
        }
        candidates.sort_unstable();
        candidates.truncate(CANDIDATES);
        // What a window needs a part of is copied whole, and counted once however often it is needed.
        let mut batches: BTreeMap<u64, BTreeMap<u64, u64>> =
            candidates.iter().map(|(_, number, _)| (*number, BTreeMap::new())).collect();
        for at in self.images.locations() {
            if let Some(batches) = batches.get_mut(&at.segment) {
                batches.insert(at.offset, at.span.bytes() + RECORD_HEADER_BYTES + COPIED_HEAD_BYTES);
            }
        }
        let copied = |number: &u64| batches.get(number).map_or(0, |batches| batches.values().sum::<u64>());
        candidates
            .into_iter()
            .map(|(_, number, bytes)| (copied(&number), number, bytes))
            .filter(|(copied, _, bytes)| 2 * (least + copied) <= *bytes)
            .min()
            .map(|(copied, number, _)| (number, copied))
    }

    /// A file for the next segment with just so many bytes; with `from_room`, if it needs no more than a checkpoint does, the one that is
    /// set aside for that.
    fn next_of(&mut self, bytes: u64, from_room: bool) -> Result<Next<S::File>, JournalError> {
        let name = format::file_name(self.active.header.number + 1);
        match self.unused.take() {
            Some(next) if next.1 >= bytes => return Ok(next),
            // Nothing was ever said of it.
            Some(_) => self.storage.remove(&name)?,
            None => {}
        }
        match self.storage.create(&name, bytes) {
            Err(StorageError::Full { .. }) if from_room && self.room.is_some() => {
                self.storage.rename(ROOM_NAME, &name)?;
                let bytes = self.room.take().map_or(0, |room| room.bytes);
                Ok((self.storage.open(&name)?, bytes))
            }
            created => Ok((created.map_err(|error| self.fenced(error, &name))?, bytes)),
        }
    }

    /// Sets room aside for a checkpoint, if there is any and not enough is.
    pub(super) fn set_room_aside(&mut self) {
        let checkpoint = self.checkpoints.newest().bytes;
        let bytes = self.beginning_bytes(checkpoint);
        if self.room.as_ref().is_some_and(|room| room.bytes >= bytes) {
            return;
        }
        // As much again, so that it is not made anew for everything that a checkpoint grows by.
        let bytes = bytes + checkpoint;
        if self.room.take().is_some() {
            self.storage.remove(ROOM_NAME).ok();
        }
        self.room = self.storage.create(ROOM_NAME, bytes).ok().map(|_| Room { bytes });
    }

    /// A segment that nothing needs is set aside, if nothing is; whether it was. That needs no room.
    pub(super) fn becomes_room(&mut self, number: u64, segment: &Sealed<S::File>) -> bool {
        let checkpoint = self.checkpoints.newest().bytes;
        let least = self.beginning_bytes(checkpoint);
        let bytes = (least + checkpoint).min(segment.bytes);
        let fits = self.room.is_none() && bytes >= least && segment.file.is_only_handle();
        if !fits || self.storage.rename(&format::file_name(number), ROOM_NAME).is_err() {
            return false;
        }
        let shrunk = segment.file.shrink(bytes).is_ok();
        self.room = Some(Room { bytes: if shrunk { bytes } else { segment.bytes } });
        true
    }
}
