//! What a driver keeps outside memory: batches stored for the core, and staged ones.

use super::{Driver, Later};
use crate::sim::check::{Check, Checked, Violation, require};
use crate::sim::rng::Rng;
use worker_core::event::{Body, Event, LinkEvent, Output, Place};
use worker_proto::{Batch, LinkId, Seq};

impl Driver {
    /// Puts some chunks of an output in the store, as a driver does with what is too large for memory; gives their bytes.
    pub(in crate::sim) fn prestore(
        &mut self,
        output: &mut Output,
        percent: u64,
        rng: &mut Rng,
    ) -> Vec<(LinkId, Batch)> {
        let mut records = Vec::new();
        for chunk in &mut output.chunks {
            let Body::Memory(batch) = &chunk.body else { continue };
            let batch = batch.clone();
            records.push((chunk.link, batch.clone()));
            if rng.chance(percent) {
                let (count, cost) = (batch.len() as u64, batch.cost());
                chunk.body = Body::Stored { place: self.put(batch), records: count, cost };
            }
        }
        records
    }

    fn put(&mut self, batch: Batch) -> Place {
        self.places += 1;
        self.store.insert(Place(self.places), batch);
        Place(self.places)
    }

    /// The records of a chunk, wherever they are.
    pub(in crate::sim) fn records_of(&self, body: &Body) -> Checked<Batch> {
        match body {
            Body::Memory(batch) => Ok(batch.clone()),
            Body::Stored { place, .. } => self.get(*place),
        }
    }

    fn get(&self, place: Place) -> Checked<Batch> {
        self.store
            .get(&place)
            .cloned()
            .ok_or_else(|| Violation::new(Check::Store, format!("nothing is stored at {}", place.0)))
    }

    pub(in crate::sim) fn store(&mut self, at: u64, link: LinkId, first_seq: Seq, batch: Batch) -> Later {
        let place = self.put(batch);
        *self.moving.entry(link).or_default() += 1;
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
        *self.moving.entry(link).or_default() += 1;
        Ok(Later::of_node(at, Event::Link(link, LinkEvent::Loaded { first_seq, batch })))
    }

    /// A store or a load is done.
    pub(in crate::sim) fn moved(&mut self, link: LinkId) {
        *self.moving.entry(link).or_default() -= 1;
    }

    pub(in crate::sim) fn is_moving(&self, link: LinkId) -> bool {
        self.moving.get(&link).is_some_and(|&count| count > 0)
    }

    /// A load from a journal begins.
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
        let known = self.store.remove(&place).is_some();
        require(known, Check::Store, || format!("what is stored at {} was forgotten twice", place.0))
    }

    /// How many batches are stored.
    pub(in crate::sim) fn stored_count(&self) -> usize {
        self.store.len()
    }

    /// How many batches are stored that the core was told of.
    pub(in crate::sim) fn left_behind(&self) -> usize {
        let moving: u64 = self.moving.values().sum();
        self.store.len().saturating_sub(usize::try_from(moving).expect("few"))
    }
}
