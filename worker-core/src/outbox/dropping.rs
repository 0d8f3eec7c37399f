//! What a link that is full does where it is told not to wait: drop what comes, or what has waited longest.
//!
//! Numbers have no gaps for that: what is offered gets its numbers only when it is taken, and where a tuple that was never sent is
//! taken out again, those behind it move up. What was sent once keeps its number and its place, whatever comes.

use super::Outbox;
use super::buffer::{Residence, first_worth};
use crate::config::WhenFull;
use crate::event::Body;
use crate::fault::Bug;
use worker_proto::{Batch, Seq};

/// What became of tuples that were offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offered {
    /// Position of the last of them that was taken, if one was.
    pub last: Option<Seq>,
    /// Tuples that are dropped, of these or of those before.
    pub dropped: u64,
    /// So many tuples behind that position were taken out: what lay behind them has moved up.
    pub taken_out: Option<(Seq, u64)>,
}

impl Outbox {
    /// An outbox that never makes anybody wait: what has no room in `memory_max` bytes is dropped.
    #[must_use]
    pub fn dropping(memory_max: u64, when_full: WhenFull) -> Self {
        Self { when_full, ..Self::new(memory_max) }
    }

    /// Whether it drops what it has no room for.
    #[must_use]
    pub fn drops(&self) -> bool {
        self.when_full != WhenFull::Wait
    }

    /// Tuples that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes of unacknowledged tuples, wherever they are.
    pub(super) fn held_cost(&self) -> u64 {
        self.memory_cost() + self.stored_cost()
    }

    /// Takes tuples that have no numbers yet and may leave at once; drops what has no room.
    pub fn offer(&mut self, body: Body) -> Offered {
        debug_assert!(self.next == self.held_next, "numbers are given when tuples are taken: {self:?}");
        let offered = body.records();
        let mut result = Offered::default();
        if self.cancelled {
            self.assign(&body);
            self.push_assigned(body);
            return result;
        }
        let missing = (self.held_cost() + body.cost()).saturating_sub(self.memory_max);
        if self.when_full == WhenFull::DropOldest && missing > 0 {
            result.taken_out = self.take_out_oldest(missing);
        }
        let taken = self.fitting(body);
        let records = taken.as_ref().map_or(0, Body::records);
        let oldest = result.taken_out.map_or(0, |(_, records)| records);
        result.dropped = offered - records + oldest;
        self.dropped += if self.planted.is(Bug::DropsUncounted) { oldest } else { result.dropped };
        if let Some(body) = taken {
            self.assign(&body);
            self.push_assigned(body);
            result.last = Some(self.held_next.before());
        }
        result
    }

    /// Drops what was never sent, from the oldest on, until so much is free or there is none.
    fn take_out_oldest(&mut self, cost_min: u64) -> Option<(Seq, u64)> {
        let from = self.never_sent();
        let taken = self.held.take_out(from, cost_min);
        taken.places.into_iter().for_each(|place| self.backing.discard(place));
        if taken.records == 0 {
            return None;
        }
        // What was sent of the first batch stands alone now, and may be acknowledged.
        while self.held.pop_through(self.through).is_some() {}
        self.records -= taken.records;
        self.held_next = Seq(self.held_next.0 - taken.records);
        self.next = self.held_next;
        self.at = self.held.index_at(self.cursor.next());
        Some((from.before(), taken.records))
    }

    /// The first tuple that was never sent, and is neither on its way to the outside nor back.
    fn never_sent(&self) -> Seq {
        let sent =
            if self.planted.is(Bug::DropsSent) { self.through } else { self.sent_max.max(self.cursor) };
        let mut from = sent.next();
        for held in (self.held.index_at(from)..self.held.len()).filter_map(|at| self.held.get(at)) {
            let stays = match held.residence {
                Residence::Memory(_) => false,
                Residence::Stored(_) => held.first < from,
                Residence::Storing(_) | Residence::Loading(_) | Residence::Copied(..) => true,
            };
            if stays {
                from = held.last().next();
            }
        }
        from
    }

    /// What of this has room: of what comes the first where the newest is dropped, and else the last. One tuple always has, where
    /// nothing is held.
    fn fitting(&mut self, body: Body) -> Option<Body> {
        let room = self.memory_max.saturating_sub(self.held_cost());
        if body.cost() <= room {
            return Some(body);
        }
        let is_alone = self.held.is_empty();
        match body {
            Body::Stored { .. } if is_alone => Some(body),
            Body::Stored { place, .. } => {
                self.backing.discard(place);
                None
            }
            Body::Memory(batch) => self.part(&batch, room, is_alone).map(Body::Memory),
        }
    }

    fn part(&self, batch: &Batch, room: u64, is_alone: bool) -> Option<Batch> {
        let least = usize::from(is_alone);
        let part = match self.when_full {
            WhenFull::DropOldest => {
                let over = first_worth(batch, batch.cost().saturating_sub(room));
                batch.slice(over.min(batch.len() - least)..batch.len())
            }
            WhenFull::Wait | WhenFull::DropNewest => batch.slice(0..batch.fitting(room).max(least)),
        };
        (!part.is_empty()).then(|| part.compact())
    }
}

#[cfg(test)]
mod tests;
