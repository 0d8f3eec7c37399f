//! Tuples in order, with the sums of what they hold.

use crate::check::{Inconsistency, rule, same};
use std::collections::VecDeque;
use worker_proto::{Batch, Epoch, LinkId, Seq};

/// Pieces up to this cost together, in bytes, are joined while they wait.
const SMALL_BYTES: u64 = 4 * 1024;

/// Consecutive tuples of a link.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Which link.
    pub link: LinkId,
    /// Life of the sending task.
    pub epoch: Epoch,
    /// Position of the first record.
    pub first_seq: Seq,
    /// The records.
    pub batch: Batch,
}

impl Piece {
    /// Position of the last record.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.first_seq.plus(self.batch.len() as u64).before()
    }
}

/// A queue of pieces that counts what is in it: every change of either is made here.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    queue: VecDeque<Piece>,
    records: u64,
    cost: u64,
}

impl Pieces {
    /// How many records.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Their cost, in bytes.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    #[cfg(debug_assertions)]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn front(&self) -> Option<&Piece> {
        self.queue.front()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.queue.iter()
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        self.count(&piece);
        self.queue.push_back(piece);
    }

    /// Puts a piece before all others.
    pub(crate) fn push_front(&mut self, piece: Piece) {
        self.count(&piece);
        self.queue.push_front(piece);
    }

    /// Joins a small piece to a small one before it: many single records would otherwise take far more memory than they are
    /// counted with.
    pub(crate) fn push_joined(&mut self, piece: Piece) {
        let joins = |last: &&mut Piece| {
            last.epoch == piece.epoch
                && last.last_seq().next() == piece.first_seq
                && last.batch.cost() + piece.batch.cost() <= SMALL_BYTES
        };
        match self.queue.back_mut().filter(joins) {
            Some(last) => {
                last.batch = last.batch.joined(&piece.batch);
                self.count(&piece);
            }
            None => self.push(piece),
        }
    }

    /// Takes from the front: at most `cost_max` bytes and `records_max` records of one piece, at least one record if both are
    /// not 0 and there is any.
    pub(crate) fn take(&mut self, cost_max: u64, records_max: u64) -> Option<Piece> {
        let front = self.queue.front_mut()?;
        if cost_max == 0 || records_max == 0 {
            return None;
        }
        let limit = usize::try_from(records_max).unwrap_or(usize::MAX);
        let limit = limit.min(front.batch.before_boundary().unwrap_or(usize::MAX));
        if limit == 0 {
            return None;
        }
        let records = front.batch.fitting(cost_max).clamp(1, limit);
        self.take_first(records)
    }

    /// Takes the boundary that comes next, if one does.
    pub(crate) fn take_boundary(&mut self) -> Option<Piece> {
        self.front().filter(|piece| piece.batch.before_boundary() == Some(0))?;
        self.take_first(1)
    }

    /// Takes so many tuples of the first piece.
    fn take_first(&mut self, tuples: usize) -> Option<Piece> {
        let front = self.queue.front_mut()?;
        let piece = if tuples >= front.batch.len() {
            self.queue.pop_front()?
        } else {
            let taken = Piece { batch: front.batch.slice(0..tuples), ..front.clone() };
            front.batch = front.batch.slice(tuples..front.batch.len());
            front.first_seq = front.first_seq.plus(tuples as u64);
            taken
        };
        debug_assert!(!piece.batch.is_empty(), "a piece has tuples: {piece:?}");
        self.records -= piece.batch.records();
        self.cost -= piece.batch.cost();
        Some(piece)
    }

    /// Puts everything of `others` before what is here.
    pub(crate) fn put_back(&mut self, mut others: Pieces) {
        std::mem::swap(self, &mut others);
        self.records += others.records;
        self.cost += others.cost;
        self.queue.append(&mut others.queue);
    }

    fn count(&mut self, piece: &Piece) {
        debug_assert!(!piece.batch.is_empty(), "a piece has tuples: {piece:?}");
        self.records += piece.batch.records();
        self.cost += piece.batch.cost();
    }

    /// Counts everything again.
    pub(crate) fn check(&self) -> Result<(), Inconsistency> {
        let empty = self.queue.iter().find(|piece| piece.batch.is_empty());
        rule("a piece has tuples", empty.is_none(), || format!("{empty:?}"))?;
        same("queued records", self.records, self.queue.iter().map(|p| p.batch.records()).sum())?;
        same("queue_cost", self.cost, self.queue.iter().map(|p| p.batch.cost()).sum())
    }
}

impl<'a> IntoIterator for &'a Pieces {
    type Item = &'a Piece;
    type IntoIter = std::collections::vec_deque::Iter<'a, Piece>;

    fn into_iter(self) -> Self::IntoIter {
        self.queue.iter()
    }
}
