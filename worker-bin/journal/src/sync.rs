//! Making durable what was appended, beside further appends; and the end of it all when that fails.

use super::error::JournalError;
use super::fold::Fold;
use super::format::Position;
use super::storage::{Storage, StorageFile};
use super::writer::Journal;
use std::sync::{Arc, OnceLock};

/// What has to be synced for everything before a position to be durable.
#[derive(Debug)]
#[must_use = "nothing is durable before it ran"]
pub struct SyncTicket<F> {
    files: Vec<F>,
    position: Position,
    poison: Poison,
}

impl<F: StorageFile> SyncTicket<F> {
    /// Syncs, and gives the position to say to [`Journal::synced`]. Blocks, but no lock is needed.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`]: the sync failed, or one before. The journal is of no use any more.
    pub fn run(self) -> Result<Position, JournalError> {
        self.poison.check()?;
        for file in &self.files {
            if let Err(error) = file.sync() {
                self.poison.set(error.to_string());
            }
            self.poison.check()?;
        }
        Ok(self.position)
    }

    /// Everything before this will be durable.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }
}

impl<S: Storage, F: Fold> Journal<S, F> {
    /// What is to be synced now; `None` if everything is durable.
    #[must_use]
    pub fn to_sync(&self) -> Option<SyncTicket<S::File>> {
        let position = self.end();
        if position <= self.durable {
            return None;
        }
        let sealed = self.sealed.values().filter(|s| s.end > self.durable);
        let mut named = self.active.named;
        let mut files = Vec::new();
        for segment in sealed {
            named &= segment.named;
            files.push(segment.file.clone());
        }
        files.push(self.active.file.clone());
        if !named {
            files.push(self.storage.names());
        }
        Some(SyncTicket { files, position, poison: self.poison.clone() })
    }

    /// A ticket for `position` ran well. Frees what is not needed any more.
    pub fn synced(&mut self, position: Position) {
        self.durable = self.durable.max(position.min(self.end()));
        for segment in self.sealed.values_mut() {
            segment.named |= segment.base < self.durable;
        }
        self.active.named |= self.active.header.base < self.durable;
        if self.checkpoints.synced(self.durable) {
            self.collect();
        }
    }
}

/// The first failed sync of a journal, known to all who use it.
#[derive(Clone, Debug)]
pub(super) struct Poison {
    why: Arc<OnceLock<String>>,
    place: Arc<str>,
}

impl Poison {
    pub(super) fn new(place: &str) -> Self {
        Self { why: Arc::default(), place: place.into() }
    }

    pub(super) fn set(&self, why: String) {
        // A later failure says nothing new.
        self.why.set(why).ok();
    }

    pub(super) fn check(&self) -> Result<(), JournalError> {
        match self.why.get() {
            None => Ok(()),
            Some(why) => Err(JournalError::Poisoned { place: self.place.to_string(), why: why.clone() }),
        }
    }
}
