//! What always holds of an outbox.

use super::Outbox;
use crate::check::{Inconsistency, rule, same};
use worker_proto::Seq;

impl Outbox {
    /// Counts every sum again, and holds positions, cursor and credit against what is held. Takes time in proportion to the
    /// batches held: for tests, simulations and builds with debug assertions.
    ///
    /// # Errors
    /// [`Inconsistency`] names the first thing that is wrong.
    pub fn check(&self) -> Result<(), Inconsistency> {
        self.held
            .check()
            .and_then(|()| self.check_positions())
            .and_then(|()| self.check_held())
            .and_then(|()| self.check_cursor())
            .and_then(|()| self.check_credit())
            .and_then(|()| self.check_dropping())
            .map_err(|wrong| wrong.of("outbox"))
    }

    /// finished ≤ acknowledged < next to be pushed ≤ next to be assigned, and nothing behind the end.
    fn check_positions(&self) -> Result<(), Inconsistency> {
        let Self { finished, through, held_next, next, end, .. } = *self;
        let ordered = finished <= through && through < held_next && held_next <= next;
        rule("order of positions", ordered, || {
            format!("finished {finished}, acknowledged {through}, next {held_next}, assigned below {next}")
        })?;
        let is_last = end.is_none_or(|end| end.next() == held_next && held_next == next);
        let costs = (held_next < next) == (self.assigned_cost > 0);
        rule("cost of what is assigned", costs, || {
            format!("{held_next} to {next} cost {} bytes", self.assigned_cost)
        })?;
        rule("end", is_last, || format!("it is {end:?}, and {next} comes next"))?;
        if self.backing.acknowledged_is_finished() {
            same("finished", finished, through)?;
        }
        Ok(())
    }

    /// What is held is what was pushed and is not acknowledged.
    fn check_held(&self) -> Result<(), Inconsistency> {
        let (Some(first), Some(last)) = (self.held.get(0), self.held.last()) else {
            return same("held_records", self.held_records(), 0);
        };
        let behind = first.first.max(self.through.next());
        rule("first held", first.first <= self.through.next() && self.through < first.last(), || {
            format!("{first:?}, and {} is acknowledged", self.through)
        })?;
        same("held_records", self.held_records(), last.last().next().since(behind))?;
        same("last held", last.last(), self.last_tuple())
    }

    /// The cursor is where the connection is, and its index is that of the batch it is in.
    fn check_cursor(&self) -> Result<(), Inconsistency> {
        // To who cancelled the link nothing is sent.
        if self.cancelled {
            return rule("cancelled", self.held.is_empty() && self.window.is_none(), || {
                format!("{} batches are held", self.held.len())
            });
        }
        // The end is sent again to who has everything else.
        let settled = self.through.min(self.last_tuple());
        rule("cursor", settled <= self.cursor && self.cursor < self.held_next, || {
            format!(
                "it is {}, acknowledged is {}, and {} comes next",
                self.cursor, self.through, self.held_next
            )
        })?;
        same("index of the cursor", self.at, self.held.index_at(self.cursor.next()))?;
        rule("sent_max", self.sent_max < self.held_next, || format!("it is {}", self.sent_max))
    }

    /// What was sent on this connection and is not acknowledged is charged to the receiver's credit.
    fn check_credit(&self) -> Result<(), Inconsistency> {
        let Some(window) = self.window else { return Ok(()) };
        let in_flight: u64 = (0..self.at)
            .filter_map(|at| self.held.get(at))
            .filter(|held| held.first > self.opened_at)
            .map(|held| held.cost)
            .sum();
        rule("credit", in_flight <= window.used(), || {
            format!("{in_flight} bytes are in flight, {} are charged", window.used())
        })
    }

    /// Who drops holds no more than may be held, one batch excepted, and nothing that has a number and may not leave.
    fn check_dropping(&self) -> Result<(), Inconsistency> {
        if !self.drops() {
            return same("dropped", self.dropped, 0);
        }
        same("numbers of who drops", self.next, self.held_next)?;
        let held = self.held_cost();
        rule("what is held of who drops", held <= self.memory_max || self.held.len() == 1, || {
            format!("{held} bytes of {}", self.memory_max)
        })
    }

    /// The last tuple pushed.
    fn last_tuple(&self) -> Seq {
        self.end.unwrap_or(self.held_next).before()
    }
}

#[cfg(test)]
mod tests;
