//! Output of a task on its way to the core: routed, and outside memory where it is too much.

mod disk;

pub(super) use disk::Disk;

use super::tap::{Held, Taps};
use crate::child::records::Answers;
use crate::explain::words;
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::Arc;
use worker_core::config::TaskId;
use worker_core::event::{Body, Output, Place};
use worker_core::route::Router;
use worker_proto::Batch;

/// What a dead letter takes beside its texts, in bytes.
const LETTER_BYTES: u64 = 256;

/// How many times its budget an output may hold in memory while the disk is full. What filled the disk may be waiting for
/// this very output to end: then only memory gets both going again.
const FULL_DISK_FACTOR: u64 = 16;

/// Told that there is no room on a disk, and why; with `None`, that there is.
pub type Waits<'a> = &'a dyn Fn(Option<String>);

/// Where an output goes that is too much for memory while it is held.
pub trait Staging: Debug + Send {
    /// Puts a batch outside memory; `None`: there is no room, and it stays where it is. With `waits` it must not: then whoever
    /// prints it waits until there is room, and that is told.
    ///
    /// # Errors
    /// Why it cannot be done at all.
    fn put(&self, batch: &Batch, waits: Option<Waits<'_>>) -> Result<Option<Place>, String>;

    fn discard(&self, place: Place);
}

/// Routes records, and holds an output until it is complete: past `memory_max` bytes, on disk.
#[derive(Debug)]
pub struct Collector {
    router: Router,
    memory_max: u64,
    staging: Box<dyn Staging>,
    held: Output,
    held_bytes: u64,
    dead_bytes: u64,
    task: TaskId,
    taps: Arc<Taps>,
    to_show: Held,
}

impl Collector {
    #[must_use]
    pub fn new(
        task: TaskId,
        router: Router,
        memory_max: u64,
        staging: Box<dyn Staging>,
        taps: Arc<Taps>,
    ) -> Self {
        let (held, to_show) = (Output::default(), Held::default());
        Self { router, memory_max, staging, held, held_bytes: 0, dead_bytes: 0, task, taps, to_show }
    }

    /// Routes records that may go on at once.
    pub fn route(&mut self, batch: Batch) -> Output {
        self.route_given(batch, &[])
    }

    /// Routes what a records child answered.
    pub fn answered(&mut self, answers: Answers) -> Output {
        let Answers { records: _, emitted, keys, changes, dead } = answers;
        let mut output = self.route_given(emitted, &keys);
        output.dead.extend(dead);
        output.position = Some(changes).filter(|changes| !changes.is_empty());
        output
    }

    fn route_given(&mut self, batch: Batch, keys: &[Option<Bytes>]) -> Output {
        let mut output = Output::default();
        let shown = self.taps.is_tapped().then(|| batch.clone());
        self.router.route_given(batch, keys, &mut output);
        if let Some(batch) = shown {
            self.taps.given(self.task, &batch, keys, &output.dead);
        }
        output
    }

    /// Routes records and holds them. `waits` is told that there is no room for them, and why, and when there is.
    ///
    /// # Errors
    /// Why they cannot be held.
    pub fn hold(&mut self, batch: Batch, waits: Waits<'_>) -> Result<(), String> {
        let (from, dead) = (self.held.chunks.len(), self.held.dead.len());
        let shown = self.taps.is_tapped().then(|| batch.clone());
        self.router.route(batch, &mut self.held);
        if let Some(batch) = shown {
            self.to_show.keep(&batch, &self.held.dead[dead..]);
        }
        let letters = self.held.dead[dead..].iter();
        self.dead_bytes +=
            letters.map(|l| (l.record.len() + l.reason.len()) as u64 + LETTER_BYTES).sum::<u64>();
        if self.dead_bytes > self.memory_max {
            let letters = words::records(self.held.dead.len() as u64);
            return Err(format!(
                "{letters} of one output lack their key, too many to hold; first: {}",
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
            match self.staging.put(batch, patient.then_some(waits))? {
                Some(place) => chunk.body = Body::Stored { place, records, cost },
                None => self.held_bytes += cost,
            }
        }
        Ok(())
    }

    /// Gives what was held.
    pub fn take(&mut self) -> Output {
        self.taps.given_at_once(self.task, &mut self.to_show);
        self.forget()
    }

    fn forget(&mut self) -> Output {
        self.to_show = Held::default();
        self.held_bytes = 0;
        self.dead_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// Forgets what was held: the run that printed it failed or was killed.
    pub fn discard(&mut self) {
        for chunk in self.forget().chunks {
            if let Body::Stored { place, .. } = chunk.body {
                self.staging.discard(place);
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.discard();
    }
}
