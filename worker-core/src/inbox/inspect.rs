//! What an inbox tells about itself.

use super::{AckWhen, Inbox};
use crate::status::InboundCounters;
use worker_proto::{Epoch, JournalId, LinkId, Seq};

impl Inbox {
    /// Which link this is.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// The sending task's life, once it has opened the link.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The sending task's journal; 0 before it has opened the link.
    #[must_use]
    pub fn journal(&self) -> JournalId {
        self.journal.unwrap_or_default()
    }

    /// The end's position in the present epoch, once it has come.
    #[must_use]
    pub fn end(&self) -> Option<Seq> {
        self.end
    }

    /// The end has come and everything before it was taken.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.ended && self.queue.is_empty()
    }

    /// The end has come, in this epoch or an earlier one.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// How many pieces are queued: what [`check`](Self::check) takes time for.
    #[cfg(debug_assertions)]
    pub(crate) fn queued_pieces(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits to be taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether it is bound to a connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Bytes of cost that wait to be taken.
    #[must_use]
    pub fn queue_cost(&self) -> u64 {
        self.queue.cost()
    }

    /// Tuples that wait to be taken.
    #[must_use]
    pub fn queued_records(&self) -> u64 {
        self.queue.records()
    }

    /// The first tuple of the present epoch that waits to be taken, or would.
    #[must_use]
    pub fn next_queued(&self) -> Seq {
        let goes_on = self.ack_when == AckWhen::Committed;
        let first = self.queue.iter().find(|piece| goes_on || self.epoch == Some(piece.epoch));
        let behind = || self.end.unwrap_or_else(|| self.received.next());
        first.map_or_else(behind, |piece| piece.first_seq)
    }

    /// What arrived on the present connection, in bytes of cost.
    pub(crate) fn arrived(&self) -> Option<u64> {
        self.window.map(|window| window.used())
    }

    /// Received through, in the present epoch.
    #[must_use]
    pub fn received(&self) -> Seq {
        self.received
    }

    /// Committed through, in the present epoch.
    #[must_use]
    pub fn committed_through(&self) -> Seq {
        self.committed
    }

    /// Finished through, in the present epoch.
    #[must_use]
    pub fn finished_through(&self) -> Seq {
        self.finished
    }

    /// What it has received, what of that came again, and what waits.
    #[must_use]
    pub fn counters(&self) -> InboundCounters {
        InboundCounters {
            records: self.records,
            duplicate_records: self.duplicates,
            queued_records: self.queued_records(),
            queued_bytes: self.queue_cost(),
        }
    }
}
