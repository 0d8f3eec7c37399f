//! Time in which this process ran. What ends something for good counts no other: a process that was stopped (SIGSTOP, a freezer, a
//! debugger) has missed what the others did meanwhile, and finds it when it goes on.

use crate::mutex::lock;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
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
///
/// A stop is told from work by looks, so somebody has to look all the time. Where nothing waits for time and nobody is missed
/// meanwhile it [rests](Self::rest): nobody looks, and however long that lasts counts as time in which the process ran, also where it
/// was stopped. That is no part of any wait, for each begins behind it.
#[derive(Debug)]
pub(crate) struct Clock {
    hands: Mutex<Hands>,
    looks: OnceLock<Thread>,
}

#[derive(Debug)]
struct Hands {
    laps: Laps,
    ran: Duration,
    /// In which it was stopped, and nobody was told yet.
    stopped: Duration,
    rests: bool,
}

impl Clock {
    pub(crate) const LOOK_EVERY: Duration = LOOK_EVERY;

    fn new() -> Self {
        let (ran, stopped) = (Duration::ZERO, Duration::ZERO);
        let hands = Hands { laps: Laps::new(), ran, stopped, rests: false };
        Self { hands: Mutex::new(hands), looks: OnceLock::new() }
    }

    /// A thread that does nothing else looks at it, so that only a stop makes it late, and no work.
    pub(crate) fn running() -> Arc<Self> {
        let clock = Arc::new(Self::new());
        let looked_at = Arc::downgrade(&clock);
        let look = move || {
            while let Some(clock) = looked_at.upgrade() {
                clock.now();
                let rests = clock.rests();
                drop(clock);
                match rests {
                    true => std::thread::park(),
                    false => std::thread::park_timeout(LOOK_EVERY),
                }
            }
        };
        match std::thread::Builder::new().name("clock".to_owned()).spawn(look) {
            Ok(thread) => drop(clock.looks.set(thread.thread().clone())),
            Err(error) => {
                tracing::debug!(%error, "no thread looks at the clock: what is late may be taken for a stop");
            }
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
        !lock(&self.hands).stopped.is_zero()
    }

    /// Nobody needs to know of a stop until it [goes on](Self::goes_on).
    pub(crate) fn rest(&self) {
        self.now();
        lock(&self.hands).rests = true;
    }

    /// It is looked at again from now on; says whether it was not.
    pub(crate) fn goes_on(&self) -> bool {
        self.now();
        let rested = std::mem::take(&mut lock(&self.hands).rests);
        if rested {
            self.wake();
        }
        rested
    }

    pub(crate) fn rests(&self) -> bool {
        lock(&self.hands).rests
    }

    fn wake(&self) {
        if let Some(thread) = self.looks.get() {
            thread.unpark();
        }
    }

    /// For how long the process was stopped since this was asked last.
    pub(crate) fn take_stop(&self) -> Option<Duration> {
        let stopped = std::mem::take(&mut lock(&self.hands).stopped);
        (!stopped.is_zero()).then_some(stopped)
    }

    fn at(&self, now: Instant) -> Duration {
        let mut hands = lock(&self.hands);
        let before = hands.laps.0;
        let (ran, stopped) = match (hands.rests, hands.laps.lap(now)) {
            (true, _) => (now.saturating_duration_since(before), Duration::ZERO),
            (false, lap) => lap,
        };
        hands.ran += ran;
        hands.stopped += stopped;
        hands.ran
    }
}

impl Drop for Clock {
    /// Its thread ends.
    fn drop(&mut self) {
        self.wake();
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
    fn a_clock_that_rests_takes_nothing_for_a_stop_until_it_goes_on() {
        let (clock, begun) = (Clock::new(), Instant::now());
        clock.rest();
        assert!(clock.at(begun + 600 * SECOND) >= 599 * SECOND, "the process may as well have run");
        assert_eq!((clock.take_stop(), clock.goes_on(), clock.goes_on()), (None, true, false));
        clock.at(begun + 1200 * SECOND);
        assert_eq!(clock.take_stop(), Some(599 * SECOND));
    }

    #[test]
    fn nobody_looks_at_a_clock_that_rests_and_its_thread_ends_with_it() {
        let clock = Clock::running();
        let weak = Arc::downgrade(&clock);
        clock.rest();
        let looks = || weak.upgrade().map(|clock| lock(&clock.hands).laps.0);
        let until = Instant::now() + 20 * SECOND;
        let mut before = looks();
        // The last look may be under way.
        loop {
            std::thread::sleep(SECOND + SECOND / 2);
            let now = looks();
            if std::mem::replace(&mut before, now) == now {
                break;
            }
            assert!(Instant::now() < until, "it is still looked at");
        }
        assert!(clock.goes_on());
        let rested = looks();
        while looks() == rested {
            assert!(Instant::now() < until, "nobody looks");
            std::thread::sleep(SECOND / 100);
        }
        drop(clock);
        while weak.strong_count() > 0 {
            std::thread::sleep(SECOND / 100);
        }
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
