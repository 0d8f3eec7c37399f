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

    /// The longest one.
    #[must_use]
    pub fn longest(&self) -> Option<&PastStall> {
        self.last.iter().max_by(|a, b| a.lasted_s.total_cmp(&b.lasted_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(number: u32, lasted_s: f64) -> PastStall {
        let chain = Chain {
            task: "a/0".to_owned(),
            node: "n".to_owned(),
            for_s: lasted_s,
            stalled: true,
            steps: Vec::new(),
            root: String::new(),
            advice: None,
            sources_paused: Vec::new(),
        };
        PastStall {
            root: number.to_string(),
            chain,
            tasks: 1,
            began_s: f64::from(number),
            lasted_s,
            goes_on: false,
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_the_longest_of_all() {
        let mut past = PastStalls::default();
        for number in 0..1000 {
            past.push(stall(number, if number == 17 { 60.0 } else { 3.0 }));
        }
        assert_eq!((past.count, past.last.len()), (1000, PAST_MAX));
        assert_eq!(past.longest().map(|s| s.root.as_str()), Some("17"));
        assert_eq!(past.last.iter().skip(1).map(|s| s.root.clone()).collect::<Vec<_>>()[0], "801");
        assert_eq!(past.last.back().map(|s| s.root.as_str()), Some("999"));
    }
}
