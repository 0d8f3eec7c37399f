//! The ways to begin to read files.

use super::super::decode::Unpacking;
use super::super::expand;
use super::super::listing::Listing;
use super::super::paths::{AllMatches, Listed};
use super::super::position::{FilesPosition, Position, Track};
use super::{FileSource, SourceFiles};
use crate::io::chunker::Chunker;
use crate::io::layout::LayoutError;
use crate::io::source::header::HeaderFilter;
use crate::io::source::unpack::Utf8Mark;
use crate::io::source::{Counter, SlowStart, SourceError, SourceOptions, Stop, Total};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

    /// The files that are `named` below `base`, as far as they are found soon, and at least the first; the others are looked for
    /// while these are read. As to `stop`, see [`Self::stopped_by`].
    pub(in super::super) fn find(
        named: AllMatches,
        base: &Path,
        options: &SourceOptions,
        stop: Stop,
    ) -> Result<Self, SourceError> {
        let files = named.map(|found| Listed::look(found?.path));
        let listing = Listing::begin(files)
            .map_err(|source| SourceError::Unlisted { path: base.to_owned(), source })?;
        let (files, are_all) = listing.first()?;
        Ok(Self::found(files, Some(listing).filter(|_| !are_all), options).stopped_by(stop))
    }

    /// These files in this order.
    #[must_use]
    pub fn of(files: Vec<PathBuf>, options: &SourceOptions) -> Self {
        Self::found(files.into_iter().map(Listed::unchecked).collect(), None, options)
    }

    /// These files, and behind them those of `listing`.
    pub(in super::super) fn found(
        files: Vec<Listed>,
        listing: Option<Listing>,
        options: &SourceOptions,
    ) -> Self {
        let size = SlowStart::new();
        let total = listing.as_ref().map_or_else(Total::default, Listing::total);
        if listing.is_none() {
            let bytes: Option<u64> = files.iter().map(|file| file.begun.map(|begun| begun.length)).sum();
            bytes.inspect(|&bytes| total.settle(bytes));
        }
        Self {
            total,
            files,
            listing,
            written: Arc::default(),
            opened: 0,
            reader: None,
            chunker: Chunker::new(&options.framing, options.max_record, size.bytes())
                .passing_over_long(options.on_long.passes_over()),
            size,
            counter: Counter::new(options.limit),
            header: HeaderFilter::new(options.header),
            header_due: false,
            at_first_bytes: false,
            mark: Utf8Mark::default(),
            track: Track::new(Position::default()),
            fixed: None,
            is_referred: false,
            copied: BTreeSet::new(),
            origin: None,
            skip_bytes: 0,
            warning: None,
            unpacking: Unpacking::of(options),
            failure: None,
            damage: None,
            behind: Vec::new(),
            letters: Vec::new(),
            closed_bytes: 0,
            lacking: 0,
            stop: None,
            pipe: None,
            options: options.clone(),
        }
    }

    /// The same; where one of the files is a named pipe, it is read as one. `stop` ends that, and the wait for the next file, and
    /// with it the input.
    #[must_use]
    pub fn stopped_by(self, stop: Stop) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// The same; a journal may refer to where in its files the records lie.
    #[must_use]
    pub fn referred(self, is_referred: bool) -> Self {
        Self { is_referred, ..self }
    }

    /// The files of the first start, from their beginning.
    #[must_use]
    pub fn fixed(files: SourceFiles, options: &SourceOptions) -> Self {
        let fixed = files.paths().map(|path| Listed { path: path.to_owned(), begun: None, id: None });
        let mut source = Self::found(fixed.collect(), None, options);
        source.total.settle(files.bytes_before(files.files().len()));
        source.header = HeaderFilter::with(options.header, files.kept_header());
        source.fixed = Some(files);
        source
    }

    /// The files of the first start, from `position` on. Those behind the position are not looked at: whoever still needs something of
    /// them reads it through [`SourceReader::input_files`](crate::io::source::SourceReader::input_files).
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
}
