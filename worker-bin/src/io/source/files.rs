//! Records of files, one file after the other.

use super::decode::FileReader;
use super::header::HeaderFilter;
use super::{Counter, Progress, SlowStart, SourceError, SourceOptions, SourceReader, expand};
use crate::io::chunker::{Chunker, RecordTooLong};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use worker_proto::Batch;

/// Reads files one after the other, unpacking gzip and zstd, recognised by their first bytes.
///
/// Records never join across files: a last record without terminator is given one.
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
    start: FileStart,
    /// Bytes of the files closed.
    closed_bytes: u64,
    total_bytes: Option<u64>,
}

/// What the chunker had seen when the file was opened, to tell positions within the file.
#[derive(Clone, Copy, Debug, Default)]
struct FileStart {
    records: u64,
    bytes: u64,
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
        Self {
            total_bytes: total_bytes(&files),
            files,
            opened: 0,
            reader: None,
            chunker: Chunker::new(options.terminator, options.max_record, size.bytes()),
            size,
            counter: Counter::new(options.limit),
            header: HeaderFilter::new(options.header),
            header_due: false,
            start: FileStart::default(),
            closed_bytes: 0,
        }
    }

    /// The files, in the order in which they are read.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The next batch as it is in the files, headers included. Where headers are taken off it is of one file only.
    fn gather(&mut self) -> Result<Option<Batch>, SourceError> {
        loop {
            if let Some(batch) = self.chunker.next().map_err(|e| self.too_long(e))? {
                return Ok(Some(batch));
            }
            match &mut self.reader {
                Some(reader) => {
                    if reader.read_into(self.chunker.space())? == 0 {
                        self.end_file()?;
                    }
                }
                None if !self.header.keeps() && !self.chunker.is_empty() => return self.flush(),
                None if self.opened == self.files.len() => return self.flush(),
                None => self.open_next()?,
            }
        }
    }

    fn open_next(&mut self) -> Result<(), SourceError> {
        self.reader = Some(FileReader::open(&self.files[self.opened])?);
        self.opened += 1;
        self.start = FileStart { records: self.chunker.records(), bytes: self.chunker.bytes() };
        self.header_due = !self.header.keeps();
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), SourceError> {
        self.close_file();
        self.chunker.end_record().map_err(|e| self.too_long(e))
    }

    fn close_file(&mut self) {
        self.closed_bytes += self.reader.take().map_or(0, |reader| reader.done_bytes());
    }

    fn flush(&mut self) -> Result<Option<Batch>, SourceError> {
        self.chunker.flush().map_err(|e| self.too_long(e))
    }

    fn too_long(&self, stream: RecordTooLong) -> SourceError {
        let source = RecordTooLong {
            record: stream.record - self.start.records,
            offset: stream.offset - self.start.bytes,
            ..stream
        };
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
            let Some(mut batch) = self.gather()? else {
                return Ok(None);
            };
            if std::mem::take(&mut self.header_due) {
                let name = self.name();
                batch = self.header.take(&batch, &name)?;
            }
            if !batch.is_empty() {
                self.chunker.set_chunk_bytes(self.size.grow());
                return Ok(Some(self.counter.admit(batch)));
            }
        }
        self.close_file();
        Ok(None)
    }

    fn progress(&self) -> Progress {
        let done_bytes = self.closed_bytes + self.reader.as_ref().map_or(0, FileReader::done_bytes);
        // A file may have grown since.
        let total_bytes = self.total_bytes.map(|total| total.max(done_bytes));
        Progress { done_bytes, total_bytes, records: self.counter.given }
    }

    fn header(&self) -> Option<Bytes> {
        self.header.kept()
    }
}

/// The first record of a file, unpacked, with its terminator; `None` if the file is empty.
///
/// # Errors
/// As [`SourceReader::next_chunk`].
pub fn first_record(path: &Path, terminator: u8, max_record: usize) -> Result<Option<Bytes>, SourceError> {
    let mut reader = FileReader::open(path)?;
    let mut chunker = Chunker::new(terminator, max_record, 0);
    let too_long = |source| SourceError::TooLong { name: path.display().to_string(), source };
    loop {
        let ended = reader.read_into(chunker.space())? == 0;
        let batch = if ended { chunker.finish() } else { chunker.flush() };
        match batch.map_err(too_long)? {
            Some(batch) => return Ok(Some(Bytes::copy_from_slice(batch.record(0)))),
            None if ended => return Ok(None),
            None => {}
        }
    }
}

/// `None` if one of them is no regular file.
fn total_bytes(files: &[PathBuf]) -> Option<u64> {
    files.iter().map(|path| path.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len())).sum()
}

#[cfg(test)]
mod tests;
