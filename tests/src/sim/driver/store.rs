//! What a driver keeps outside memory: batches stored for the core, and staged ones.

use super::{Driver, Later};
use crate::sim::check::{Check, Checked, Violation, require};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use worker_bin::runtime::parts::{Staging, Waits};
use worker_core::event::{Body, Event, LinkEvent, Output, Place};
use worker_proto::{Batch, LinkId, Seq};

/// A disk for outputs, shared by the tasks of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Store(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    batches: BTreeMap<Place, Batch>,
    places: u64,
    full: bool,
    /// The first place that was forgotten and had nothing.
    unknown: Option<Place>,
}

impl Store {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, batch: Batch) -> Place {
        let mut stored = self.stored();
        stored.places += 1;
        let place = Place(stored.places);
        stored.batches.insert(place, batch);
        place
    }
}

impl Staging for Store {
    /// What must not stay in memory has waited for its room.
    fn put(&self, batch: &Batch, waits: Option<Waits<'_>>) -> Result<Option<Place>, String> {
        if self.stored().full && waits.is_none() {
            return Ok(None);
        }
        Ok(Some(self.keep(batch.clone())))
    }

    fn discard(&self, place: Place) {
        let mut stored = self.stored();
        if stored.batches.remove(&place).is_none() {
            stored.unknown.get_or_insert(place);
        }
    }
}

impl Driver {
    /// The records of an output by link, wherever they are.
    pub(in crate::sim) fn records_in(&self, output: &Output) -> Checked<Vec<(LinkId, Batch)>> {
        output.chunks.iter().map(|chunk| Ok((chunk.link, self.records_of(&chunk.body)?))).collect()
    }

    /// The records of a chunk, wherever they are.
    pub(in crate::sim) fn records_of(&self, body: &Body) -> Checked<Batch> {
        match body {
            Body::Memory(batch) => Ok(batch.clone()),
            Body::Stored { place, .. } => self.get(*place),
        }
    }

    fn get(&self, place: Place) -> Checked<Batch> {
        let found = self.store.stored().batches.get(&place).cloned();
        found.ok_or_else(|| Violation::new(Check::Store, format!("nothing is stored at {}", place.0)))
    }

    pub(in crate::sim) fn store(&mut self, at: u64, link: LinkId, first_seq: Seq, batch: Batch) -> Later {
        let place = self.store.keep(batch);
        self.moves(link);
        Later::of_node(at, Event::Link(link, LinkEvent::Stored { first_seq, place }))
    }

    pub(in crate::sim) fn load(
        &mut self,
        at: u64,
        link: LinkId,
        first_seq: Seq,
        place: Place,
    ) -> Checked<Later> {
        let batch = self.get(place)?;
        self.moves(link);
        Ok(Later::of_node(at, Event::Link(link, LinkEvent::Loaded { first_seq, batch })))
    }

    /// A store or a load is done.
    pub(in crate::sim) fn moved(&mut self, link: LinkId) {
        *self.moving.entry(link).or_default() -= 1;
    }

    pub(in crate::sim) fn is_moving(&self, link: LinkId) -> bool {
        self.moving.get(&link).is_some_and(|&count| count > 0)
    }

    /// A store or a load begins.
    pub(in crate::sim) fn moves(&mut self, link: LinkId) {
        *self.moving.entry(link).or_default() += 1;
    }

    /// A chunk that goes into a journal: what was staged of it is the journal's now.
    pub(in crate::sim) fn unstage(&mut self, body: &Body) -> Checked<Batch> {
        let batch = self.records_of(body)?;
        if let Body::Stored { place, .. } = body {
            self.discard(*place)?;
        }
        Ok(batch)
    }

    pub(in crate::sim) fn discard(&mut self, place: Place) -> Checked {
        self.store.discard(place);
        let unknown = self.store.stored().unknown;
        require(unknown.is_none(), Check::Store, || {
            format!("what is stored at {unknown:?} was forgotten twice")
        })
    }

    pub(in crate::sim) fn disk_full(&mut self, full: bool) {
        self.store.stored().full = full;
    }

    /// How many batches are stored.
    pub(in crate::sim) fn stored_count(&self) -> usize {
        self.store.stored().batches.len()
    }

    /// How many batches are stored that the core was told of.
    pub(in crate::sim) fn left_behind(&self) -> usize {
        let moving: u64 = self.moving.values().sum();
        self.stored_count().saturating_sub(usize::try_from(moving).expect("few"))
    }
}
