//! Slots: the right to run a batch child now.

use crate::config::TaskId;
use std::collections::VecDeque;

/// A fixed number of slots, given out in the order of the requests.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    used: usize,
    waiting: VecDeque<TaskId>,
}

impl Slots {
    pub(crate) fn new(total: usize) -> Self {
        Self { total: total.max(1), used: 0, waiting: VecDeque::new() }
    }

    /// Puts a task in the queue; it asks once for each run.
    pub(crate) fn request(&mut self, task: TaskId) {
        self.waiting.push_back(task);
    }

    /// The task whose turn it is, if one of at most `most` slots is free. The slot is in use until [`release`](Self::release).
    pub(crate) fn grant(&mut self, most: usize) -> Option<TaskId> {
        if self.used >= self.total.min(most) {
            return None;
        }
        let task = self.waiting.pop_front()?;
        self.used += 1;
        Some(task)
    }

    pub(crate) fn release(&mut self) {
        self.used = self.used.saturating_sub(1);
    }

    /// Whether some task waits.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How many tasks wait before this one; `None` if it does not wait.
    pub(crate) fn ahead_of(&self, task: TaskId) -> Option<usize> {
        self.waiting.iter().position(|&t| t == task)
    }
}
