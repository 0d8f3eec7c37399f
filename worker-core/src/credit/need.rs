//! How much credit a link needs: bandwidth times round trip, measured where it is received.

use crate::time::Time;
use std::time::Duration;

/// Below this a round trip costs nothing: `credit` alone carries 10 Gbit/s, and more of it would leave the processor's cache.
const ROUND_TRIP_MIN: Duration = Duration::from_millis(1);

/// What a link is given of bandwidth times round trip: a full line has as much under way, and credit for as much again on its way back.
const PRODUCTS: u64 = 2;

/// Measures in *rounds*: from one announcement of credit to the first that follows a byte which the sender could not have sent without
/// it. No round is shorter than a round trip, and one is just as long where the sender waits for credit. What the task takes meanwhile is
/// the rate at which the link moves: it grows with the credit for as long as credit is what the sender waits for, and not where the
/// task, the line or the sender is what is slow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Need {
    round_trip: Option<Duration>,
    round: Option<Round>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    begun: Time,
    /// What could be sent without the announcement.
    beyond: u64,
    /// What had been taken.
    taken: u64,
    /// More than that has come.
    answered: bool,
}

impl Need {
    /// A round trip to the sender took so long, at most.
    pub(super) fn round_trip(&mut self, took: Duration) {
        self.round_trip = Some(self.round_trip.map_or(took, |known| known.min(took)));
    }

    /// Credit beyond `beyond` is announced while `taken` bytes were taken.
    pub(super) fn announced(&mut self, now: Time, beyond: u64, taken: u64) {
        self.round.get_or_insert(Round { begun: now, beyond, taken, answered: false });
    }

    /// Something has come behind so much: what begins below the credit of before may be a record that goes beyond it.
    pub(super) fn arrived(&mut self, now: Time, behind: u64) {
        if let Some(round) = &mut self.round
            && !round.answered
            && behind >= round.beyond
        {
            round.answered = true;
            let took = now.since(round.begun);
            self.round_trip(took);
        }
    }

    /// Credit is about to be announced while `taken` bytes were taken: what the link needs, if that ends a round.
    pub(super) fn measure(&mut self, now: Time, taken: u64) -> Option<u64> {
        let round = self.round.take_if(|round| round.answered)?;
        let round_trip = self.round_trip.filter(|trip| *trip >= ROUND_TRIP_MIN)?;
        let took = now.since(round.begun).as_micros().max(1);
        let moved = u128::from(taken - round.taken) * round_trip.as_micros() / took;
        Some(u64::try_from(moved).unwrap_or(u64::MAX).saturating_mul(PRODUCTS))
    }
}
