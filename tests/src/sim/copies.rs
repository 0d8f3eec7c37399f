//! State directories that are lost, and older copies of them that are put back.

use super::check::Checked;
use super::disk::DiskCopy;
use super::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// Copies of nodes' disks, as a backup makes them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    made: BTreeMap<usize, DiskCopy>,
    /// Nodes that began again from one, or from nothing.
    gone_back: BTreeSet<usize>,
}

impl World {
    pub(super) fn copy_state(&mut self, node: usize) {
        self.copies.made.insert(node, self.disks[node].copy());
    }

    /// The process dies, and what its disk has is the copy, or nothing where none was made.
    pub(super) fn put_copy_back(&mut self, node: usize) -> Checked {
        self.die(node, false, false)?;
        let copy = self.copies.made.remove(&node);
        self.copies.gone_back.insert(node);
        self.disks[node].go_back(copy);
        Ok(())
    }

    /// Somebody's state is not what it was, which has to end a process.
    pub(super) fn has_gone_back(&self) -> bool {
        !self.copies.gone_back.is_empty()
    }
}
