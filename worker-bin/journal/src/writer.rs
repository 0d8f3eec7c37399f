//! A journal, as its writer has it.

use super::error::{Damage, JournalError};
use super::fold::Fold;
use super::format::{self, Position, RecordKind};
use super::full::Room;
use super::images::{Images, Member};
use super::input::InputFiles;
use super::live::Use;
use super::record::{
    AttemptHead, BodyHead, CommitHead, InputHead, Location, OutputHead, Payload, StepHead, TurnHead,
};
use super::roll::{Checkpoints, Next};
use super::segments::{Active, Sealed};
use super::storage::Storage;
use super::sync::Poison;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use worker_core::event::{Body, Commit, InputDone, Place};
use worker_proto::{Batch, Epoch, Fingerprint, JournalId, LinkId, Seq};

/// A commit whose batches are larger than this in bytes is written as several records, of which the last one counts.
const COMMIT_BYTES_MAX: u64 = 64 << 20;

/// No staged batch is larger than this in bytes, if it can be divided.
const STAGED_BYTES_MAX: u64 = 1 << 30;

/// The journal of one task, or of several that share it.
///
/// What is said of a task names it as a [`Member`]; where nothing names one, it is of the first, which is the only one of a
/// journal that [`Journal::open`] made.
///
/// It has no thread of its own. Its owner appends ([`Journal::append`], [`Journal::note`], [`Journal::stage`]), and makes what was
/// appended durable: takes a ticket ([`Journal::to_sync`]), runs it anywhere while it goes on appending, and tells the outcome
/// ([`Journal::synced`]). What was appended is readable at once, and durable when [`Journal::durable`] has reached the position
/// that appending gave.
///
/// A call that fails because the [disk is full](JournalError::is_full) changed nothing and may be repeated. After the first
/// sync that fails, every call fails.
#[derive(Debug)]
pub struct Journal<S: Storage, F> {
    pub(super) storage: S,
    pub(super) place: Arc<str>,
    pub(super) id: JournalId,
    pub(super) fingerprint: Fingerprint,
    pub(super) segment_bytes_max: u64,
    pub(super) images: Images,
    /// Of each task, the sum of all positions appended.
    pub(super) folds: Vec<F>,
    pub(super) active: Active<S::File>,
    pub(super) sealed: BTreeMap<u64, Sealed<S::File>>,
    /// Finished segments whose files are used again, and their sizes in bytes.
    pub(super) spares: Vec<(u64, u64)>,
    /// The next segment, if its beginning could not be written before.
    pub(super) unused: Option<Next<S::File>>,
    /// What is set aside for a checkpoint on a full disk.
    pub(super) room: Option<Room>,
    /// The last segment that was to be made found no room.
    pub(super) was_full: bool,
    pub(super) durable: Position,
    pub(super) checkpoints: Checkpoints,
    pub(super) staged: BTreeMap<Place, Location>,
    /// What tasks read that are sources of files.
    pub(super) inputs: BTreeMap<Member, Arc<dyn InputFiles>>,
    pub(super) places: u64,
    /// Live outputs of a segment that is being emptied.
    pub(super) moving: VecDeque<(LinkId, Seq)>,
    pub(super) may_be_spread: bool,
    pub(super) poison: Poison,
}

impl<S: Storage, F: Fold> Journal<S, F> {
    /// Appends a commit; `dead_bytes` is the length that the task's file of dead letters has with it, if it has one.
    ///
    /// # Errors
    /// [`JournalError`]: the disk; [`JournalError::Misuse`] for a commit that does not fit behind the last one.
    pub fn append(&mut self, commit: &Commit, dead_bytes: Option<u64>) -> Result<Position, JournalError> {
        self.append_of(Member(0), commit, dead_bytes)
    }

    /// Appends a commit of one of several tasks.
    ///
    /// # Errors
    /// Those of [`Journal::append`].
    pub fn append_of(
        &mut self,
        member: Member,
        commit: &Commit,
        dead_bytes: Option<u64>,
    ) -> Result<Position, JournalError> {
        self.poison.check()?;
        let outputs = commit.outputs.iter().map(|(first, chunk)| (chunk.link, *first, chunk.body.records()));
        let image = self.images.task(member).ok_or_else(|| no_task(member))?;
        image.check(commit.id.0, outputs).map_err(JournalError::Misuse)?;
        let (mut staged, segment) = (Vec::new(), self.active.header.number);
        let appended = self.append_checked(member, commit, dead_bytes, &mut staged);
        for at in staged {
            self.images.live.remove(&at, Use::Staged);
        }
        let (before, position) = appended?;
        debug_assert!(before < position, "a commit takes room: {before:?} to {position:?}");
        self.copy_forward(position.0.saturating_sub(before.0));
        debug_assert!(segment == self.active.header.number || self.check() == Ok(()), "{:?}", self.check());
        Ok(position)
    }

    /// Puts a batch of an output that is not committed yet into the journal. It counts only if a commit refers to it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn stage(&mut self, batch: &Batch) -> Result<Place, JournalError> {
        self.poison.check()?;
        let at = self.write_staged(batch)?;
        self.images.live.add(&at, Use::Staged);
        self.places += 1;
        let place = Place(self.places);
        self.staged.insert(place, at);
        Ok(place)
    }

    /// A staged batch gets into no commit. One that has got into a commit or is not known is left alone.
    pub fn unstage(&mut self, place: Place) {
        if let Some(at) = self.staged.remove(&place) {
            self.images.live.remove(&at, Use::Staged);
        }
    }

    /// Tuples of a link are not needed any more; this may repeat, and go back.
    pub fn acknowledged(&mut self, link: LinkId, through: Seq) {
        self.images.acknowledged(link, through);
    }

    /// What identifies it among all journals; the same in all its lives.
    #[must_use]
    pub fn id(&self) -> JournalId {
        self.id
    }

    /// The life that has the journal open.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.images.epoch()
    }

    /// The sum of all positions appended.
    #[must_use]
    pub fn fold(&self) -> &F {
        &self.folds[0]
    }

    /// The same of one of several tasks.
    #[must_use]
    pub fn fold_of(&self, member: Member) -> Option<&F> {
        self.folds.get(member.index())
    }

    /// Where the next record will begin.
    #[must_use]
    pub fn end(&self) -> Position {
        self.active.position()
    }

    /// Everything before this is on stable storage.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// What the files take, in bytes.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.values().map(|s| s.bytes).sum();
        let spare: u64 = self.spares.iter().map(|(_, bytes)| bytes).sum();
        let room = self.room.as_ref().map_or(0, |room| room.bytes);
        self.active.bytes + sealed + spare + room
    }

    /// What may still be read, in bytes.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.images.live.bytes()
    }

    /// What the segments that cannot be given back take, in bytes: what counts against a spill limit.
    #[must_use]
    pub fn pinned_bytes(&self) -> u64 {
        let live = self.sealed.iter().filter(|(number, _)| self.images.live.segment(**number).is_some());
        self.active.bytes + live.map(|(_, segment)| segment.bytes).sum::<u64>()
    }

    fn append_checked(
        &mut self,
        member: Member,
        commit: &Commit,
        dead_bytes: Option<u64>,
        staged: &mut Vec<Location>,
    ) -> Result<(Position, Position), JournalError> {
        let mut payload = Payload::default();
        if let Some(position) = &commit.position {
            payload.push(position);
        }
        let outputs = self.outputs((member, commit), &mut payload, staged)?;
        let mut head = CommitHead {
            id: commit.id.0,
            inputs: commit.inputs.iter().map(InputHead::from).collect(),
            outputs,
            dead: commit.dead.len() as u64,
            dead_bytes,
            ended: commit.ended,
            position_bytes: commit.position.as_ref().map(|m| m.len() as u64),
            step: commit.stream.as_ref().map(|step| self.step_head(step, &mut payload)),
            attempt: AttemptHead::from(&commit.attempt),
            turn: TurnHead::of(commit),
        };
        // A new segment takes batches over, so it begins before a place is referred to.
        if let (Some(step), Some(StepHead::Refer { .. })) = (&commit.stream, &head.step)
            && !self.active.has_room(member, payload.clone().with_head(&head).bytes())
        {
            self.roll()?;
            head.step = Some(self.step_head(step, &mut payload));
        }
        let payload = payload.with_head(&head);
        let at = self.write(member, RecordKind::Commit, &payload)?;
        let inline = at + payload.head_bytes() + head.position_bytes.unwrap_or(0);
        let before = self.active.header.position(at);
        self.images.commit(member, &head, self.active.header.number, inline);
        if let (Some(position), Some(fold)) = (&commit.position, self.folds.get_mut(member.index())) {
            fold.apply(position);
        }
        for (_, chunk) in &commit.outputs {
            if let Body::Stored { place, .. } = &chunk.body {
                self.unstage(*place);
            }
        }
        Ok((before, self.end()))
    }

    /// Heads of the outputs, whose batches go into `payload`; or, if they are too large, into records of their own.
    fn outputs<'c>(
        &mut self,
        (member, commit): (Member, &'c Commit),
        payload: &mut Payload<'c>,
        staged: &mut Vec<Location>,
    ) -> Result<Vec<OutputHead>, JournalError> {
        let origin = commit.origin.as_ref().filter(|_| self.inputs.contains_key(&member));
        let in_memory = commit.outputs.iter().map(|(_, chunk)| match &chunk.body {
            Body::Memory(batch) => batch.cost(),
            Body::Stored { .. } => 0,
        });
        let is_large = in_memory.sum::<u64>() > COMMIT_BYTES_MAX;
        let mut heads = Vec::with_capacity(commit.outputs.len());
        for (first, chunk) in &commit.outputs {
            let (link, mut first) = (chunk.link, *first);
            match &chunk.body {
                Body::Stored { place, records, .. } => {
                    let at = self.staged.get(place).filter(|at| at.span.records() == *records);
                    let at = at.ok_or_else(|| {
                        JournalError::Misuse(format!("{records} records are not staged at {}", place.0))
                    })?;
                    heads.push(OutputHead { link, first, body: BodyHead::Elsewhere(*at) });
                }
                Body::Memory(batch) if origin.is_some_and(|origin| origin.is_of(batch)) => {
                    let (file, offset) =
                        origin.map(|origin| (origin.file, origin.offset)).unwrap_or_default();
                    let at = Location::in_input(member, file, offset, Payload::span_of(batch));
                    heads.push(OutputHead { link, first, body: BodyHead::Elsewhere(at) });
                }
                Body::Memory(batch) if is_large => {
                    for part in divided(batch) {
                        let at = self.write_staged(&part)?;
                        self.images.live.add(&at, Use::Staged);
                        staged.push(at);
                        heads.push(OutputHead { link, first, body: BodyHead::Elsewhere(at) });
                        first = first.plus(part.len() as u64);
                    }
                }
                Body::Memory(batch) => {
                    let body = BodyHead::Inline(payload.push_batch(batch));
                    heads.push(OutputHead { link, first, body });
                }
            }
        }
        Ok(heads)
    }

    fn write_staged(&mut self, batch: &Batch) -> Result<Location, JournalError> {
        let mut payload = Payload::default();
        let span = payload.push_batch(batch);
        let payload = payload.with_head(&span);
        let at = self.write(self.active.of, RecordKind::Stage, &payload)?;
        Ok(Location { segment: self.active.header.number, offset: at + payload.head_bytes(), span })
    }

    /// Appends a record of a task, to a new segment if this one is full; gives the offset of its payload.
    pub(super) fn write(
        &mut self,
        member: Member,
        kind: RecordKind,
        payload: &Payload<'_>,
    ) -> Result<u64, JournalError> {
        if !self.active.has_room(member, payload.bytes()) {
            self.roll()?;
        }
        Ok(self.active.append_of(member, kind, self.durable, payload)?)
    }

    pub(super) fn damaged(&self, at: &Location, what: String) -> JournalError {
        let segment = format::file_name(at.segment);
        let damage = Damage::Bytes { segment, offset: at.offset, what };
        JournalError::Damaged { place: self.storage.describe(), damage }
    }
}

fn no_task(member: Member) -> JournalError {
    JournalError::Misuse(format!("a journal has no task {}", member.0))
}

/// A batch in parts that are not too large for a record each, as far as records can be parted.
fn divided(batch: &Batch) -> Vec<Batch> {
    if batch.cost() <= STAGED_BYTES_MAX || batch.len() < 2 {
        return vec![batch.clone()];
    }
    let middle = batch.len() / 2;
    let mut parts = divided(&batch.slice(0..middle));
    parts.append(&mut divided(&batch.slice(middle..batch.len())));
    parts
}

impl From<&InputDone> for InputHead {
    fn from(input: &InputDone) -> Self {
        let InputDone { link, epoch, journal, through, ended } = *input;
        Self { link, epoch, journal, through, ended }
    }
}
