//! From the bytes of all segments to what the journal says: a pure function of them.

use super::error::{Damage, JournalError};
use super::fold::Fold;
use super::format::{self, Position, RecordKind, SegmentHeader};
use super::image::Image;
use super::images::{Images, Member};
use super::record::{self, CheckpointHead, CommitHead, CopiedHead, LifeHead, Location, OfHead};
use super::scan::{self, ReadWindow, RecordAt, Records, ScanError, SegmentScan};
use super::sense::Sense as _;
use super::storage::{Storage, StorageFile};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use worker_proto::JournalId;

/// What the segments say.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) images: Images,
    pub(super) header: SegmentHeader,
    /// Where the whole records end; what lies behind is cut off.
    pub(super) end: Position,
    /// The largest point that is said to be on stable storage.
    pub(super) durable_to: Position,
    /// All segments that have a header.
    pub(super) segments: BTreeMap<u64, SegmentHeader>,
}

/// Where positions are put together, task by task.
pub(super) trait Folds {
    /// The sum of a task's; `None`: nobody wants it.
    fn of(&mut self, member: Member) -> Option<&mut dyn Fold>;
}

impl<F: Fold> Folds for [F] {
    fn of(&mut self, member: Member) -> Option<&mut dyn Fold> {
        self.get_mut(member.index()).map(|fold| fold as &mut dyn Fold)
    }
}

/// Reads the segments `numbers`, and puts their positions together in `folds`, which are new.
///
/// # Errors
/// The storage's; [`JournalError::Damaged`] if something is missing that was on stable storage.
pub(super) fn recover<S: Storage, F: Folds + ?Sized>(
    storage: &S,
    numbers: &[u64],
    folds: &mut F,
) -> Result<Recovered, JournalError> {
    Segments::of(storage, numbers).and_then(|mut segments| segments.recover(folds)).map_err(|error| {
        match error {
            ScanError::Storage(error) => JournalError::Storage(error),
            ScanError::Damage(damage) => JournalError::Damaged { place: storage.describe(), damage },
        }
    })
}

/// The segments of one journal, each read when it is needed.
#[derive(Debug)]
pub(super) struct Segments<F> {
    journal: JournalId,
    files: BTreeMap<u64, (F, Option<SegmentHeader>)>,
    scans: BTreeMap<u64, SegmentScan>,
}

impl<File: StorageFile> Segments<File> {
    /// Reads the headers only.
    pub(super) fn of<S: Storage<File = File>>(storage: &S, numbers: &[u64]) -> Result<Self, ScanError> {
        let mut newest: Option<SegmentHeader> = None;
        let mut files = BTreeMap::new();
        for &number in numbers {
            let file = storage.open_read_only(&format::file_name(number))?;
            let header = scan::header(&file, number)?;
            if let Some((header, other)) = header.zip(newest).filter(|(h, n)| h.journal != n.journal) {
                let (segment, other) = (format::file_name(header.number), format::file_name(other.number));
                return Err(Damage::Mixed { segment, other }.into());
            }
            newest = header.or(newest);
            files.insert(number, (file, header));
        }
        let Some(newest) = newest else {
            let segment = numbers.last().map(|n| format::file_name(*n)).unwrap_or_default();
            return Err(Damage::Bytes { segment, offset: 0, what: "no segment header".to_owned() }.into());
        };
        Ok(Self { journal: newest.journal, files, scans: BTreeMap::new() })
    }

    /// What a segment holds, if it is there.
    pub(super) fn scan(&mut self, number: u64) -> Result<Option<&SegmentScan>, ScanError> {
        let Some((file, _)) = self.files.get(&number) else { return Ok(None) };
        match self.scans.entry(number) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(new) => Ok(Some(new.insert(scan::scan(file, number, self.journal)?))),
        }
    }

    fn recover<F: Folds + ?Sized>(&mut self, folds: &mut F) -> Result<Recovered, ScanError> {
        let start = self.start()?;
        // Every segment from the start on has been read; what those before it say about durability lies before it, too.
        let durable_to = self.scans.range(start..).map(|(_, s)| s.durable_to).max().unwrap_or_default();
        let run = contiguous(&self.scans, start);
        let Some((header, last)) = run.last().copied() else {
            return Err(lacks_header(start).into());
        };
        let end = header.position(last.end);
        if durable_to > end {
            return Err(cut_too_early(&self.scans, last, end).into());
        }
        let mut images = None;
        for (_, scan) in &run {
            if let Some((file, _)) = self.files.get(&scan.number) {
                fold_segment(file, scan, &mut images, folds)?;
            }
        }
        let images = images.ok_or_else(|| lacks_checkpoint(last))?;
        self.fit_together(&images, last)?;
        let segments = self.files.iter().filter_map(|(number, (_, header))| Some((*number, (*header)?)));
        Ok(Recovered { images, header: *header, end, durable_to, segments: segments.collect() })
    }

    /// What is held of links has no gaps, each link is of one task, and every batch lies in a part of a segment that is whole.
    fn fit_together(&self, images: &Images, last: &SegmentScan) -> Result<(), Damage> {
        let senseless =
            |number, offset, what| Damage::Senseless { segment: format::file_name(number), offset, what };
        images.check().map_err(|what| senseless(last.number, last.end, what))?;
        for at in images.locations().filter(|at| at.input().is_none()) {
            if self.scans.get(&at.segment).is_none_or(|scan| at.end() > scan.end) {
                let what = format!("it refers to {} bytes that are not there", at.span.bytes());
                return Err(senseless(at.segment, at.offset, what));
            }
        }
        Ok(())
    }

    /// The newest segment whose checkpoint is whole, and so is everything it needs.
    ///
    /// Such a checkpoint is a sum of commits whether or not it was durable; other segments before it need not be there.
    fn start(&mut self) -> Result<u64, ScanError> {
        let mut why: Option<Damage> = None;
        let mut is_sure = false;
        for number in self.files.keys().rev().copied().collect::<Vec<_>>() {
            let Some(scan) = self.scan(number)? else { continue };
            match &scan.checkpoint {
                None if is_sure => {}
                None if scan.header.is_none() => why = Some(lacks_header(number)),
                None => why = Some(lacks_checkpoint(scan)),
                Some(checkpoint) => {
                    let needs = checkpoint.needs.clone();
                    let Some(problem) = self.lacking(&needs)? else { return Ok(number) };
                    if !is_sure {
                        why = Some(problem);
                        is_sure = true;
                    }
                }
            }
        }
        Err(why.unwrap_or_else(|| lacks_header(0)).into())
    }

    /// The first segment of `needs` that is not there or not whole as far as it is needed.
    fn lacking(&mut self, needs: &[(u64, u64)]) -> Result<Option<Damage>, ScanError> {
        for (number, end) in needs {
            match self.scan(*number)? {
                None => return Ok(Some(Damage::Missing { segment: format::file_name(*number) })),
                Some(scan) if scan.end < *end => return Ok(Some(not_whole(scan))),
                Some(_) => {}
            }
        }
        Ok(None)
    }
}

type Whole<'s> = (&'s SegmentHeader, &'s SegmentScan);

/// The segments from `start` on that follow each other without a gap.
fn contiguous(scans: &BTreeMap<u64, SegmentScan>, start: u64) -> Vec<Whole<'_>> {
    let mut run: Vec<Whole<'_>> = Vec::new();
    for scan in scans.range(start..).map(|(_, scan)| scan) {
        let end = run.last().map(|(header, last)| header.position(last.end));
        match &scan.header {
            Some(header) if end.is_none_or(|end| end == header.base) => run.push((header, scan)),
            Some(_) | None => break,
        }
    }
    run
}

/// What is wrong where the whole records end before the last point that was durable.
fn cut_too_early(scans: &BTreeMap<u64, SegmentScan>, last: &SegmentScan, end: Position) -> Damage {
    let next = scans.range(last.number + 1..).next().map(|(_, scan)| scan);
    match next {
        // This segment is whole, as far as anybody knows.
        Some(next) if next.header.is_none() => lacks_header(next.number),
        Some(next) if next.number > last.number + 1 => {
            Damage::Missing { segment: format::file_name(last.number + 1) }
        }
        Some(next) if next.header.is_some_and(|h| h.base == end) => not_whole(next),
        Some(_) | None => not_whole(last),
    }
}

fn lacks_header(number: u64) -> Damage {
    Damage::Bytes { segment: format::file_name(number), offset: 0, what: "no segment header".to_owned() }
}

fn lacks_checkpoint(scan: &SegmentScan) -> Damage {
    let what = "no checkpoint".to_owned();
    Damage::Bytes { segment: format::file_name(scan.number), offset: scan.end, what }
}

fn not_whole(scan: &SegmentScan) -> Damage {
    let what = "not a whole record".to_owned();
    Damage::Bytes { segment: format::file_name(scan.number), offset: scan.end, what }
}

/// Adds what a segment says. In the first one, everything before the checkpoint is a part of it.
fn fold_segment<S: StorageFile, F: Folds + ?Sized>(
    file: &S,
    scan: &SegmentScan,
    images: &mut Option<Images>,
    folds: &mut F,
) -> Result<(), ScanError> {
    let Some(header) = &scan.header else { return Ok(()) };
    // One window for the checksums, which run ahead, and one for the heads.
    let (mut window, mut heads) = (ReadWindow::new(file)?, ReadWindow::new(file)?);
    let mut records = Records::new(header);
    let mut checkpoint = CheckpointParts::default();
    let mut of = Member(0);
    while let Some(record) = records.next(&mut window)? {
        if record.header.kind == RecordKind::Of {
            let (head, _): (OfHead, u64) = scan::head_of(&mut heads, scan.number, &record)?;
            of = Member(head.member);
        } else if let Some(images) = images {
            fold_record(&mut heads, scan.number, &record, (of, images), folds)?;
        } else {
            *images = checkpoint.take(&mut heads, scan.number, &record, of, folds)?;
        }
    }
    Ok(())
}

/// What of a checkpoint was read.
#[derive(Debug, Default)]
struct CheckpointParts {
    /// Of the task that comes next.
    states: Vec<RecordAt>,
    tasks: Vec<Image>,
}

impl CheckpointParts {
    /// Takes the next record; gives everything when it was the last of the checkpoint.
    fn take<S: StorageFile, F: Folds + ?Sized>(
        &mut self,
        heads: &mut ReadWindow<'_, S>,
        number: u64,
        record: &RecordAt,
        of: Member,
        folds: &mut F,
    ) -> Result<Option<Images>, ScanError> {
        match record.header.kind {
            RecordKind::State => self.states.push(*record),
            RecordKind::Part => self.restore(heads, number, record, of, folds)?,
            RecordKind::Checkpoint => {
                self.restore(heads, number, record, of, folds)?;
                return Ok(Some(Images::new(std::mem::take(&mut self.tasks))));
            }
            RecordKind::Life
            | RecordKind::Commit
            | RecordKind::Stage
            | RecordKind::Copied
            | RecordKind::Of
            | RecordKind::Note => {}
        }
        Ok(None)
    }

    fn restore<S: StorageFile, F: Folds + ?Sized>(
        &mut self,
        heads: &mut ReadWindow<'_, S>,
        number: u64,
        record: &RecordAt,
        of: Member,
        folds: &mut F,
    ) -> Result<(), ScanError> {
        if of.index() != self.tasks.len() {
            let what = format!("task {} where task {} was expected", of.0, self.tasks.len());
            return Err(senseless(number, record, what).into());
        }
        let (head, at): (CheckpointHead, u64) = scan::head_of(heads, number, record)?;
        let count = usize::try_from(head.states).unwrap_or(usize::MAX);
        let Some(from) = self.states.len().checked_sub(count) else {
            return Err(senseless(number, record, "its state is not there".to_owned()).into());
        };
        for state in self.states.drain(..).skip(from) {
            let chunk = heads.bytes(state.payload_offset(), state.header.len as usize)?;
            if let Some(fold) = folds.of(of) {
                fold.restore(chunk);
            }
        }
        let len = usize::try_from(record.end() - at).unwrap_or(usize::MAX);
        let bytes = heads.bytes(at, len)?;
        let image: Image = record::decode(bytes).map_err(|what| senseless(number, record, what))?;
        image.sense().map_err(|what| senseless(number, record, what))?;
        self.tasks.push(image);
        Ok(())
    }
}

fn fold_record<S: StorageFile, F: Folds + ?Sized>(
    heads: &mut ReadWindow<'_, S>,
    number: u64,
    record: &RecordAt,
    (of, images): (Member, &mut Images),
    folds: &mut F,
) -> Result<(), ScanError> {
    let no_task = || senseless(number, record, format!("there is no task {}", of.0));
    match record.header.kind {
        RecordKind::Life => {
            let (head, _): (LifeHead, u64) = scan::head_of(heads, number, record)?;
            images.begin_life(head.epoch);
        }
        RecordKind::Commit => {
            let (head, at): (CommitHead, u64) = scan::head_of(heads, number, record)?;
            let inline = at + head.position_bytes.unwrap_or(0);
            if head.inline_bytes().checked_add(inline).is_none_or(|end| end > record.end()) {
                let what = "its batches are longer than itself".to_owned();
                return Err(senseless(number, record, what).into());
            }
            let image = images.task(of).ok_or_else(no_task)?;
            let outputs =
                head.outputs.iter().map(|output| (output.link, output.first, output.body.records()));
            image.check(head.id, outputs).map_err(|what| senseless(number, record, what))?;
            if let (Some(len), Some(fold)) = (head.position_bytes, folds.of(of)) {
                fold.apply(heads.bytes(at, usize::try_from(len).unwrap_or(usize::MAX))?);
            }
            images.commit(of, &head, number, inline);
        }
        RecordKind::Copied => {
            let (head, offset): (CopiedHead, u64) = scan::head_of(heads, number, record)?;
            if let Some((link, first)) = head.output {
                let held = images.held_at(link, first).map(|held| held.at.span.records());
                if held.is_some_and(|records| records != head.span.records()) {
                    return Err(senseless(number, record, "a copy of another length".to_owned()).into());
                }
                images.moved(link, first, Location { segment: number, offset, span: head.span });
            }
        }
        RecordKind::Note => {
            let image = images.task_mut(of).ok_or_else(no_task)?;
            image.attempt = scan::head_of(heads, number, record)?.0;
        }
        RecordKind::Stage
        | RecordKind::State
        | RecordKind::Part
        | RecordKind::Checkpoint
        | RecordKind::Of => {}
    }
    Ok(())
}

fn senseless(number: u64, record: &RecordAt, what: String) -> Damage {
    Damage::Senseless { segment: format::file_name(number), offset: record.offset, what }
}
