//! The keyed state of records stages, as their journals keep it.

use super::{DiskEntry, TaskDisk};
use crate::sim::check::{Check, Checked, require};
use crate::sim::driver::Values;
use crate::sim::plan::DiskBug;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use worker_bin::child::records::KeyedState;
use worker_core::recovery::TaskState;

/// The keyed state of a records stage, which its journal and its programs share.
pub(in crate::sim) type Keyed = Arc<Mutex<KeyedState>>;

impl TaskDisk {
    /// The state of a records stage, to be shared with its programs.
    pub(in crate::sim) fn keyed(&self) -> Option<Keyed> {
        self.keyed.clone()
    }

    /// What is under each key of a records stage.
    pub(in crate::sim) fn values(&self) -> Values {
        self.keyed.as_ref().map(values).unwrap_or_default()
    }

    /// The keyed state is the sum of all commits that are there.
    pub(super) fn recover_keyed(&mut self, state: &mut TaskState) -> Checked {
        let Some(keyed) = &self.keyed else { return Ok(()) };
        state.position = None;
        let sum = no_state();
        for position in self.entries.iter().filter_map(DiskEntry::commit).filter_map(|c| c.position.as_ref())
        {
            lock(&sum).apply(position);
        }
        if self.real.is_some() {
            let (real, sum) = (values(keyed), values(&sum));
            return require(real == sum, Check::Recovery, || format!("the state is {real:?}, not {sum:?}"));
        }
        self.keyed = Some(sum);
        Ok(())
    }

    /// Does with a commit's changes of keyed state what a journal does when it has appended the commit.
    pub(super) fn apply(&mut self, changes: Bytes) {
        let Some(keyed) = &self.keyed else { return };
        self.deferred.push(changes);
        if self.bug == Some(DiskBug::KeyedOutOfOrder) && !self.waiting.is_empty() {
            return;
        }
        while let Some(changes) = self.deferred.pop() {
            lock(keyed).apply(&changes);
            if self.bug == Some(DiskBug::KeyedTwice) {
                lock(keyed).apply(&changes);
            }
        }
    }
}

pub(super) fn no_state() -> Keyed {
    Arc::new(Mutex::new(KeyedState::new("of the simulation", u64::MAX)))
}

fn lock(keyed: &Keyed) -> MutexGuard<'_, KeyedState> {
    keyed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn values(keyed: &Keyed) -> Values {
    let keyed = lock(keyed);
    let value = |value: &[u8]| serde_json::from_slice(value).expect("a program put a number");
    keyed.entries().map(|(key, put)| (String::from_utf8_lossy(key).into_owned(), value(put))).collect()
}
