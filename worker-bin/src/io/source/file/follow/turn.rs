//! What one log has to give now: read to the end that its file had when its turn came.

use super::super::decode::{FileReader, Unpacking};
use super::catalog::{Catalog, Next, unreadable};
use super::content::{Gathered, keep_last};
use super::known::{FileKey, LogId};
use crate::io::chunker::{Chunker, LeftOut, LongRecord, Piece, RecordTooLong, TornRecord};
use crate::io::framing::Framing;
use crate::io::source::long::letter;
use crate::io::source::{OnDamage, SourceError, SourceOptions};
use rustix::fs::SeekFrom;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use worker_core::event::DeadLetter;

const CHUNK_BYTES_MIN: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Turn {
    pub(super) id: LogId,
    pub(super) path: PathBuf,
    file: FileKey,
    input: Input,
    chunker: Chunker,
    /// What was given, in all turns.
    given: Gathered,
    /// Of it, what came before this turn.
    before: (u64, u64),
    /// The first record is a header.
    pub(super) header_due: bool,
    /// A last record without its end counts.
    closes: bool,
    /// Nothing comes behind what is there.
    is_last: bool,
    /// How many bytes the end has that is in no file, until they were given.
    invented: u64,
    /// So much of the last record was left where it is.
    left: u64,
    torn: Option<TornRecord>,
    was_torn: bool,
    framing: Framing,
    max_record: usize,
    on_damage: OnDamage,
}

#[derive(Debug)]
enum Input {
    Plain {
        file: Arc<File>,
        /// How far it was read, and how far it is.
        at: u64,
        until: u64,
        /// What came before `at`, which must still be there when it is read on.
        last: Vec<u8>,
    },
    Packed {
        reader: Box<FileReader>,
        ended: Option<Ended>,
    },
}

#[derive(Debug)]
enum Ended {
    Well,
    Damaged(SourceError),
}

/// What a turn gives next.
#[derive(Debug)]
pub(super) enum Given {
    /// With how many bytes of it are in no file.
    Piece(Piece, u64),
    Letter(DeadLetter),
    Nothing,
}

impl Turn {
    /// `None`: there is nothing to read any more.
    pub(super) fn begin(
        catalog: &mut Catalog,
        next: Next,
        options: &SourceOptions,
        chunk_bytes: usize,
    ) -> Result<Option<Self>, SourceError> {
        let Some(log) = catalog.logs.get(&next.id).filter(|log| !log.is_gone()) else { return Ok(None) };
        let (known, length, is_rotated) = (log.known.clone(), log.length, log.is_rotated());
        let path = known.path;
        let Some(file) = catalog.open(next.id, &path) else { return Ok(None) };
        let failed = |source| unreadable(&path, known.content.bytes, source);
        let until = file.metadata().map_err(failed)?.len();
        let (bytes, is_new) = (known.content.bytes, known.content.bytes == 0);
        let closes = (next.closes && until == length) || known.packed.is_some();
        let (given, input) = match &known.packed {
            Some(_) => {
                let again = file.try_clone().map_err(failed)?;
                let mut reader = FileReader::of(&path, again, Unpacking::of(options))?;
                let mut given = Gathered::default();
                reader.skip_to(bytes, |skipped| given.push(skipped))?;
                (given, Input::Packed { reader: Box::new(reader), ended: None })
            }
            None => {
                let mut given = match Gathered::of(&file, bytes) {
                    // It was cut since it was looked at.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    given => given.map_err(failed)?,
                };
                if given.content() != known.content {
                    return Ok(None);
                }
                if is_new && options.framing.terminator().is_some_and(|byte| byte != 0) {
                    given =
                        Gathered::of(&file, behind_nuls(&file, until).map_err(failed)?).map_err(failed)?;
                }
                let (at, last) = (given.bytes(), given.last().to_vec());
                (given, Input::Plain { file, at, until, last })
            }
        };
        let unread = usize::try_from(until.saturating_sub(bytes)).unwrap_or(chunk_bytes);
        let chunk_bytes = unread.clamp(CHUNK_BYTES_MIN, chunk_bytes.max(CHUNK_BYTES_MIN));
        Ok(Some(Self {
            id: next.id,
            file: known.file,
            before: (given.bytes(), known.records),
            header_due: is_new,
            input,
            chunker: Chunker::new(&options.framing, options.max_record, chunk_bytes)
                .passing_over_long(options.on_long.passes_over()),
            given,
            closes,
            is_last: known.packed.is_some() || is_rotated,
            invented: 0,
            left: 0,
            torn: None,
            was_torn: known.is_torn,
            framing: options.framing.clone(),
            max_record: options.max_record,
            on_damage: options.on_damage,
            path,
        }))
    }

    pub(super) fn next(&mut self) -> Result<Given, SourceError> {
        loop {
            if let Some(piece) = self.chunker.next_piece().map_err(|e| self.too_long(e))? {
                return Ok(self.piece(piece));
            }
            if self.read()? {
                continue;
            }
            if self.is_damaged() {
                return self.break_off();
            }
            if self.closes {
                self.end_record()?;
            }
            let rest = self.chunker.flush_piece().map_err(|e| self.too_long(e))?;
            return match (rest, self.torn.take()) {
                (Some(piece), torn) => {
                    self.torn = torn;
                    Ok(self.piece(piece))
                }
                (None, Some(torn)) => self.leave_out(torn),
                (None, None) => Ok(Given::Nothing),
            };
        }
    }

    fn piece(&mut self, piece: Piece) -> Given {
        let invented = if self.chunker.is_empty() { std::mem::take(&mut self.invented) } else { 0 };
        Given::Piece(piece, invented)
    }

    /// What is there of the last record is all of it; it stays where it is if that is none and there may come more.
    fn end_record(&mut self) -> Result<(), SourceError> {
        let ended = self.chunker.end_record().map_err(|e| self.too_long(e))?;
        self.invented += ended.invented;
        match ended.left_out {
            None => {}
            Some(LeftOut::Blanks(bytes)) => (self.left, self.invented) = (bytes, 0),
            Some(LeftOut::Torn(torn)) => {
                (self.left, self.invented) = (torn.bytes.len() as u64, 0);
                self.torn = Some(torn).filter(|_| self.is_last);
            }
        }
        Ok(())
    }

    /// The log ends within a record.
    fn leave_out(&mut self, torn: TornRecord) -> Result<Given, SourceError> {
        let (record, offset) = self.place(torn.record, torn.offset);
        let (torn, bytes) = SourceError::torn(self.name(), TornRecord { record, offset, ..torn });
        match self.on_damage {
            OnDamage::Halt => Err(torn),
            OnDamage::Skip => {
                self.given.push(&bytes);
                self.left = 0;
                Ok(self.tell(&bytes, torn.passed_over()))
            }
        }
    }

    fn tell(&self, bytes: &[u8], reason: String) -> Given {
        tracing::warn!("{reason}");
        Given::Letter(letter(bytes, reason, &self.framing))
    }

    /// Reads on; `false` at the end.
    fn read(&mut self) -> Result<bool, SourceError> {
        let space = self.chunker.space();
        match &mut self.input {
            Input::Packed { ended: Some(_), .. } => Ok(false),
            Input::Packed { reader, ended } => {
                *ended = match reader.read_into(space) {
                    Ok(0) => Some(Ended::Well),
                    Ok(_) => None,
                    Err(damage @ SourceError::Corrupt { .. }) => Some(Ended::Damaged(damage)),
                    Err(error) => return Err(error),
                };
                Ok(ended.is_none())
            }
            Input::Plain { file, at, until, last } => {
                let room = (space.capacity() - space.len()) as u64;
                let wanted = usize::try_from(room.min(until.saturating_sub(*at))).unwrap_or(0);
                let mut bytes = vec![0; last.len() + wanted];
                let from = *at - last.len() as u64;
                let count = rustix::io::retry_on_intr(|| rustix::io::pread(&*file, &mut bytes[..], from));
                let count = count.map_err(|source| unreadable(&self.path, *at, source.into()))?;
                // It was cut, and may have grown again: the next look finds out.
                let Some(mut new) = bytes[..count].strip_prefix(&last[..]).filter(|new| !new.is_empty())
                else {
                    *until = *at;
                    return Ok(false);
                };
                *at += new.len() as u64;
                keep_last(last, new);
                if std::mem::take(&mut self.was_torn) && new.first().copied() == self.framing.terminator() {
                    self.given.push(&new[..1]);
                    self.before.0 += 1;
                    new = &new[1..];
                }
                space.extend_from_slice(new);
                Ok(true)
            }
        }
    }

    fn is_damaged(&self) -> bool {
        matches!(&self.input, Input::Packed { ended: Some(Ended::Damaged(_)), .. })
    }

    /// What comes before the damage; then the damage.
    fn break_off(&mut self) -> Result<Given, SourceError> {
        if let Some(piece) = self.chunker.flush_piece().map_err(|e| self.too_long(e))? {
            return Ok(self.piece(piece));
        }
        let Input::Packed { ended, .. } = &mut self.input else { return Ok(Given::Nothing) };
        match ended.replace(Ended::Well) {
            Some(Ended::Damaged(damage)) if self.on_damage == OnDamage::Skip => {
                let partial = self.chunker.take_partial();
                Ok(self.tell(&partial, damage.passed_over()))
            }
            Some(Ended::Damaged(damage)) => Err(damage),
            Some(Ended::Well) | None => Ok(Given::Nothing),
        }
    }

    /// These were given, of which so many bytes are in no file.
    pub(super) fn gave(&mut self, batch: &worker_proto::Batch, invented: u64, catalog: &mut Catalog) {
        let bytes: Vec<u8> = (0..batch.len()).flat_map(|index| batch.record(index)).copied().collect();
        // What has no end is the last of them.
        let real = bytes.len() - usize::try_from(invented).unwrap_or(0).min(bytes.len());
        let is_torn = real < bytes.len() && matches!(self.input, Input::Plain { .. });
        self.given.push(&bytes[..real]);
        self.note(catalog, is_torn);
    }

    /// A long one was passed over.
    pub(super) fn passed_over(
        &mut self,
        long: &LongRecord,
        invented: u64,
        catalog: &mut Catalog,
    ) -> Result<(), SourceError> {
        let bytes = self.given.bytes() + long.bytes - invented.min(long.bytes);
        match &self.input {
            Input::Plain { file, .. } => {
                let given = Gathered::of(file, bytes);
                self.given = given.map_err(|source| unreadable(&self.path, bytes, source))?;
            }
            // It is not at hand any more; nobody looks for copies of what was packed.
            Input::Packed { .. } => {
                self.given.push(&long.head);
                self.given.push(&long.rest);
                let left = bytes.saturating_sub(self.given.bytes());
                self.given.pass_over(left);
            }
        }
        let is_torn = invented > 0 && matches!(self.input, Input::Plain { .. });
        self.note(catalog, is_torn);
        Ok(())
    }

    /// What was left out was told of.
    pub(super) fn told(&self, catalog: &mut Catalog) {
        self.note(catalog, false);
    }

    fn note(&self, catalog: &mut Catalog, is_torn: bool) {
        let records = self.before.1 + self.chunker.records();
        catalog.given(self.id, self.given.content(), records, is_torn);
    }

    /// It is over.
    pub(super) fn end(mut self, catalog: &mut Catalog) {
        let is_same = catalog.logs.get(&self.id).is_some_and(|log| log.known.file == self.file);
        match &self.input {
            Input::Packed { ended, .. } if is_same && ended.is_some() => catalog.is_done(self.id),
            Input::Plain { .. } if is_same => {
                let partial = self.chunker.discard_partial() as u64;
                catalog.has_partial(self.id, partial + self.left);
            }
            Input::Packed { .. } | Input::Plain { .. } => {}
        }
        catalog.was_read(self.id);
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Where in the log a record is.
    pub(super) fn place(&self, record: u64, offset: u64) -> (u64, u64) {
        (record + self.before.1, offset + self.before.0)
    }

    pub(super) fn too_long(&self, stream: RecordTooLong) -> SourceError {
        let (record, offset) = self.place(stream.record, stream.offset);
        SourceError::TooLong {
            name: self.name(),
            source: RecordTooLong { record, offset, limit: self.max_record },
        }
    }
}

/// Where the NULs end that a file begins with: a writer that goes on where it was, in a file that was cut meanwhile, leaves them.
fn behind_nuls(file: &File, until: u64) -> io::Result<u64> {
    let mut at = rustix::fs::seek(file, SeekFrom::Data(0)).unwrap_or(0).min(until);
    let mut bytes = [0; 64 * 1024];
    while at < until {
        let count = file.read_at(&mut bytes, at)?;
        match bytes[..count].iter().position(|byte| *byte != 0) {
            Some(first) => return Ok(at + first as u64),
            None if count == 0 => break,
            None => at += count as u64,
        }
    }
    Ok(at.min(until))
}

/// Where the last whole record of a file of `length` bytes ends. What is found out from its end is found out from there.
pub(super) fn last_end(file: &File, length: u64, options: &SourceOptions) -> io::Result<u64> {
    match (&options.framing, options.framing.terminator()) {
        (Framing::Lines | Framing::Nul | Framing::Start(_), Some(terminator)) => {
            last_terminator(file, length, terminator, options.max_record)
        }
        (Framing::Length(bytes), _) => Ok(length - length % u64::from(*bytes).max(1)),
        (
            Framing::Lines
            | Framing::Nul
            | Framing::Start(_)
            | Framing::Csv
            | Framing::End(_)
            | Framing::Count(_)
            | Framing::Prefix(_)
            | Framing::Json,
            _,
        ) => whole_records(file, length, options),
    }
}

/// The end of the file, if its last record is longer than `max_record`.
fn last_terminator(file: &File, length: u64, terminator: u8, max_record: usize) -> io::Result<u64> {
    let mut bytes = [0; 64 * 1024];
    let (mut end, least) = (length, length.saturating_sub(max_record as u64 + 1));
    while end > least {
        let start = end.saturating_sub(bytes.len() as u64).max(least);
        let piece = &mut bytes[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(piece, start)?;
        if let Some(last) = memchr::memrchr(terminator, piece) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(if least == 0 { 0 } else { length })
}

/// By reading all of them.
fn whole_records(file: &File, length: u64, options: &SourceOptions) -> io::Result<u64> {
    let mut chunker = Chunker::new(&options.framing, options.max_record, 256 * 1024).passing_over_long(true);
    let mut at = 0;
    while at < length {
        let space = chunker.space();
        let room = (space.capacity() - space.len()) as u64;
        let mut bytes = vec![0; usize::try_from(room.min(length - at)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, at)?;
        space.extend_from_slice(&bytes);
        at += bytes.len() as u64;
        // None is too long that is passed over.
        while let Ok(Some(_)) = chunker.next_piece() {}
    }
    while let Ok(Some(_)) = chunker.flush_piece() {}
    let partial = chunker.discard_partial() as u64;
    Ok(length - partial)
}
