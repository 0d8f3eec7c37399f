//! What always holds of an inbox.

use super::{AckWhen, Inbox};
use crate::check::{Inconsistency, rule, same};
use worker_proto::Batch;

impl Inbox {
    /// Counts every sum again, and holds positions, queue and credit against each other. Takes time in proportion to what is
    /// queued: for tests, simulations and builds with debug assertions.
    ///
    /// # Errors
    /// [`Inconsistency`] names the first thing that is wrong.
    pub fn check(&self) -> Result<(), Inconsistency> {
        self.queue
            .check()
            .and_then(|()| self.check_numbers())
            .and_then(|()| self.check_order())
            .and_then(|()| self.check_credit())
            .map_err(|wrong| wrong.of("inbox"))
    }

    /// finished ≤ committed ≤ received, and nothing behind the end.
    fn check_numbers(&self) -> Result<(), Inconsistency> {
        let Self { finished, committed, received, end, ended, .. } = *self;
        rule("order of positions", finished <= committed && committed <= received, || {
            format!("finished {finished}, committed {committed}, received {received}")
        })?;
        rule("end", end.is_none_or(|end| end == received && ended), || {
            format!("it is {end:?}, and {received} was received")
        })?;
        rule("closed", !self.closed || self.queue.is_empty(), || {
            format!("{} bytes are queued", self.queue.cost())
        })
    }

    /// The queue has no gap within a life of the sender, or at all where positions go on through all of them; it ends with what
    /// was received last, and none of it is committed.
    fn check_order(&self) -> Result<(), Inconsistency> {
        let goes_on = self.ack_when == AckWhen::Committed;
        // A task that ends early commits the end of an input before it drops what is queued.
        let gives_up = self.end == Some(self.committed);
        let mut pieces = self.queue.iter().peekable();
        while let Some(piece) = pieces.next() {
            let is_present = goes_on || self.epoch == Some(piece.epoch);
            let is_open = is_present && !gives_up;
            rule("queued is not committed", !is_open || self.committed < piece.first_seq, || {
                format!("{piece:?}, and {} is committed", self.committed)
            })?;
            if let Some(next) = pieces.peek() {
                let follows = piece.last_seq().next() == next.first_seq;
                let in_order = if goes_on || piece.epoch == next.epoch { follows } else { true };
                rule("numbers without a gap", in_order && piece.epoch <= next.epoch, || {
                    format!("{next:?} is queued behind {piece:?}")
                })?;
            } else if is_present {
                let last = self.end.map_or(self.received, |end| end.before());
                same("received", last, piece.last_seq())?;
            }
        }
        Ok(())
    }

    /// Credit is what there is room for; a peer that keeps it fills the capacity, and one record more.
    fn check_credit(&self) -> Result<(), Inconsistency> {
        let queued = self.queue.cost();
        let last = self
            .queue
            .iter()
            .last()
            .map_or(0, |piece| piece.batch.record(piece.batch.len() - 1).len() as u64 + Batch::END_BYTES);
        let room = self.capacity + self.shared;
        rule("capacity", queued <= room || queued - last < room, || {
            format!("{queued} bytes are queued, there is room for {room} and one record more")
        })?;
        let Some(window) = self.window else { return Ok(()) };
        same("credit", window.held(), queued)?;
        rule("shared credit", window.capacity() <= room, || {
            format!("there is room for {} bytes, and it may have {room}", window.capacity())
        })
    }
}

#[cfg(test)]
mod tests;
