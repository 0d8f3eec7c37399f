//! Gives the paths of a list one after the other.

use super::names::{Names, path};
use crate::io::framing::Framing;
use crate::io::identity::FileId;
use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use crate::io::source::long::letter;
use crate::io::source::{
    Counter, OnDamage, Opening, Progress, SlowStart, SourceError, SourceReader, Written,
};
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use worker_core::event::DeadLetter;
use worker_proto::{Batch, BatchBuilder};

const TAG: Tag = *b"WSQ1";

/// Each path is looked at once more when its turn comes. One that is gone is in no chunk with others, so that what is counted
/// within a chunk is the same for every life.
#[derive(Debug)]
pub(super) struct ListReader {
    names: Names,
    dir: PathBuf,
    /// The first byte of the next one.
    at: usize,
    /// So many of those that come next were given by an earlier life, and may be gone.
    given_before: u64,
    /// There is a list that a later life goes on with.
    is_kept: bool,
    framing: Framing,
    on_damage: OnDamage,
    size: SlowStart,
    counter: Counter,
    letters: Vec<DeadLetter>,
}

/// Where it is in its list.
#[derive(Debug, PartialEq, Eq)]
struct Position {
    list: u64,
    at: u64,
    /// Given, in all lives.
    records: u64,
}

impl ListReader {
    pub(super) fn open(patterns: &[String], opening: &Opening<'_>) -> Result<Self, SourceError> {
        let find = |own| Names::find(opening.dir, patterns, own, &opening.options);
        match &opening.durable {
            None => Ok(Self::of(find(None)?, opening)),
            Some(lives) => match &lives.position {
                Some(position) => {
                    let reader = Self::of(Names::load(&lives.list)?, opening);
                    let resumed = reader.resumed(position, lives.given).map_err(|source| {
                        SourceError::Position { name: "the list of paths".to_owned(), source }
                    })?;
                    resumed.check_rest()?;
                    Ok(resumed)
                }
                None => {
                    let names = find(Some(lives.state))?;
                    names.store(&lives.list)?;
                    Ok(Self::of(names, opening))
                }
            },
        }
    }

    fn of(names: Names, opening: &Opening<'_>) -> Self {
        let options = &opening.options;
        Self {
            names,
            dir: opening.dir.to_owned(),
            at: 0,
            given_before: 0,
            is_kept: opening.durable.is_some(),
            framing: options.framing.clone(),
            on_damage: options.on_damage,
            size: SlowStart::new(),
            counter: Counter::new(options.limit),
            letters: Vec::new(),
        }
    }

    fn resumed(mut self, position: &[u8], given: u64) -> Result<Self, LayoutError> {
        let Position { list, at, records } = Position::decode(position)?;
        self.at = usize::try_from(at).map_err(|_| LayoutError::Contradiction)?;
        self.counter.given = records;
        self.given_before = given;
        let is_of_these = list == self.names.hash() && self.names.is_boundary(self.at);
        if is_of_these { Ok(self) } else { Err(LayoutError::Contradiction) }
    }

    /// What is gone is said before the run goes on.
    fn check_rest(&self) -> Result<(), SourceError> {
        let left = self.counter.limit.saturating_sub(self.counter.given);
        let due = self.names.from(self.at).take(usize::try_from(left).unwrap_or(usize::MAX));
        for name in due.skip(usize::try_from(self.given_before).unwrap_or(usize::MAX)) {
            let path = path(&self.dir, name);
            if self.on_damage == OnDamage::Halt && !is_there(&path)? {
                return Err(self.gone(path));
            }
        }
        Ok(())
    }

    fn gone(&self, path: PathBuf) -> SourceError {
        if self.is_kept {
            SourceError::ListedGone { path }
        } else {
            SourceError::ListedGoneMeanwhile { path }
        }
    }

    /// The path that comes next is not there.
    fn pass_over(&mut self, name: Vec<u8>) -> Result<(), SourceError> {
        let gone = self.gone(path(&self.dir, &name));
        match self.on_damage {
            OnDamage::Halt => Err(gone),
            OnDamage::Skip => {
                let reason = gone.passed_over();
                tracing::warn!("{reason}");
                self.letters.push(letter(&name, reason, &self.framing));
                self.at += name.len() + 1;
                Ok(())
            }
        }
    }
}

impl SourceReader for ListReader {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        if self.counter.is_full() || self.at >= self.names.bytes() {
            return Ok(None);
        }
        let (mut chunk, mut gone, mut end) = (BatchBuilder::new(), None, self.at);
        let left = self.counter.limit - self.counter.given;
        for name in self.names.from(self.at) {
            if chunk.len() as u64 >= left || (!chunk.is_empty() && chunk.bytes() >= self.size.bytes()) {
                break;
            }
            if self.given_before == 0 && !is_there(&path(&self.dir, name))? {
                gone = Some(name.to_vec());
                break;
            }
            self.given_before = self.given_before.saturating_sub(1);
            chunk.push(&self.framing.wrapped(name));
            end += name.len() + 1;
        }
        self.at = end;
        if let (Some(name), true) = (gone, chunk.is_empty()) {
            self.pass_over(name)?;
            return Ok(Some(Batch::empty()));
        }
        self.size.grow();
        Ok(Some(self.counter.admit(chunk.take())))
    }

    fn progress(&self) -> Progress {
        Progress {
            done_bytes: self.at as u64,
            total_bytes: Some(self.names.bytes() as u64),
            records: self.counter.given,
        }
    }

    fn take_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }

    fn header(&self) -> Option<Bytes> {
        None
    }

    fn position(&self) -> Option<Bytes> {
        let records = self.counter.given;
        let position = Position { list: self.names.hash(), at: self.at as u64, records };
        self.is_kept.then(|| position.encode())
    }

    fn would_read(&mut self, written: &Arc<Written>) -> Option<(PathBuf, String)> {
        if written.is_empty() {
            return None;
        }
        self.names.from(self.at).find_map(|name| {
            let path = path(&self.dir, name);
            let sink = written.get(&FileId::of(&path.metadata().ok()?))?;
            Some((path, sink.clone()))
        })
    }
}

impl Position {
    fn encode(&self) -> Bytes {
        Writer::new(TAG).number(self.list).number(self.at).number(self.records).finish().into()
    }

    fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut reader = Reader::new(bytes, TAG)?;
        let position = Self { list: reader.number()?, at: reader.number()?, records: reader.number()? };
        reader.finish()?;
        Ok(position)
    }
}

fn is_there(path: &Path) -> Result<bool, SourceError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(source) => Err(SourceError::Open { path: path.to_owned(), source }),
    }
}
