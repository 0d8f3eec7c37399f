//! Being the only one with records in flight on the node, for a record of which the process may have died.
//!
//! ```text
//!   waits ──nothing is in flight──▶ has its turn ──its record is through, or failed──▶ the others begin first
//!                                                                                        │ one of them is through
//!   waits ◀──────────── nothing begins meanwhile, what is in flight ends ◀───────────────┘
//! ```
//! Nobody is held up but while somebody waits for his turn or has it, and between two turns all others may begin something. So
//! nothing waits for longer than for what is in flight and for one record.

use crate::check::{Inconsistency, rule};
use crate::config::TaskId;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Alone {
    /// Those that try nothing before nothing else is in flight.
    waiting: VecDeque<TaskId>,
    turn: Option<TaskId>,
    /// The others begin first.
    others_first: bool,
}

impl Alone {
    /// A task waits for its turn; it may say so more than once.
    pub(crate) fn wants(&mut self, task: TaskId) {
        if self.turn != Some(task) && !self.waiting.contains(&task) {
            self.waiting.push_back(task);
        }
    }

    /// The turn of a task is over, or it waits for none any more; whether that changes anything for the others.
    pub(crate) fn leaves(&mut self, task: TaskId) -> bool {
        if self.turn == Some(task) {
            (self.turn, self.others_first) = (None, true);
            return true;
        }
        let before = self.waiting.len();
        self.waiting.retain(|&waiting| waiting != task);
        self.waiting.len() < before
    }

    /// Something of others is in flight no more.
    pub(crate) fn other_ended(&mut self) {
        self.others_first = false;
    }

    /// Gives the next in line its turn. Nothing is in flight, and no other begins anything by itself.
    pub(crate) fn next(&mut self) -> Option<TaskId> {
        if self.turn.is_some() {
            return None;
        }
        self.turn = self.waiting.pop_front();
        self.turn
    }

    pub(crate) fn waits(&self, task: TaskId) -> bool {
        self.waiting.contains(&task)
    }

    pub(crate) fn has_turn(&self, task: TaskId) -> bool {
        self.turn == Some(task)
    }

    /// Whether a task may put records in flight now.
    pub(crate) fn may_begin(&self, task: TaskId) -> bool {
        match self.turn {
            Some(turn) => turn == task,
            None => self.waiting.is_empty() || (self.others_first && !self.waiting.contains(&task)),
        }
    }

    /// For whom all others wait.
    pub(crate) fn holds_up(&self) -> Option<TaskId> {
        self.turn.or_else(|| self.waiting.front().copied())
    }

    /// Holds it against the tasks that have something in flight.
    pub(crate) fn check(&self, mut in_flight: impl Iterator<Item = TaskId>) -> Result<(), Inconsistency> {
        let Some(turn) = self.turn else { return Ok(()) };
        let other = in_flight.find(|&task| task != turn);
        rule("alone in flight", other.is_none(), || format!("{turn:?} has its turn, beside {other:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TaskId = TaskId(0);
    const B: TaskId = TaskId(1);
    const OTHER: TaskId = TaskId(2);

    #[test]
    fn nobody_is_held_up_while_nobody_waits() {
        let mut alone = Alone::default();
        assert!(alone.may_begin(OTHER));
        alone.wants(A);
        assert!(!alone.may_begin(OTHER) && !alone.may_begin(A));
        assert!(alone.leaves(A) && alone.may_begin(OTHER));
        assert!(!alone.leaves(A), "it is gone already");
    }

    #[test]
    fn between_two_turns_the_others_begin_something() {
        let mut alone = Alone::default();
        [A, B, A].into_iter().for_each(|task| alone.wants(task));
        assert_eq!((alone.next(), alone.next(), alone.holds_up()), (Some(A), None, Some(A)));
        assert!(alone.may_begin(A) && !alone.may_begin(OTHER) && !alone.may_begin(B));
        assert!(alone.leaves(A));
        assert!(alone.may_begin(OTHER) && alone.may_begin(A) && !alone.may_begin(B));
        alone.other_ended();
        assert!(!alone.may_begin(OTHER), "what it has begun is through: the next turn comes");
        assert_eq!(alone.next(), Some(B));
        assert!(alone.check([B].into_iter()).is_ok() && alone.check([OTHER].into_iter()).is_err());
    }
}
