//! Going on in a new segment, which begins with a checkpoint.

use super::error::JournalError;
use super::fold::Fold;
use super::format::{self, Position, RecordKind, SegmentHeader, version_for};
use super::images::{Images, Member};
use super::record::{self, CheckpointHead, Payload};
use super::segments::Active;
use super::storage::{Storage, StorageError, StorageFile};
use super::writer::Journal;
use std::collections::{BTreeSet, VecDeque};

/// The room of a segment is at least this many times that of its checkpoint.
const CHECKPOINT_SHARE: u64 = 4;

/// Where a disk has no room for a segment of the size wanted, one of this many bytes beside its checkpoint does: the reserve of a
/// state directory must be enough for it, whatever the keyed state of all tasks is.
const SMALL_SEGMENT_BYTES: u64 = 1 << 20;

/// A file for the next segment, and its room in bytes.
pub(super) type Next<F> = (F, u64);

/// A checkpoint that was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    pub(super) segment: u64,
    pub(super) end: Position,
    /// Segments it needs, sorted.
    pub(super) needs: Vec<u64>,
    pub(super) bytes: u64,
}

/// The newest checkpoint that is durable, and those behind it.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    pub(super) durable: Made,
    pub(super) waiting: VecDeque<Made>,
}

impl Checkpoints {
    /// Everything before `position` has become durable; whether there is a newer durable checkpoint now.
    pub(super) fn synced(&mut self, position: Position) -> bool {
        let synced = self.waiting.partition_point(|made| made.end <= position);
        let newest = self.waiting.drain(..synced).next_back();
        newest.map(|made| self.durable = made).is_some()
    }

    pub(super) fn newest(&self) -> &Made {
        self.waiting.back().unwrap_or(&self.durable)
    }
}

impl<S: Storage, F: Fold> Journal<S, F> {
    /// Seals the segment and begins the next.
    pub(super) fn roll(&mut self) -> Result<(), JournalError> {
        let next = match self.unused.take() {
            Some(unused) => unused,
            None => self.next_file(self.active.header.number + 1)?,
        };
        let segments = self.held_by_windows(next.1);
        self.begin(next, &segments)
    }

    /// Goes on in this file, which takes over what is live in these segments.
    pub(super) fn begin(
        &mut self,
        (file, bytes): Next<S::File>,
        segments: &BTreeSet<u64>,
    ) -> Result<(), JournalError> {
        let number = self.active.header.number + 1;
        let header = SegmentHeader {
            version: version_for(self.folds.len()),
            journal: self.id,
            number,
            epoch: self.images.epoch(),
            base: self.active.position(),
            durable_to: self.durable,
            fingerprint: self.fingerprint,
        };
        let mut next = Active::new(file.clone(), header, bytes);
        let moved = match next.write_header().and_then(|()| self.take_over(&mut next, segments)) {
            Ok(moved) => moved,
            Err(error) => {
                self.unused = Some((file, bytes));
                return Err(error.into());
            }
        };
        self.images.relocate(&moved.iter().map(|(from, to)| (from.key(), *to)).collect());
        match write_checkpoint(&mut next, &self.images, &self.folds, self.durable) {
            Ok(made) => {
                self.checkpoints.waiting.push_back(made);
                let (number, sealed) = std::mem::replace(&mut self.active, next).seal();
                self.sealed.insert(number, sealed);
                self.may_be_spread = true;
                self.set_room_aside();
                Ok(())
            }
            Err(error) => {
                self.images.relocate(&moved.iter().map(|(from, to)| (to.key(), *from)).collect());
                self.unused = Some((file, bytes));
                Err(error.into())
            }
        }
    }

    /// A file for segment `number`: a finished one, if there is one of the right size.
    fn next_file(&mut self, number: u64) -> Result<Next<S::File>, JournalError> {
        let grown = (self.active.bytes * 2).min(self.segment_bytes_max);
        let least = self.checkpoints.newest().bytes * CHECKPOINT_SHARE;
        let bytes = grown.max(least);
        let small = least.max(SMALL_SEGMENT_BYTES).min(SMALL_SEGMENT_BYTES + self.checkpoints.newest().bytes);
        let name = format::file_name(number);
        let spare = self.spares.iter().position(|(_, size)| *size == bytes);
        if let Some((spare, _)) = spare.map(|index| self.spares.swap_remove(index)) {
            let renamed = self.storage.rename(&format::file_name(spare), &name);
            renamed.map_err(|error| self.fenced(error, &name))?;
            return Ok((self.storage.open(&name)?, bytes));
        }
        // What little was found after that must last.
        let bytes = if self.was_full { small.min(bytes) } else { bytes };
        match self.storage.create(&name, bytes) {
            // A reserve of the disk that is smaller than a segment could not be used otherwise.
            Err(StorageError::Full { .. }) if bytes > small => {
                self.was_full = true;
                let bytes = small;
                Ok((self.storage.create(&name, bytes).map_err(|error| self.fenced(error, &name))?, bytes))
            }
            created => {
                self.was_full = matches!(created, Err(StorageError::Full { .. }));
                Ok((created.map_err(|error| self.fenced(error, &name))?, bytes))
            }
        }
    }

    /// What it means that a segment cannot be made.
    pub(super) fn fenced(&self, error: StorageError, name: &str) -> JournalError {
        match error {
            StorageError::Exists { .. } => {
                JournalError::Fenced { place: self.storage.describe(), segment: name.to_owned() }
            }
            StorageError::Full { .. } | StorageError::Io { .. } => error.into(),
        }
    }
}

/// Writes everything as of now: of each task its keyed state, then its image.
pub(super) fn write_checkpoint<S: StorageFile, F: Fold>(
    active: &mut Active<S>,
    images: &Images,
    folds: &[F],
    durable_to: Position,
) -> Result<Made, StorageError> {
    let from = active.offset;
    let needs = images.live.needs();
    let needed = needs.iter().map(|(number, _)| *number).collect();
    let last = images.tasks().len().saturating_sub(1);
    for (index, (image, fold)) in images.tasks().iter().zip(folds).enumerate() {
        let member = Member::at(index);
        let states = write_state(active, member, fold, durable_to)?;
        let (kind, needs) = if index == last {
            (RecordKind::Checkpoint, needs.clone())
        } else {
            (RecordKind::Part, Vec::new())
        };
        let image = record::encode_image(image);
        let mut payload = Payload::default();
        payload.push(&image);
        active.append_of(member, kind, durable_to, &payload.with_head(&CheckpointHead { needs, states }))?;
    }
    active.start = active.offset;
    let (segment, end) = (active.header.number, active.position());
    Ok(Made { segment, end, needs: needed, bytes: active.offset - from })
}

/// Writes a task's keyed state; gives in how many records.
fn write_state<S: StorageFile, F: Fold>(
    active: &mut Active<S>,
    member: Member,
    fold: &F,
    durable_to: Position,
) -> Result<u64, StorageError> {
    let mut states = 0;
    let mut written = Ok(0);
    fold.snapshot(&mut |chunk| {
        if written.is_ok() {
            let mut payload = Payload::default();
            payload.push(chunk);
            written = active.append_of(member, RecordKind::State, durable_to, &payload);
            states += 1;
        }
    });
    written.map(|_| states)
}
