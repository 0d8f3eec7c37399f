//! A journal, for people who want to know what is in it, and for programs.

mod finding;
mod words;

pub use finding::Finding;

use super::error::{Damage, JournalError};
use super::fold::{Fold, NewestPosition};
use super::format::{self, RecordKind};
use super::images::Member;
use super::record::{AttemptHead, CheckpointHead, CommitHead, CopiedHead, LifeHead, OfHead, Span};
use super::recover::{self, Folds, Segments};
use super::scan::{self, ReadWindow, RecordAt, Records, ScanError};
use super::storage::{Storage, StorageError, StorageFile};
use bytes::Bytes;
use finding::{Commit, Header, InFlight, Record, Recovered, Says, Segment};
use std::collections::BTreeMap;
use std::io;
use thiserror::Error;

/// Who is told what is found.
pub type Found<'a> = dyn FnMut(&Finding) -> io::Result<()> + 'a;

/// Why a journal was not printed to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The output cannot be written.
    #[error("cannot write what was found: {0}")]
    Output(#[from] io::Error),
}

impl From<StorageError> for InspectError {
    fn from(error: StorageError) -> Self {
        Self::Journal(error.into())
    }
}

/// Gives every segment and record in `storage` to `found`, and what recovery would make of them; changes nothing. Gives whether the
/// journal can be gone on from. A worker that has it open may go on: what it removes meanwhile is left out.
///
/// # Errors
/// [`InspectError`].
pub fn inspect<S: Storage>(storage: &S, found: &mut Found<'_>) -> Result<bool, InspectError> {
    let numbers = segments(storage)?;
    found(&Finding::Journal { journal: storage.describe(), segments: numbers.len() })?;
    if numbers.is_empty() {
        return Ok(true);
    }
    for &number in &numbers {
        match storage.open_read_only(&format::file_name(number)) {
            Ok(file) => segment(&file, number, found)?,
            Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let segment = format::file_name(number);
                found(&Finding::Segment(Segment { segment, bytes: None, header: None, damage: None }))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    verdict(storage, &numbers, found)
}

/// How long the file of dead letters of each task is by the journal in `storage`, which is read once for all of them. Changes
/// nothing, as [`inspect`].
///
/// # Errors
/// [`JournalError`].
pub fn committed_dead_bytes<S: Storage>(storage: &S) -> Result<BTreeMap<String, u64>, JournalError> {
    let numbers = segments(storage)?;
    if numbers.is_empty() {
        return Ok(BTreeMap::new());
    }
    let recovered = recover::recover(storage, &numbers, &mut Nothing)?;
    let tasks = recovered.images.tasks().iter();
    Ok(tasks.map(|image| (image.task.clone(), image.dead_bytes.unwrap_or(0))).collect())
}

/// The newest position of a source or sink by the journal in `storage`. Changes nothing, as [`inspect`].
///
/// # Errors
/// [`JournalError`].
pub fn committed_position<S: Storage>(storage: &S, task: &str) -> Result<Option<Bytes>, JournalError> {
    let numbers = segments(storage)?;
    if numbers.is_empty() {
        return Ok(None);
    }
    let mut newest = Newest::default();
    let recovered = recover::recover(storage, &numbers, &mut newest)?;
    let index = recovered.images.tasks().iter().position(|image| image.task == task);
    Ok(index.and_then(|index| newest.0.get(&Member::at(index))).and_then(NewestPosition::position))
}

fn segments<S: Storage>(storage: &S) -> Result<Vec<u64>, StorageError> {
    let mut numbers: Vec<u64> =
        storage.list()?.iter().filter_map(|name| format::segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Says nothing of what positions add up to.
struct Nothing;

impl Folds for Nothing {
    fn of(&mut self, _member: Member) -> Option<&mut dyn Fold> {
        None
    }
}

/// The newest position of each task.
#[derive(Debug, Default)]
struct Newest(BTreeMap<Member, NewestPosition>);

impl Folds for Newest {
    fn of(&mut self, member: Member) -> Option<&mut dyn Fold> {
        Some(self.0.entry(member).or_default())
    }
}

fn segment<F: StorageFile>(file: &F, number: u64, found: &mut Found<'_>) -> Result<(), InspectError> {
    let (name, bytes) = (format::file_name(number), file.bytes()?);
    let mut about = Segment { segment: name.clone(), bytes: Some(bytes), header: None, damage: None };
    let header = match scan::header(file, number) {
        Ok(Some(header)) => header,
        Ok(None) => return Ok(found(&Finding::Segment(about))?),
        Err(ScanError::Damage(damage)) => {
            about.damage = Some(damage.to_string());
            return Ok(found(&Finding::Segment(about))?);
        }
        Err(ScanError::Storage(error)) => return Err(error.into()),
    };
    about.header = Some(Header {
        journal_id: format!("{:016x}", header.journal.0),
        epoch: header.epoch.0,
        position: header.base.0,
        durable_to: header.durable_to.0,
    });
    found(&Finding::Segment(about))?;
    let (mut window, mut heads) = (ReadWindow::new(file)?, ReadWindow::new(file)?);
    let mut records = Records::new(&header);
    while let Some(record) = records.next(&mut window)? {
        let says = match says(&mut heads, number, &record) {
            Ok(says) => says,
            Err(ScanError::Damage(damage)) => Says::Damaged { damage: damage.to_string() },
            Err(ScanError::Storage(error)) => return Err(error.into()),
        };
        found(&Finding::Record(Record {
            segment: name.clone(),
            offset: record.offset,
            position: header.position(record.offset).0,
            bytes: u64::from(record.header.len),
            durable_to: record.header.durable_to.0,
            kind: name_of(record.header.kind),
            says,
        }))?;
    }
    let (offset, position) = (records.offset, header.position(records.offset).0);
    Ok(found(&Finding::End { segment: name, offset, position })?)
}

fn name_of(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Life => "life",
        RecordKind::Commit => "commit",
        RecordKind::Stage => "stage",
        RecordKind::State => "state",
        RecordKind::Checkpoint => "checkpoint",
        RecordKind::Copied => "copied",
        RecordKind::Note => "note",
        RecordKind::Of => "of",
        RecordKind::Part => "part",
    }
}

fn says<F: StorageFile>(
    heads: &mut ReadWindow<'_, F>,
    number: u64,
    record: &RecordAt,
) -> Result<Says, ScanError> {
    Ok(match record.header.kind {
        RecordKind::Life => {
            let head: LifeHead = scan::head_of(heads, number, record)?.0;
            Says::Life { epoch: head.epoch.0 }
        }
        RecordKind::Commit => {
            let head: CommitHead = scan::head_of(heads, number, record)?.0;
            Says::Commit(Box::new(Commit::from(&head)))
        }
        RecordKind::Stage => {
            let span: Span = scan::head_of(heads, number, record)?.0;
            Says::Stage { records: span.records() }
        }
        RecordKind::State => Says::State {},
        RecordKind::Of => {
            let head: OfHead = scan::head_of(heads, number, record)?.0;
            Says::Of { member: u64::from(head.member) }
        }
        RecordKind::Part => {
            let (head, _): (CheckpointHead, u64) = scan::head_of(heads, number, record)?;
            Says::Part { states: head.states }
        }
        RecordKind::Checkpoint => {
            let head: CheckpointHead = scan::head_of(heads, number, record)?.0;
            Says::from(&head)
        }
        RecordKind::Copied => {
            let head: CopiedHead = scan::head_of(heads, number, record)?.0;
            Says::from(&head)
        }
        RecordKind::Note => {
            let head: AttemptHead = scan::head_of(heads, number, record)?.0;
            Says::Note(InFlight::from(&head))
        }
    })
}

/// What recovery says, without what it would write.
fn verdict<S: Storage>(storage: &S, numbers: &[u64], found: &mut Found<'_>) -> Result<bool, InspectError> {
    match recover::recover(storage, numbers, &mut Nothing) {
        Ok(recovered) => {
            let (durable_to, whole_to) = (recovered.durable_to.0, recovered.end.0);
            found(&Finding::Recovered(Recovered::new(&recovered.images, durable_to, whole_to)))?;
            Ok(true)
        }
        Err(JournalError::Damaged { damage, .. }) => {
            found(&Finding::Damaged { damage: damage.to_string() })?;
            if let Damage::Bytes { .. } | Damage::Missing { .. } = damage {
                claims(storage, numbers, found)?;
            }
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Which file says how far the journal was durable.
fn claims<S: Storage>(storage: &S, numbers: &[u64], found: &mut Found<'_>) -> Result<(), InspectError> {
    let Ok(mut segments) = Segments::of(storage, numbers) else { return Ok(()) };
    for &number in numbers {
        if let Ok(Some(scan)) = segments.scan(number) {
            let (segment, durable_to) = (format::file_name(number), scan.durable_to.0);
            found(&Finding::Claim { segment, whole_to: scan.end, durable_to })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{journal_with_everything, reopened};
    use super::*;

    fn inspected(disk: &super::super::MemStorage) -> (bool, String) {
        let mut text = String::new();
        let before = disk.contents();
        let mut found = |finding: &Finding| {
            text += &format!("{finding}\n");
            Ok(())
        };
        let healthy = inspect(disk, &mut found).unwrap();
        assert!(disk.contents() == before, "inspecting changes nothing");
        (healthy, text)
    }

    #[test]
    fn segments_records_and_the_state_are_printed() {
        let disk = journal_with_everything();
        let (healthy, text) = inspected(&disk);
        assert!(healthy);
        for expected in [
            "0000000000000001.wj",
            "life",
            "needs nothing",
            "commit 1; input link 9 through 10 of epoch 3; output link 1 1..=2; output link 2 1..=1 in",
            "position or state of 4 bytes",
            "window 1 admits 2 records",
            "in flight 5 records from link 9 13, 1 deaths alone",
            "task a/0, epoch 1, commit 3",
            "output link 1 next 3, acknowledged through 0, held from 1",
        ] {
            assert!(text.contains(expected), "no {expected:?} in\n{text}");
        }
    }

    #[test]
    fn the_committed_length_of_dead_letters_is_found() {
        let dead = committed_dead_bytes(&journal_with_everything()).unwrap();
        assert_eq!(dead, [("a/0".to_owned(), 77)].into());
        assert!(committed_dead_bytes(&super::super::MemStorage::new()).unwrap().is_empty());
    }

    #[test]
    fn damage_is_named_and_a_torn_tail_is_none() {
        let disk = journal_with_everything();
        let mut files = disk.contents();
        let bytes = files.get_mut("0000000000000001.wj").unwrap();
        bytes[80] ^= 1;
        let (healthy, text) = inspected(&super::super::MemStorage::with_contents(files));
        assert!(!healthy);
        assert!(text.contains("damaged: segment 0000000000000001.wj is damaged at byte 64"), "{text}");

        let mut files = disk.contents();
        let bytes = files.get_mut("0000000000000001.wj").unwrap();
        let last = bytes.iter().rposition(|&b| b != 0).unwrap();
        bytes[last] ^= 1;
        let torn = super::super::MemStorage::with_contents(files);
        let (healthy, text) = inspected(&torn);
        assert!(healthy && text.contains("is torn"), "{text}");
        assert_eq!(reopened(&torn), 3);
    }
}
