//! How long acknowledgements take, measured on one tuple at a time.

use super::Outbox;
use crate::status::Latencies;
use crate::time::Time;
use worker_proto::Seq;

/// A tuple whose acknowledgement is waited for, and what was measured before.
#[derive(Debug, Default)]
pub(super) struct Probe {
    under_way: Option<(Seq, Time)>,
    latencies: Latencies,
}

impl Probe {
    /// The cursor goes back: which sending an acknowledgement would be of is not known any more.
    pub(super) fn discard(&mut self) {
        self.under_way = None;
    }
}

impl Outbox {
    /// What [`pull`](Self::pull) gave just now is sent at `now`.
    pub fn sent_at(&mut self, now: Time) {
        if self.probe.under_way.is_none() {
            self.probe.under_way = Some((self.cursor, now));
        }
    }

    /// What [`acked`](Self::acked) was told just now has come at `now`.
    pub fn acked_at(&mut self, now: Time) {
        if let Some((_, sent)) = self.probe.under_way.take_if(|(seq, _)| *seq <= self.through) {
            self.probe.latencies.add(now.since(sent));
        }
    }

    /// From the sending of a tuple to its acknowledgement, of one at a time.
    #[must_use]
    pub fn latencies(&self) -> &Latencies {
        &self.probe.latencies
    }
}
