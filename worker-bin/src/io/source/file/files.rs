//! Records of files, one file after the other.

use super::decode::{Begun, FileReader, Unpacking};
use super::pipe;
use super::position::{FilesPosition, Position, Track};
use super::{SourceFiles, expand};
use crate::io::chunker::{Chunker, LongRecord, Piece, RecordTooLong};
use crate::io::layout::LayoutError;
use crate::io::source::header::HeaderFilter;
use crate::io::source::long::letter;
use crate::io::source::stream::{Extent, StreamSource};
use crate::io::source::unpack::{UTF8_MARK, Utf8Mark};
use crate::io::source::{
    Counter, OnDamage, OnLong, Progress, SlowStart, SourceError, SourceOptions, SourceReader, Stop,
};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use worker_core::event::DeadLetter;
use worker_proto::Batch;

/// Reads files one after the other, unpacked where their first bytes say that they are packed.
///
/// Records never join across files: a last record without terminator is given one.
///
/// Where a later life is to go on, it is opened with [`FileSource::fixed`] the first time and with [`FileSource::resume`]
/// from then on; only then it has [positions](SourceReader::position).
#[derive(Debug)]
pub struct FileSource {
    files: Vec<PathBuf>,
    /// How many of them were opened.
    opened: usize,
    /// The file being read; between files none.
    reader: Option<FileReader>,
    chunker: Chunker,
    size: SlowStart,
    counter: Counter,
    header: HeaderFilter,
    /// The next batch begins with the header of the file opened last.
    header_due: bool,
    /// Nothing was read of the file opened last.
    at_first_bytes: bool,
    mark: Utf8Mark,
    track: Track,
    fixed: Option<SourceFiles>,
    /// To be left out of the file that is opened next.
    skip_bytes: u64,
    warning: Option<String>,
    long: Long,
    on_damage: OnDamage,
    unpacking: Unpacking,
    /// Why the file being read cannot be unpacked to its end.
    damage: Option<SourceError>,
    /// Tells of the file that ended last, and is given behind its records.
    behind: Option<DeadLetter>,
    letters: Vec<DeadLetter>,
    /// Bytes of the files closed.
    closed_bytes: u64,
    /// What each of them was when the run began, where it is a regular file.
    begun: Vec<Option<Begun>>,
    total_bytes: Option<u64>,
    /// Ends the reading of a named pipe, and the wait for its writer.
    stop: Option<Stop>,
    /// The named pipe whose turn it is.
    pipe: Option<StreamSource>,
    options: SourceOptions,
}

/// What is done about long records, and what is long.
#[derive(Clone, Copy, Debug)]
struct Long {
    then: OnLong,
    terminator: u8,
    max_record: usize,
}

impl FileSource {
    /// The files that `patterns`, relative to `base`, name; see [`expand`]. Nothing is read yet.
    ///
    /// # Errors
    /// As [`expand`].
    pub fn open<P: AsRef<Path>>(
        base: &Path,
        patterns: &[P],
        options: &SourceOptions,
    ) -> Result<Self, SourceError> {
        Ok(Self::of(expand(base, patterns)?, options))
    }

    /// These files in this order.
    #[must_use]
    pub fn of(files: Vec<PathBuf>, options: &SourceOptions) -> Self {
        let size = SlowStart::new();
        let begun: Vec<_> = files.iter().map(|path| Begun::of(path)).collect();
        Self {
            total_bytes: begun.iter().map(|begun| begun.map(|begun| begun.length)).sum(),
            begun,
            files,
            opened: 0,
            reader: None,
            chunker: Chunker::new(options.terminator, options.max_record, size.bytes())
                .passing_over_long(options.on_long.passes_over()),
            size,
            counter: Counter::new(options.limit),
            header: HeaderFilter::new(options.header),
            header_due: false,
            at_first_bytes: false,
            mark: Utf8Mark::default(),
            track: Track::new(Position::default()),
            fixed: None,
            skip_bytes: 0,
            warning: None,
            long: Long {
                then: options.on_long,
                terminator: options.terminator,
                max_record: options.max_record,
            },
            on_damage: options.on_damage,
            unpacking: Unpacking::of(options),
            damage: None,
            behind: None,
            letters: Vec::new(),
            closed_bytes: 0,
            stop: None,
            pipe: None,
            options: options.clone(),
        }
    }

    /// The same; where one of the files is a named pipe, it is read as one, and `stop` ends that, and with it the input.
    #[must_use]
    pub fn stopped_by(self, stop: Stop) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// The files of the first start, from their beginning.
    #[must_use]
    pub fn fixed(files: SourceFiles, options: &SourceOptions) -> Self {
        let mut source = Self::of(files.paths().map(Path::to_owned).collect(), options);
        source.total_bytes = Some(files.bytes_before(files.files().len()));
        source.header = HeaderFilter::with(options.header, files.kept_header());
        source.fixed = Some(files);
        source
    }

    /// The files of the first start, from `position` on. Those behind the position need not exist any more.
    ///
    /// # Errors
    /// [`SourceError::Position`] if the position is not of these files, and [`SourceError::Gone`], [`SourceError::Replaced`],
    /// [`SourceError::Shorter`] or [`SourceError::Open`] for a file that is still needed.
    pub fn resume(files: SourceFiles, position: &[u8], options: &SourceOptions) -> Result<Self, SourceError> {
        let unusable = |source| SourceError::Position { name: "the list of files".to_owned(), source };
        let FilesPosition { list, next, records } = FilesPosition::decode(position).map_err(unusable)?;
        if list != files.hash() || next.file > files.files().len() {
            return Err(unusable(LayoutError::Contradiction));
        }
        let warning = files.check_from(next.file)?;
        let mut source = Self::fixed(files, options);
        source.closed_bytes = source.fixed.as_ref().map_or(0, |files| files.bytes_before(next.file));
        source.opened = next.file;
        source.skip_bytes = next.within.bytes;
        source.track = Track::new(next);
        source.counter.given = records;
        source.warning = warning;
        Ok(source)
    }

    /// The next records as they are in the files, headers included. Where headers are taken off they are of one file only.
    fn gather(&mut self) -> Result<Option<Piece>, SourceError> {
        loop {
            if self.behind.is_some() {
                // With its last records, as what comes behind them is another file.
                let rest = self.flush()?;
                self.letters.extend(self.behind.take_if(|_| self.chunker.is_empty()));
                return Ok(Some(rest.unwrap_or(Piece::Records(Batch::empty()))));
            }
            if let Some(piece) = self.chunker.next_piece().map_err(|e| self.too_long(e))? {
                return Ok(Some(piece));
            }
            if let Some(pipe) = &mut self.pipe {
                match pipe.next_chunk()? {
                    Some(batch) => {
                        self.letters.append(&mut pipe.take_letters());
                        return Ok(Some(Piece::Records(batch)));
                    }
                    None => self.end_file()?,
                }
                continue;
            }
            if self.damage.is_some() {
                match self.break_off()? {
                    Some(piece) => return Ok(Some(piece)),
                    // What it told of comes before anything else.
                    None => continue,
                }
            }
            match &mut self.reader {
                Some(reader) => {
                    let space = self.chunker.space();
                    let before = space.len();
                    let read = match reader.read_into(space) {
                        Err(damage @ SourceError::Corrupt { .. }) => {
                            self.damage = Some(damage);
                            continue;
                        }
                        read => read?,
                    };
                    if std::mem::take(&mut self.at_first_bytes)
                        && self.unpacking != Unpacking::Off
                        && space[before..].starts_with(UTF8_MARK)
                    {
                        self.mark.warn(&self.files[self.opened - 1].display().to_string());
                    }
                    if read == 0 || reader.is_at_end() {
                        // How many records the file has is known only behind a long one.
                        let has_long = self.chunker.holds_long();
                        if has_long
                            && let Some(piece) = self.chunker.next_piece().map_err(|e| self.too_long(e))?
                        {
                            return Ok(Some(piece));
                        }
                        self.end_file()?;
                    }
                }
                None if !self.header.keeps() && !self.chunker.is_empty() => return self.flush(),
                None if self.opened == self.files.len() => return self.flush(),
                // What stands before a pipe does not wait for its writer.
                None if !self.chunker.is_empty() && pipe::is_at(&self.files[self.opened]) => {
                    return self.flush();
                }
                None => self.open_next()?,
            }
        }
    }

    fn open_next(&mut self) -> Result<(), SourceError> {
        let index = self.opened;
        self.opened += 1;
        let skip_bytes = std::mem::take(&mut self.skip_bytes);
        // A header is the first record of its file, so it is behind wherever a later life goes on within one.
        self.header_due = !self.header.keeps() && skip_bytes == 0;
        if self.fixed.as_ref().is_some_and(|files| files.files()[index].length == 0) {
            return self.end_file();
        }
        self.at_first_bytes = skip_bytes == 0;
        match self.stop.as_ref().filter(|_| self.begun[index].is_none() && pipe::is_at(&self.files[index])) {
            None => self.reader = Some(self.reader_of(index, skip_bytes)?),
            Some(stop) => {
                let path = &self.files[index];
                let opened = pipe::open(path, stop);
                match opened.map_err(|source| SourceError::Open { path: path.clone(), source })? {
                    Some(file) => self.pipe = Some(pipe::read(path, file, &self.options, stop)),
                    None => self.opened = self.files.len(),
                }
            }
        }
        Ok(())
    }

    fn reader_of(&self, index: usize, skip_bytes: u64) -> Result<FileReader, SourceError> {
        let mut reader = match self.fixed.as_ref().map(|files| &files.files()[index]) {
            None => FileReader::open(&self.files[index], self.begun[index], self.unpacking)?,
            Some(file) => FileReader::open_fixed(file, self.unpacking)?,
        };
        if skip_bytes > 0 {
            reader.skip(skip_bytes)?;
        }
        Ok(reader)
    }

    /// Ends the damaged file with its last whole record; or the reading, once all that it had is given.
    fn break_off(&mut self) -> Result<Option<Piece>, SourceError> {
        if self.chunker.holds_long()
            && let Some(piece) = self.chunker.next_piece().map_err(|e| self.too_long(e))?
        {
            return Ok(Some(piece));
        }
        if self.on_damage == OnDamage::Halt
            && let Some(piece) = self.flush()?
        {
            return Ok(Some(piece));
        }
        match self.damage.take() {
            Some(damage) if self.on_damage == OnDamage::Skip => {
                let partial = self.chunker.take_partial();
                let reason = damage.passed_over();
                tracing::warn!("{reason}");
                self.behind = Some(letter(partial, reason, self.long.terminator));
                self.end_file().map(|()| None)
            }
            Some(damage) => Err(damage),
            None => Ok(None),
        }
    }

    fn end_file(&mut self) -> Result<(), SourceError> {
        if let Some((bytes, reason)) = self.reader.as_mut().and_then(FileReader::take_remark) {
            tracing::warn!("{reason}");
            self.behind = Some(letter(bytes, reason, self.long.terminator));
        }
        self.close_file();
        self.chunker.end_record().map_err(|e| self.too_long(e))?;
        let stream = Extent { bytes: self.chunker.bytes(), records: self.chunker.records() };
        self.track.begin(self.opened, stream);
        Ok(())
    }

    fn close_file(&mut self) {
        self.closed_bytes += self.reader.take().map_or(0, |reader| reader.done_bytes());
        if let Some(pipe) = self.pipe.take() {
            self.closed_bytes += pipe.progress().done_bytes;
            if pipe.was_stopped() {
                self.opened = self.files.len();
            }
        }
    }

    fn flush(&mut self) -> Result<Option<Piece>, SourceError> {
        self.chunker.flush_piece().map_err(|e| self.too_long(e))
    }

    /// What goes on of a record that is too long; what does not is a letter.
    fn pass_over(&mut self, long: LongRecord) -> Result<Batch, SourceError> {
        let at = Extent { bytes: long.offset, records: long.record };
        if std::mem::take(&mut self.header_due) {
            let stream =
                RecordTooLong { limit: self.long.max_record, record: long.record, offset: long.offset };
            return Err(self.too_long(stream));
        }
        // Where chunks span files, more of them may be open by now.
        let next = self.track.next();
        let within = self.track.within(next.file, at);
        let name = self.files[next.file.min(self.files.len() - 1)].display().to_string();
        self.track.give(Extent { bytes: long.bytes, records: 1 });
        let Long { then, terminator, max_record } = self.long;
        let shortened = then.treat(long, (&name, within.records, within.bytes), (terminator, max_record));
        self.letters.push(shortened.letter);
        Ok(self.counter.admit(shortened.batch))
    }

    fn too_long(&self, stream: RecordTooLong) -> SourceError {
        let at = Extent { bytes: stream.offset, records: stream.record };
        let within = self.track.within(self.opened.saturating_sub(1), at);
        let source = RecordTooLong { record: within.records, offset: within.bytes, ..stream };
        SourceError::TooLong { name: self.name(), source }
    }

    /// The file opened last.
    fn name(&self) -> String {
        self.files[self.opened.saturating_sub(1)].display().to_string()
    }
}

impl SourceReader for FileSource {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        while !self.counter.is_full() {
            let all = match self.gather()? {
                // Only letters.
                Some(Piece::Records(all)) if all.is_empty() => return Ok(Some(all)),
                Some(Piece::Records(all)) => all,
                Some(Piece::Long(long)) => return self.pass_over(long).map(Some),
                None => return Ok(None),
            };
            let mut batch = all.clone();
            if std::mem::take(&mut self.header_due) {
                let name = self.name();
                batch = self.header.take(&batch, &name)?;
            }
            let admitted = self.counter.admit(batch.clone());
            if self.pipe.is_some() {
                return Ok(Some(admitted));
            }
            self.track.give(extent(&all) - (extent(&batch) - extent(&admitted)));
            if !admitted.is_empty() || !self.letters.is_empty() {
                self.chunker.set_chunk_bytes(self.size.grow());
                return Ok(Some(admitted));
            }
        }
        self.close_file();
        Ok(None)
    }

    fn progress(&self) -> Progress {
        let of_pipe = self.pipe.as_ref().map_or(0, |pipe| pipe.progress().done_bytes);
        let of_file = self.reader.as_ref().map_or(0, FileReader::done_bytes);
        let done_bytes = self.closed_bytes + of_file + of_pipe;
        // A file may have grown since.
        let total_bytes = self.total_bytes.map(|total| total.max(done_bytes));
        Progress { done_bytes, total_bytes, records: self.counter.given }
    }

    fn take_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }

    fn header(&self) -> Option<Bytes> {
        self.header.kept()
    }

    fn position(&self) -> Option<Bytes> {
        let list = self.fixed.as_ref()?.hash();
        Some(FilesPosition { list, next: self.track.next(), records: self.counter.given }.encode())
    }

    fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Of files that have changed since the first start.
    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

fn extent(batch: &Batch) -> Extent {
    Extent { bytes: batch.bytes() as u64, records: batch.len() as u64 }
}

/// The first record of a file, unpacked, with its terminator; `None` if the file is empty, or damaged before it and that is skipped.
///
/// # Errors
/// As [`SourceReader::next_chunk`].
pub fn first_record(path: &Path, options: &SourceOptions) -> Result<Option<Bytes>, SourceError> {
    first_of(FileReader::open(path, None, Unpacking::of(options))?, path, options)
}

/// The first record of the file `path`, just opened.
pub(super) fn first_of(
    mut reader: FileReader,
    path: &Path,
    options: &SourceOptions,
) -> Result<Option<Bytes>, SourceError> {
    let &SourceOptions { terminator, max_record, on_damage, .. } = options;
    // Only the first record counts here, not those behind it.
    let mut chunker = Chunker::new(terminator, max_record, 0).passing_over_long(true);
    let too_long = |source| SourceError::TooLong { name: path.display().to_string(), source };
    loop {
        let ended = match reader.read_into(chunker.space()) {
            Err(SourceError::Corrupt { .. }) if on_damage == OnDamage::Skip => return Ok(None),
            read => read? == 0,
        };
        if ended {
            chunker.end_record().map_err(too_long)?;
        }
        match chunker.flush_piece().map_err(too_long)? {
            Some(Piece::Records(batch)) => return Ok(Some(Bytes::copy_from_slice(batch.record(0)))),
            Some(Piece::Long(LongRecord { record, offset, .. })) => {
                return Err(too_long(RecordTooLong { limit: max_record, record, offset }));
            }
            None if ended => return Ok(None),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
