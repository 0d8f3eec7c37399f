//! Slots: the right to run a batch child now.

use crate::check::{Inconsistency, rule, same};
use crate::config::{Graph, TaskId};
use crate::stages;
use std::collections::VecDeque;

/// A fixed number of slots. The stage that has the fewest of them is next; of its tasks, and of stages that have as many, the
/// one that has waited longest. A program that does nothing does not count for other stages than its own: a stage whose
/// programs hang takes the slots of nobody else. So there are at most as many programs as each stage could have alone.
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

/// What a stage has of the slots.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    held: usize,
    idle: usize,
}

impl Slots {
    pub(crate) fn new(total: usize, graph: &Graph) -> Self {
        let (holders, idle, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { total: total.max(1), stages: stages::numbered(graph), holders, idle, waiting }
    }

    /// Puts a task in the queue; it asks once for each run.
    pub(crate) fn request(&mut self, task: TaskId) {
        self.waiting.push_back(task);
    }

    /// The task whose turn it is, of those that may begin, if a slot is free for it. The slot is in use until
    /// [`release`](Self::release).
    pub(crate) fn grant(&mut self, may_begin: impl Fn(TaskId) -> bool) -> Option<TaskId> {
        if self.waiting.is_empty() {
            return None;
        }
        let shares = self.shares();
        let share = |task: &TaskId| shares[self.stage(*task)];
        // The idle programs of others do not count.
        let counted = |task: &TaskId| self.holders.len() - (self.idle.len() - share(task).idle);
        let may = |task: &TaskId| may_begin(*task) && counted(task) < self.total;
        let free = self.waiting.iter().enumerate().filter(|(_, task)| may(task));
        let (at, _) = free.min_by_key(|(at, task)| (share(task).held, *at))?;
        let task = self.waiting.remove(at)?;
        self.holders.push(task);
        Some(task)
    }

    fn shares(&self) -> Vec<Share> {
        let mut shares = vec![Share::default(); self.stages.iter().max().map_or(0, |last| last + 1)];
        self.holders.iter().for_each(|&task| shares[self.stage(task)].held += 1);
        self.idle.iter().for_each(|&task| shares[self.stage(task)].idle += 1);
        shares
    }

    fn stage(&self, task: TaskId) -> usize {
        self.stages[task.0 as usize]
    }

    /// The program of a task that has a slot does nothing, or goes on.
    pub(crate) fn idles(&mut self, task: TaskId, idle: bool) {
        self.idle.retain(|&known| known != task);
        if idle && self.holders.contains(&task) {
            self.idle.push(task);
        }
    }

    /// A task does not need its slot any more.
    pub(crate) fn release(&mut self, task: TaskId) {
        self.holders.retain(|&holder| holder != task);
        self.idle.retain(|&known| known != task);
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
        // A slot that was given beside idle programs is not taken back when those go on.
        let shares = self.shares();
        let most = shares.iter().map(|share| share.held).max().unwrap_or(0);
        rule("slots", most <= total, || format!("{most} of {total} are used by one stage"))?;
        let idle_without = self.idle.iter().find(|task| !self.holders.contains(task));
        rule("idle slots", idle_without.is_none(), || format!("{idle_without:?} has none"))?;
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

    fn all(_: TaskId) -> bool {
        true
    }

    /// Two tasks of stage `a`, two of `b`.
    fn slots(total: usize) -> Slots {
        let task = |name: &str| TaskSpec { name: name.to_owned(), node: NodeIx(0), kind: TaskKind::Sink };
        let tasks = ["a/0", "a/1", "b/0", "b/1"].map(task).to_vec();
        Slots::new(total, &Graph { tasks, ..Graph::default() })
    }

    #[test]
    fn slots_go_to_stages_in_turn() {
        let mut slots = slots(2);
        [0, 1, 2, 3].map(TaskId).into_iter().for_each(|task| slots.request(task));
        assert_eq!(
            (slots.grant(all), slots.grant(all), slots.grant(all)),
            (Some(TaskId(0)), Some(TaskId(2)), None)
        );
        // However often the first stage asks, each slot of the other comes back to it.
        slots.request(TaskId(2));
        slots.release(TaskId(2));
        assert_eq!(slots.grant(all), Some(TaskId(3)));
        slots.release(TaskId(3));
        assert_eq!(slots.grant(all), Some(TaskId(2)));
    }

    #[test]
    fn a_program_that_does_nothing_counts_for_its_own_stage_alone() {
        let mut slots = slots(1);
        [0, 1, 2, 3].map(TaskId).into_iter().for_each(|task| slots.request(task));
        assert_eq!((slots.grant(all), slots.grant(all)), (Some(TaskId(0)), None));
        slots.idles(TaskId(0), true);
        assert_eq!((slots.grant(all), slots.grant(all)), (Some(TaskId(2)), None));
        // That one is done, and does not ask again at once: the stage that hangs gets nothing more all the same.
        slots.release(TaskId(2));
        assert_eq!(
            (slots.grant(|task| task == TaskId(0)), slots.grant(all), slots.grant(all)),
            (None, Some(TaskId(3)), None)
        );
        slots.release(TaskId(3));
        assert_eq!(slots.grant(all), None);
        slots.idles(TaskId(0), false);
        slots.request(TaskId(2));
        assert_eq!(slots.grant(all), None, "it goes on, and counts again");
        slots.release(TaskId(0));
        assert_eq!((slots.grant(all), slots.grant(all)), (Some(TaskId(1)), None));
    }
}
