//! The sending end of a link.
//!
//! States of a tuple: *assigned* (has a number, not durable yet) → *held* (pushed: in memory or stored outside) → *sent*
//! (the cursor is past it) → *acknowledged* (released) → *finished* (its effects are done). States of the outbox:
//!
//! ```text
//!   unbound ──open(Opened)──▶ open ──unbind()──▶ unbound      any ──cancel()──▶ cancelled
//! ```
//!
//! A retry is no event: losing a connection puts the cursor back to what the receiver says it has, and the tuples behind
//! it, which never left, are pulled again before any fresh one. Nothing is enqueued and nothing waits for room.
//!
//! With a journal ([`Outbox::restore`]) every tuple that is pushed can be read back: what is past the budget is dropped from memory,
//! and acknowledged is finished.
//!
//! Limits: `memory_max` bytes in memory (one entry more if it is empty), then entries are stored outside; the owner stops
//! producing by looking at [`Outbox::stored_cost`]. Past that there are only the entry at the cursor, which is read back to be
//! sent and dropped once it was, however much credit there is; and the last one while it is small, up to a quarter of
//! `memory_max`. An outbox never refuses a push: what was produced has a place.
//!
//! An outbox that drops ([`Outbox::dropping`]) is [offered](Outbox::offer) tuples that have no numbers yet, stores nothing outside, and
//! never holds more than `memory_max`, or one tuple.

mod backing;
mod buffer;
mod check;
mod connection;
mod dropping;
mod error;
mod inspect;
mod latency;
mod placement;
mod room;
mod sending;

pub use backing::Request;
pub use connection::Standing;
pub use dropping::Offered;
pub use error::PeerError;
pub use sending::Pulled;

use crate::config::WhenFull;
use crate::credit::SendWindow;
use crate::event::Body;
use crate::fault::Planted;
use crate::recovery::{HeldOutput, OutputState};
use backing::Backing;
use buffer::{HeldBatch, SendBuffer};
use latency::Probe;
use worker_proto::{Batch, Seq};

/// The sending end of one link: what is not acknowledged yet, and how far it was sent.
///
/// Call [`push`](Self::push) with what was produced, [`open`](Self::open) when a receiver has said where it stands, then
/// [`pull`](Self::pull) whenever something can be sent, [`acked`](Self::acked) with every acknowledgement and
/// [`unbind`](Self::unbind) when the connection is gone. After each call do what [`poll_request`](Self::poll_request)
/// asks until it gives `None`.
#[derive(Debug)]
pub struct Outbox {
    /// What is shared included.
    memory_max: u64,
    /// What of it is not its own.
    shared: u64,
    backing: Backing,
    held: SendBuffer,
    /// Next number to assign.
    next: Seq,
    /// Next number to be pushed; behind `next` while commits are not durable.
    held_next: Seq,
    /// Of what lies between, in bytes.
    assigned_cost: u64,
    through: Seq,
    finished: Seq,
    end: Option<Seq>,
    /// Sent through, on this connection.
    cursor: Seq,
    /// Sent through, ever: up to here a pull is a retry.
    sent_max: Seq,
    /// Index of the batch that holds `cursor + 1`, if it is held.
    at: usize,
    window: Option<SendWindow>,
    /// A receiver has opened the link in this life.
    was_open: bool,
    /// What a link is opened with, in bytes.
    usual_credit: u64,
    /// What was sent on this connection when it was last looked at, in bytes.
    spent_before: u64,
    /// Received through when the link was opened: what is behind it is charged to the window.
    opened_at: Seq,
    cancelled: bool,
    /// Of an earlier life of the task: the next number it had. Nothing behind it has left before a receiver was heard in this life.
    restored_next: Option<Seq>,
    records: u64,
    when_full: WhenFull,
    /// Tuples that were offered and are not, or no more, held, because there was no room for them.
    dropped: u64,
    /// Of an earlier life, not acknowledged then.
    restored: u64,
    retried: u64,
    probe: Probe,
    pub(crate) planted: Planted,
    /// Only for [`Bug::SequenceResetOnReconnect`].
    renumber: u64,
}

impl Outbox {
    /// An empty outbox whose first tuple will be 1, with at most `memory_max` bytes of batch cost in memory.
    #[must_use]
    pub fn new(memory_max: u64) -> Self {
        Self {
            memory_max,
            shared: 0,
            backing: Backing::spill(),
            held: SendBuffer::default(),
            next: Seq(1),
            held_next: Seq(1),
            assigned_cost: 0,
            through: Seq::ZERO,
            finished: Seq::ZERO,
            end: None,
            cursor: Seq::ZERO,
            sent_max: Seq::ZERO,
            at: 0,
            window: None,
            was_open: false,
            usual_credit: 0,
            spent_before: 0,
            opened_at: Seq::ZERO,
            cancelled: false,
            restored_next: None,
            records: 0,
            when_full: WhenFull::Wait,
            dropped: 0,
            restored: 0,
            retried: 0,
            probe: Probe::default(),
            planted: Planted::default(),
            renumber: 0,
        }
    }

    /// An outbox whose tuples are in a journal, as that says it stands.
    #[must_use]
    pub fn restore(memory_max: u64, state: &OutputState) -> Self {
        let mut outbox = Self {
            backing: Backing::journal(),
            next: state.next,
            held_next: state.next,
            through: state.through,
            finished: state.through,
            end: state.end,
            cursor: state.through,
            sent_max: state.through,
            restored_next: Some(state.next),
            ..Self::new(memory_max)
        };
        for &HeldOutput { first, records, cost } in &state.held {
            let residence = outbox.backing.left_outside();
            // Each boundary is held by itself.
            let boundaries = if cost == records * Batch::END_BYTES { records } else { 0 };
            outbox.held.push(HeldBatch { first, records, cost, boundaries, residence });
        }
        outbox.restored = outbox.held_records() - outbox.held.boundaries();
        outbox.find_cursor();
        outbox
    }

    /// Gives numbers to tuples that will be pushed in this order; returns the first.
    pub fn assign(&mut self, body: &Body) -> Seq {
        self.assigned_cost += body.cost();
        self.number(body.records())
    }

    fn number(&mut self, tuples: u64) -> Seq {
        let first = self.next;
        self.next = first.plus(tuples);
        first
    }

    /// Takes tuples that were [assigned](Self::assign) numbers and may now leave.
    pub fn push_assigned(&mut self, body: Body) {
        let records = body.records();
        if records == 0 {
            return;
        }
        let first = self.held_next;
        self.held_next = first.plus(records);
        self.assigned_cost -= body.cost();
        debug_assert!(self.held_next <= self.next, "what is pushed was assigned its numbers: {self:?}");
        self.records += records - body.boundaries();
        if self.cancelled {
            self.pass_over(body);
        } else if !self.joins_last(&body) {
            self.seal_last();
            let held = self.place_new(first, body);
            self.held.push(held);
            self.prefetch();
        }
    }

    /// Takes tuples that may leave at once; returns the number of the first.
    pub fn push(&mut self, batch: Batch) -> Seq {
        let body = Body::Memory(batch);
        let first = self.assign(&body);
        self.push_assigned(body);
        first
    }

    /// No tuple follows: the end takes the next number, returned.
    pub fn end(&mut self) -> Seq {
        let seq = self.number(1);
        self.held_next = self.next;
        self.end = Some(seq);
        if self.cancelled {
            self.settle_all();
        }
        seq
    }
}

#[cfg(test)]
mod tests;
