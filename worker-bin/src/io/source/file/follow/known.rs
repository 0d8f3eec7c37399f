//! A log that is known, whatever file it is in, and how the journal keeps all of them.

use super::content::Content;
use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use worker_journal::Fold;

const TAG: Tag = *b"WFP1";
/// About so large is a piece of a checkpoint, in bytes.
const SNAPSHOT_BYTES: usize = 1 << 20;

/// Which log; never used again.
pub(super) type LogId = u64;

/// Which file, and which of those that have had its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Nanoseconds since 1970; 0 where the file system does not keep it.
    born: u64,
}

impl FileKey {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|at| u64::try_from(at.as_nanos()).ok()).unwrap_or(0);
        Self { device: metadata.dev(), inode: metadata.ino(), born }
    }

    /// The number of a device changes with a mount on some file systems.
    pub(super) fn on_any_device(self) -> Self {
        Self { device: 0, ..self }
    }

    pub(super) fn may_be(self, other: Self) -> bool {
        self.inode == other.inode && self.born == other.born
    }
}

/// A packed file as it was when it was found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// All of it, as it is stored.
    pub(super) stored: Content,
    /// Nothing of it is to be read any more.
    pub(super) is_done: bool,
}

/// What is known of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Where it was found first.
    pub(super) origin: PathBuf,
    pub(super) path: PathBuf,
    /// What was given of it.
    pub(super) content: Content,
    pub(super) records: u64,
    /// The file that it is in, or was last.
    pub(super) file: FileKey,
    /// The last record was given though it had no end.
    pub(super) is_torn: bool,
    /// It is in none, since so many seconds after 1970.
    pub(super) gone_s: Option<u64>,
    pub(super) packed: Option<Packed>,
}

impl Known {
    pub(super) fn new(path: &Path, file: FileKey, packed: Option<Packed>) -> Self {
        let (origin, path) = (path.to_owned(), path.to_owned());
        Self {
            origin,
            path,
            content: Content::default(),
            records: 0,
            file,
            is_torn: false,
            gone_s: None,
            packed,
        }
    }

    /// Whether a file of this name may be a copy of it, by the ways in which logs are rotated: beside it, and called like it.
    pub(super) fn is_kin(&self, path: &Path) -> bool {
        let is_called_like = |own: &Path| {
            let (own, name) = (own.file_name().unwrap_or_default(), path.file_name().unwrap_or_default());
            let stem = Path::new(own).file_stem().unwrap_or(own);
            name.as_bytes().starts_with(stem.as_bytes())
        };
        path != self.origin
            && path.parent() == self.path.parent()
            && (is_called_like(&self.origin) || is_called_like(&self.path))
    }

    fn encode(&self) -> Vec<u8> {
        let entry = Writer::new(TAG).string(self.origin.as_os_str().as_bytes());
        let entry = match self.path == self.origin {
            true => entry.string(b""),
            false => entry.string(self.path.as_os_str().as_bytes()),
        };
        let entry = self.content.write(entry).number(self.records);
        let entry = entry.number(self.file.device).number(self.file.inode).number(self.file.born);
        let entry = entry.number(self.is_torn.into()).number(self.gone_s.map_or(0, |at| at.max(1)));
        match &self.packed {
            None => entry.number(0),
            Some(packed) => packed.stored.write(entry.number(1 + u64::from(packed.is_done))),
        }
        .finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut reader = Reader::new(bytes, TAG)?;
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let origin = path(reader.string()?);
        let now = reader.string()?;
        let now = if now.is_empty() { origin.clone() } else { path(now) };
        let content = Content::read(&mut reader)?;
        let records = reader.number()?;
        let file = FileKey { device: reader.number()?, inode: reader.number()?, born: reader.number()? };
        let is_torn = reader.number()? != 0;
        let gone_s = Some(reader.number()?).filter(|&at| at > 0);
        let packed = match reader.number()? {
            0 => None,
            done @ (1 | 2) => Some(Packed { is_done: done == 2, stored: Content::read(&mut reader)? }),
            _ => return Err(LayoutError::Contradiction),
        };
        reader.finish()?;
        Ok(Self { origin, path: now, content, records, file, is_torn, gone_s, packed })
    }
}

/// What has changed of what is known: the position of a commit.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    /// Records given, in all lives.
    pub(super) given: u64,
    pub(super) known: Vec<(LogId, &'a Known)>,
    pub(super) forgotten: Vec<LogId>,
}

impl Change<'_> {
    pub(super) fn encode(&self) -> Bytes {
        let known = self.known.iter().map(|(id, known)| (*id, known.encode()));
        write(self.given, known, &self.forgotten).into()
    }
}

fn write(
    given: u64,
    known: impl ExactSizeIterator<Item = (LogId, impl AsRef<[u8]>)>,
    forgotten: &[LogId],
) -> Vec<u8> {
    let mut all = Writer::new(TAG).number(given).number(known.len() as u64);
    for (id, entry) in known {
        all = all.number(id).string(entry.as_ref());
    }
    all = all.number(forgotten.len() as u64);
    forgotten.iter().fold(all, |all, id| all.number(*id)).finish()
}

/// All that is known, as the changes add up.
#[derive(Debug, Default)]
pub(in super::super) struct Sum {
    given: u64,
    entries: BTreeMap<LogId, Box<[u8]>>,
    /// Something was added.
    has_begun: bool,
    /// What was added that is no change.
    unknown: Option<Bytes>,
}

impl Sum {
    fn add(&mut self, change: &[u8]) -> Result<(), LayoutError> {
        let mut reader = Reader::new(change, TAG)?;
        self.given = reader.number()?;
        for _ in 0..reader.number()? {
            let id = reader.number()?;
            self.entries.insert(id, reader.string()?.into());
        }
        for _ in 0..reader.number()? {
            self.entries.remove(&reader.number()?);
        }
        reader.finish()
    }

    /// Records given, and the logs.
    pub(super) fn decode(position: &[u8]) -> Result<(u64, BTreeMap<LogId, Known>), LayoutError> {
        let mut sum = Self::default();
        sum.add(position)?;
        let known = sum.entries.iter().map(|(id, entry)| Ok((*id, Known::decode(entry)?)));
        Ok((sum.given, known.collect::<Result<_, LayoutError>>()?))
    }
}

impl Fold for Sum {
    fn apply(&mut self, position: &[u8]) {
        self.has_begun = true;
        if self.add(position).is_err() {
            self.unknown = Some(Bytes::copy_from_slice(position));
        }
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        if !self.has_begun {
            return;
        }
        let (mut piece, mut bytes) = (Vec::new(), 0);
        for (id, entry) in &self.entries {
            bytes += entry.len();
            piece.push((*id, entry));
            if bytes >= SNAPSHOT_BYTES {
                chunk(&write(self.given, piece.drain(..), &[]));
                bytes = 0;
            }
        }
        chunk(&write(self.given, piece.drain(..), &[]));
        if let Some(unknown) = &self.unknown {
            chunk(unknown);
        }
    }

    fn restore(&mut self, chunk: &[u8]) {
        self.apply(chunk);
    }

    fn position(&self) -> Option<Bytes> {
        let entries = self.entries.iter().map(|(id, entry)| (*id, entry));
        let position = || write(self.given, entries, &[]).into();
        self.has_begun.then(|| self.unknown.clone().unwrap_or_else(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn known(path: &str, inode: u64) -> Known {
        let file = FileKey { device: 1, inode, born: 3 };
        Known::new(Path::new(path), file, None)
    }

    #[test]
    fn changes_add_up_also_through_a_checkpoint() {
        let (a, mut b) = (known("a.log", 1), known("b.log", 2));
        let mut sum = Sum::default();
        assert_eq!(sum.position(), None, "nothing has begun");
        sum.apply(&Change::default().encode());
        assert_eq!(Sum::decode(&sum.position().unwrap()), Ok((0, BTreeMap::new())));
        sum.apply(&Change { given: 1, known: vec![(1, &a), (2, &b)], forgotten: vec![] }.encode());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'x'; 5000]).unwrap();
        b.content = Content::of(&File::open(file.path()).unwrap(), 4500).unwrap();
        (b.path, b.gone_s) = ("b.log.1".into(), Some(9));
        b.is_torn = true;
        b.packed = Some(Packed { stored: b.content.clone(), is_done: true });
        let c = known("c.log", 5);
        sum.apply(&Change { given: 7, known: vec![(2, &b), (3, &c)], forgotten: vec![1] }.encode());
        let expected = Ok((7, BTreeMap::from([(2, b), (3, c)])));
        assert_eq!(Sum::decode(&sum.position().unwrap()), expected);
        let mut restored = Sum::default();
        sum.snapshot(&mut |chunk| restored.restore(chunk));
        assert_eq!(Sum::decode(&restored.position().unwrap()), expected);
    }

    #[test]
    fn many_logs_are_checkpointed_in_pieces() {
        let all: BTreeMap<LogId, Known> =
            (0..10_000).map(|id| (id, known(&format!("logs/{id}.log"), id))).collect();
        let mut sum = Sum::default();
        sum.apply(
            &Change { given: 1, known: all.iter().map(|(id, k)| (*id, k)).collect(), forgotten: vec![] }
                .encode(),
        );
        let (mut restored, mut pieces) = (Sum::default(), 0);
        sum.snapshot(&mut |chunk| {
            assert!(chunk.len() < 2 * SNAPSHOT_BYTES);
            restored.restore(chunk);
            pieces += 1;
        });
        assert!(pieces > 1);
        assert_eq!(Sum::decode(&restored.position().unwrap()), Ok((1, all)));
    }

    #[test]
    fn a_position_of_something_else_is_refused() {
        let mut sum = Sum::default();
        sum.apply(b"WSF1 of files");
        assert_eq!(Sum::decode(&sum.position().unwrap()), Err(LayoutError::Tag));
    }

    #[test]
    fn a_copy_is_beside_its_log_and_called_like_it() {
        let mut log = known("/d/app.log", 1);
        for name in ["/d/app.log.1", "/d/app.log-20260101", "/d/app-2026.log", "/d/app.log.2.gz"] {
            assert!(log.is_kin(Path::new(name)), "{name}");
        }
        for name in ["/d/app.log", "/d/other.log", "/e/app.log.1", "/d/ap"] {
            assert!(!log.is_kin(Path::new(name)), "{name}");
        }
        log.path = "/d/old-7.log".into();
        assert!(log.is_kin(Path::new("/d/old-7.log.gz")) && !log.is_kin(Path::new("/d/old-8.log.gz")));
    }
}
