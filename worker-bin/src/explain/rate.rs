//! How fast a count grows: the one rate that bar, `top`, page, status and metrics show.
//!
//! Work that ends in lumps (a batch of 100 records every two seconds) has the rate of its lumps, and not that of the moments between
//! them: the time is taken from one lump to another, over at least a window. When the next lump is as late as the lumps were apart,
//! the rate falls; twice as late, it is nothing.

use std::collections::VecDeque;
use std::time::Duration;
use worker_core::Time;

/// Lumps that are further apart than this are work and rest in turn.
const APART_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Rate {
    window: Duration,
    /// When the count was seen to change, and to what; the first is where the time is taken from.
    changes: VecDeque<(Time, u64)>,
    /// Lumps since the beginning, or the last rest: one alone does not say when the next is due.
    lumps: u32,
}

impl Rate {
    pub(super) fn over(window: Duration) -> Self {
        Self { window, changes: VecDeque::new(), lumps: 0 }
    }

    /// The count at `now`.
    pub(super) fn note(&mut self, now: Time, count: u64) {
        match self.changes.back() {
            Some(&(_, before)) if before == count => {}
            Some(&(at, before)) if now.since(at) > APART_MAX => {
                let begun = now.as_micros().saturating_sub(micros(self.window));
                self.changes = VecDeque::from([(Time::from_micros(begun), before), (now, count)]);
                self.lumps = 1;
            }
            Some(_) => {
                self.changes.push_back((now, count));
                self.lumps = self.lumps.saturating_add(1);
            }
            None => self.changes.push_back((now, count)),
        }
        while self.changes.len() > 2 && now.since(self.changes[1].0) >= self.window {
            self.changes.pop_front();
        }
    }

    /// By how much it grows in a second; what `is_over` has no next lump to wait for.
    pub(super) fn per_s(&self, now: Time, is_over: bool) -> f64 {
        let (Some(first), Some(last)) = (self.changes.front(), self.changes.back()) else { return 0.0 };
        let quiet = now.since(last.0);
        let times = self.changes.iter().map(|change| change.0);
        let gaps = times.clone().zip(times.skip(1)).map(|(one, next)| next.since(one));
        let apart = gaps.max().unwrap_or_default();
        let patience = if is_over || self.lumps < 2 { self.window } else { self.window.max(apart * 2) };
        if last.0 <= first.0 || quiet >= patience {
            return 0.0;
        }
        let time = last.0.since(first.0) + quiet.saturating_sub(apart);
        per_s(first.1, last.1, time.as_secs_f64())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(super) fn per_s(before: u64, after: u64, seconds: f64) -> f64 {
    after.saturating_sub(before) as f64 / seconds
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown, four times a second, of a count that grows by `size` at each of these lumps.
    fn shown(lumps_ms: &[u64], size: u64, until_ms: u64) -> Vec<(u64, f64)> {
        let mut rate = Rate::over(Duration::from_secs(5));
        let look = |ms: u64| {
            let now = Time::from_micros(ms * 1000);
            let lumps = lumps_ms.iter().filter(|at| **at <= ms).count() as u64;
            rate.note(now, lumps * size);
            (ms, rate.per_s(now, false))
        };
        (0..=until_ms).step_by(250).map(look).collect()
    }

    #[test]
    fn what_ends_in_lumps_has_one_rate_and_none_when_they_stay_away() {
        for apart_ms in [250, 600, 1150, 2000, 7000, 10_000, 25_000] {
            let lumps: Vec<u64> = (1..=20).map(|n| n * apart_ms).collect();
            let (last, per_s) = (20 * apart_ms, 100_000.0 / apart_ms as f64);
            for (at, rate) in shown(&lumps, 100, last + 2 * apart_ms + 5000) {
                if at > 5250.max(2 * apart_ms) && at <= last {
                    assert!((rate / per_s - 1.0).abs() < 0.2, "every {apart_ms} ms, at {at}: {rate}");
                }
                let over_ms = (2 * apart_ms + 250).max(5000);
                assert!(at < last + over_ms || rate == 0.0, "every {apart_ms} ms, at {at} of {last}: {rate}");
            }
        }
    }

    #[test]
    fn after_a_rest_the_rate_is_of_what_came_behind_it() {
        let mut lumps: Vec<u64> = (1..=40).map(|n| n * 250).collect();
        lumps.extend((1..=40).map(|n| 70_000 + n * 250));
        let shown = shown(&lumps, 100, 80_000);
        let at = |ms: u64| shown.iter().find(|(at, _)| *at == ms).map(|(_, rate)| *rate);
        assert_eq!((at(9000), at(60_000)), (Some(400.0), Some(0.0)));
        assert!(at(73_000).is_some_and(|rate| rate > 150.0), "{:?}", at(73_000));
        assert_eq!(at(78_000), Some(400.0));
    }

    #[test]
    fn one_lump_after_a_while_is_no_rate_that_goes_on() {
        let shown = shown(&[12_000], 2000, 20_000);
        let at = |ms: u64| shown.iter().find(|(at, _)| *at == ms).map(|(_, rate)| *rate);
        assert!(at(12_250).is_some_and(|rate| rate > 100.0), "{:?}", at(12_250));
        assert_eq!((at(17_250), at(20_000)), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn what_is_over_has_no_rate_for_longer_than_the_window() {
        let mut rate = Rate::over(Duration::from_secs(5));
        for second in [0, 10, 20] {
            rate.note(Time::from_micros(second * 1_000_000), second);
        }
        let at = |second: u64, is_over| rate.per_s(Time::from_micros(second * 1_000_000), is_over);
        assert_eq!((at(26, false), at(26, true), at(24, true)), (1.0, 0.0, 1.0));
    }
}
