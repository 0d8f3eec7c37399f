//! What an outbox tells about itself.

use super::Outbox;
use crate::status::LinkCounters;
use worker_proto::Seq;

impl Outbox {
    /// Whether [`pull`](Self::pull) or [`pull_end`](Self::pull_end) may give something now.
    #[must_use]
    pub fn is_sendable(&self) -> bool {
        let Some(window) = self.window else { return false };
        let next = self.cursor.next();
        if self.cancelled || window.is_given_up() || next >= self.held_next {
            return false;
        }
        if Some(next) == self.end {
            return true;
        }
        window.left() > 0 && self.held.get(self.at).is_some_and(|held| held.residence.batch().is_some())
    }

    /// The first tuple a receiver must still be given: all before it were acknowledged.
    #[must_use]
    pub fn first_unacked(&self) -> Seq {
        match self.end {
            Some(end) if self.finished < end => self.through.next().min(end),
            Some(_) | None => self.through.next(),
        }
    }

    /// The number the next pushed tuple will have.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.held_next
    }

    /// The number the next tuple will be [assigned](Outbox::assign).
    pub(crate) fn next_assigned(&self) -> Seq {
        self.next
    }

    /// What was sent on the present connection, in bytes of cost.
    pub(crate) fn spent(&self) -> Option<u64> {
        self.window.map(|window| window.used())
    }

    /// Acknowledged through.
    #[must_use]
    pub fn through(&self) -> Seq {
        self.through
    }

    /// Effects done through.
    #[must_use]
    pub fn finished(&self) -> Seq {
        self.finished
    }

    /// Sent through, on this connection.
    #[must_use]
    pub fn cursor(&self) -> Seq {
        self.cursor
    }

    /// The end's number, once it is known.
    #[must_use]
    pub fn ended(&self) -> Option<Seq> {
        self.end
    }

    /// Whether everything, the end included, is finished or cancelled.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end.is_some_and(|end| self.finished >= end)
    }

    /// Whether any tuple has ever left.
    pub(crate) fn was_sent(&self) -> bool {
        self.sent_max > Seq::ZERO
    }

    /// Whether the receiver cancelled the link.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// How many batches are held: what [`check`](Self::check) takes time for.
    #[cfg(debug_assertions)]
    pub(crate) fn held_batches(&self) -> usize {
        self.held.len()
    }

    /// Whether every tuple pushed so far was acknowledged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether a receiver has opened the link on a living connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Whether a receiver has opened the link in this life.
    pub(crate) fn was_open(&self) -> bool {
        self.was_open
    }

    /// Whether the receiver's credit is used up while tuples wait.
    #[must_use]
    pub fn waits_for_credit(&self) -> bool {
        self.window.is_some_and(|w| w.left() == 0) && self.has_tuple()
    }

    /// Bytes of unacknowledged tuples in memory, those on their way out of it included.
    #[must_use]
    pub fn memory_cost(&self) -> u64 {
        self.held.costs().memory + self.held.costs().storing
    }

    /// Bytes on their way out of memory.
    #[must_use]
    pub fn storing_cost(&self) -> u64 {
        self.held.costs().storing
    }

    /// Bytes of unacknowledged tuples outside memory.
    #[must_use]
    pub fn stored_cost(&self) -> u64 {
        self.held.costs().stored
    }

    /// Bytes of tuples that are not acknowledged, those that may not leave yet included.
    pub(crate) fn waiting_cost(&self) -> u64 {
        self.assigned_cost + self.held_cost()
    }

    /// Tuples held: pushed and not acknowledged.
    #[must_use]
    pub fn held_records(&self) -> u64 {
        let end = u64::from(self.end.is_some());
        self.held_next.before().since(self.through).saturating_sub(end)
    }

    /// Tuples sent on this connection and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.cursor.since(self.through).min(self.held_records())
    }

    /// Records held that were not sent on this connection.
    #[must_use]
    pub fn unsent_records(&self) -> u64 {
        (self.held_records() - self.in_flight()).saturating_sub(self.held_boundaries())
    }

    /// How many of the tuples held are no records.
    fn held_boundaries(&self) -> u64 {
        self.held.boundaries().min(self.held_records())
    }

    /// Everything held was sent, and is not acknowledged.
    #[must_use]
    pub fn waits_for_acknowledgement(&self) -> bool {
        self.is_open() && !self.has_tuple() && self.held_records() > 0
    }

    /// Credit left, in bytes; `None` while no receiver takes tuples.
    #[must_use]
    pub fn credit_left(&self) -> Option<u64> {
        self.window.map(|window| window.left())
    }

    /// Tuples acknowledged in this life.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        (self.records + self.restored).saturating_sub(self.held_records() - self.held_boundaries())
    }

    /// What it was given, what became of it, and what it holds.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        LinkCounters {
            records: self.records,
            acknowledged_records: self.acknowledged(),
            held_records: self.held_records() - self.held_boundaries(),
            memory_bytes: self.memory_cost(),
            spilled_bytes: self.stored_cost(),
            in_flight_records: self.in_flight(),
            retried_records: self.retried,
            dropped_records: self.dropped,
            credit_bytes: self.credit_left(),
        }
    }
}
