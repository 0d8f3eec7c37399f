//! What a disk has, set aside and put back.

use super::{Disk, DiskEntry, Epoch, JournalId, NodeIx, PeerState, TaskDisk, keyed, letters};
use bytes::Bytes;
use std::collections::BTreeMap;
use worker_core::config::TaskId;

/// So far are the numbers of journals apart that are made anew.
const NEW_JOURNAL: u64 = 1_000;

/// What a disk had at some time.
#[derive(Debug)]
pub(in crate::sim) struct DiskCopy {
    tasks: BTreeMap<TaskId, TaskCopy>,
    peers: BTreeMap<NodeIx, PeerState>,
}

#[derive(Debug)]
struct TaskCopy {
    id: JournalId,
    epoch: Epoch,
    entries: Vec<DiskEntry>,
    file: Vec<Bytes>,
    letters: letters::Letters,
}

impl Disk {
    pub(in crate::sim) fn copy(&self) -> DiskCopy {
        DiskCopy {
            tasks: self.tasks.iter().map(|(&task, disk)| (task, disk.copy())).collect(),
            peers: self.peers.clone(),
        }
    }

    /// What it had when the copy was made, or nothing at all.
    pub(in crate::sim) fn go_back(&mut self, copy: Option<DiskCopy>) {
        let DiskCopy { mut tasks, peers } =
            copy.unwrap_or(DiskCopy { tasks: BTreeMap::new(), peers: BTreeMap::new() });
        self.peers = peers;
        for (task, disk) in &mut self.tasks {
            disk.go_back(tasks.remove(task));
        }
    }
}

impl TaskDisk {
    fn copy(&self) -> TaskCopy {
        TaskCopy {
            id: self.id,
            epoch: self.epoch,
            entries: self.entries.clone(),
            file: self.file.clone(),
            letters: self.letters.clone(),
        }
    }

    fn go_back(&mut self, copy: Option<TaskCopy>) {
        let copy = copy.unwrap_or_else(|| TaskCopy {
            id: JournalId(self.id.0 + NEW_JOURNAL),
            epoch: Epoch(0),
            entries: Vec::new(),
            file: Vec::new(),
            letters: letters::Letters::default(),
        });
        *self = Self {
            keyed: self.keyed.as_ref().map(|_| keyed::no_state()),
            bug: self.bug,
            epoch: copy.epoch,
            asked: vec![0; copy.entries.len()],
            durable: copy.entries.len(),
            told: copy.entries.len(),
            entries: copy.entries,
            file_synced: copy.file.len(),
            file: copy.file,
            letters: copy.letters,
            ..Self::new(copy.id, std::mem::take(&mut self.outputs))
        };
    }
}
