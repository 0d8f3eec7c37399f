//! A journal in words, for people who want to know what is in it.

use super::error::{Damage, JournalError};
use super::fold::{Fold, NewestPosition};
use super::format::{self, RecordKind, SegmentHeader};
use super::image::Image;
use super::images::Member;
use super::record::{
    AttemptHead, BodyHead, CheckpointHead, CommitHead, CopiedHead, LifeHead, Location, OfHead, Span,
    StepHead, TurnHead,
};
use super::recover::{self, Folds, Segments};
use super::scan::{self, ReadWindow, RecordAt, Records, ScanError};
use super::storage::{Storage, StorageError, StorageFile};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use thiserror::Error;

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

/// Prints every segment and record in `storage`, and what recovery would make of them; changes nothing. Gives whether the
/// journal can be gone on from. A worker that has it open may go on: what it removes meanwhile is left out.
///
/// # Errors
/// [`InspectError`].
pub fn inspect<S: Storage>(storage: &S, out: &mut dyn Write) -> Result<bool, InspectError> {
    let numbers = segments(storage)?;
    writeln!(out, "journal {}", storage.describe())?;
    if numbers.is_empty() {
        writeln!(out, "  no segments")?;
        return Ok(true);
    }
    for &number in &numbers {
        match storage.open_read_only(&format::file_name(number)) {
            Ok(file) => segment(&file, number, out)?,
            Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                writeln!(out, "{}  removed meanwhile", format::file_name(number))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    verdict(storage, &numbers, out)
}

/// How long a task's file of dead letters is by the journal in `storage`; 0 if it says nothing of that task. Changes nothing,
/// as [`inspect`].
///
/// # Errors
/// [`JournalError`].
pub fn committed_dead_bytes<S: Storage>(storage: &S, task: &str) -> Result<u64, JournalError> {
    let numbers = segments(storage)?;
    if numbers.is_empty() {
        return Ok(0);
    }
    let recovered = recover::recover(storage, &numbers, &mut Nothing)?;
    let image = recovered.images.tasks().iter().find(|image| image.task == task);
    Ok(image.and_then(|image| image.dead_bytes).unwrap_or(0))
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

fn segment<F: StorageFile>(file: &F, number: u64, out: &mut dyn Write) -> Result<(), InspectError> {
    let (name, bytes) = (format::file_name(number), file.bytes()?);
    let header = match scan::header(file, number) {
        Ok(Some(header)) => header,
        Ok(None) => {
            writeln!(out, "{name}  {bytes} bytes, no header of this segment")?;
            return Ok(());
        }
        Err(ScanError::Damage(damage)) => {
            writeln!(out, "{name}  {damage}")?;
            return Ok(());
        }
        Err(ScanError::Storage(error)) => return Err(error.into()),
    };
    let SegmentHeader { journal, epoch, base, durable_to, .. } = header;
    writeln!(
        out,
        "{name}  {bytes} bytes, journal {journal:016x}, epoch {epoch}, from position {}, durable to {} when named",
        base.0,
        durable_to.0,
        journal = journal.0,
    )?;
    let (mut window, mut heads) = (ReadWindow::new(file)?, ReadWindow::new(file)?);
    let mut records = Records::new(&header);
    while let Some(record) = records.next(&mut window)? {
        let what = match describe(&mut heads, number, &record) {
            Ok(what) => what,
            Err(ScanError::Damage(damage)) => damage.to_string(),
            Err(ScanError::Storage(error)) => return Err(error.into()),
        };
        let position = header.position(record.offset).0;
        let (kind, len, durable) =
            (name_of(record.header.kind), record.header.len, record.header.durable_to.0);
        writeln!(
            out,
            "  {:>10}  position {position}  {kind:<10}  {len} bytes, durable to {durable}{what}",
            record.offset
        )?;
    }
    writeln!(
        out,
        "  {:>10}  end of whole records, position {}",
        records.offset,
        header.position(records.offset).0
    )?;
    Ok(())
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

fn describe<F: StorageFile>(
    heads: &mut ReadWindow<'_, F>,
    number: u64,
    record: &RecordAt,
) -> Result<String, ScanError> {
    Ok(match record.header.kind {
        RecordKind::Life => {
            let head: LifeHead = scan::head_of(heads, number, record)?.0;
            format!(", epoch {}", head.epoch)
        }
        RecordKind::Commit => commit(&scan::head_of(heads, number, record)?.0),
        RecordKind::Stage => {
            let span: Span = scan::head_of(heads, number, record)?.0;
            format!(", {} records", span.records())
        }
        RecordKind::State => String::new(),
        RecordKind::Of => {
            let head: OfHead = scan::head_of(heads, number, record)?.0;
            format!(", what follows is of task {}", head.member)
        }
        RecordKind::Part => {
            let (head, _): (CheckpointHead, u64) = scan::head_of(heads, number, record)?;
            format!(", {} records of state", head.states)
        }
        RecordKind::Checkpoint => {
            let (head, _): (CheckpointHead, u64) = scan::head_of(heads, number, record)?;
            let needs: Vec<String> = head
                .needs
                .iter()
                .map(|(n, end)| format!("{} to byte {end}", format::file_name(*n)))
                .collect();
            let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
            format!(", {} records of state, needs {needs}", head.states)
        }
        RecordKind::Copied => {
            let head: CopiedHead = scan::head_of(heads, number, record)?.0;
            match head.output {
                Some((link, first)) => format!(", link {link} {}", range(first.0, head.span.records())),
                None => format!(", {} records", head.span.records()),
            }
        }
        RecordKind::Note => in_flight(&scan::head_of(heads, number, record)?.0),
    })
}

fn commit(head: &CommitHead) -> String {
    let mut text = format!(", commit {}", head.id);
    for input in &head.inputs {
        let ended = if input.ended { ", ended" } else { "" };
        text +=
            &format!("; input link {} through {} of epoch {}{ended}", input.link, input.through, input.epoch);
    }
    for output in &head.outputs {
        let (records, place) = match &output.body {
            BodyHead::Inline(span) => (span.records(), String::new()),
            BodyHead::Staged(Location { segment, offset, span }) => {
                (span.records(), format!(" in {} at byte {offset}", format::file_name(*segment)))
            }
        };
        text += &format!("; output link {} {}{place}", output.link, range(output.first.0, records));
    }
    if head.dead > 0 {
        text += &format!("; {} dead letters", head.dead);
    }
    for (what, bytes) in
        [("dead letters' file has", head.dead_bytes), ("position or state of", head.position_bytes)]
    {
        if let Some(bytes) = bytes {
            text += &format!("; {what} {bytes} bytes");
        }
    }
    match &head.step {
        Some(StepHead::Admit { window, batches }) => {
            let records: u64 = batches.iter().map(Span::records).sum();
            text += &format!("; window {window} admits {records} records");
        }
        Some(StepHead::Printed { window, records, hash }) => {
            text += &format!("; window {window} printed {records} records, hash {hash:016x}");
        }
        Some(StepHead::Cut { window }) => text += &format!("; window {window} is cut"),
        Some(StepHead::Done { window }) => text += &format!("; window {window} is done"),
        None => {}
    }
    if head.attempt != AttemptHead::default() {
        text += &in_flight(&head.attempt);
    }
    if let Some(TurnHead { taken, given, headers }) = &head.turn {
        if *taken > 0 || !given.is_empty() {
            text += &format!("; in order: {taken} chunks taken, {given:?} given");
        }
        for (what, header) in headers.iter().flat_map(|h| [("taken", &h.taken), ("given", &h.given)]) {
            if let Some(header) = header {
                text += &format!("; header {what}: {:?}", String::from_utf8_lossy(header).trim_end());
            }
        }
    }
    if head.ended {
        text += "; end";
    }
    text
}

fn in_flight(head: &AttemptHead) -> String {
    let AttemptHead { records, first, alone, suspects } = *head;
    let what = match (records, suspects) {
        (0, 0) => return ", nothing in flight".to_owned(),
        (0, _) => format!("nothing in flight, {suspects} suspects"),
        _ => format!("in flight {records} records"),
    };
    let from = first.map(|(link, seq)| format!(" from link {link} {seq}")).unwrap_or_default();
    format!(", {what}{from}, {alone} deaths alone")
}

fn range(first: u64, records: u64) -> String {
    format!("{first}..={}", (first + records).saturating_sub(1))
}

/// What recovery says, without what it would write.
fn verdict<S: Storage>(storage: &S, numbers: &[u64], out: &mut dyn Write) -> Result<bool, InspectError> {
    match recover::recover(storage, numbers, &mut Nothing) {
        Ok(recovered) => {
            writeln!(out, "durable to position {}, at least", recovered.durable_to.0)?;
            writeln!(
                out,
                "whole to position {}; what lies behind, if anything, is torn and is cut off",
                recovered.end.0
            )?;
            for (index, image) in recovered.images.tasks().iter().enumerate() {
                write!(out, "{}", state(index, image))?;
            }
            writeln!(out, "  {} bytes live", recovered.images.live.bytes())?;
            Ok(true)
        }
        Err(JournalError::Damaged { damage, .. }) => {
            writeln!(out, "damaged: {damage}")?;
            if let Damage::Bytes { .. } | Damage::Missing { .. } = damage {
                claims(storage, numbers, out)?;
            }
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Which file says how far the journal was durable.
fn claims<S: Storage>(storage: &S, numbers: &[u64], out: &mut dyn Write) -> Result<(), InspectError> {
    let Ok(mut segments) = Segments::of(storage, numbers) else { return Ok(()) };
    for &number in numbers {
        if let Ok(Some(scan)) = segments.scan(number) {
            let (name, durable) = (format::file_name(number), scan.durable_to.0);
            writeln!(out, "  {name} is whole to byte {} and says: durable to position {durable}", scan.end)?;
        }
    }
    Ok(())
}

fn state(index: usize, image: &Image) -> String {
    let mut text = String::new();
    let mut line = |what: String| writeln!(text, "  {what}").ok();
    line(format!("{index}: task {}, epoch {}, commit {}", image.task, image.epoch, image.commits));
    for input in image.inputs.values() {
        let ended = if input.ended { ", ended" } else { "" };
        line(format!("input link {} through {} of epoch {}{ended}", input.link, input.through, input.epoch));
    }
    for (link, output) in &image.outputs {
        let end = output.end.map(|end| format!(", end at {end}")).unwrap_or_default();
        let held = output
            .held
            .front()
            .map_or_else(|| "nothing held".to_owned(), |h| format!("held from {}", h.first));
        line(format!(
            "output link {link} next {}, acknowledged through {}, {held}{end}",
            output.next, output.through
        ));
    }
    if let Some(window) = &image.window {
        let cut = if window.cut { ", cut" } else { "" };
        line(format!("window {} with {} admitted batches{cut}", window.window, window.admitted.len()));
    }
    line(format!("{} dead letters{}", image.dead, if image.ended { "; ended" } else { "" }));
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{journal_with_everything, reopened};
    use super::*;

    fn inspected(disk: &super::super::MemStorage) -> (bool, String) {
        let mut text = Vec::new();
        let before = disk.contents();
        let healthy = inspect(disk, &mut text).unwrap();
        assert!(disk.contents() == before, "inspecting changes nothing");
        (healthy, String::from_utf8(text).unwrap())
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
        assert_eq!(committed_dead_bytes(&journal_with_everything(), "a/0").unwrap(), 77);
        assert_eq!(committed_dead_bytes(&journal_with_everything(), "b/0").unwrap(), 0);
        assert_eq!(committed_dead_bytes(&super::super::MemStorage::new(), "a/0").unwrap(), 0);
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
