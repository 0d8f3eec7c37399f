//! Dead letters by reason, counted as they come.

use super::model::DeadReason;
use crate::explain::words::foreign;
use std::collections::BTreeMap;

/// Most reasons that are told apart.
const REASONS_MAX: usize = 100;

/// What stands for the reasons beyond.
const OTHERS: &str = "other reasons";

/// How many dead letters there are of each stage and reason.
#[derive(Clone, Debug, Default)]
pub struct DeadTally {
    reasons: BTreeMap<(String, String), (u64, String)>,
}

impl DeadTally {
    /// Counts one letter of a stage.
    pub fn count(&mut self, stage: &str, reason: &str) {
        let known = self.reasons.len();
        let key = (stage.to_owned(), foreign(common(reason)));
        let full = known >= REASONS_MAX && !self.reasons.contains_key(&key);
        let key = if full { (String::new(), OTHERS.to_owned()) } else { key };
        let (records, _) = self.reasons.entry(key).or_insert_with(|| (0, foreign(reason)));
        *records += 1;
    }

    /// The most frequent first.
    #[must_use]
    pub fn reasons(&self) -> Vec<DeadReason> {
        let reason =
            |((stage, reason), (records, example)): (&(String, String), &(u64, String))| DeadReason {
                stage: stage.clone(),
                reason: reason.clone(),
                records: *records,
                example: example.clone(),
            };
        let mut reasons: Vec<_> = self.reasons.iter().map(reason).collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.records));
        reasons
    }
}

/// What letters for one cause have in common: a program's own words, which may quote the record, come behind a colon.
fn common(reason: &str) -> &str {
    reason.split_once(": ").map_or(reason, |(common, _)| common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted_by_stage_and_what_their_reasons_have_in_common() {
        let mut tally = DeadTally::default();
        for (stage, reason) in [
            ("a", "awk exited with status 7: cannot do 77"),
            ("a", "awk exited with status 7: cannot do 78"),
            ("a", "awk did nothing for 1s and was killed"),
            ("b", "awk exited with status 7: cannot do 79"),
        ] {
            tally.count(stage, reason);
        }
        let reasons = tally.reasons();
        let short: Vec<_> =
            reasons.iter().map(|r| (r.stage.as_str(), r.reason.as_str(), r.records)).collect();
        assert_eq!(short[0], ("a", "awk exited with status 7", 2));
        assert_eq!((short.len(), reasons[0].example.as_str()), (3, "awk exited with status 7: cannot do 77"));
    }

    #[test]
    fn reasons_that_are_all_different_take_no_more_room() {
        let mut tally = DeadTally::default();
        for number in 0..10_000 {
            tally.count("a", &format!("reason {number}\u{1b}[31m"));
        }
        let reasons = tally.reasons();
        assert_eq!((reasons.len(), reasons[0].reason.as_str(), reasons[0].records), (101, OTHERS, 9_900));
        assert!(reasons.iter().all(|r| !r.example.contains('\u{1b}')));
    }
}
