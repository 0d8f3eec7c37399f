//! What reads a source, and what every kind of it can be told.

use super::{Header, Lag, OnDamage, OnLong, SourceError};
use crate::io::buffers::BUFFER_BYTES;
use crate::io::framing::Framing;
use crate::io::identity::FileId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use worker_core::event::DeadLetter;
use worker_journal::InputFiles;
use worker_proto::Batch;

/// Reads records from outside, a chunk at a time. Blocks.
pub trait SourceReader: Debug + Send {
    /// The next records, none where all of them are [letters](Self::take_letters); `None`, from then on always, when there are no more.
    ///
    /// # Errors
    /// [`SourceError`]; the source is of no use after it.
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError>;

    /// How far it is.
    fn progress(&self) -> Progress;

    /// How far it is behind what there is to read, where that never ends.
    fn lag(&self) -> Option<Lag> {
        None
    }

    /// What of the chunk given last does not go on.
    fn take_letters(&mut self) -> Vec<DeadLetter> {
        Vec::new()
    }

    /// The header kept aside under [`Header::Repeat`], terminator included, once it was read.
    fn header(&self) -> Option<Bytes>;

    /// Where the records given so far end, for a later life to go on with; before the first chunk, the first position.
    ///
    /// `None` if it was not opened to be gone on with.
    fn position(&self) -> Option<Bytes> {
        None
    }

    /// Where in the files that it reads the chunk given last lies as it is, if they stay and are on stable storage: number and offset.
    fn origin(&self) -> Option<(u32, u64)> {
        None
    }

    /// Those files, to be read again where a journal refers to them.
    fn input_files(&self) -> Option<Arc<dyn InputFiles>> {
        None
    }

    /// The position that must be durable before anything of it is read, in the first life that it is opened in.
    fn begin(&mut self) -> Option<Bytes> {
        None
    }

    /// It is stopped before its end: keeps what a later life needs, or says what is left out.
    ///
    /// # Errors
    /// [`SourceError`].
    fn leave(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    /// Whether it keeps much of what was given before `position`.
    fn keeps_much_before(&self, _position: &[u8]) -> bool {
        false
    }

    /// Whom it asks where it finds no room on the disk of the state directory.
    fn asks_for_room(&mut self, _room: AsksForRoom) {}

    /// The journal has all before `position` on stable storage: what was kept of that can go.
    ///
    /// # Errors
    /// [`SourceError`].
    fn forget_before(&mut self, _position: &[u8]) -> Result<(), SourceError> {
        Ok(())
    }

    /// How much there is to read, which it may find out while it reads.
    fn total(&self) -> Total {
        let total = Total::default();
        self.progress().total_bytes.inspect(|&bytes| total.settle(bytes));
        total
    }

    /// One of these files that it would read, and the sink; if that is found later, reading ends with an error.
    fn would_read(&mut self, _written: &Arc<Written>) -> Option<(PathBuf, String)> {
        None
    }

    /// What the user should hear before it begins.
    fn warning(&self) -> Option<&str> {
        None
    }
}

/// Files that sinks write, with the sinks' names.
pub type Written = BTreeMap<FileId, String>;

/// How many bytes there are to read, as they are stored, once that is known.
#[derive(Clone, Debug, Default)]
pub struct Total(Arc<OnceLock<u64>>);

impl Total {
    /// From now on it is known.
    pub fn settle(&self, bytes: u64) {
        self.0.get_or_init(|| bytes);
    }

    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.0.get().copied()
    }
}

/// Tells of a full disk, and says whether it is worth trying again at once.
pub struct AsksForRoom(Box<dyn Fn(&str) -> bool + Send>);

impl AsksForRoom {
    pub fn new(ask: impl Fn(&str) -> bool + Send + 'static) -> Self {
        Self(Box::new(ask))
    }

    pub(super) fn ask(&self, why: &str) -> bool {
        (self.0)(why)
    }
}

impl Debug for AsksForRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AsksForRoom")
    }
}

/// What all kinds of sources can be told.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// How records follow one another.
    pub framing: Framing,
    /// Longest record, in bytes, without a newline or zero byte that ends it.
    pub max_record: usize,
    /// What is done with the first record of each file.
    pub header: Header,
    /// End after this many records.
    pub limit: Option<u64>,
    /// What becomes of longer records.
    pub on_long: OnLong,
    /// What becomes of packed or encoded input that is damaged.
    pub on_damage: OnDamage,
    /// Nothing is unpacked, whatever it begins with.
    pub is_plain: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            framing: Framing::Lines,
            max_record: 1 << 20,
            header: Header::Keep,
            limit: None,
            on_long: OnLong::Halt,
            on_damage: OnDamage::Halt,
            is_plain: false,
        }
    }
}

/// How far a source is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read, as they are stored: of packed files, packed bytes.
    pub done_bytes: u64,
    /// Bytes there are; `None` where nobody can know.
    pub total_bytes: Option<u64>,
    pub records: u64,
}

const FIRST_CHUNK_BYTES: usize = 16 * 1024;
const CHUNK_BYTES: usize = BUFFER_BYTES;

/// Sizes of chunks: small ones first, so that a small input too is spread over the partitions.
#[derive(Debug)]
pub(super) struct SlowStart(usize);

impl SlowStart {
    pub(super) fn new() -> Self {
        Self(FIRST_CHUNK_BYTES)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0
    }

    pub(super) fn grow(&mut self) -> usize {
        self.0 = (self.0 * 2).min(CHUNK_BYTES);
        self.0
    }
}

/// Counts records given, up to the limit.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) given: u64,
    pub(super) limit: u64,
}

impl Counter {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { given: 0, limit: limit.unwrap_or(u64::MAX) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.given >= self.limit
    }

    pub(super) fn admit(&mut self, batch: Batch) -> Batch {
        let left = usize::try_from(self.limit - self.given).unwrap_or(usize::MAX);
        let batch = if batch.len() > left { batch.slice(0..left) } else { batch };
        self.given += batch.len() as u64;
        batch
    }
}
