//! Reading back what was appended.

use super::error::{Damage, JournalError};
use super::fold::Fold;
use super::format;
use super::image::WindowImage;
use super::images::Member;
use super::input::{self, InputFiles};
use super::opening::read_batch;
use super::record::{Admitted, Location};
use super::storage::{Storage, StorageFile};
use super::writer::Journal;
use std::sync::Arc;
use worker_core::event::Printed;
use worker_proto::{Batch, LinkId, Seq};

/// Records that lie together in a segment. It may be read from any thread, at any time: what it refers to stays as it is
/// while it exists.
#[derive(Clone, Debug)]
pub struct Extent<F> {
    file: Source<F>,
    place: Arc<str>,
    at: Location,
    /// Records left out at the start.
    skip: u64,
    records: u64,
}

/// What an extent is read from.
#[derive(Clone, Debug)]
enum Source<F> {
    Segment(F),
    Input(Arc<dyn InputFiles>),
}

/// What one commit sent, link by link.
pub type LinkExtents<F> = Vec<(LinkId, Extent<F>)>;

impl<F: StorageFile> Extent<F> {
    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// What reading costs, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.at.span.bytes()
    }

    /// The records. Blocks, but no lock is needed.
    ///
    /// # Errors
    /// [`JournalError`]: the disk, or what was read is not what was written.
    pub fn read(&self) -> Result<Batch, JournalError> {
        let batch = match &self.file {
            Source::Segment(file) => {
                read_batch(file, self.at.offset, &self.at.span)?.map_err(|what| self.damaged(what))?
            }
            Source::Input(files) => input::read(files.as_ref(), &self.at)?,
        };
        let from = usize::try_from(self.skip).unwrap_or(usize::MAX).min(batch.len());
        let count = usize::try_from(self.records).unwrap_or(usize::MAX).min(batch.len() - from);
        Ok(if count == batch.len() { batch } else { batch.slice(from..from + count) })
    }

    fn damaged(&self, what: String) -> JournalError {
        let segment = format::file_name(self.at.segment);
        let damage = Damage::Bytes { segment, offset: self.at.offset, what };
        JournalError::Damaged { place: self.place.to_string(), damage }
    }
}

impl<S: Storage, F: Fold> Journal<S, F> {
    /// The number that the next output of a link gets; `None` if no task sends on it.
    #[must_use]
    pub fn next_output(&self, link: LinkId) -> Option<Seq> {
        self.images.output(link).map(|output| output.next)
    }

    /// The tuples `[first, first + records)` of a link, which are not acknowledged.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Misuse`] if the journal does not have them.
    pub fn read(&self, link: LinkId, first: Seq, records: u64) -> Result<Batch, JournalError> {
        join(self.locate(link, first, records)?.iter())
    }

    /// Where the tuples `[first, first + records)` of a link are, in order.
    ///
    /// # Errors
    /// [`JournalError::Misuse`] if the journal does not have them.
    pub fn locate(
        &self,
        link: LinkId,
        first: Seq,
        records: u64,
    ) -> Result<Vec<Extent<S::File>>, JournalError> {
        let lacking = || {
            JournalError::Misuse(format!(
                "tuples {first} and on ({records}) of link {link} are not in the journal"
            ))
        };
        let output = self.images.output(link).ok_or_else(lacking)?;
        let (mut next, end) = (first, first.plus(records));
        let mut extents = Vec::new();
        for held in output.held_from(first) {
            if next >= end {
                break;
            }
            if held.first > next {
                return Err(lacking());
            }
            let mut extent = self.extent(&held.at)?;
            extent.skip = next.since(held.first);
            extent.records = held.last().next().min(end).since(next);
            next = next.plus(extent.records);
            extents.push(extent);
        }
        if next == end { Ok(extents) } else { Err(lacking()) }
    }

    /// What was admitted to a window, in order; nothing if it is not under way.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn admitted(&self, window: u64) -> Result<Vec<Extent<S::File>>, JournalError> {
        self.admitted_of(Member(0), window)
    }

    /// The same of one of several tasks.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn admitted_of(&self, member: Member, window: u64) -> Result<Vec<Extent<S::File>>, JournalError> {
        let admitted = self.window(member, window).into_iter().flat_map(|w| &w.admitted);
        let part = |admitted: &Admitted| {
            let extent = self.extent(&admitted.at)?;
            Ok(Extent { skip: admitted.skip(), records: admitted.records(), ..extent })
        };
        admitted.map(part).collect()
    }

    /// What a window's program printed, commit by commit; nothing if the window is not under way.
    #[must_use]
    pub fn printed(&self, window: u64) -> Vec<Printed> {
        self.printed_of(Member(0), window)
    }

    /// The same of one of several tasks.
    #[must_use]
    pub fn printed_of(&self, member: Member, window: u64) -> Vec<Printed> {
        let steps = self.window(member, window).into_iter().flat_map(|w| &w.steps);
        steps.map(|step| Printed { records: step.records, hash: step.hash }).collect()
    }

    /// What was sent of the `step`-th entry (from 0) of [`Journal::printed`], link by link.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn printed_output(&self, window: u64, step: usize) -> Result<LinkExtents<S::File>, JournalError> {
        self.printed_output_of(Member(0), window, step)
    }

    /// The same of one of several tasks.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn printed_output_of(
        &self,
        member: Member,
        window: u64,
        step: usize,
    ) -> Result<LinkExtents<S::File>, JournalError> {
        let step = self.window(member, window).and_then(|w| w.steps.get(step));
        let outputs = step.into_iter().flat_map(|s| &s.outputs);
        outputs.map(|(link, at)| Ok((*link, self.extent(at)?))).collect()
    }

    pub(super) fn extent(&self, at: &Location) -> Result<Extent<S::File>, JournalError> {
        if let Some((member, _)) = at.input() {
            let files = self.inputs.get(&member).ok_or_else(|| input::unknown(at))?;
            let (file, place) = (Source::Input(Arc::clone(files)), self.place.clone());
            return Ok(Extent { file, place, at: *at, skip: 0, records: at.span.records() });
        }
        let file = if at.segment == self.active.header.number {
            Some(&self.active.file)
        } else {
            self.sealed.get(&at.segment).map(|s| &s.file)
        };
        let file = file.ok_or_else(|| self.damaged(at, "the segment is gone".to_owned()))?.clone();
        let (file, place) = (Source::Segment(file), self.place.clone());
        Ok(Extent { file, place, at: *at, skip: 0, records: at.span.records() })
    }

    fn window(&self, member: Member, number: u64) -> Option<&WindowImage> {
        self.images.task(member)?.window.as_ref().filter(|w| w.window == number)
    }
}

/// The records of all extents, in order.
///
/// # Errors
/// [`JournalError`].
pub fn join<'e, F: StorageFile + 'e>(
    extents: impl Iterator<Item = &'e Extent<F>>,
) -> Result<Batch, JournalError> {
    let mut batches = extents.map(Extent::read);
    let Some(first) = batches.next().transpose()? else { return Ok(Batch::empty()) };
    let Some(second) = batches.next().transpose()? else { return Ok(first) };
    let rest = batches.collect::<Result<Vec<_>, _>>()?;
    let mut all = worker_proto::BatchBuilder::new();
    [first, second].iter().chain(&rest).for_each(|batch| all.append(batch));
    Ok(all.take())
}
