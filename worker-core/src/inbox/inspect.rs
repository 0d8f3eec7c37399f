//! What an inbox tells about itself.

use super::Inbox;
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

    /// Tuples received that were new.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Tuples received again and dropped.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }
}
