//! Slots: the right to run a batch child now.

use crate::check::{Inconsistency, rule, same};
use crate::config::TaskId;
use std::collections::VecDeque;

/// A fixed number of slots, given out in the order of the requests.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    /// The tasks that have one, in the order in which they got them.
    holders: Vec<TaskId>,
    waiting: VecDeque<TaskId>,
}

impl Slots {
    pub(crate) fn new(total: usize) -> Self {
        Self { total: total.max(1), holders: Vec::new(), waiting: VecDeque::new() }
    }

    /// Puts a task in the queue; it asks once for each run.
    pub(crate) fn request(&mut self, task: TaskId) {
        self.waiting.push_back(task);
    }

    /// The task whose turn it is, if one of at most `most` slots is free. The slot is in use until [`release`](Self::release).
    pub(crate) fn grant(&mut self, most: usize) -> Option<TaskId> {
        if self.holders.len() >= self.total.min(most) {
            return None;
        }
        let task = self.waiting.pop_front()?;
        self.holders.push(task);
        Some(task)
    }

    /// A task does not need its slot any more.
    pub(crate) fn release(&mut self, task: TaskId) {
        self.holders.retain(|&holder| holder != task);
    }

    /// Whether some task waits.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn used(&self) -> usize {
        self.holders.len()
    }

    pub(crate) fn holders(&self) -> Vec<TaskId> {
        self.holders.clone()
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Holds it against the tasks that run in a slot and those that wait for one.
    pub(crate) fn check(
        &self,
        running: impl Iterator<Item = TaskId>,
        mut queued: impl Iterator<Item = TaskId>,
    ) -> Result<(), Inconsistency> {
        let (held, total) = (self.holders.len(), self.total);
        let holds = running.map(|task| self.holders.contains(&task)).collect::<Vec<_>>();
        same("slots used", held, holds.len())?;
        rule("slots used", !holds.contains(&false), || format!("{:?} hold them", self.holders))?;
        rule("slots", held <= total, || format!("{held} of {total} are used"))?;
        let turns = |task| self.waiting.iter().filter(|&&waiting| waiting == task).count();
        // One that waits no more stays in the queue until its turn.
        let lost = queued.find(|&task| turns(task) != 1);
        rule("turns for slots", lost.is_none(), || {
            format!("{lost:?} waits, and the queue is {:?}", self.waiting)
        })
    }

    /// How many tasks wait before this one; `None` if it does not wait.
    pub(crate) fn ahead_of(&self, task: TaskId) -> Option<usize> {
        self.waiting.iter().position(|&t| t == task)
    }
}
