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
//! Limits: `memory_max` bytes in memory (one entry more if it is empty), then entries are stored outside; the owner stops
//! producing by looking at [`Outbox::stored_cost`]. An outbox never refuses a push: what was produced has a place.

use crate::credit::SendWindow;
use crate::event::{Body, Place};
use crate::fault::{Bug, Planted};
use std::collections::VecDeque;
use thiserror::Error;
use worker_proto::limits::FRAME_BYTES_TARGET;
use worker_proto::{Batch, Seq};

/// Batches up to this cost, in bytes, are joined while they wait.
const SMALL_BYTES: u64 = 4 * 1024;

/// How many entries past the cursor are looked at when stored ones are fetched.
const PREFETCH_ENTRIES: usize = 64;

/// The sending end of one link: what is not acknowledged yet, and how far it was sent.
///
/// Call [`push`](Self::push) with what was produced, [`open`](Self::open) when a receiver has said where it stands, then
/// [`pull`](Self::pull) whenever something can be sent, [`acked`](Self::acked) with every acknowledgement and
/// [`unbind`](Self::unbind) when the connection is gone. After each call do what [`poll_request`](Self::poll_request)
/// asks until it gives `None`.
#[derive(Debug)]
pub struct Outbox {
    memory_max: u64,
    entries: VecDeque<Entry>,
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
    retried: u64,
    requests: VecDeque<Request>,
    pub(crate) planted: Planted,
    /// Only for [`Bug::SequenceResetOnReconnect`].
    renumber: u64,
}

/// Something the owner must do for an outbox.
#[derive(Clone, Debug)]
pub enum Request {
    /// Put a batch outside memory, then call [`Outbox::stored`].
    Store {
        /// Its first tuple.
        first_seq: Seq,
        /// The records.
        batch: Batch,
    },
    /// Get a batch back, then call [`Outbox::loaded`].
    Load {
        /// Its first tuple.
        first_seq: Seq,
        /// Where it is.
        place: Place,
    },
    /// Forget what is stored there.
    Discard {
        /// Where.
        place: Place,
    },
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

#[derive(Debug)]
struct Entry {
    first: Seq,
    records: u64,
    cost: u64,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Memory(Batch),
    Storing(Batch),
    Stored(Place),
    Loading(Place),
}

impl Entry {
    fn last(&self) -> Seq {
        self.first.plus(self.records - 1)
    }
}

impl Outbox {
    /// An empty outbox whose first tuple will be 1, with at most `memory_max` bytes of batch cost in memory.
    #[must_use]
    pub fn new(memory_max: u64) -> Self {
        Self {
            memory_max,
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
            retried: 0,
            requests: VecDeque::new(),
            planted: Planted::default(),
            renumber: 0,
        }
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
            if let Held::Stored(place) = held {
                self.requests.push_back(Request::Discard { place });
            }
            self.through = self.held_next.before();
            self.finished = self.through;
            return;
        }
        if let Held::Memory(batch) = &held
            && self.joins_last(first, batch)
        {
            return;
        }
        self.seal_last();
        let held = self.place_new(first, cost, held);
        self.entries.push_back(Entry { first, records, cost, held });
        self.prefetch();
    }

    /// Adds a small batch to the last entry, if that is small, in memory and was never sent: many single records would
    /// otherwise take far more memory than they are charged with.
    fn joins_last(&mut self, first: Seq, batch: &Batch) -> bool {
        let limit = self.small_max();
        let Some(last) = self.entries.back_mut() else { return false };
        let Held::Memory(held) = &mut last.held else { return false };
        if last.first <= self.sent_max.max(self.cursor) || last.cost + batch.cost() > limit {
            return false;
        }
        debug_assert_eq!(last.first.plus(last.records), first, "pushes are in order");
        *held = held.joined(batch);
        last.records += batch.len() as u64;
        last.cost += batch.cost();
        self.memory_cost += batch.cost();
        true
    }

    /// Asks to store the last entry before another follows it, if it stayed in memory only because it was small.
    fn seal_last(&mut self) {
        let over = self.storing_cost + self.stored_cost > 0 || self.memory_cost > self.memory_max;
        let unsent = self.sent_max.max(self.cursor);
        let Some(last) = self.entries.back_mut().filter(|last| over && last.first > unsent) else { return };
        if let Held::Memory(batch) = &last.held {
            let batch = batch.clone();
            self.memory_cost -= last.cost;
            self.storing_cost += last.cost;
            self.requests.push_back(Request::Store { first_seq: last.first, batch: batch.clone() });
            last.held = Held::Storing(batch);
        }
    }

    /// Up to this cost, in bytes, a batch is small.
    fn small_max(&self) -> u64 {
        SMALL_BYTES.min(self.memory_max / 4)
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
        }
        seq
    }

    /// Keeps a new entry in memory while there is room and nothing older is outside, or while it is small and may still grow
    /// (see [`Self::seal_last`]); else asks to store it.
    fn place_new(&mut self, first: Seq, cost: u64, held: Held) -> Held {
        let Held::Memory(batch) = held else {
            self.stored_cost += cost;
            return held;
        };
        let older_outside = self.storing_cost + self.stored_cost > 0;
        let fits = !older_outside && (self.memory_cost == 0 || self.memory_cost + cost <= self.memory_max);
        if fits || cost <= self.small_max() {
            self.memory_cost += cost;
            return Held::Memory(batch);
        }
        self.storing_cost += cost;
        self.requests.push_back(Request::Store { first_seq: first, batch: batch.clone() });
        Held::Storing(batch)
    }

    /// The next thing the owner must do.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Whether the batch that starts at `first_seq` is still to be put outside memory.
    #[must_use]
    pub fn is_storing(&self, first_seq: Seq) -> bool {
        self.index_of(first_seq).is_some_and(|i| matches!(self.entries[i].held, Held::Storing(_)))
    }

    /// The batch that starts at `first_seq` is at `place` now.
    pub fn stored(&mut self, first_seq: Seq, place: Place) {
        match self.index_of(first_seq) {
            Some(i) if matches!(self.entries[i].held, Held::Storing(_)) => {
                let cost = self.entries[i].cost;
                self.storing_cost -= cost;
                self.stored_cost += cost;
                self.entries[i].held = Held::Stored(place);
            }
            Some(_) | None => self.requests.push_back(Request::Discard { place }),
        }
        self.prefetch();
    }

    /// The batch that starts at `first_seq` is in memory again.
    pub fn loaded(&mut self, first_seq: Seq, batch: Batch) {
        let Some(i) = self.index_of(first_seq) else { return };
        if let Held::Loading(place) = self.entries[i].held {
            self.stored_cost -= self.entries[i].cost;
            self.memory_cost += self.entries[i].cost;
            self.entries[i].held = Held::Memory(batch);
            self.requests.push_back(Request::Discard { place });
        }
        self.prefetch();
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
        let batch = match &entry.held {
            Held::Memory(batch) | Held::Storing(batch) => batch,
            Held::Stored(_) | Held::Loading(_) => {
                self.prefetch();
                return None;
            }
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
            self.at += 1;
        }
        self.prefetch();
    }

    /// Forgets entries that end at or before `through`.
    fn release(&mut self, through: Seq) {
        if through <= self.through {
            return;
        }
        self.through = through;
        while let Some(entry) = self.entries.front() {
            if entry.last() > through {
                break;
            }
            let Some(entry) = self.entries.pop_front() else { break };
            self.at = self.at.saturating_sub(1);
            match entry.held {
                Held::Memory(_) => self.memory_cost -= entry.cost,
                Held::Storing(_) => self.storing_cost -= entry.cost,
                Held::Stored(place) | Held::Loading(place) => {
                    self.stored_cost -= entry.cost;
                    self.requests.push_back(Request::Discard { place });
                }
            }
        }
        if self.cursor < through {
            self.cursor = through;
            self.find_cursor();
        }
    }

    /// Asks for stored entries from the cursor on, within the memory budget; always for the one at the cursor.
    fn prefetch(&mut self) {
        if self.window.is_none() || self.stored_cost == 0 {
            return;
        }
        let mut planned = self.memory_cost;
        for i in self.at..self.entries.len().min(self.at + PREFETCH_ENTRIES) {
            let entry = &mut self.entries[i];
            match entry.held {
                Held::Memory(_) | Held::Storing(_) => {}
                Held::Loading(_) => planned += entry.cost,
                Held::Stored(place) => {
                    if i != self.at && planned + entry.cost > self.memory_max {
                        return;
                    }
                    planned += entry.cost;
                    entry.held = Held::Loading(place);
                    self.requests.push_back(Request::Load { first_seq: entry.first, place });
                }
            }
            if planned > self.memory_max {
                return;
            }
        }
    }

    fn index_of(&self, first: Seq) -> Option<usize> {
        self.entries.binary_search_by_key(&first, |e| e.first).ok()
    }

    fn find_cursor(&mut self) {
        let next = self.cursor.next();
        self.at = self.entries.partition_point(|e| e.last() < next);
    }

    fn has_tuple(&self) -> bool {
        self.cursor.next() < self.held_next && Some(self.cursor.next()) != self.end
    }

    /// Whether [`pull`](Self::pull) or [`pull_end`](Self::pull_end) may give something now.
    #[must_use]
    pub fn is_sendable(&self) -> bool {
        let Some(window) = self.window else { return false };
        let next = self.cursor.next();
        if self.cancelled || next >= self.held_next {
            return false;
        }
        if Some(next) == self.end {
            return true;
        }
        window.left() > 0
            && self.entries.get(self.at).is_some_and(|e| matches!(e.held, Held::Memory(_) | Held::Storing(_)))
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

    /// Whether the receiver cancelled the link.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Whether every tuple pushed so far was acknowledged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a receiver has opened the link on a living connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Whether the receiver's credit is used up while tuples wait.
    #[must_use]
    pub fn waits_for_credit(&self) -> bool {
        self.window.is_some_and(|w| w.left() == 0) && self.has_tuple()
    }

    /// Bytes of unacknowledged tuples in memory, those on their way out of it included.
    #[must_use]
    pub fn memory_cost(&self) -> u64 {
        self.memory_cost + self.storing_cost
    }

    /// Bytes on their way out of memory.
    #[must_use]
    pub fn storing_cost(&self) -> u64 {
        self.storing_cost
    }

    /// Bytes of unacknowledged tuples outside memory.
    #[must_use]
    pub fn stored_cost(&self) -> u64 {
        self.stored_cost
    }

    /// Tuples held: pushed and not acknowledged.
    #[must_use]
    pub fn held_records(&self) -> u64 {
        let end = u64::from(self.end.is_some());
        self.held_next.before().since(self.through).saturating_sub(end)
    }

    /// Tuples ever pushed.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Tuples sent more than once, counted each time.
    #[must_use]
    pub fn retried(&self) -> u64 {
        self.retried
    }
}

#[cfg(test)]
mod tests;
