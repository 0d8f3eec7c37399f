//! What always holds of a records task.

use super::{Phase, RecordsTask};
use crate::check::{Inconsistency, rule, same};
use crate::ctx::Ctx;
use crate::inbox::Piece;
use crate::task::Base;
use crate::timers::WakeReason;

impl RecordsTask {
    /// Counts again what is asked and waits, and holds it against phase, limits, timers and the journal's note.
    pub(in crate::task) fn check(&self, base: &Base, ctx: &Ctx) -> Result<(), Inconsistency> {
        self.asked.check()?;
        self.waiting.check()?;
        let (asked, most) = (self.asked.records(), self.spec.in_flight);
        rule("limit of requests", asked <= most, || format!("{asked} records are asked, at most {most}"))?;
        if ctx.journaled {
            same("in flight, as noted", base.in_flight.records, asked)?;
        }
        match self.phase {
            Phase::Running { .. } | Phase::Ending { .. } => Ok(()),
            Phase::Idle => same("asked of no program", asked, 0),
            Phase::Backoff { until } => {
                same("asked of no program", asked, 0)?;
                same("wait for a retry", ctx.timers.at(WakeReason::Retry(base.id)), Some(until))
            }
        }
    }

    /// What is taken and not committed, in order.
    pub(in crate::task) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.systematic.undecided().chain(&self.asked).chain(&self.waiting)
    }

    /// What was taken is given up.
    pub(in crate::task) fn is_stopped(&self) -> bool {
        self.stopped
    }
}
