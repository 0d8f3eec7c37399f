//! Records of an open stream: standard input, or what a program prints.

mod last;
mod packed;
mod position;
mod regular;
mod spool;

pub(super) use position::Extent;

use super::header::HeaderFilter;
use super::unpack::{Beginning, Utf8Mark};
use super::{
    AsksForRoom, Counter, Lives, OnLong, Progress, SlowStart, SourceError, SourceOptions, SourceReader, Stop,
    Written,
};
use crate::io::chunker::{Chunker, LeftOut, LongRecord, Piece, RecordTooLong};
use crate::io::framing::Framing;
use crate::io::identity::FileId;
use bytes::Bytes;
use packed::Packed;
use position::StreamPosition;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use spool::{Spool, Taken};
use std::path::PathBuf;
use std::sync::Arc;
use worker_core::event::DeadLetter;
use worker_proto::Batch;
use xxhash_rust::xxh3::xxh3_64;

const PIPE_BYTES: usize = 1 << 20;

/// How long to wait before it is looked again for room on a full disk.
const ROOM_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Reads a stream with low latency: records are given as soon as no more bytes are there right now.
///
/// Where a later life is to go on, what is taken of the stream is kept in a `Spool` until the journal has it; a life that finds
/// the same stream goes on in the middle of a record, and one that finds another ends that record first. It counts records on,
/// and where headers are taken off, it takes one off again only if another stream begins with the very header that was taken
/// before, as it does when a program starts anew.
#[derive(Debug)]
pub struct StreamSource {
    stream: OwnedFd,
    name: String,
    /// Where it is to be found, if that is known.
    place: Option<PathBuf>,
    stop: Stop,
    ended: bool,
    was_stopped: bool,
    /// A last record without its end is not given before it is asked for.
    holds_last: bool,
    chunker: Chunker,
    framing: Framing,
    /// What is done about long records, and what is long.
    long: (OnLong, usize),
    /// Bytes that were given to the stream, of what was not given on yet.
    invented: u64,
    /// What of its end is no record, until all before it was given on.
    left_out: Option<LeftOut>,
    letters: Vec<DeadLetter>,
    size: SlowStart,
    counter: Counter,
    header: HeaderFilter,
    header_due: bool,
    /// What was given, in all lives; the header is none of it.
    position: StreamPosition,
    /// Bytes given in earlier lives.
    earlier_bytes: u64,
    beginning: Beginning,
    mark: Utf8Mark,
    packed: Packed,
    spool: Option<Spool>,
    said_no_room: bool,
    room: Option<AsksForRoom>,
    /// Its last writer may have left before it was opened again, of which waiting would not tell.
    may_have_ended: bool,
}

/// What waiting came to.
enum Readiness {
    Readable,
    NothingNow,
    Stopped,
}

impl StreamSource {
    /// Reads `stream`, called `name` in messages, until it ends or `stop` says so.
    ///
    /// When stopped, whole records read so far are still given; an incomplete one is not, which is said.
    #[must_use]
    pub fn new(stream: OwnedFd, name: String, options: &SourceOptions, stop: Stop) -> Self {
        // Not every stream is a pipe, and not every user may have larger ones: both work as they are.
        rustix::pipe::fcntl_setpipe_size(&stream, PIPE_BYTES).ok();
        let size = SlowStart::new();
        Self {
            stream,
            name,
            place: None,
            stop,
            ended: false,
            was_stopped: false,
            holds_last: false,
            chunker: Chunker::new(&options.framing, options.max_record, size.bytes())
                .passing_over_long(options.on_long.passes_over()),
            framing: options.framing.clone(),
            long: (options.on_long, options.max_record),
            invented: 0,
            left_out: None,
            letters: Vec::new(),
            size,
            counter: Counter::new(options.limit),
            header: HeaderFilter::new(options.header),
            header_due: true,
            position: StreamPosition::default(),
            earlier_bytes: 0,
            beginning: Beginning::default(),
            mark: Utf8Mark::default(),
            packed: Packed::new(options.on_damage),
            spool: None,
            said_no_room: false,
            room: None,
            may_have_ended: false,
        }
    }

    /// The same, keeping what is taken until the journal has it, and going on after earlier lives.
    ///
    /// # Errors
    /// [`SourceError::Position`], [`SourceError::Spool`], [`SourceError::Ahead`], [`SourceError::LeftOfFile`]; for a regular file
    /// [`SourceError::LeftOfPipe`], and [`SourceError::Shorter`] or [`SourceError::Replaced`], as for one that is a source.
    pub fn kept(
        stream: OwnedFd,
        name: String,
        options: &SourceOptions,
        stop: Stop,
        lives: &Lives<'_>,
    ) -> Result<Self, SourceError> {
        let position = match &lives.position {
            Some(position) => StreamPosition::decode(position, &name)?,
            None => StreamPosition::default(),
        };
        let taken = position.taken;
        let (of_pipe, of_file) = (lives.list.with_extension("pipe"), lives.list.with_extension("input"));
        if regular::is_regular(&stream) {
            let bytes = Spool::left(&of_pipe, taken)?;
            if bytes > 0 {
                return Err(SourceError::LeftOfPipe { name, bytes });
            }
            let goes_on = regular::go_on(&stream, &of_file, taken, &name)?;
            let source = Self::new(stream, name, options, stop).at(position).going_on(goes_on);
            return Ok(Self { header_due: !goes_on || source.position.header.is_none(), ..source });
        }
        regular::leave(&of_file, taken, &name)?;
        let opened = Spool::open(&of_pipe, &stream, taken)?;
        // Where in it another stream begins, that begins anew.
        let mut source = Self::new(stream, name, options, stop).at(position).going_on(true);
        source.header_due = source.position.header.is_none();
        source.may_have_ended = opened.is_same && opened.spool.is_of_named();
        source.spool = Some(opened.spool);
        Ok(source)
    }

    /// The same, of what is to be found at `path`.
    #[must_use]
    pub fn found_at(self, path: PathBuf) -> Self {
        Self { place: Some(path), ..self }
    }

    /// Goes on after an earlier life that had come to `position`; call it before anything is read.
    ///
    /// # Errors
    /// [`SourceError::Position`].
    pub fn resume(self, position: &[u8]) -> Result<Self, SourceError> {
        let position = StreamPosition::decode(position, &self.name)?;
        Ok(self.at(position))
    }

    fn at(mut self, position: StreamPosition) -> Self {
        self.counter.given = position.given.records;
        self.earlier_bytes = position.given.bytes;
        self.position = position;
        self
    }

    /// Of a stream that a later life has to be able to go on in, as this one may do.
    fn going_on(mut self, goes_on: bool) -> Self {
        self.packed.is_refused = true;
        if goes_on && self.position.taken > 0 {
            self.beginning = Beginning::passed();
        }
        self
    }

    /// Keeps a last record that has no end until it is known whether it counts.
    #[must_use]
    pub fn holding_the_last(self) -> Self {
        Self { holds_last: true, ..self }
    }

    /// Whether it ended because it was told to.
    #[must_use]
    pub fn was_stopped(&self) -> bool {
        self.was_stopped
    }

    /// Whether it has given as many records as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.counter.is_full()
    }

    /// The next batch as it is in the stream, header included, and how many bytes of it were not there: the end that a last record
    /// was given.
    fn gather(&mut self) -> Result<Option<(Piece, u64)>, SourceError> {
        while !self.ended || self.packed.has_news() {
            if let Some(piece) = self.chunker.next_piece().map_err(|e| self.too_long(e))? {
                return Ok(Some((piece, 0)));
            }
            if self.spool.as_ref().is_some_and(Spool::begins_here) {
                // The last record of the one before ends with it.
                let rest = self.finish()?;
                if rest.is_some() {
                    return Ok(rest);
                }
                self.begin_stream();
            }
            if self.packed.has_news() {
                return self.hear().map(Some);
            }
            match self.wait(!self.chunker.has_records())? {
                Readiness::Readable => self.read()?,
                Readiness::NothingNow => {
                    return self.flush(0);
                }
                Readiness::Stopped => self.stop_here()?,
            }
        }
        if self.holds_last {
            return self.flush(0);
        }
        self.finish()
    }

    fn begin_stream(&mut self) {
        if let Some(spool) = &mut self.spool {
            spool.begin();
        }
        self.header_due = true;
        self.beginning = Beginning::default();
    }

    fn flush(&mut self, invented: u64) -> Result<Option<(Piece, u64)>, SourceError> {
        Ok(self.chunker.flush_piece().map_err(|e| self.too_long(e))?.map(|piece| (piece, invented)))
    }

    /// What a spool has is kept there, the beginning of a record too.
    fn stop_here(&mut self) -> Result<(), SourceError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.was_stopped = true;
        if self.spool.is_none() && !regular::is_regular(&self.stream) {
            // Nobody reads it again.
            self.chunker.end_what_looks_whole().map_err(|e| self.too_long(e))?;
        }
        let bytes = self.chunker.discard_partial();
        match &mut self.spool {
            Some(spool) => spool.sync().map_err(|source| spool.error(source))?,
            None if bytes > 0 && !regular::is_regular(&self.stream) => tracing::warn!(
                bytes,
                "stopped in the middle of a record of {}: its beginning was read, and is left out",
                self.name
            ),
            None => {}
        }
        Ok(())
    }

    /// What of a piece is given, if anything is; so many bytes of it were not in the stream.
    fn pass(&mut self, piece: Piece, invented: u64) -> Result<Option<Batch>, SourceError> {
        let batch = match piece {
            // Only letters.
            Piece::Records(batch) if batch.is_empty() => return Ok(Some(batch)),
            Piece::Records(batch) => batch,
            Piece::Long(long) => return self.pass_over(long, invented).map(Some),
        };
        self.position.taken += batch.bytes() as u64 - invented;
        let batch = self.take_header(batch)?;
        if batch.is_empty() {
            return Ok(None);
        }
        self.chunker.set_chunk_bytes(self.size.grow());
        let batch = self.counter.admit(batch);
        let given = Extent { bytes: batch.bytes() as u64, records: batch.len() as u64 };
        self.position.given = self.position.given + given;
        Ok(Some(batch))
    }

    /// What goes on of a record that is too long; what does not is a letter.
    fn pass_over(&mut self, long: LongRecord, invented: u64) -> Result<Batch, SourceError> {
        let (then, max_record) = self.long;
        if std::mem::take(&mut self.header_due) && !self.header.keeps() {
            let source = RecordTooLong { limit: max_record, record: long.record, offset: long.offset };
            return Err(self.too_long(source));
        }
        let place = (self.name.as_str(), long.record, long.offset);
        self.position.taken += long.bytes - invented.min(long.bytes);
        let shortened = then.treat(long, place, &self.framing, max_record);
        self.letters.push(shortened.letter);
        let batch = self.counter.admit(shortened.batch);
        let given = Extent { bytes: batch.bytes() as u64, records: batch.len() as u64 };
        self.position.given = self.position.given + given;
        Ok(batch)
    }

    /// Takes the header off the first batch, if it begins with one.
    fn take_header(&mut self, batch: Batch) -> Result<Batch, SourceError> {
        if !std::mem::take(&mut self.header_due) || self.header.keeps() {
            return Ok(batch);
        }
        let hash = xxh3_64(batch.record(0));
        if self.position.header.is_some_and(|earlier| earlier != hash) {
            return Ok(batch);
        }
        self.position.header = Some(hash);
        self.header.take(&batch, &self.name)
    }

    /// Bytes that were taken and not read.
    fn unread(&self) -> u64 {
        self.spool.as_ref().map_or(0, Spool::unread)
    }

    fn wait(&self, block: bool) -> Result<Readiness, SourceError> {
        let mut fds = [PollFd::new(&self.stop, PollFlags::IN), PollFd::new(&self.stream, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let is_there = self.unread() > 0 || self.may_have_ended || self.packed.has_more();
        loop {
            match poll(&mut fds, if block && !is_there { None } else { Some(&at_once) }) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(Readiness::Stopped),
                Ok(0) if !is_there => return Ok(Readiness::NothingNow),
                Ok(_) => return Ok(Readiness::Readable),
                Err(Errno::INTR) => {}
                Err(e) => return Err(self.unreadable(e)),
            }
        }
    }

    fn read(&mut self) -> Result<(), SourceError> {
        if self.spool.is_some() {
            return self.read_kept();
        }
        if self.packed.has_more() {
            return self.unpack();
        }
        let space = match self.packed.input() {
            Some(input) => input,
            None => self.chunker.space(),
        };
        match rustix::io::read(&self.stream, spare_capacity(space)) {
            Ok(0) => self.end()?,
            Ok(_) if self.packed.is_packed() => {}
            Ok(count) => self.look_at_last(count)?,
            // Another process may have made the stream non-blocking: wait again.
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(self.unreadable(e)),
        }
        Ok(())
    }

    fn read_kept(&mut self) -> Result<(), SourceError> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        if spool.unread() == 0 {
            let name = || self.name.clone();
            let offset = self.chunker.bytes();
            let read = |source| SourceError::Read { name: name(), offset, source };
            match spool.take(&self.stream).map_err(read)? {
                Taken::Some => self.said_no_room = false,
                Taken::NothingNow => {
                    self.may_have_ended = false;
                    return Ok(());
                }
                Taken::NoRoom => return self.wait_for_room(),
                Taken::AtItsEnd => return self.end(),
            }
        }
        let before = self.chunker.bytes();
        spool.read_into(self.chunker.space()).map_err(|source| spool.error(source))?;
        self.look_at_last(usize::try_from(self.chunker.bytes() - before).unwrap_or(0))
    }

    /// The disk of the spool is full; what is not taken stays where it is.
    fn wait_for_room(&mut self) -> Result<(), SourceError> {
        let why = format!("no room in the state directory for what {} gives", self.name);
        if !std::mem::replace(&mut self.said_no_room, true) {
            tracing::warn!("{why}: it is left there until there is");
        }
        if self.room.as_ref().is_some_and(|room| room.ask(&why)) {
            return Ok(());
        }
        match poll(&mut [PollFd::new(&self.stop, PollFlags::IN)], Some(&ROOM_WAIT)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(self.unreadable(e)),
        }
    }

    fn unreadable(&self, e: Errno) -> SourceError {
        SourceError::Read { name: self.name.clone(), offset: self.chunker.bytes(), source: e.into() }
    }

    fn too_long(&self, source: RecordTooLong) -> SourceError {
        SourceError::TooLong { name: self.name.clone(), source }
    }
}

impl SourceReader for StreamSource {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        while !self.counter.is_full() {
            let Some((piece, invented)) = self.gather()? else {
                return Ok(None);
            };
            if let Some(batch) = self.pass(piece, invented)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn progress(&self) -> Progress {
        let done_bytes = self.earlier_bytes + self.packed.offset().unwrap_or_else(|| self.chunker.bytes());
        Progress { done_bytes, total_bytes: None, records: self.counter.given }
    }

    fn take_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }

    fn header(&self) -> Option<Bytes> {
        self.header.kept()
    }

    fn position(&self) -> Option<Bytes> {
        Some(self.position.encode())
    }

    fn would_read(&mut self, written: &Arc<Written>) -> Option<(PathBuf, String)> {
        let path = self.place.as_ref()?;
        let sink = written.get(&FileId::of(&path.metadata().ok()?))?;
        Some((path.clone(), sink.clone()))
    }

    fn leave(&mut self) -> Result<(), SourceError> {
        self.stop_here()
    }

    fn keeps_much_before(&self, position: &[u8]) -> bool {
        let taken = StreamPosition::decode(position, &self.name).map(|position| position.taken);
        self.spool.as_ref().zip(taken.ok()).is_some_and(|(spool, taken)| spool.is_done_with_much(taken))
    }

    fn asks_for_room(&mut self, room: AsksForRoom) {
        self.room = Some(room);
    }

    fn forget_before(&mut self, position: &[u8]) -> Result<(), SourceError> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let position = StreamPosition::decode(position, &self.name)?;
        spool.forget_before(position.taken).map_err(|source| spool.error(source))
    }
}

#[cfg(test)]
mod tests;
