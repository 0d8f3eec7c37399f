//! The batches of an outbox that are not acknowledged, and what they cost by where they are.

use crate::check::{Inconsistency, rule, same};
use crate::event::Place;
use std::collections::VecDeque;
use worker_proto::{Batch, Seq};

/// Consecutive tuples that are held together.
#[derive(Debug)]
pub(super) struct HeldBatch {
    pub(super) first: Seq,
    pub(super) records: u64,
    pub(super) cost: u64,
    /// So many of the tuples are no records.
    pub(super) boundaries: u64,
    pub(super) residence: Residence,
}

/// Where a batch is.
#[derive(Debug)]
pub(super) enum Residence {
    Memory(Batch),
    Storing(Batch),
    Stored(Place),
    Loading(Place),
    /// Got back past the budget because it is what is sent next: it stays outside too, so that its copy can be dropped.
    Copied(Batch, Place),
}

/// The batches in order, and the sums of their costs: every change of either is made here.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    batches: VecDeque<HeldBatch>,
    costs: Costs,
    boundaries: u64,
}

/// What was taken out.
#[derive(Debug, Default)]
pub(super) struct TakenOut {
    pub(super) records: u64,
    pub(super) cost: u64,
    /// Where what of it was outside can be forgotten.
    pub(super) places: Vec<Place>,
}

/// How many of the first records are worth at least so much; all, if they are not.
pub(super) fn first_worth(batch: &Batch, cost: u64) -> usize {
    let fits = batch.fitting(cost);
    let short = fits < batch.len() && batch.slice(0..fits).cost() < cost;
    fits + usize::from(short)
}

/// In bytes, by where the batches are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Costs {
    /// In memory, and to stay there.
    pub(super) memory: u64,
    /// On their way out of memory.
    pub(super) storing: u64,
    /// Outside, those on their way back included.
    pub(super) stored: u64,
}

impl HeldBatch {
    pub(super) fn last(&self) -> Seq {
        self.first.plus(self.records).before()
    }
}

impl Residence {
    /// The records, while they are in memory.
    pub(super) fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Memory(batch) | Self::Storing(batch) | Self::Copied(batch, _) => Some(batch),
            Self::Stored(_) | Self::Loading(_) => None,
        }
    }
}

impl Costs {
    /// The sum that a batch counts in.
    fn of(&mut self, residence: &Residence) -> &mut u64 {
        match residence {
            Residence::Memory(_) | Residence::Copied(..) => &mut self.memory,
            Residence::Storing(_) => &mut self.storing,
            Residence::Stored(_) | Residence::Loading(_) => &mut self.stored,
        }
    }
}

impl SendBuffer {
    pub(super) fn costs(&self) -> Costs {
        self.costs
    }

    /// How many of the tuples are no records.
    pub(super) fn boundaries(&self) -> u64 {
        self.boundaries
    }

    /// Whether some batch is outside memory, or on its way there.
    pub(super) fn any_outside(&self) -> bool {
        self.costs.storing + self.costs.stored > 0
    }

    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn get(&self, at: usize) -> Option<&HeldBatch> {
        self.batches.get(at)
    }

    pub(super) fn last(&self) -> Option<&HeldBatch> {
        self.batches.back()
    }

    /// Index of the batch that begins with `first`.
    pub(super) fn index_of(&self, first: Seq) -> Option<usize> {
        self.batches.binary_search_by_key(&first, |held| held.first).ok()
    }

    /// Index of the batch that has `seq`, or would have it.
    pub(super) fn index_at(&self, seq: Seq) -> usize {
        self.batches.partition_point(|held| held.last() < seq)
    }

    pub(super) fn push(&mut self, held: HeldBatch) {
        debug_assert!(held.records > 0, "a batch has records: {held:?}");
        debug_assert!(
            self.last().is_none_or(|last| last.last().next() == held.first),
            "pushes are in order: {held:?} behind {:?}",
            self.last()
        );
        *self.costs.of(&held.residence) += held.cost;
        self.boundaries += held.boundaries;
        self.batches.push_back(held);
    }

    /// Adds records to the last batch, which is in memory.
    pub(super) fn join_last(&mut self, more: &Batch) {
        let Some(last) = self.batches.back_mut() else { return };
        let Residence::Memory(batch) = &mut last.residence else { return };
        *batch = batch.joined(more);
        last.records += more.len() as u64;
        last.boundaries += more.boundaries();
        self.boundaries += more.boundaries();
        last.cost += more.cost();
        self.costs.memory += more.cost();
    }

    /// Takes the first batch if it ends at or before `through`.
    pub(super) fn pop_through(&mut self, through: Seq) -> Option<HeldBatch> {
        self.batches.front().filter(|held| held.last() <= through)?;
        let held = self.batches.pop_front()?;
        self.boundaries -= held.boundaries;
        *self.costs.of(&held.residence) -= held.cost;
        Some(held)
    }

    /// Takes out tuples from `from` on, until they cost at least `cost_min` or there are none; those behind them get their numbers.
    /// Of what is at or behind `from` nothing is on its way to or from the outside.
    pub(super) fn take_out(&mut self, from: Seq, cost_min: u64) -> TakenOut {
        let at = self.index_at(from);
        let mut taken = TakenOut::default();
        let Some(mut next) = self.get(at).map(|held| held.first) else { return taken };
        for held in self.batches.split_off(at) {
            *self.costs.of(&held.residence) -= held.cost;
            self.boundaries -= held.boundaries;
            let sent = usize::try_from(from.since(held.first)).unwrap_or(usize::MAX);
            let mut left = |buffer: &mut Self, cost, residence, records: u64| {
                // Who drops keeps no order, and so has no boundaries.
                buffer.push(HeldBatch { first: next, records, cost, boundaries: 0, residence });
                next = next.plus(records);
            };
            match held.residence {
                Residence::Memory(batch) if taken.cost < cost_min && batch.len() > sent => {
                    let unsent = batch.slice(sent..batch.len());
                    let out = first_worth(&unsent, cost_min - taken.cost);
                    let kept = [batch.slice(0..sent), unsent.slice(out..unsent.len())];
                    for part in kept.into_iter().filter(|part| !part.is_empty()) {
                        // What is taken out must not stay in memory with what is left of its batch.
                        let part = if part.cost() < batch.cost() / 2 { part.compact() } else { part };
                        left(self, part.cost(), Residence::Memory(part.clone()), part.len() as u64);
                    }
                    taken.records += out as u64;
                    taken.cost += unsent.slice(0..out).cost();
                }
                Residence::Stored(place) if taken.cost < cost_min && sent == 0 => {
                    taken.places.push(place);
                    taken.records += held.records;
                    taken.cost += held.cost;
                }
                residence @ (Residence::Memory(_)
                | Residence::Storing(_)
                | Residence::Stored(_)
                | Residence::Loading(_)
                | Residence::Copied(..)) => left(self, held.cost, residence, held.records),
            }
        }
        taken
    }

    /// A batch is somewhere else from now on.
    pub(super) fn put(&mut self, at: usize, residence: Residence) {
        let held = &mut self.batches[at];
        *self.costs.of(&held.residence) -= held.cost;
        *self.costs.of(&residence) += held.cost;
        held.residence = residence;
    }

    /// A batch costs something else: what was read back begins behind what is acknowledged.
    pub(super) fn set_cost(&mut self, at: usize, cost: u64, boundaries: u64) {
        let held = &mut self.batches[at];
        self.boundaries = self.boundaries - held.boundaries + boundaries;
        held.boundaries = boundaries;
        let sum = self.costs.of(&held.residence);
        *sum = *sum - held.cost + cost;
        held.cost = cost;
    }

    /// Leaves out of a batch what is acknowledged: it is not read back. What it costs is known only when it was.
    pub(super) fn begin_behind(&mut self, at: usize, through: Seq) {
        let held = &mut self.batches[at];
        debug_assert!(held.last() > through, "what is acknowledged as a whole is not held: {held:?}");
        let skip = through.next().since(held.first);
        held.first = held.first.plus(skip);
        held.records -= skip;
    }

    /// Counts everything again.
    pub(super) fn check(&self) -> Result<(), Inconsistency> {
        let mut counted = Costs::default();
        let (mut next, mut boundaries) = (None, 0);
        for held in &self.batches {
            *counted.of(&held.residence) += held.cost;
            let in_order = next.is_none_or(|next| next == held.first) && held.records > 0;
            rule("numbers without a gap", in_order, || format!("{held:?}, expected {next:?}"))?;
            next = Some(held.last().next());
            boundaries += held.boundaries;
            if let Some(batch) = held.residence.batch() {
                same("boundaries of a batch", held.boundaries, batch.boundaries())?;
                same("records of a batch", held.records, batch.len() as u64)?;
                same("cost of a batch", held.cost, batch.cost())?;
            }
        }
        same("boundaries", self.boundaries, boundaries)?;
        same("memory_cost", self.costs.memory, counted.memory)?;
        same("storing_cost", self.costs.storing, counted.storing)?;
        same("stored_cost", self.costs.stored, counted.stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn held(first: u64, residence: Residence) -> HeldBatch {
        HeldBatch { first: Seq(first), records: 2, cost: 12, boundaries: 0, residence }
    }

    /// A batch in memory, one on its way out and two outside, of two tuples each.
    fn of_four() -> SendBuffer {
        let batch = Batch::from_terminated(Bytes::from_static(b"a\nb\n"), b'\n');
        let mut buffer = SendBuffer::default();
        buffer.push(held(1, Residence::Memory(batch.clone())));
        buffer.push(held(3, Residence::Storing(batch)));
        buffer.push(held(5, Residence::Stored(Place(1))));
        buffer.push(held(7, Residence::Loading(Place(2))));
        assert_eq!((buffer.check(), buffer.costs), (Ok(()), Costs { memory: 12, storing: 12, stored: 24 }));
        buffer
    }

    #[test]
    fn says_which_sum_is_wrong() {
        type Spoil = fn(&mut SendBuffer);
        let wrong: [(&str, Spoil); 7] = [
            ("memory_cost", |b| b.costs.memory -= 1),
            ("storing_cost", |b| b.costs.storing = 0),
            ("stored_cost", |b| b.costs.stored += 12),
            ("stored_cost", |b| drop(b.batches.pop_back())),
            ("numbers without a gap", |b| drop(b.batches.remove(1))),
            ("records of a batch", |b| (b.batches[0].first, b.batches[0].records) = (Seq(2), 1)),
            ("cost of a batch", |b| b.batches[0].cost = 6),
        ];
        for (what, spoil) in wrong {
            let mut buffer = of_four();
            spoil(&mut buffer);
            assert_eq!(buffer.check().map_err(|e| e.what()), Err(what));
        }
    }

    #[test]
    fn a_batch_counts_where_it_is() {
        let mut buffer = of_four();
        let batch = buffer.get(1).and_then(|held| held.residence.batch()).cloned().unwrap();
        buffer.put(1, Residence::Stored(Place(3)));
        buffer.put(2, Residence::Copied(batch, Place(1)));
        assert_eq!((buffer.check(), buffer.costs), (Ok(()), Costs { memory: 24, storing: 0, stored: 24 }));
        while buffer.pop_through(Seq(7)).is_some() {}
        buffer.begin_behind(0, Seq(7));
        buffer.set_cost(0, 6, 0);
        assert_eq!((buffer.check(), buffer.costs), (Ok(()), Costs { memory: 0, storing: 0, stored: 6 }));
        while buffer.pop_through(Seq(8)).is_some() {}
        assert_eq!((buffer.check(), buffer.costs), (Ok(()), Costs::default()));
    }
}
