//! The dead letters of a task, in a file of their own: on stable storage before the commit that has them is appended, and cut by
//! the life that begins to what is committed.

use super::{DiskEntry, TaskDisk};
use crate::sim::check::{Check, Checked, require};
use crate::sim::plan::DiskBug;
use crate::sim::rng::Rng;
use bytes::Bytes;

/// The file.
#[derive(Clone, Debug, Default)]
pub(super) struct Letters {
    records: Vec<Bytes>,
    /// So many are on stable storage.
    synced: usize,
}

impl TaskDisk {
    /// What an entry that is about to be appended has.
    pub(super) fn keep_letters(&mut self, entry: &DiskEntry) {
        let Some(commit) = entry.commit() else { return };
        self.letters.records.extend(commit.dead.iter().map(|letter| letter.record.clone()));
        if self.bug != Some(DiskBug::LettersUnsynced) {
            self.letters.synced = self.letters.records.len();
        }
    }

    /// Power is lost, and with it some of what was not synced.
    pub(super) fn lose_letters(&mut self, rng: &mut Rng) {
        let unsynced = self.letters.records.len() - self.letters.synced;
        if unsynced > 0 {
            self.letters.records.truncate(self.letters.synced + rng.index(unsynced + 1));
        }
    }

    /// A new life finds what is committed, and forgets what is not: it will be written again.
    pub(super) fn recover_letters(&mut self) -> Checked {
        let commits = self.entries.iter().filter_map(DiskEntry::commit);
        let committed: Vec<&Bytes> = commits.flat_map(|c| &c.dead).map(|letter| &letter.record).collect();
        let found = &self.letters.records;
        require(committed.iter().copied().eq(found.iter().take(committed.len())), Check::Letters, || {
            format!("a life finds the letters {found:?}, committed are {committed:?}")
        })?;
        let kept = committed.len();
        if self.bug != Some(DiskBug::LettersNotCut) {
            self.letters.records.truncate(kept);
        }
        self.letters.synced = self.letters.records.len();
        Ok(())
    }

    /// All of them, in order.
    pub(in crate::sim) fn letters(&self) -> &[Bytes] {
        &self.letters.records
    }
}
