//! The receiving end of a link.
//!
//! States of a tuple: *received* (in the queue) → *taken* (by the task) → *committed* (the commit that covers it is
//! durable) → *finished* (its effects are acknowledged downstream or written). Which of these acknowledges it is the
//! [`AckWhen`] of the node. Duplicates are dropped and gaps refused by position alone; the epoch only fences.
//! In memory mode the epoch also says where numbers begin; with a journal they go on for ever.
//!
//! Limit: `capacity` bytes, what it was granted of the credit that links share, and one record; a peer that ignores its credit breaks
//! the protocol.

mod check;
mod credit;
mod error;
mod inspect;
mod opening;
mod pieces;

pub use error::{Refusal, Violation};
pub use pieces::Piece;
pub(crate) use pieces::Pieces;

use crate::credit::ReceiveWindow;
use crate::fault::{Bug, Planted};
use crate::recovery::InputState;
use worker_proto::frame::{Ack, BatchFrame, End};
use worker_proto::{Epoch, JournalId, LinkId, Seq};

/// When a tuple is acknowledged upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckWhen {
    /// When the inbox has it: `delivery = "memory"`.
    #[default]
    Received,
    /// When the commit that covers it is durable.
    Committed,
}

/// The receiving end of one link.
///
/// Call [`open`](Self::open) with every `Open`, then [`accept`](Self::accept) and [`accept_end`](Self::accept_end);
/// [`take`](Self::take) what the task can use, tell [`committed`](Self::committed) and [`finished`](Self::finished), and
/// write what [`poll_ack`](Self::poll_ack) gives whenever the connection can take it.
#[derive(Debug)]
pub struct Inbox {
    link: LinkId,
    capacity: u64,
    ack_when: AckWhen,
    epoch: Option<Epoch>,
    /// The sending task's journal; with a journal only one counts for ever.
    journal: Option<JournalId>,
    received: Seq,
    committed: Seq,
    finished: Seq,
    end: Option<Seq>,
    /// An end was received in some epoch.
    ended: bool,
    /// The task wants nothing more.
    closed: bool,
    /// What it gets comes in chunks, with boundaries.
    chunked: bool,
    queue: Pieces,
    window: Option<ReceiveWindow>,
    /// What it may hold or promise beyond `capacity`.
    shared: u64,
    ack_due: bool,
    duplicates: u64,
    records: u64,
    dropped: u64,
    pub(crate) planted: Planted,
}

impl Inbox {
    /// An inbox that never saw an `Open`.
    #[must_use]
    pub fn new(link: LinkId, capacity: u64, ack_when: AckWhen) -> Self {
        Self {
            link,
            capacity,
            ack_when,
            epoch: None,
            journal: None,
            received: Seq::ZERO,
            committed: Seq::ZERO,
            finished: Seq::ZERO,
            end: None,
            ended: false,
            closed: false,
            chunked: false,
            queue: Pieces::default(),
            window: None,
            shared: 0,
            ack_due: false,
            duplicates: 0,
            records: 0,
            dropped: 0,
            planted: Planted::default(),
        }
    }

    /// An inbox of a task with a journal, as that says it stands.
    #[must_use]
    pub fn restore(link: LinkId, capacity: u64, state: &InputState) -> Self {
        Self {
            epoch: Some(state.epoch),
            journal: Some(state.journal),
            received: state.through,
            committed: state.through,
            finished: state.through,
            end: state.ended.then_some(state.through),
            ended: state.ended,
            ..Self::new(link, capacity, AckWhen::Committed)
        }
    }

    /// The same for a link whose records come in chunks ([`LinkOrder`](crate::config::LinkOrder)).
    #[must_use]
    pub fn in_chunks(self) -> Self {
        Self { chunked: true, ..self }
    }

    /// Takes tuples from the open connection; gives how many were new.
    ///
    /// # Errors
    /// [`Violation`]: the connection must be closed. Nothing was taken.
    pub fn accept(&mut self, frame: BatchFrame) -> Result<usize, Violation> {
        let BatchFrame { link, epoch, first_seq, batch } = frame;
        let (Some(window), true) = (&mut self.window, self.epoch == Some(epoch)) else {
            return Err(Violation::NotOpen { link, epoch });
        };
        let cost = batch.cost();
        if batch.boundaries() > 0 && !self.chunked {
            return Err(Violation::Boundary { link });
        }
        if !window.admits(cost, batch.len()) {
            return Err(Violation::OverCredit { link, cost });
        }
        let expected = self.received.next();
        if first_seq > expected || first_seq == Seq::ZERO {
            return Err(Violation::Gap { link, expected, got: first_seq });
        }
        let known = usize::try_from(expected.since(first_seq)).unwrap_or(usize::MAX).min(batch.len());
        let skip = if self.planted.is(Bug::DuplicateNotDropped) { 0 } else { known };
        if let (Some(end), true) = (self.end, skip < batch.len()) {
            return Err(Violation::BehindEnd { link, end });
        }
        window.arrived(cost);
        self.duplicates += known as u64;
        self.ack_due = true;
        let fresh = if skip == 0 { batch } else { batch.slice(skip..batch.len()) };
        window.take(cost - fresh.cost());
        let records = fresh.len();
        self.received = self.received.max(first_seq.plus((skip + records) as u64).before());
        self.records += fresh.records();
        if self.closed {
            window.take(fresh.cost());
            self.dropped += if self.ended { fresh.records() } else { 0 };
        } else if records > 0 {
            self.queue.push_joined(Piece {
                link,
                epoch,
                first_seq: first_seq.plus(skip as u64),
                batch: fresh,
            });
        }
        Ok(records)
    }

    /// Takes the link's end.
    ///
    /// # Errors
    /// [`Violation`]: the connection must be closed.
    pub fn accept_end(&mut self, end: End) -> Result<(), Violation> {
        if self.epoch != Some(end.epoch) || self.window.is_none() {
            return Err(Violation::NotOpen { link: end.link, epoch: end.epoch });
        }
        let expected = self.end.unwrap_or_else(|| self.received.next());
        if let Some(known) = self.end.filter(|known| end.seq > *known) {
            return Err(Violation::BehindEnd { link: end.link, end: known });
        }
        if end.seq != expected {
            return Err(Violation::Gap { link: end.link, expected, got: end.seq });
        }
        self.ack_due = true;
        self.received = end.seq;
        self.end = Some(end.seq);
        self.ended = true;
        Ok(())
    }

    /// The connection is gone. What was received stays.
    pub fn unbind(&mut self) {
        self.window = None;
        self.ack_due = false;
    }

    /// Takes queued records in order, to the next boundary: at most `cost_max` bytes and `records_max` records, at least one record if
    /// both are not 0 and one comes next.
    pub fn take(&mut self, cost_max: u64, records_max: u64) -> Option<Piece> {
        let piece = self.queue.take(cost_max, records_max)?;
        if let Some(window) = &mut self.window {
            window.take(piece.batch.cost());
        }
        Some(piece)
    }

    /// What comes next.
    pub(crate) fn front(&self) -> Option<&Piece> {
        self.queue.front()
    }

    /// What comes next is a boundary: it is taken by itself.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.queue.front().is_some_and(|piece| piece.batch.before_boundary() == Some(0))
    }

    /// Takes the boundary that comes next; gives its place.
    pub fn take_boundary(&mut self) -> Option<(Epoch, Seq)> {
        let piece = self.queue.take_boundary()?;
        if let Some(window) = &mut self.window {
            window.take(piece.batch.cost());
        }
        Some((piece.epoch, piece.first_seq))
    }

    /// The commit that covers tuples through `seq` of `epoch` is durable.
    pub fn committed(&mut self, epoch: Epoch, seq: Seq) {
        let durable = self.ack_when == AckWhen::Committed;
        if (durable || self.epoch == Some(epoch)) && seq > self.committed {
            self.committed = seq;
            self.ack_due |= durable;
            if durable {
                self.finished = seq;
            }
        }
    }

    /// The effects of tuples through `seq` of `epoch` are done.
    pub fn finished(&mut self, epoch: Epoch, seq: Seq) {
        if self.epoch == Some(epoch) && seq > self.finished {
            self.finished = seq;
            self.ack_due = true;
        }
    }

    /// The task wants nothing more: what is queued and what still comes is dropped and counts as finished.
    pub fn close(&mut self) {
        self.closed = true;
        let dropped = std::mem::take(&mut self.queue);
        if let Some(window) = &mut self.window {
            window.take(dropped.cost());
        }
    }

    /// Tuples dropped since the last call because a new life of the sender gave them to a task that had ended: it was given
    /// its inputs again, and what is dropped may be a repeat or lost.
    pub fn poll_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// An acknowledgement worth writing now.
    pub fn poll_ack(&mut self) -> Option<Ack> {
        let through = self.acknowledged();
        let finished = if self.closed && self.end.is_none() { through } else { self.finished.min(through) };
        let window = self.window.as_mut()?;
        if !self.ack_due && !window.worth_announcing() {
            return None;
        }
        self.ack_due = false;
        let credit = window.announce();
        Some(Ack { link: self.link, epoch: self.epoch?, through, finished, credit })
    }

    /// Whether [`poll_ack`](Self::poll_ack) would give something.
    #[must_use]
    pub fn wants_ack(&self) -> bool {
        self.window.is_some_and(|w| self.ack_due || w.worth_announcing())
    }

    pub(crate) fn acknowledged(&self) -> Seq {
        match self.ack_when {
            AckWhen::Received => self.received,
            AckWhen::Committed => self.committed,
        }
    }
}

#[cfg(test)]
mod tests;
