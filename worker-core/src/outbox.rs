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

mod holding;
mod inspect;
mod latency;

pub use holding::Request;

use crate::credit::SendWindow;
use crate::event::Body;
use crate::fault::{Bug, Planted};
use crate::recovery::OutputState;
use holding::{Held, HeldBatch, JOURNALED};
use latency::Probe;
use std::collections::VecDeque;
use thiserror::Error;
use worker_proto::limits::FRAME_BYTES_TARGET;
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

/// Tuples pulled to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Position of the first record.
    pub first_seq: Seq,
    /// The records.
    pub batch: Batch,
    /// They were sent before.
    pub retry: bool,
}

/// The receiver contradicts what this end knows: its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PeerError {
    /// It claims to have what was never sent.
    #[error("the receiver has {received}, but the next number to send is {next}")]
    Ahead {
        /// What it claims.
        received: Seq,
        /// What this end would send next.
        next: Seq,
    },
    /// It forgot what it acknowledged.
    #[error(
        "the receiver acknowledges through {committed} only, but through {through} was acknowledged and released before"
    )]
    Behind {
        /// What it says now.
        committed: Seq,
        /// What was acknowledged before.
        through: Seq,
    },
    /// Its positions contradict each other.
    #[error("finished {finished} is past acknowledged {through}")]
    Disorder {
        /// Claimed finished.
        finished: Seq,
        /// Claimed acknowledged.
        through: Seq,
    },
}

/// Where a receiver stands: the part of `Opened` that an outbox needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Acknowledged through: releases.
    pub committed: Seq,
    /// Received through: the cursor.
    pub received: Seq,
    /// Effects done through.
    pub finished: Seq,
    /// Credit from now on, in bytes.
    pub credit: u64,
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

    /// A receiver has answered `Open`: sending goes on behind what it received.
    ///
    /// # Errors
    /// [`PeerError`] if it claims to have more than was sent, or less than it acknowledged.
    pub fn open(&mut self, standing: Standing) -> Result<(), PeerError> {
        let Standing { committed, received, finished, credit } = standing;
        if received >= self.held_next || committed > received {
            return Err(PeerError::Ahead { received: received.max(committed), next: self.held_next });
        }
        if committed < self.first_unacked().before() {
            return Err(PeerError::Behind { committed, through: self.through });
        }
        if finished > committed {
            return Err(PeerError::Disorder { finished, through: committed });
        }
        let spent = self.window.map_or(0, |w| w.used());
        let mut window = SendWindow::new(credit);
        if self.planted.is(Bug::CreditLeakedOnDisconnect) {
            window.spend(spent);
        }
        self.window = Some(window);
        self.probe.discard();
        let committed = if self.planted.is(Bug::ReceivedTakenForAck) { received } else { committed };
        self.release(committed);
        self.finished = self.finished.max(finished);
        let end_was_sent = self.end.is_some_and(|end| self.sent_max >= end);
        self.cursor = received;
        if self.planted.is(Bug::EndForgottenOnReconnect) && end_was_sent && Some(received.next()) == self.end
        {
            self.cursor = self.sent_max;
        }
        if self.planted.is(Bug::SequenceResetOnReconnect) && self.sent_max > Seq::ZERO {
            self.renumber = self.through.0;
        }
        self.find_cursor();
        self.prefetch();
        Ok(())
    }

    /// The connection is gone: what was sent and not acknowledged is sent again on the next.
    pub fn unbind(&mut self) {
        if !self.planted.is(Bug::CreditLeakedOnDisconnect) {
            self.window = None;
        }
        self.probe.discard();
        self.cursor = self.through;
        self.find_cursor();
    }

    /// The receiver acknowledges.
    ///
    /// # Errors
    /// [`PeerError`] if it acknowledges what was not sent on this connection.
    pub fn acked(&mut self, through: Seq, finished: Seq, credit: u64) -> Result<(), PeerError> {
        if through > self.cursor.max(self.through) {
            return Err(PeerError::Ahead { received: through, next: self.cursor.next() });
        }
        if finished > through {
            return Err(PeerError::Disorder { finished, through });
        }
        let through = if self.planted.is(Bug::AckNamesNothing) { self.cursor } else { through };
        self.release(through);
        self.finished = self.finished.max(finished);
        if let Some(window) = &mut self.window {
            window.grant(credit);
        }
        self.prefetch();
        Ok(())
    }

    /// The receiving process is a new one: what the old one had accepted and not finished may be lost.
    ///
    /// Returns how many records at most. The end, if it was sent, will be sent again.
    pub fn receiver_restarted(&mut self) -> u64 {
        if std::mem::take(&mut self.cancelled) {
            // The new process knows nothing of the cancelling: it gets what is produced from now on, and the end.
            self.through = self.end.map_or(self.through, Seq::before);
            self.finished = self.through;
            self.cursor = self.through;
            return 0;
        }
        let settled = self.end.map_or(self.through, |end| self.through.min(end.before()));
        let lost = settled.since(self.finished);
        self.through = settled;
        self.finished = settled;
        if self.planted.is(Bug::LossNotReported) { 0 } else { lost }
    }

    /// The receiving task wants nothing more: everything counts as finished, now and later.
    pub fn cancel(&mut self) {
        self.cancelled = true;
        self.probe.discard();
        self.release(self.held_next.before());
        self.finished = self.through;
        self.cursor = self.through;
        self.window = None;
    }

    /// Tuples to send now, at most `cost_max` bytes of cost and never more than credit allows; at least one record where
    /// any credit is left. `None` if there is nothing to send, no credit, or the batch is outside memory.
    pub fn pull(&mut self, cost_max: u64) -> Option<Pulled> {
        let left = self.window?.left();
        if left == 0 || !self.has_tuple() {
            return None;
        }
        let retry = self.cursor < self.sent_max;
        if retry && self.planted.is(Bug::RetryThroughBoundedQueue) && self.memory_cost >= self.memory_max {
            return None;
        }
        let entry = self.entries.get(self.at)?;
        let Some(batch) = entry.held.batch() else {
            self.prefetch();
            return None;
        };
        let first_seq = self.cursor.next();
        let skip = usize::try_from(first_seq.since(entry.first)).unwrap_or(usize::MAX);
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
        if self.window.is_none() || self.cancelled || self.cursor.next() != end {
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
        if self.entries.get(self.at).is_some_and(|e| e.last() <= last) {
            self.keep_or_drop(self.at);
            self.at += 1;
        }
        self.prefetch();
    }

    fn find_cursor(&mut self) {
        let next = self.cursor.next();
        let left = std::mem::replace(&mut self.at, self.entries.partition_point(|e| e.last() < next));
        if left != self.at {
            self.keep_or_drop(left);
        }
    }

    pub(super) fn has_tuple(&self) -> bool {
        self.cursor.next() < self.held_next && Some(self.cursor.next()) != self.end
    }
}

#[cfg(test)]
mod tests;
