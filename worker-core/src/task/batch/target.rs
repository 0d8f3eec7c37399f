//! The size that the next batch aims at.

use crate::event::Spent;

/// That of the first batch, in bytes of cost.
const FIRST_BYTES: u64 = 64 * 1024;

/// Starting a program may take one part in so many of its run.
const START_PARTS: u128 = 20;

/// How many times as large the next batch is at most: a start may have taken long for once.
const GROWTH_MAX: u64 = 8;

#[derive(Debug)]
pub(super) struct Target {
    bytes: u64,
    bytes_max: u64,
}

impl Target {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes: FIRST_BYTES.min(bytes_max), bytes_max }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows while starting programs costs over 5 % of the work, towards the size with which it costs that; so much was spent on a
    /// batch of `cost` bytes.
    pub(super) fn adapt(&mut self, spent: Spent, cost: u64) {
        let (start, total) = (spent.start.as_nanos() * START_PARTS, spent.total.as_nanos());
        if start > total {
            let factor = start.checked_div(total).and_then(|factor| u64::try_from(factor).ok());
            let wanted = cost.saturating_mul(factor.unwrap_or(GROWTH_MAX).max(2));
            let most = self.bytes.saturating_mul(GROWTH_MAX).min(self.bytes_max);
            self.bytes = self.bytes.max(wanted.min(most));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A program that starts in a millisecond and takes one for 256 KiB.
    fn run(target: &Target) -> Spent {
        let start = Duration::from_millis(1);
        Spent { start, total: start + Duration::from_micros(target.bytes() / 256) }
    }

    #[test]
    fn a_batch_soon_has_the_size_with_which_starting_costs_little() {
        let mut target = Target::new(64 << 20);
        let sizes: Vec<u64> = std::iter::repeat_with(|| {
            target.adapt(run(&target), target.bytes());
            target.bytes() >> 10
        })
        .take(6)
        .collect();
        assert_eq!(sizes, [512, 3 << 10, 6 << 10, 6 << 10, 6 << 10, 6 << 10]);
    }

    #[test]
    fn one_start_that_took_long_does_not_make_it_the_largest_and_nothing_makes_it_larger() {
        let mut target = Target::new(1 << 20);
        let (start, long) = (Duration::from_secs(9), Duration::from_secs(10));
        target.adapt(Spent { start, total: long }, FIRST_BYTES);
        assert_eq!(target.bytes(), 8 * FIRST_BYTES);
        target.adapt(Spent { start, total: Duration::ZERO }, 8 * FIRST_BYTES);
        assert_eq!(target.bytes(), 1 << 20);
        assert_eq!(Target::new(1000).bytes(), 1000);
    }

    #[test]
    fn a_few_records_alone_say_little_of_what_many_cost() {
        let mut target = Target::new(1 << 20);
        let start = Duration::from_millis(1);
        target.adapt(Spent { start, total: 2 * start }, 1000);
        assert_eq!(target.bytes(), FIRST_BYTES, "10 kB would cost 5 %");
    }
}
