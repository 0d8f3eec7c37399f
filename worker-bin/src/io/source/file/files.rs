//! Records of files, one file after the other.

mod open;

use super::SourceFiles;
use super::decode::{FileReader, Unpacking};
use super::listing::{Listing, Next};
use super::paths::Listed;
use super::pipe;
use super::position::{FilesPosition, Track};
use super::referred::ReferredFiles;
use crate::io::chunker::{Chunker, LeftOut, LongRecord, Piece, RecordTooLong, TornRecord};
use crate::io::source::header::HeaderFilter;
use crate::io::source::long::letter;
use crate::io::source::stream::{Extent, StreamSource};
use crate::io::source::unpack::{UTF8_MARK, Utf8Mark};
use crate::io::source::{
    Counter, OnDamage, Progress, SlowStart, SourceError, SourceOptions, SourceReader, Stop, Total, Written,
};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use worker_core::event::DeadLetter;
use worker_journal::InputFiles;
use worker_proto::Batch;

/// Reads files one after the other, unpacked where their first bytes say that they are packed.
///
/// Records never join across files: a last record without terminator is given one.
///
/// Where a later life is to go on, it is opened with [`FileSource::fixed`] the first time and with [`FileSource::resume`]
/// from then on; only then it has [positions](SourceReader::position).
#[derive(Debug)]
pub struct FileSource {
    /// Those that are known …
    files: Vec<Listed>,
    /// … and the others, while they are looked for.
    listing: Option<Listing>,
    /// Files of the run itself, none of which is read.
    written: Arc<Written>,
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
    /// Somebody may refer to where records lie in these.
    is_referred: bool,
    /// Which of those are packed, or not known to be on stable storage: nobody refers to them.
    copied: BTreeSet<usize>,
    /// Where the chunk given last lies, if it lies there as it is.
    origin: Option<(u32, u64)>,
    /// To be left out of the file that is opened next.
    skip_bytes: u64,
    warning: Option<String>,
    unpacking: Unpacking,
    /// Why there is no next file, until all before it was given.
    failure: Option<SourceError>,
    /// Why the file being read cannot be unpacked to its end.
    damage: Option<SourceError>,
    /// Tells of the file that ended last, and is given behind its records.
    behind: Vec<DeadLetter>,
    letters: Vec<DeadLetter>,
    /// Bytes of the files closed.
    closed_bytes: u64,
    /// The end of its last record, where that was too long and had none.
    lacking: u64,
    total: Total,
    /// Ends the wait for the next file, the wait for the writer of a named pipe, and the reading of it.
    stop: Option<Stop>,
    /// The named pipe whose turn it is.
    pipe: Option<StreamSource>,
    options: SourceOptions,
}

impl FileSource {
    /// The next records as they are in the files, headers included. Where headers are taken off they are of one file only.
    fn gather(&mut self) -> Result<Option<Piece>, SourceError> {
        loop {
            if !self.behind.is_empty() {
                // With its last records, as what comes behind them is another file.
                let rest = self.flush()?;
                if self.chunker.is_empty() {
                    self.letters.append(&mut self.behind);
                }
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
                        self.mark.warn(&self.files[self.opened - 1].path.display().to_string());
                    }
                    if read == 0 || reader.is_at_end() {
                        self.chunker.complete();
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
                None => match self.begin_next() {
                    Ok(true) => {}
                    Ok(false) => return self.flush(),
                    Err(error) if self.chunker.is_empty() => return Err(error),
                    Err(error) => {
                        self.failure = Some(error);
                        return self.flush();
                    }
                },
            }
        }
    }

    /// Opens the next file; `false` at the end, and where what stands before it is not to wait for it.
    fn begin_next(&mut self) -> Result<bool, SourceError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let gives = !self.chunker.is_empty();
        match self.next_file()? {
            None => Ok(false),
            // It waits for its writer.
            Some(next) if gives && next.is_pipe() => Ok(false),
            Some(_) => self.open_next().map(|()| true),
        }
    }

    /// The file to be opened next; `None` at the end, or while it is not known and there is something to give before it.
    fn next_file(&mut self) -> Result<Option<&Listed>, SourceError> {
        if let (true, Some(listing)) = (self.opened == self.files.len(), &self.listing) {
            match listing.next(self.chunker.is_empty(), self.stop.as_ref())? {
                Next::File(file) => {
                    if let Some((path, sink)) = self.is_written(&file) {
                        return Err(SourceError::Written { path, sink });
                    }
                    self.files.push(file);
                }
                Next::Later => {}
                Next::End => self.listing = None,
            }
        }
        Ok(self.files.get(self.opened))
    }

    fn is_written(&self, file: &Listed) -> Option<(PathBuf, String)> {
        let sink = self.written.get(&file.id?)?;
        Some((file.path.clone(), sink.clone()))
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
        match self.stop.as_ref().filter(|_| self.files[index].is_pipe()) {
            None => {
                let reader = self.reader_of(index, skip_bytes)?;
                // Only where something may refer to it a file is worth a sync.
                if self.may_be_referred() && !reader.lies_durably() {
                    self.copied.insert(index);
                }
                self.reader = Some(reader);
            }
            Some(stop) => {
                let path = &self.files[index].path;
                let opened = pipe::open(path, stop);
                match opened.map_err(|source| SourceError::Open { path: path.clone(), source })? {
                    Some(file) => self.pipe = Some(pipe::read(path, file, &self.options, stop)),
                    None => (self.opened, self.listing) = (self.files.len(), None),
                }
            }
        }
        Ok(())
    }

    fn reader_of(&self, index: usize, skip_bytes: u64) -> Result<FileReader, SourceError> {
        let mut reader = match self.fixed.as_ref().map(|files| &files.files()[index]) {
            None => FileReader::open(&self.files[index].path, self.files[index].begun, self.unpacking)?,
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
        if self.options.on_damage == OnDamage::Halt
            && let Some(piece) = self.flush()?
        {
            return Ok(Some(piece));
        }
        match self.damage.take() {
            Some(damage) if self.options.on_damage == OnDamage::Skip => {
                let partial = self.chunker.take_partial();
                let reason = damage.passed_over();
                self.tell_behind(&partial, reason);
                self.end_file().map(|()| None)
            }
            Some(damage) => Err(damage),
            None => Ok(None),
        }
    }

    fn end_file(&mut self) -> Result<(), SourceError> {
        if let Some((bytes, reason)) = self.reader.as_mut().and_then(FileReader::take_remark) {
            self.tell_behind(&bytes, reason);
        }
        self.close_file();
        let ended = self.chunker.end_record().map_err(|e| self.too_long(e))?;
        if let Some(LeftOut::Torn(torn)) = ended.left_out {
            let at = Extent { bytes: torn.offset, records: torn.record };
            let within = self.track.within(self.opened - 1, at);
            let torn = TornRecord { record: within.records, offset: within.bytes, ..torn };
            let (torn, bytes) = SourceError::torn(self.name(), torn);
            match self.options.on_damage {
                OnDamage::Skip => self.tell_behind(&bytes, torn.passed_over()),
                OnDamage::Halt => {
                    // A later life begins with it, so the next file has not begun.
                    self.failure = Some(torn);
                    return Ok(());
                }
            }
        }
        self.track.give(Extent { bytes: std::mem::take(&mut self.lacking), records: 0 });
        let stream = Extent { bytes: self.chunker.bytes(), records: self.chunker.records() };
        self.track.begin(self.opened, stream);
        Ok(())
    }

    /// Tells of something when the records before it were given.
    fn tell_behind(&mut self, bytes: &[u8], reason: String) {
        tracing::warn!("{reason}");
        self.behind.push(letter(bytes, reason, &self.options.framing));
    }

    fn close_file(&mut self) {
        self.closed_bytes += self.reader.take().map_or(0, |reader| reader.done_bytes());
        if let Some(pipe) = self.pipe.take() {
            self.closed_bytes += pipe.progress().done_bytes;
            if pipe.was_stopped() {
                (self.opened, self.listing) = (self.files.len(), None);
            }
        }
    }

    fn flush(&mut self) -> Result<Option<Piece>, SourceError> {
        self.chunker.flush_piece().map_err(|e| self.too_long(e))
    }

    fn may_be_referred(&self) -> bool {
        self.is_referred && self.fixed.is_some() && self.options.framing.is_of_one_line()
    }

    /// Where the records that are given next lie, if that is all in one file, each ended by its own byte.
    fn origin_of(&self, all: &Batch) -> Option<(u32, u64)> {
        let (at, files) = (self.track.next(), self.fixed.as_ref()?.files());
        let ends_within = at.within.bytes + all.bytes() as u64 <= files.get(at.file)?.length;
        let lies = ends_within && self.may_be_referred() && !self.copied.contains(&at.file);
        Some((u32::try_from(at.file).ok()?, at.within.bytes)).filter(|_| lies)
    }

    /// What goes on of a record that is too long; what does not is a letter.
    fn pass_over(&mut self, long: LongRecord) -> Result<Batch, SourceError> {
        let at = Extent { bytes: long.offset, records: long.record };
        if std::mem::take(&mut self.header_due) {
            let limit = self.options.max_record;
            let stream = RecordTooLong { limit, record: long.record, offset: long.offset };
            return Err(self.too_long(stream));
        }
        // Where chunks span files, more of them may be open by now.
        let next = self.track.next();
        let within = self.track.within(next.file, at);
        let name = self.files[next.file.min(self.files.len() - 1)].path.display().to_string();
        // Of what its file does not have, the position says nothing before the file is at its end.
        self.lacking = u64::from(long.lacks_end);
        self.track.give(Extent { bytes: long.bytes - self.lacking, records: 1 });
        let SourceOptions { on_long, framing, max_record, .. } = &self.options;
        let place = (name.as_str(), within.records, within.bytes);
        let shortened = on_long.treat(long, place, framing, *max_record);
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
        self.files[self.opened.saturating_sub(1)].path.display().to_string()
    }
}

impl SourceReader for FileSource {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        self.origin = None;
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
            if admitted.len() == all.len() {
                self.origin = self.origin_of(&all);
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
        let total_bytes = self.total.bytes().map(|total| total.max(done_bytes));
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

    fn origin(&self) -> Option<(u32, u64)> {
        self.origin
    }

    fn input_files(&self) -> Option<Arc<dyn InputFiles>> {
        Some(Arc::new(ReferredFiles::of(self.fixed.clone()?)))
    }

    fn total(&self) -> Total {
        self.total.clone()
    }

    fn would_read(&mut self, written: &Arc<Written>) -> Option<(PathBuf, String)> {
        self.written = Arc::clone(written);
        match &self.fixed {
            Some(files) => files.one_of(written),
            None => self.files.iter().find_map(|file| self.is_written(file)),
        }
    }

    /// Of files that have changed since the first start.
    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

fn extent(batch: &Batch) -> Extent {
    Extent { bytes: batch.bytes() as u64, records: batch.len() as u64 }
}

#[cfg(test)]
mod tests;
