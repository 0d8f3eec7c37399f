//! Where one record is, for who follows it.

use super::Node;
use crate::config::TaskId;
use crate::task::TaskMachine;
use worker_proto::{LinkId, Seq};

impl Node {
    /// Whether the batch that a task runs, or runs next, has this record.
    #[must_use]
    pub fn has_in_hand(&self, task: TaskId, (link, seq): (LinkId, Seq)) -> bool {
        let task = self.tasks.get(task.0 as usize).and_then(Option::as_ref);
        task.is_some_and(|task| match &task.kind {
            TaskMachine::Batch(batch) => batch.hand().is_some_and(|segment| segment.has(link, seq)),
            TaskMachine::Source(_)
            | TaskMachine::Stream(_)
            | TaskMachine::Records(_)
            | TaskMachine::Sink(_) => false,
        })
    }
}
