//! What is known of records that fail, of programs that succeed, and of the deaths of the worker.

use super::Model;
use crate::sim::check::{Check, Checked, require};
use bytes::Bytes;
use worker_core::config::{TaskId, TaskName};
use worker_core::event::{Attempt, DeadLetter, FailureKind, Run};
use worker_proto::{Batch, LinkId, Seq};

/// So many deaths in a row with one record alone in flight condemn it.
const DEATHS_ALONE: u32 = 3;

impl Model {
    /// A batch is run: not with a record that has been found to kill the worker.
    pub(in crate::sim) fn tried(&self, task: TaskId, run: &Run) -> Checked {
        let records: usize = run.input.iter().map(Batch::len).sum();
        let record = run.input.iter().flat_map(Batch::iter).next();
        let (1, Some(record), true) = (records, record, self.journaled) else { return Ok(()) };
        let (link, _, seq) = self.origin(task, record)?;
        let deaths = self.deaths_in_a_row.get(&(task, link, seq)).copied().unwrap_or(0);
        require(deaths < DEATHS_ALONE, Check::Condemned, || {
            let name = self.graph.link_name(link);
            format!("{name}: {seq} is tried again, and was alone in flight in {deaths} deaths in a row")
        })
    }

    /// A process died with this in flight on its node, as its disk says, which may have lost what was noted last.
    pub(in crate::sim) fn died_with(&mut self, task: TaskId, noted: &Attempt, on_the_node: u64) {
        let suspect =
            |&(of, link, seq): &(TaskId, LinkId, Seq)| of != task || noted.first == Some((link, seq));
        self.deaths_in_a_row.retain(|record, _| suspect(record));
        let Some((link, seq)) = noted.first.filter(|_| noted.records > 0) else { return };
        let deaths = if (noted.records, on_the_node) == (1, 1) { noted.alone + 1 } else { 0 };
        self.deaths_in_a_row.insert((task, link, seq), deaths);
    }

    /// A program of the task's stage, on its node, has ended well.
    pub(in crate::sim) fn succeeded(&mut self, task: TaskId) {
        let spec = self.graph.task(task);
        self.proven.insert((spec.node.0, TaskName::of(&spec.name).stage.to_owned()));
    }

    /// Whether one has.
    pub(in crate::sim) fn has_succeeded(&self, task: TaskId) -> bool {
        let spec = self.graph.task(task);
        self.proven.contains(&(spec.node.0, TaskName::of(&spec.name).stage.to_owned()))
    }

    /// A record that failed alone is condemned only where that says something of the record.
    pub(super) fn check_condemned(&self, task: TaskId, letter: &DeadLetter, at: (LinkId, Seq)) -> Checked {
        let (link, seq) = at;
        let spec = self.graph.task(task);
        if letter.cause == Some(FailureKind::WorkerDied) {
            let alone = self.deaths_alone.get(&(task, link, seq)).copied().unwrap_or(0);
            return require(alone >= DEATHS_ALONE, Check::Condemned, || {
                format!("{}: {seq} of link {link} was alone in flight in {alone} deaths", spec.name)
            });
        }
        let is_batch = self.killers[task.0 as usize].is_some();
        let stage = TaskName::of(&spec.name).stage.to_owned();
        let proven = self.proven.contains(&(spec.node.0, stage));
        require(proven || !is_batch || letter.cause.is_none(), Check::Condemned, || {
            format!("{}: {seq} of link {link} is condemned, and no program has ever ended well", spec.name)
        })
    }

    /// Records as they are dead-lettered for want of a key, of a task and in order.
    pub(in crate::sim) fn routed_letters(&self, task: TaskId) -> impl Iterator<Item = &Bytes> {
        let letters = self.tasks[task.0 as usize].letters.iter();
        letters.filter(|letter| letter.origin.is_none()).map(|letter| &letter.record)
    }
}
