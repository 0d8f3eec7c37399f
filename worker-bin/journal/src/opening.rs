//! Opening a journal: recovery, and a new life's first segment.

use super::error::JournalError;
use super::fold::Fold;
use super::format::{self, Position, RecordKind, SEGMENT_HEADER_BYTES, SegmentHeader, version_for};
use super::full::ROOM_NAME;
use super::image::Image;
use super::images::{Images, Member};
use super::record::{self, CopiedHead, LifeHead, Location, Payload, Span};
use super::recover::{self, Recovered};
use super::roll::{self, Checkpoints, Made};
use super::segments::{Active, Sealed};
use super::storage::{Storage, StorageError, StorageFile};
use super::sync::Poison;
use super::writer::Journal;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use worker_core::recovery::TaskState;
use worker_core::words::printable;
use worker_proto::{Batch, Epoch, Fingerprint, JournalId, LinkId};

/// The name of a first segment before it is whole.
const NEW_NAME: &str = "new.tmp";

/// Room set aside for a life's first segment on a disk that has no more, in bytes.
const LEAST_SEGMENT_BYTES: u64 = 16 << 10;

/// Whose journal it is, where it is one task's.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `stage/partition`.
    pub task: String,
    /// Of the pipeline's meaning and placement.
    pub fingerprint: Fingerprint,
    /// All links that the task sends on.
    pub outputs: Vec<LinkId>,
    /// What a new journal is identified by; see [`random_id`].
    pub new_id: JournalId,
}

/// Whose journal it is, where several tasks share it: always the same ones, in the same order.
#[derive(Clone, Debug)]
pub struct SharedIdentity {
    /// At least one. Each is a [`Member`] by its place.
    pub tasks: Vec<MemberIdentity>,
    /// Of the pipeline's meaning and placement.
    pub fingerprint: Fingerprint,
    /// What a new journal is identified by; see [`random_id`].
    pub new_id: JournalId,
}

/// One of the tasks that share a journal.
#[derive(Clone, Debug)]
pub struct MemberIdentity {
    /// `stage/partition`.
    pub task: String,
    /// All links that the task sends on; no two tasks send on one.
    pub outputs: Vec<LinkId>,
}

/// How large segment files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Room set aside for a life's first segment, in bytes; each one after it gets twice as much.
    pub first_segment_bytes: u64,
    /// Most room set aside for a segment, in bytes; only one larger record, or a checkpoint, exceeds it.
    pub segment_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { first_segment_bytes: 4 << 20, segment_bytes_max: 64 << 20 }
    }
}

/// A journal that is open, and what it says.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened<S: Storage, F> {
    /// Ready to be appended to.
    pub journal: Journal<S, F>,
    /// What the task's new life begins with; its epoch is durable.
    pub state: TaskState,
    /// How long the task's file of dead letters was with the last commit that had any.
    pub dead_bytes: Option<u64>,
    /// There was none before.
    pub is_new: bool,
}

/// A shared journal that is open, and what it says.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedShared<S: Storage, F> {
    /// Ready to be appended to.
    pub journal: Journal<S, F>,
    /// What each task's new life begins with, in the order of [`SharedIdentity::tasks`].
    pub tasks: Vec<OpenedMember>,
    /// There was none before.
    pub is_new: bool,
    /// Where the one that was there ended.
    pub ended_at: Option<EndedAt>,
}

/// A place in a journal's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedAt {
    /// File name of the segment.
    pub segment: String,
    /// Byte offset in it.
    pub offset: u64,
}

/// What a shared journal says of one task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenedMember {
    /// What its new life begins with; its epoch is durable.
    pub state: TaskState,
    /// How long its file of dead letters was with the last commit that had any.
    pub dead_bytes: Option<u64>,
}

/// A number that no other journal has.
#[must_use]
pub fn random_id() -> JournalId {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    JournalId(RandomState::new().hash_one((now.as_nanos(), std::process::id())).max(1))
}

impl<S: Storage, F: Fold> Journal<S, F> {
    /// Opens the journal in `storage`, or makes one; `fold` is new. When this returns, the new life's epoch is on stable storage,
    /// and so is everything that the state says.
    ///
    /// # Errors
    /// [`JournalError`]: the disk; damage; or it is another task's.
    pub fn open(
        storage: S,
        identity: &Identity,
        settings: Settings,
        fold: F,
    ) -> Result<Opened<S, F>, JournalError> {
        let Identity { task, fingerprint, outputs, new_id } = identity.clone();
        let tasks = vec![MemberIdentity { task, outputs }];
        let identity = SharedIdentity { tasks, fingerprint, new_id };
        let OpenedShared { journal, mut tasks, is_new, .. } =
            Self::open_shared(storage, &identity, settings, vec![fold])?;
        let lacks_task = || JournalError::Misuse("a journal without its task".to_owned());
        let OpenedMember { state, dead_bytes } = tasks.pop().ok_or_else(lacks_task)?;
        Ok(Opened { journal, state, dead_bytes, is_new })
    }

    /// Opens a journal that several tasks share, or makes one; `folds` are new, one for each task. What [`Journal::open`]
    /// promises holds of each. A journal that one task had alone is one that it shares with nobody.
    ///
    /// # Errors
    /// Those of [`Journal::open`]; it may be other tasks', too.
    pub fn open_shared(
        storage: S,
        identity: &SharedIdentity,
        settings: Settings,
        mut folds: Vec<F>,
    ) -> Result<OpenedShared<S, F>, JournalError> {
        if folds.is_empty() || folds.len() != identity.tasks.len() {
            let (tasks, folds) = (identity.tasks.len(), folds.len());
            return Err(JournalError::Misuse(format!("a journal of {tasks} tasks has {folds} sums")));
        }
        let names = storage.list()?;
        let is_there = |name: &str| names.iter().any(|there| there == name);
        if is_there(NEW_NAME) {
            storage.remove(NEW_NAME)?;
        }
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| format::segment_number(name)).collect();
        numbers.sort_unstable();
        let Some(&newest) = numbers.last() else {
            let images = identity.tasks.iter().map(|task| Image::new(&task.task, &task.outputs));
            let images = Images::new(images.collect());
            let first =
                First { id: identity.new_id, number: 1, base: Position(0), images, before: BTreeMap::new() };
            return first.begin_after(storage, identity, settings, folds, Position(0));
        };
        let recovered = recover::recover(&storage, &numbers, folds.as_mut_slice())?;
        is_ours(&storage, identity, &recovered)?;
        // On a full disk this is the room for the new life's beginning.
        if is_there(ROOM_NAME) {
            storage.remove(ROOM_NAME)?;
        }
        for number in numbers.iter().filter(|n| !recovered.segments.contains_key(n)) {
            storage.remove(&format::file_name(*number))?;
        }
        let id = recovered.header.journal;
        let mut before = BTreeMap::new();
        for (number, header) in &recovered.segments {
            let file = storage.open(&format::file_name(*number))?;
            let bytes = file.bytes()?;
            let end = recovered.durable_to;
            before.insert(*number, (*header, Sealed { file, base: header.base, end, bytes, named: true }));
        }
        let (number, base) = (newest + 1, recovered.end);
        let mut first = First { id, number, base, images: recovered.images, before };
        for (index, task) in identity.tasks.iter().enumerate() {
            first.images.add_outputs(Member::at(index), &task.outputs);
        }
        let header = &recovered.header;
        let ended_at = EndedAt {
            segment: format::file_name(header.number),
            offset: SEGMENT_HEADER_BYTES + recovered.end.0.saturating_sub(header.base.0),
        };
        let opened = first.begin_after(storage, identity, settings, folds, recovered.durable_to)?;
        Ok(OpenedShared { ended_at: Some(ended_at), ..opened })
    }
}

fn is_ours<S: Storage>(
    storage: &S,
    identity: &SharedIdentity,
    recovered: &Recovered,
) -> Result<(), JournalError> {
    let place = storage.describe();
    let expected = shown(identity.tasks.iter().map(|task| task.task.as_str()));
    let found = recovered.images.tasks().iter().map(|image| image.task.as_str());
    if !found.clone().eq(identity.tasks.iter().map(|task| task.task.as_str())) {
        return Err(JournalError::NotOurs { place, found: shown(found), expected });
    }
    if recovered.header.fingerprint != identity.fingerprint {
        let named = |f: Fingerprint| format!("{expected} of a pipeline with fingerprint {:016x}", f.0);
        let (found, expected) = (named(recovered.header.fingerprint), named(identity.fingerprint));
        return Err(JournalError::NotOurs { place, found, expected });
    }
    Ok(())
}

/// Most tasks that are named in an error.
const SHOWN_MAX: usize = 8;

fn shown<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let some: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| printable(name)).collect();
    let some = some.join(", ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}

/// What a life's first segment is made of.
struct First<F> {
    id: JournalId,
    number: u64,
    base: Position,
    images: Images,
    before: BTreeMap<u64, (SegmentHeader, Sealed<F>)>,
}

impl<File: StorageFile> First<File> {
    /// Everything that lies after `durable_to` is written anew: what the page cache shows need not be on the disk, whatever a
    /// sync says about it now.
    fn begin_after<S: Storage<File = File>, F: Fold>(
        mut self,
        storage: S,
        identity: &SharedIdentity,
        settings: Settings,
        folds: Vec<F>,
        durable_to: Position,
    ) -> Result<OpenedShared<S, F>, JournalError> {
        let is_new = self.before.is_empty();
        let epoch = Epoch(self.images.epoch().0 + 1);
        self.images.begin_life(epoch);
        let header = SegmentHeader {
            version: version_for(folds.len()),
            journal: self.id,
            number: self.number,
            epoch,
            base: self.base,
            durable_to,
            fingerprint: identity.fingerprint,
        };
        let (file, bytes) = first_file(&storage, settings.first_segment_bytes)?;
        let mut active = Active::new(file, header, bytes);
        let life = Payload::default().with_head(&LifeHead { epoch });
        active.append(RecordKind::Life, durable_to, &life)?;
        self.rewrite(&storage, &mut active, durable_to)?;
        self.images.count_live();
        let made = roll::write_checkpoint(&mut active, &self.images, &folds, durable_to)?;
        // The file gets its name when it is durable: whoever sees it may rely on it.
        active.header.durable_to = active.position();
        active.write_header()?;
        active.file.sync()?;
        let name = format::file_name(self.number);
        storage.rename(NEW_NAME, &name).map_err(|error| match error {
            StorageError::Exists { .. } => {
                JournalError::Fenced { place: storage.describe(), segment: name.clone() }
            }
            StorageError::Full { .. } | StorageError::Io { .. } => error.into(),
        })?;
        storage.names().sync()?;
        active.file = storage.open(&name)?;
        active.named = true;
        let tasks = self.images.tasks().iter().zip(&folds).map(|(image, fold)| OpenedMember {
            state: image.task_state(self.id, fold.position()),
            dead_bytes: image.dead_bytes,
        });
        let tasks = tasks.collect();
        let journal = self.journal(storage, identity, settings, folds, active, made);
        Ok(OpenedShared { journal, tasks, is_new, ended_at: None })
    }

    fn journal<S: Storage<File = File>, F: Fold>(
        self,
        storage: S,
        identity: &SharedIdentity,
        settings: Settings,
        folds: Vec<F>,
        active: Active<File>,
        made: Made,
    ) -> Journal<S, F> {
        let place = storage.describe();
        let mut journal = Journal {
            storage,
            place: place.as_str().into(),
            id: self.id,
            fingerprint: identity.fingerprint,
            segment_bytes_max: settings.segment_bytes_max,
            durable: active.position(),
            images: self.images,
            folds,
            active,
            sealed: self.before.into_iter().map(|(number, (_, sealed))| (number, sealed)).collect(),
            spares: Vec::new(),
            unused: None,
            room: None,
            was_full: false,
            checkpoints: Checkpoints { durable: made, waiting: VecDeque::new() },
            staged: BTreeMap::new(),
            inputs: BTreeMap::new(),
            places: 0,
            moving: VecDeque::new(),
            may_be_spread: true,
            poison: Poison::new(&place),
        };
        journal.collect();
        journal.set_room_aside();
        journal
    }

    fn rewrite<S: Storage>(
        &mut self,
        storage: &S,
        active: &mut Active<File>,
        durable_to: Position,
    ) -> Result<(), JournalError> {
        let mut moved: BTreeMap<(u64, u64), Location> = BTreeMap::new();
        let before = &self.before;
        let is_durable = |at: &Location| {
            at.input().is_some()
                || before.get(&at.segment).is_some_and(|(header, _)| header.position(at.end()) <= durable_to)
        };
        self.images.each_location(&mut |at| {
            if !is_durable(at) {
                moved.insert(at.key(), *at);
            }
        });
        for at in moved.values_mut() {
            let batch = self.batch(storage, at)?;
            let mut payload = Payload::default();
            let span = payload.push_batch(&batch);
            let payload = payload.with_head(&CopiedHead { span, output: None });
            let offset = active.append(RecordKind::Copied, durable_to, &payload)? + payload.head_bytes();
            *at = Location { segment: self.number, offset, span };
        }
        self.images.each_location(&mut |at| {
            if let Some(to) = moved.get(&at.key()) {
                *at = *to;
            }
        });
        Ok(())
    }

    fn batch<S: Storage>(&self, storage: &S, at: &Location) -> Result<Batch, JournalError> {
        let damaged = |what: String| JournalError::Damaged {
            place: storage.describe(),
            damage: super::error::Damage::Bytes {
                segment: format::file_name(at.segment),
                offset: at.offset,
                what,
            },
        };
        let (_, segment) = self.before.get(&at.segment).ok_or_else(|| damaged("no segment".to_owned()))?;
        read_batch(&segment.file, at.offset, &at.span)?.map_err(damaged)
    }
}

/// On a full disk a start needs no more than this: the segment grows as it is written to.
fn first_file<S: Storage>(storage: &S, bytes: u64) -> Result<(S::File, u64), StorageError> {
    match storage.create(NEW_NAME, bytes) {
        Err(StorageError::Full { .. }) if bytes > LEAST_SEGMENT_BYTES => {
            Ok((storage.create(NEW_NAME, LEAST_SEGMENT_BYTES)?, LEAST_SEGMENT_BYTES))
        }
        created => Ok((created?, bytes)),
    }
}

/// The batch at an offset, or why there is none.
pub(super) fn read_batch<F: StorageFile>(
    file: &F,
    offset: u64,
    span: &Span,
) -> Result<Result<Batch, String>, StorageError> {
    let Ok(len) = usize::try_from(span.bytes()) else { return Ok(Err("too long".to_owned())) };
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, offset)?;
    bytes.truncate(read);
    Ok(record::batch(Bytes::from(bytes), span))
}
