//! Signs of life: when to ping, and when a silent peer is dead.

use crate::Settings;
use std::time::Duration;
use tokio::time::Instant;

/// The clock of one connection.
///
/// If a deadline is noticed much too late, this process itself did not run (it was stopped, or starved); what the peer said
/// meanwhile may still be unread, so all deadlines begin anew then.
#[derive(Debug)]
pub(crate) struct Pulse {
    ping_every: Duration,
    dead_after: Duration,
    handshake_max: Duration,
    heard: Instant,
    heard_anything: bool,
    ping_at: Instant,
    handshake_by: Option<Instant>,
    /// The moment the owner's timer is set to.
    due: Instant,
}

/// What it is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing yet.
    Wait,
    /// A ping.
    Ping,
    /// The peer was silent for this long, too long.
    Dead(Duration),
    /// There was no `Welcome` in time.
    NoHandshake,
}

impl Pulse {
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        let mut pulse = Self {
            ping_every: settings.ping_every,
            dead_after: settings.dead_after,
            handshake_max: settings.handshake_max,
            heard: now,
            heard_anything: false,
            ping_at: now + settings.ping_every,
            handshake_by: Some(now + settings.handshake_max),
            due: now,
        };
        pulse.due();
        pulse
    }

    /// A byte arrived.
    pub(crate) fn heard(&mut self, now: Instant) {
        (self.heard, self.heard_anything) = (now, true);
    }

    pub(crate) fn heard_anything(&self) -> bool {
        self.heard_anything
    }

    pub(crate) fn handshake_done(&mut self) {
        self.handshake_by = None;
    }

    /// What it is time for when the timer set to [`Pulse::due`] has fired.
    pub(crate) fn beat(&mut self, now: Instant) -> Beat {
        if now.saturating_duration_since(self.due) >= self.ping_every {
            self.heard = now;
            self.handshake_by = self.handshake_by.map(|_| now + self.handshake_max);
        }
        let silent = now.saturating_duration_since(self.heard);
        if silent >= self.dead_after {
            return Beat::Dead(silent);
        }
        if self.handshake_by.is_some_and(|by| now >= by) {
            return Beat::NoHandshake;
        }
        if now >= self.ping_at {
            self.ping_at = now + self.ping_every;
            return Beat::Ping;
        }
        Beat::Wait
    }

    /// When to call [`Pulse::beat`] next.
    pub(crate) fn due(&mut self) -> Instant {
        let first = self.ping_at.min(self.heard + self.dead_after);
        self.due = self.handshake_by.map_or(first, |by| first.min(by));
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pulse() -> (Pulse, Instant) {
        let now = Instant::now();
        (Pulse::new(&Settings::default(), now), now)
    }

    #[test]
    fn pings_on_its_own_clock_whatever_is_heard() {
        let (mut pulse, start) = pulse();
        pulse.handshake_done();
        let mut pings = 0;
        for _ in 0..4 {
            let now = pulse.due();
            pulse.heard(now);
            pings += u32::from(pulse.beat(now) == Beat::Ping);
        }
        assert_eq!((pings, pulse.due()), (4, start + SECOND * 10));
    }

    #[test]
    fn a_silent_peer_is_dead_after_six_seconds() {
        let (mut pulse, start) = pulse();
        pulse.handshake_done();
        loop {
            let now = pulse.due();
            match pulse.beat(now) {
                Beat::Dead(silent) => {
                    assert_eq!((now, silent), (start + SECOND * 6, SECOND * 6));
                    return;
                }
                beat @ (Beat::Wait | Beat::Ping | Beat::NoHandshake) => {
                    assert!(now < start + SECOND * 6, "{beat:?} after {:?}", now - start)
                }
            }
        }
    }

    #[test]
    fn a_handshake_takes_five_seconds_at_most() {
        let (mut pulse, start) = pulse();
        for seconds in [2, 4] {
            assert_eq!(
                (pulse.due(), pulse.beat(start + SECOND * seconds)),
                (start + SECOND * seconds, Beat::Ping)
            );
        }
        pulse.heard(start + SECOND * 4);
        assert_eq!((pulse.due(), pulse.beat(start + SECOND * 5)), (start + SECOND * 5, Beat::NoHandshake));
    }

    #[test]
    fn time_in_which_this_process_was_stopped_does_not_count() {
        let (mut pulse, start) = pulse();
        assert_eq!(pulse.due(), start + SECOND * 2);
        let awake = start + SECOND * 12;
        assert_eq!(pulse.beat(awake), Beat::Ping);
        assert_eq!((pulse.due(), pulse.beat(awake + SECOND * 2)), (awake + SECOND * 2, Beat::Ping));
        pulse.handshake_done();
        assert_eq!((pulse.due(), pulse.beat(awake + SECOND * 4)), (awake + SECOND * 4, Beat::Ping));
        assert_eq!(
            (pulse.due(), pulse.beat(awake + SECOND * 6)),
            (awake + SECOND * 6, Beat::Dead(SECOND * 6))
        );
    }
}
