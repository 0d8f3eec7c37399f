//! An outbox and its receiver: opened, acknowledged, unbound, started again, cancelled.

use super::{Outbox, PeerError};
use crate::credit::SendWindow;
use crate::fault::Bug;
use worker_proto::Seq;

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
        self.restored_next = None;
        let spent = self.window.map_or(0, |w| w.used());
        let mut window = SendWindow::new(credit);
        if self.planted.is(Bug::CreditLeakedOnDisconnect) {
            window.spend(spent);
        }
        self.window = Some(window);
        self.was_open = true;
        self.usual_credit = self.usual_credit.max(credit);
        self.spent_before = 0;
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
        self.opened_at = self.cursor;
        self.find_cursor();
        self.prefetch();
        Ok(())
    }

    /// Below which number everything is that may have left: a receiver that has more heard of it from another process.
    #[must_use]
    pub fn opening_next(&self) -> Seq {
        self.restored_next.unwrap_or(self.held_next)
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
}
