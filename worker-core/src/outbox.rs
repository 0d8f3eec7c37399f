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

mod connection;
mod error;
mod holding;
mod inspect;
mod latency;
mod sending;

pub use connection::Standing;
pub use error::PeerError;
pub use holding::Request;
pub use sending::Pulled;

use crate::credit::SendWindow;
use crate::event::Body;
use crate::fault::Planted;
use crate::recovery::OutputState;
use holding::{Held, HeldBatch, JOURNALED};
use latency::Probe;
use std::collections::VecDeque;
use worker_proto::{Batch, Seq};

/// The sending end of one link: what is not acknowledged yet, and how far it was sent.
///
/// Call [`push`](Self::push) with what was produced, [`open`](Self::open) when a receiver has said where it stands, then
/// [`pull`](Self::pull) whenever something can be sent, [`acked`](Self::acked) with every acknowledgement and
/// [`unbind`](Self::unbind) when the connection is gone. After each call do what [`poll_request`](Self::poll_request)
/// asks until it gives `None`.
#[derive(Debug)]
pub struct Outbox {
    memory_max: u64,
    /// What is pushed can be read back from the sending task's journal.
    journaled: bool,
    entries: VecDeque<HeldBatch>,
    /// Next number to assign.
    next: Seq,
    /// Next number to be pushed; behind `next` while commits are not durable.
    held_next: Seq,
    through: Seq,
    finished: Seq,
    end: Option<Seq>,
    /// Sent through, on this connection.
    cursor: Seq,
    /// Sent through, ever: up to here a pull is a retry.
    sent_max: Seq,
    /// Index of the entry that holds `cursor + 1`, if it is held.
    at: usize,
    window: Option<SendWindow>,
    cancelled: bool,
    memory_cost: u64,
    storing_cost: u64,
    stored_cost: u64,
    records: u64,
    /// Of an earlier life, not acknowledged then.
    restored: u64,
    retried: u64,
    probe: Probe,
    requests: VecDeque<Request>,
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
            journaled: false,
            entries: VecDeque::new(),
            next: Seq(1),
            held_next: Seq(1),
            through: Seq::ZERO,
            finished: Seq::ZERO,
            end: None,
            cursor: Seq::ZERO,
            sent_max: Seq::ZERO,
            at: 0,
            window: None,
            cancelled: false,
            memory_cost: 0,
            storing_cost: 0,
            stored_cost: 0,
            records: 0,
            restored: 0,
            retried: 0,
            probe: Probe::default(),
            requests: VecDeque::new(),
            planted: Planted::default(),
            renumber: 0,
        }
    }

    /// An outbox whose tuples are in a journal, as that says it stands.
    #[must_use]
    pub fn restore(memory_max: u64, state: &OutputState) -> Self {
        let outside = |h: &crate::recovery::HeldOutput| HeldBatch {
            first: h.first,
            records: h.records,
            cost: h.cost,
            held: Held::Stored(JOURNALED),
        };
        let mut outbox = Self {
            journaled: true,
            entries: state.held.iter().map(outside).collect(),
            stored_cost: state.held.iter().map(|h| h.cost).sum(),
            next: state.next,
            held_next: state.next,
            through: state.through,
            finished: state.through,
            end: state.end,
            cursor: state.through,
            sent_max: state.through,
            ..Self::new(memory_max)
        };
        outbox.restored = outbox.held_records();
        outbox.find_cursor();
        outbox
    }

    /// Gives numbers to `records` tuples that will be pushed in this order; returns the first.
    pub fn assign(&mut self, records: u64) -> Seq {
        let first = self.next;
        self.next = first.plus(records);
        first
    }

    /// Takes tuples that were [assigned](Self::assign) numbers and may now leave.
    pub fn push_assigned(&mut self, body: Body) {
        let (records, cost, held) = match body {
            Body::Memory(batch) if batch.is_empty() => return,
            Body::Memory(batch) => (batch.len() as u64, batch.cost(), Held::Memory(batch)),
            Body::Stored { place, records, cost } => (records, cost, Held::Stored(place)),
        };
        let first = self.held_next;
        self.held_next = first.plus(records);
        self.records += records;
        if self.cancelled {
            if let (Held::Stored(place), false) = (held, self.journaled) {
                self.requests.push_back(Request::Discard { place });
            }
            self.through = self.held_next.before();
            self.finished = self.through;
            self.released();
            return;
        }
        if let Held::Memory(batch) = &held
            && self.joins_last(first, batch)
        {
            return;
        }
        self.seal_last();
        let held = self.place_new(first, cost, held);
        self.entries.push_back(HeldBatch { first, records, cost, held });
        self.prefetch();
    }

    /// Takes tuples that may leave at once; returns the number of the first.
    pub fn push(&mut self, batch: Batch) -> Seq {
        let first = self.assign(batch.len() as u64);
        self.push_assigned(Body::Memory(batch));
        first
    }

    /// No tuple follows: the end takes the next number, returned.
    pub fn end(&mut self) -> Seq {
        let seq = self.assign(1);
        self.held_next = self.next;
        self.end = Some(seq);
        if self.cancelled {
            self.through = seq;
            self.finished = seq;
            self.released();
        }
        seq
    }
}

#[cfg(test)]
mod tests;
