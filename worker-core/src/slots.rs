//! Slots: the right to run a batch child now.

use crate::check::{Inconsistency, rule, same};
use crate::config::{Graph, TaskId, TaskName};
use std::collections::{BTreeMap, VecDeque};

/// A fixed number of slots. The stage that has the fewest of them is next; of its tasks, and of stages that have as many, the
/// one that has waited longest. A program that does nothing does not count, one a stage at most: so a stage whose programs hang
/// takes the slot of nobody else.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    /// By task: a number for its stage.
    stages: Vec<usize>,
    /// The tasks that have one, in the order in which they got them.
    holders: Vec<TaskId>,
    /// Those of them whose programs do nothing.
    idle: Vec<TaskId>,
    waiting: VecDeque<TaskId>,
}

impl Slots {
    pub(crate) fn new(total: usize, graph: &Graph) -> Self {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut number = |name| {
            let next = numbers.len();
            *numbers.entry(name).or_insert(next)
        };
        let stages = graph.tasks.iter().map(|task| number(TaskName::of(&task.name).stage)).collect();
        let (holders, idle, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { total: total.max(1), stages, holders, idle, waiting }
    }

    /// Puts a task in the queue; it asks once for each run.
    pub(crate) fn request(&mut self, task: TaskId) {
        self.waiting.push_back(task);
    }

    /// The task whose turn it is, if one of at most `most` slots is free. The slot is in use until [`release`](Self::release).
    pub(crate) fn grant(&mut self, most: usize) -> Option<TaskId> {
        if self.holders.len() - self.lent() >= self.total.min(most) {
            return None;
        }
        let held = |task: TaskId| {
            self.holders.iter().filter(|&&holder| self.stage(holder) == self.stage(task)).count()
        };
        let (at, _) = self.waiting.iter().enumerate().min_by_key(|(at, task)| (held(**task), *at))?;
        let task = self.waiting.remove(at)?;
        self.holders.push(task);
        Some(task)
    }

    /// The program of a task that has a slot does nothing, or goes on.
    pub(crate) fn idles(&mut self, task: TaskId, idle: bool) {
        self.idle.retain(|&known| known != task);
        if idle && self.holders.contains(&task) {
            self.idle.push(task);
        }
    }

    /// How many slots do not count, for their programs do nothing: one a stage.
    fn lent(&self) -> usize {
        let mut stages: Vec<usize> = self.idle.iter().map(|&task| self.stage(task)).collect();
        stages.sort_unstable();
        stages.dedup();
        stages.len()
    }

    fn stage(&self, task: TaskId) -> usize {
        self.stages.get(task.0 as usize).copied().unwrap_or(usize::MAX)
    }

    /// A task does not need its slot any more.
    pub(crate) fn release(&mut self, task: TaskId) {
        self.holders.retain(|&holder| holder != task);
        self.idle.retain(|&known| known != task);
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
        let stages = self.stages.iter().max().map_or(0, |last| last + 1);
        // One that was lent is not taken back when the program it was lent beside goes on.
        rule("slots", held <= total + stages, || format!("{held} of {total} are used"))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NodeIx, TaskKind, TaskSpec};

    /// Two tasks of stage `a`, two of `b`.
    fn slots(total: usize) -> Slots {
        let task = |name: &str| TaskSpec { name: name.to_owned(), node: NodeIx(0), kind: TaskKind::Sink };
        let tasks = ["a/0", "a/1", "b/0", "b/1"].map(task).to_vec();
        Slots::new(total, &Graph { tasks, links: Vec::new() })
    }

    #[test]
    fn slots_go_to_stages_in_turn() {
        let mut slots = slots(2);
        [0, 1, 2, 3].map(TaskId).into_iter().for_each(|task| slots.request(task));
        assert_eq!(
            (slots.grant(9), slots.grant(9), slots.grant(9)),
            (Some(TaskId(0)), Some(TaskId(2)), None)
        );
        // However often the first stage asks, each slot of the other comes back to it.
        slots.request(TaskId(2));
        slots.release(TaskId(2));
        assert_eq!(slots.grant(9), Some(TaskId(3)));
        slots.release(TaskId(3));
        assert_eq!(slots.grant(9), Some(TaskId(2)));
    }

    #[test]
    fn a_program_that_does_nothing_lends_its_slot_one_a_stage() {
        let mut slots = slots(2);
        [0, 1, 2, 3].map(TaskId).into_iter().for_each(|task| slots.request(task));
        slots.grant(9);
        slots.grant(9);
        slots.idles(TaskId(0), true);
        slots.idles(TaskId(3), true);
        assert_eq!((slots.grant(9), slots.grant(9)), (Some(TaskId(1)), None));
        // Another of the same stage lends nothing more.
        slots.idles(TaskId(1), true);
        assert_eq!(slots.grant(9), None);
        slots.idles(TaskId(1), false);
        slots.idles(TaskId(0), false);
        slots.release(TaskId(2));
        assert_eq!(slots.grant(9), None, "what was lent is given back first");
        slots.release(TaskId(1));
        assert_eq!(slots.grant(9), Some(TaskId(3)));
    }
}
