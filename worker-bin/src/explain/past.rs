//! The stalls of a run, for its report.

use super::chain::Chain;
use std::collections::VecDeque;

/// How many stalls are remembered: the last ones.
pub const PAST_MAX: usize = 200;

/// A stall that is over, or that goes on at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct PastStall {
    /// What names the root.
    pub root: String,
    /// The chain that said most, as it was last seen.
    pub chain: Chain,
    /// The most tasks that waited for that root.
    pub tasks: usize,
    /// When it began, in seconds since the run began.
    pub began_s: f64,
    /// How long it lasted.
    pub lasted_s: f64,
    /// It was not over when it was looked at.
    pub goes_on: bool,
}

/// The last [`PAST_MAX`] stalls, and what all of them come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastStalls {
    /// In the order of their ends; the longest of all stands first if it is not among the last ones.
    pub last: VecDeque<PastStall>,
    /// How many there were in all.
    pub count: u64,
}

impl PastStalls {
    /// Adds one. Of those that are forgotten the longest stays.
    pub fn push(&mut self, stall: PastStall) {
        self.count += 1;
        self.last.push_back(stall);
        if self.last.len() > PAST_MAX {
            let shorter = if self.last[0].lasted_s < self.last[1].lasted_s { 0 } else { 1 };
            self.last.remove(shorter);
        }
    }

    #[must_use]
    pub fn longest(&self) -> Option<&PastStall> {
        self.last.iter().max_by(|a, b| a.lasted_s.total_cmp(&b.lasted_s))
    }
}

#[cfg(test)]
mod tests;
