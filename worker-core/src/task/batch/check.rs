//! What always holds of a batch task.

use super::{BatchTask, Phase};
use crate::check::{Inconsistency, rule, same};
use crate::ctx::Ctx;
use crate::inbox::Piece;
use crate::task::Base;
use crate::timers::WakeReason;

impl BatchTask {
    /// Counts again what is formed and run, and holds it against phase, timers and the journal's note.
    pub(in crate::task) fn check(&self, base: &Base, ctx: &Ctx) -> Result<(), Inconsistency> {
        self.forming.check()?;
        self.segments.iter().try_for_each(|segment| segment.pieces.check())?;
        let (formed, most) = (self.forming.records(), self.spec.max_records);
        rule("limit of a batch", formed <= most, || format!("{formed} records, at most {most}"))?;
        let has_one = self.phase == Phase::Idle || !self.segments.is_empty();
        rule("batch in hand", has_one, || format!("{:?} without one", self.phase))?;
        let running = self.segments.front().filter(|_| self.is_running()).map_or(0, |s| s.records());
        if ctx.journaled {
            same("in flight, as noted", base.in_flight.records, running)?;
        }
        match self.phase {
            Phase::Backoff { until } => {
                same("wait for a retry", ctx.timers.at(WakeReason::Retry(base.id)), Some(until))
            }
            Phase::Idle | Phase::Blocked { .. } | Phase::Queued { .. } | Phase::Running { .. } => Ok(()),
        }
    }

    /// What is taken and not committed, in order.
    pub(in crate::task) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let undecided = self.systematic.undecided();
        undecided.chain(self.segments.iter().flat_map(|segment| &segment.pieces)).chain(&self.forming)
    }
}
