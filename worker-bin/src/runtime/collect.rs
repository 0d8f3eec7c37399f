//! Output of a task on its way to the core: routed, and outside memory where it is too much.

use super::spill::FULL_DISK_WAIT;
use crate::io::spill::{SpillError, SpillStore};
use crate::pipeline::plan::LocalTask;
use bytes::Bytes;
use std::sync::Arc;
use worker_core::event::{Body, Output, Place};
use worker_core::route::Router;
use worker_proto::Batch;

/// What a dead letter takes beside its texts, in bytes.
const LETTER_BYTES: u64 = 256;

/// How many times its budget an output may hold in memory while the disk is full. What filled the disk may be waiting for
/// this very output to end: then only memory gets both going again.
const FULL_DISK_FACTOR: u64 = 16;

/// Routes records, and holds an output until it is complete: past `memory_max` bytes, on disk.
#[derive(Debug)]
pub(super) struct Collector {
    router: Router,
    memory_max: u64,
    store: Arc<SpillStore>,
    held: Output,
    held_bytes: u64,
    dead_bytes: u64,
}

impl Collector {
    pub(super) fn new(task: &LocalTask, memory_max: u64, store: Arc<SpillStore>) -> Self {
        let router = Router::new(task.edges.clone(), task.terminator_out);
        Self { router, memory_max, store, held: Output::default(), held_bytes: 0, dead_bytes: 0 }
    }

    /// Routes records that may go on at once.
    pub(super) fn route(&mut self, batch: Batch) -> Output {
        let mut output = Output::default();
        self.router.route(batch, &mut output);
        output
    }

    /// The same for records that have their keys beside them.
    pub(super) fn route_given(&mut self, batch: Batch, keys: &[Option<Bytes>]) -> Output {
        let mut output = Output::default();
        self.router.route_given(batch, keys, &mut output);
        output
    }

    /// Routes records and holds them.
    pub(super) fn hold(&mut self, batch: Batch) -> Result<(), String> {
        let (from, dead) = (self.held.chunks.len(), self.held.dead.len());
        self.router.route(batch, &mut self.held);
        let letters = self.held.dead[dead..].iter();
        self.dead_bytes +=
            letters.map(|l| (l.record.len() + l.reason.len()) as u64 + LETTER_BYTES).sum::<u64>();
        if self.dead_bytes > self.memory_max {
            let letters = self.held.dead.len();
            return Err(format!(
                "{letters} records of one output lack their key, too many to hold; first: {}",
                self.held.dead[0].reason
            ));
        }
        for chunk in &mut self.held.chunks[from..] {
            let Body::Memory(batch) = &chunk.body else { continue };
            let (records, cost) = (batch.len() as u64, batch.cost());
            if self.held_bytes + cost <= self.memory_max {
                self.held_bytes += cost;
                continue;
            }
            let patient = self.held_bytes + cost > self.memory_max.saturating_mul(FULL_DISK_FACTOR);
            // On a disk that is slow, other tasks of this thread must not wait.
            match tokio::task::block_in_place(|| store(&self.store, batch, patient))? {
                Some(place) => chunk.body = Body::Stored { place, records, cost },
                None => self.held_bytes += cost,
            }
        }
        Ok(())
    }

    /// Gives what was held.
    pub(super) fn take(&mut self) -> Output {
        self.held_bytes = 0;
        self.dead_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// Forgets what was held: the run that printed it failed or was killed.
    pub(super) fn discard(&mut self) {
        for chunk in self.take().chunks {
            if let Body::Stored { place, .. } = chunk.body {
                self.store.discard(place);
            }
        }
    }
}

/// Puts a batch outside memory. On a full disk it stays in memory (`None`), or, if that would be too much, the task's
/// program waits for room, and nobody else.
fn store(store: &SpillStore, batch: &Batch, patient: bool) -> Result<Option<Place>, String> {
    let mut said = false;
    loop {
        match store.store(batch) {
            Ok(place) => return Ok(Some(place)),
            Err(SpillError::Full { .. }) if !patient => return Ok(None),
            Err(error @ SpillError::Full { .. }) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, "cannot put an output aside; its program waits until it works");
                }
                std::thread::sleep(FULL_DISK_WAIT);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.discard();
    }
}
