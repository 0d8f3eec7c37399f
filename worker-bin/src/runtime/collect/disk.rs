//! The disk under an output that is held: the spill directory, or the journal where it stays once it is committed.

use super::{Staging, Waits};
use crate::io::spill::{SpillError, SpillStore};
use crate::runtime::journal::TaskJournal;
use crate::runtime::spill::FULL_DISK_WAIT;
use std::sync::Arc;
use worker_core::event::Place;
use worker_proto::Batch;

#[derive(Clone, Debug)]
pub(in crate::runtime) enum Disk {
    Spill(Arc<SpillStore>),
    Journal(Arc<TaskJournal>),
}

impl Staging for Disk {
    fn put(&self, batch: &Batch, waits: Option<Waits<'_>>) -> Result<Option<Place>, String> {
        // Other tasks of this thread must not wait for a slow disk.
        tokio::task::block_in_place(|| self.put_patiently(batch, waits))
    }

    fn discard(&self, place: Place) {
        match self {
            Self::Spill(store) => store.discard(place),
            Self::Journal(journal) => journal.unstage(place),
        }
    }
}

impl Disk {
    fn put_patiently(&self, batch: &Batch, waits: Option<Waits<'_>>) -> Result<Option<Place>, String> {
        let mut said = false;
        let result = loop {
            let (full, error) = match self.try_put(batch) {
                Ok(place) => break Ok(Some(place)),
                Err(failed) => failed,
            };
            if !full {
                break Err(error);
            }
            let Some(waits) = waits else { break Ok(None) };
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(error, "cannot put an output aside; its program waits until it works");
                waits(Some(error));
            }
            std::thread::sleep(FULL_DISK_WAIT);
        };
        if let Some(waits) = waits.filter(|_| said) {
            waits(None);
        }
        result
    }

    /// An error comes with whether it means that the disk is full.
    fn try_put(&self, batch: &Batch) -> Result<Place, (bool, String)> {
        match self {
            Self::Spill(store) => store
                .store(batch)
                .map_err(|error| (matches!(error, SpillError::Full { .. }), error.to_string())),
            Self::Journal(journal) => {
                journal.stage(batch).map_err(|error| (error.is_full(), error.to_string()))
            }
        }
    }
}
