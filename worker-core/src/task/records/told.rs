//! What a records task tells of itself.

use super::{Phase, RecordsTask};
use crate::event::Failure;

impl RecordsTask {
    /// The program was asked for its end, and has not answered that.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.only_holds_back() && !self.systematic.holds_any()
    }

    /// Idle, but for records whose failures are undecided.
    pub(crate) fn only_holds_back(&self) -> bool {
        self.asked.is_empty() && self.waiting.is_empty()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Records asked and not answered.
    pub(crate) fn asked_records(&self) -> u64 {
        self.asked.records()
    }

    /// Runs that ended without an answer, and how many records wait.
    pub(crate) fn in_hand(&self) -> (u32, usize) {
        (self.failures, usize::try_from(self.waiting.records()).unwrap_or(usize::MAX))
    }

    /// Records taken and not committed.
    pub(crate) fn held_records(&self) -> u64 {
        self.asked.records() + self.waiting.records() + self.systematic.undecided().count() as u64
    }

    /// Records that failed and wait for one success.
    pub(crate) fn undecided_records(&self) -> usize {
        self.systematic.undecided().count()
    }

    /// Cost of what was taken and not committed, in bytes.
    pub(crate) fn held_cost(&self) -> u64 {
        let undecided = self.systematic.undecided().map(|piece| piece.batch.cost()).sum::<u64>();
        self.asked.cost() + self.waiting.cost() + undecided
    }

    pub(crate) fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }
}
