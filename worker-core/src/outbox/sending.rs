//! What is sent next: pulled from the cursor on, within credit.

use super::Outbox;
use crate::fault::Bug;
use worker_proto::limits::FRAME_BYTES_TARGET;
use worker_proto::{Batch, Seq};

/// Tuples pulled to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pulled {
    /// Position of the first record.
    pub first_seq: Seq,
    /// The records.
    pub batch: Batch,
    /// They were sent before.
    pub retry: bool,
}

impl Outbox {
    /// Tuples to send now, at most `cost_max` bytes of cost and never more than credit allows; at least one record where
    /// any credit is left. `None` if there is nothing to send, no credit, or the batch is outside memory.
    pub fn pull(&mut self, cost_max: u64) -> Option<Pulled> {
        let left = self.window?.left();
        if left == 0 || !self.has_tuple() {
            return None;
        }
        let retry = self.cursor < self.sent_max;
        if retry
            && self.planted.is(Bug::RetryThroughBoundedQueue)
            && self.held.costs().memory >= self.memory_max
        {
            return None;
        }
        let held = self.held.get(self.at)?;
        debug_assert!(
            held.first <= self.cursor.next() && self.cursor < held.last(),
            "the cursor is in {held:?}"
        );
        let Some(batch) = held.residence.batch() else {
            self.prefetch();
            return None;
        };
        let first_seq = self.cursor.next();
        let skip = usize::try_from(first_seq.since(held.first)).unwrap_or(usize::MAX);
        let rest = if skip == 0 { batch.clone() } else { batch.slice(skip..batch.len()) };
        let records = rest.fitting(cost_max.min(left)).max(1);
        let batch = if records == rest.len() { rest } else { rest.slice(0..records) };
        self.sent(&batch);
        Some(Pulled { first_seq: Seq(first_seq.0 - self.renumber), batch, retry })
    }

    /// [`pull`](Self::pull) with the size that frames aim at.
    pub fn pull_frame(&mut self) -> Option<Pulled> {
        self.pull(FRAME_BYTES_TARGET as u64)
    }

    /// The end, if it is what comes next on this connection. Needs no credit.
    pub fn pull_end(&mut self) -> Option<Seq> {
        let end = self.end?;
        if self.window?.is_given_up() || self.cancelled || self.cursor.next() != end {
            return None;
        }
        self.cursor = end;
        self.sent_max = self.sent_max.max(end);
        Some(Seq(end.0 - self.renumber))
    }

    fn sent(&mut self, batch: &Batch) {
        let last = self.cursor.plus(batch.len() as u64);
        self.retried += last.min(self.sent_max).since(self.cursor);
        self.cursor = last;
        self.sent_max = self.sent_max.max(last);
        if let Some(window) = &mut self.window {
            window.spend(batch.cost());
        }
        if self.held.get(self.at).is_some_and(|held| held.last() <= last) {
            self.keep_or_drop(self.at);
            self.at += 1;
        }
        self.prefetch();
    }

    pub(super) fn find_cursor(&mut self) {
        let next = self.cursor.next();
        let left = std::mem::replace(&mut self.at, self.held.index_at(next));
        if left != self.at {
            self.keep_or_drop(left);
        }
    }

    pub(super) fn has_tuple(&self) -> bool {
        self.cursor.next() < self.held_next && Some(self.cursor.next()) != self.end
    }
}
