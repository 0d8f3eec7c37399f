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
    frame_max: Duration,
    /// The frame that has begun: how many came before it, and since when.
    frame: Option<(u64, Instant)>,
    /// What it may take.
    frame_takes: Duration,
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
    /// A frame has begun this long ago and not ended, too long.
    SlowFrame(Duration),
}

/// The slowest line that a frame is expected to come by, in bytes a second.
const FRAME_BYTES_PER_SECOND: usize = 16 * 1024;

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
            frame_max: settings.frame_max,
            frame: None,
            frame_takes: Duration::ZERO,
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

    /// After `before` frames one of `bytes` has begun and not ended, or none.
    pub(crate) fn amid_frame(&mut self, now: Instant, before: u64, bytes: Option<usize>) {
        let Some(bytes) = bytes else {
            self.frame = None;
            return;
        };
        if self.frame.is_none_or(|(known, _)| known != before) {
            self.frame = Some((before, now));
        }
        let seconds = (bytes / FRAME_BYTES_PER_SECOND) as u64;
        self.frame_takes = self.frame_max + Duration::from_secs(seconds);
    }

    /// The peer is not read from, for this node has no room: its clocks stand.
    pub(crate) fn holds_off(&mut self, now: Instant) {
        self.heard = now;
        self.frame = self.frame.map(|(before, _)| (before, now));
    }

    pub(crate) fn handshake_done(&mut self) {
        self.handshake_by = None;
    }

    /// What it is time for when the timer set to [`Pulse::due`] has fired.
    pub(crate) fn beat(&mut self, now: Instant) -> Beat {
        if now.saturating_duration_since(self.due) >= self.ping_every {
            self.heard = now;
            self.handshake_by = self.handshake_by.map(|_| now + self.handshake_max);
            self.frame = self.frame.map(|(before, _)| (before, now));
        }
        let silent = now.saturating_duration_since(self.heard);
        if silent >= self.dead_after {
            return Beat::Dead(silent);
        }
        if self.handshake_by.is_some_and(|by| now >= by) {
            return Beat::NoHandshake;
        }
        let amid = self.frame.map(|(_, since)| now.saturating_duration_since(since));
        if let Some(amid) = amid.filter(|amid| *amid >= self.frame_takes) {
            return Beat::SlowFrame(amid);
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
                beat @ (Beat::Wait | Beat::Ping | Beat::NoHandshake | Beat::SlowFrame(_)) => {
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
    fn a_frame_takes_ten_seconds_and_one_for_each_sixteen_kibibytes() {
        for (bytes, seconds) in [(0, 10), (1000, 10), (8 << 20, 522)] {
            let (mut pulse, start) = pulse();
            pulse.handshake_done();
            let at = |seconds| start + SECOND * seconds;
            // One that ended, and another that began.
            pulse.amid_frame(at(1), 3, Some(bytes));
            pulse.amid_frame(at(2), 4, Some(0));
            let mut now = at(2);
            let slow = loop {
                pulse.heard(now);
                pulse.amid_frame(now, 4, Some(bytes));
                now = pulse.due();
                pulse.heard(now);
                if let Beat::SlowFrame(slow) = pulse.beat(now) {
                    break slow;
                }
                assert!(now < at(1000), "never");
            };
            assert_eq!((now, slow), (at(2 + seconds), SECOND * seconds), "{bytes} bytes");
            pulse.amid_frame(now, 5, None);
            assert_eq!(pulse.beat(pulse.due), Beat::Ping);
        }
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
