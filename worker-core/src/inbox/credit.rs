//! How much a link may have under way, beyond what each link may.

use super::Inbox;
use crate::time::Time;
use std::time::Duration;

impl Inbox {
    /// The answer to `Open` leaves at `now`; a round trip to the sender takes so long at most, if that is known.
    pub(crate) fn opened_at(&mut self, now: Time, round_trip: Option<Duration>) {
        if let Some(window) = &mut self.window {
            round_trip.into_iter().for_each(|took| window.round_trip(took));
            window.announced_at(now);
        }
    }

    /// What [`poll_ack`](Self::poll_ack) gave just now leaves at `now`.
    pub(crate) fn acked_at(&mut self, now: Time) {
        if let Some(window) = &mut self.window {
            window.announced_at(now);
        }
    }

    /// What [`accept`](Self::accept) was given just now has come at `now`.
    pub(crate) fn arrived_at(&mut self, now: Time) {
        if let Some(window) = &mut self.window {
            window.arrived_at(now);
        }
    }

    /// Before [`poll_ack`](Self::poll_ack): what it needs beyond what each link has, when that was measured again.
    pub(crate) fn measure(&mut self, now: Time) -> Option<u64> {
        let need = self.window.as_mut()?.measure(now)?;
        Some(need.saturating_sub(self.capacity))
    }

    /// It may have so much beyond what each link has. Where that is less than before it takes effect by halves, and as what was
    /// announced is used up.
    pub(crate) fn share(&mut self, shared: u64) {
        let Some(window) = &mut self.window else { return };
        let least = self.capacity + (window.capacity() - self.capacity) / 2;
        window.resize((self.capacity + shared).max(least));
        self.shared = self.shared.max(window.capacity() - self.capacity);
        self.keep_shared();
    }

    /// Lets go of what it needs no more of what links share.
    pub(crate) fn keep_shared(&mut self) {
        // Behind the end nothing comes, and what comes to who wants nothing is not kept.
        let promised = match &self.window {
            Some(window) if self.end.is_none() && !self.closed => window.promised(),
            Some(_) | None => self.queue.cost(),
        };
        self.shared = self.shared.min(promised.saturating_sub(self.capacity));
        if let Some(window) = &mut self.window {
            window.resize(window.capacity().min(self.capacity + self.shared));
        }
    }

    /// What it has of the credit that links share, in bytes.
    #[must_use]
    pub fn shared_credit(&self) -> u64 {
        self.shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::AckWhen;
    use worker_proto::frame::{End, Open};
    use worker_proto::{Epoch, JournalId, LinkId, Seq};

    const LINK: LinkId = LinkId(0);

    /// One that may hold 100 bytes, and 400 more.
    fn grown() -> Inbox {
        let mut inbox = Inbox::new(LINK, 100, AckWhen::Received);
        let (epoch, journal) = (Epoch(1), JournalId(0));
        inbox
            .open(&Open { link: LINK, epoch, journal, first_unacked: Seq(1), next: Seq(1) }, journal)
            .unwrap();
        inbox.share(400);
        inbox.poll_ack().unwrap();
        inbox.share(0);
        assert_eq!((inbox.shared_credit(), inbox.check()), (400, Ok(())), "what was announced is kept");
        inbox
    }

    #[test]
    fn what_nothing_comes_for_is_let_go() {
        let ends: [fn(&mut Inbox); 3] = [
            |inbox| inbox.accept_end(End { link: LINK, epoch: Epoch(1), seq: Seq(1) }).unwrap(),
            Inbox::close,
            Inbox::unbind,
        ];
        for end in ends {
            let mut inbox = grown();
            end(&mut inbox);
            inbox.keep_shared();
            assert_eq!((inbox.shared_credit(), inbox.check()), (0, Ok(())));
        }
    }
}
