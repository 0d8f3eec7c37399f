//! Time in which this process ran. What ends something for good counts no other: a process that was stopped (SIGSTOP, a freezer, a
//! debugger) has missed what the others did meanwhile, and finds it when it goes on.

use crate::mutex::lock;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Whoever waits looks at the clock at least so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// More has not passed between two looks, unless the process was stopped, or so starved that it is the same.
const LAP_MAX: Duration = Duration::from_secs(2);

/// Measures time from look to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Laps(Instant);

impl Laps {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// How long the process ran since the last look, and how long it was stopped.
    fn lap(&mut self, now: Instant) -> (Duration, Duration) {
        let passed = now.saturating_duration_since(self.0);
        self.0 = self.0.max(now);
        if passed > LAP_MAX { (LOOK_EVERY, passed - LOOK_EVERY) } else { (passed, Duration::ZERO) }
    }

    /// How long the process ran since the last look; there is one at least every second.
    pub(crate) fn passed(&mut self) -> Duration {
        self.lap(Instant::now()).0
    }
}

/// A wait that ends something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Countdown {
    left: Duration,
    laps: Laps,
}

impl Countdown {
    pub(crate) fn new(length: Duration) -> Self {
        Self { left: length, laps: Laps::new() }
    }

    /// The same, so much later.
    pub(crate) fn longer_by(self, more: Duration) -> Self {
        Self { left: self.left + more, ..self }
    }

    /// Resolves when it is over. May be dropped and called again.
    pub(crate) async fn over(&mut self) {
        loop {
            self.left = self.left.saturating_sub(self.laps.passed());
            if self.left.is_zero() {
                return;
            }
            tokio::time::sleep(self.left.min(LOOK_EVERY)).await;
        }
    }
}

/// A clock for the whole process, which stands while that is stopped.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<Hands>);

#[derive(Debug)]
struct Hands {
    laps: Laps,
    ran: Duration,
    /// In which it was stopped, and nobody was told yet.
    stopped: Duration,
}

impl Clock {
    pub(crate) const LOOK_EVERY: Duration = LOOK_EVERY;

    fn new() -> Self {
        Self(Mutex::new(Hands { laps: Laps::new(), ran: Duration::ZERO, stopped: Duration::ZERO }))
    }

    /// A thread that does nothing else looks at it, so that only a stop makes it late, and no work.
    pub(crate) fn running() -> Arc<Self> {
        let clock = Arc::new(Self::new());
        let looked_at = Arc::downgrade(&clock);
        let look = move || {
            while let Some(clock) = looked_at.upgrade() {
                clock.now();
                drop(clock);
                std::thread::sleep(LOOK_EVERY);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("clock".to_owned()).spawn(look) {
            tracing::debug!(%error, "no thread looks at the clock: what is late may be taken for a stop");
        }
        clock
    }

    /// For how long the process has run since the clock was made.
    pub(crate) fn now(&self) -> Duration {
        self.at(Instant::now())
    }

    /// Whether there is a stop that was not taken yet; a look as any other.
    pub(crate) fn has_stopped(&self) -> bool {
        self.now();
        !lock(&self.0).stopped.is_zero()
    }

    /// For how long the process was stopped since this was asked last.
    pub(crate) fn take_stop(&self) -> Option<Duration> {
        let stopped = std::mem::take(&mut lock(&self.0).stopped);
        (!stopped.is_zero()).then_some(stopped)
    }

    fn at(&self, now: Instant) -> Duration {
        let mut hands = lock(&self.0);
        let (ran, stopped) = hands.laps.lap(now);
        hands.ran += ran;
        hands.stopped += stopped;
        hands.ran
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_clock_goes_on_while_the_process_runs_and_stands_while_it_is_stopped() {
        let (clock, mut now) = (Clock::new(), Instant::now());
        let before = clock.at(now);
        for _ in 0..60 {
            now += SECOND;
            clock.at(now);
        }
        assert_eq!((clock.at(now) - before, clock.take_stop()), (60 * SECOND, None));
        now += 600 * SECOND;
        assert_eq!(clock.at(now) - before, 61 * SECOND, "one second of it may be a late look");
        assert_eq!((clock.take_stop(), clock.take_stop()), (Some(599 * SECOND), None));
        assert_eq!(clock.at(now - SECOND) - before, 61 * SECOND, "it does not go back");
        assert_eq!(clock.at(now + SECOND) - before, 62 * SECOND);
    }

    #[test]
    fn work_that_looks_at_no_clock_is_no_stop() {
        let clock = Clock::running();
        std::thread::sleep(LAP_MAX + SECOND / 2);
        assert_eq!((clock.now() >= LAP_MAX, clock.take_stop()), (true, None));
    }

    #[tokio::test]
    async fn a_countdown_goes_on_where_it_was_dropped() {
        let (mut countdown, begun) = (Countdown::new(SECOND / 5), Instant::now());
        while tokio::time::timeout(SECOND / 50, countdown.over()).await.is_err() {}
        assert!(begun.elapsed() >= SECOND / 5);
        countdown.laps.0 -= 60 * SECOND;
        countdown = countdown.longer_by(2 * SECOND);
        let over = tokio::time::timeout(SECOND / 50, countdown.over()).await;
        assert!(over.is_err(), "a stop of a minute is no minute");
    }
}
