//! How long to wait before trying again.

use crate::rng::Rng;
use std::time::Duration;

/// Exponential backoff with full jitter: the n-th wait is uniform in `0 ..= min(max, initial · 2ⁿ⁻¹)`.
///
/// Full jitter spreads the retries of many senders that failed together over the whole interval.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    /// No attempt has failed yet.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, attempt: 0 }
    }

    /// Counts one failed attempt and says how long to wait before the next.
    pub fn fail(&mut self, rng: &mut Rng) -> Duration {
        let doubled =
            self.initial.saturating_mul(1_u32.checked_shl(self.attempt.min(31)).unwrap_or(u32::MAX));
        self.attempt = self.attempt.saturating_add(1);
        let bound = doubled.min(self.max);
        Duration::from_micros(rng.up_to(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
    }

    /// An attempt succeeded: the next wait is the first again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Attempts failed since the last success.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_doubling_bound_and_spread() {
        let (initial, max) = (Duration::from_millis(100), Duration::from_secs(30));
        let mut rng = Rng::new(7);
        let mut backoff = Backoff::new(initial, max);
        for n in 0..40_u32 {
            let wait = backoff.fail(&mut rng);
            assert!(wait <= max && wait <= initial * 2_u32.saturating_pow(n.min(20)), "wait {n} is {wait:?}");
        }
        let late: Vec<_> = (0..200).map(|_| backoff.fail(&mut rng)).collect();
        assert!(late.iter().any(|w| *w < max / 4) && late.iter().any(|w| *w > max / 4 * 3));
        backoff.reset();
        assert!(backoff.fail(&mut rng) <= initial);
    }
}
