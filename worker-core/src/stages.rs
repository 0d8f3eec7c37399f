//! What is known of the programs of each stage, over all tasks that it has on this node.

use crate::config::{Graph, NodeIx, TaskId, TaskName};
use crate::event::FailureKind;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// So many single records failing alike, with no success before, are the stage's fault and not the records'.
pub(crate) const ALIKE_MAX: u32 = 16;

/// So many single records may fail before any success, however they failed.
pub(crate) const FAILURES_MAX: u32 = 64;

/// For each task, by its number, a number for its stage.
pub(crate) fn numbered(graph: &Graph) -> Vec<usize> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut number = |name| {
        let next = numbers.len();
        *numbers.entry(name).or_insert(next)
    };
    graph.tasks.iter().map(|task| number(TaskName::of(&task.name).stage)).collect()
}

/// Whether programs of a stage have succeeded, and how its records failed before that.
#[derive(Debug)]
pub(crate) struct Stages {
    of: Vec<usize>,
    stages: Vec<Stage>,
}

#[derive(Debug, Default)]
struct Stage {
    /// Its tasks on this node.
    tasks: BTreeSet<TaskId>,
    /// Those of them to which nothing more will come, and that have nothing but records held back.
    at_end: BTreeSet<TaskId>,
    succeeded: bool,
    /// A program has succeeded in an earlier life.
    succeeded_before: bool,
    /// How the last record failed, and how many in a row so.
    alike: Option<(Option<FailureKind>, u32)>,
    failures: u32,
    /// The first record of what its batches print, where that is no record.
    header: Option<Bytes>,
}

impl Stages {
    pub(crate) fn new(graph: &Graph, me: NodeIx) -> Self {
        let of = numbered(graph);
        let mut stages: Vec<Stage> = Vec::new();
        for (at, (task, &stage)) in graph.tasks.iter().zip(&of).enumerate() {
            stages.resize_with(stages.len().max(stage + 1), Stage::default);
            if task.node == me {
                stages[stage].tasks.insert(TaskId(u32::try_from(at).expect("fewer than 2³² tasks")));
            }
        }
        Self { of, stages }
    }

    /// A task goes on where an earlier life stopped.
    pub(crate) fn restored(&mut self, task: TaskId, has_succeeded: bool, ended: bool) {
        let stage = self.stage(task);
        stage.succeeded_before |= has_succeeded;
        if ended {
            stage.at_end.insert(task);
        }
    }

    /// A program has succeeded; gives the other tasks to which that is news.
    pub(crate) fn succeeded(&mut self, task: TaskId) -> BTreeSet<TaskId> {
        let stage = self.stage(task);
        if std::mem::replace(&mut stage.succeeded, true) {
            return BTreeSet::new();
        }
        let mut others = stage.tasks.clone();
        others.remove(&task);
        others
    }

    pub(crate) fn has_succeeded(&self, task: TaskId) -> bool {
        self.stages[self.of[task.0 as usize]].succeeded
    }

    pub(crate) fn has_succeeded_before(&self, task: TaskId) -> bool {
        self.stages[self.of[task.0 as usize]].succeeded_before
    }

    /// A batch has printed this header; the first one counts.
    pub(crate) fn has_header(&mut self, task: TaskId, header: &Bytes) {
        self.stage(task).header.get_or_insert_with(|| header.clone());
    }

    pub(crate) fn header(&self, task: TaskId) -> Option<&Bytes> {
        self.stages[self.of[task.0 as usize]].header.as_ref()
    }

    /// A record has failed alone, before anything succeeded; gives whose fault that is by now, if it is the stage's.
    pub(crate) fn failed(&mut self, task: TaskId, how: Option<FailureKind>) -> Option<String> {
        let stage = self.stage(task);
        stage.failures += 1;
        let in_a_row = stage.alike.filter(|(kind, _)| *kind == how).map_or(0, |(_, count)| count) + 1;
        stage.alike = Some((how, in_a_row));
        if in_a_row >= ALIKE_MAX {
            return Some(format!("the first {ALIKE_MAX} records all failed alike"));
        }
        (stage.failures >= FAILURES_MAX).then(|| format!("the first {FAILURES_MAX} records all failed"))
    }

    /// How many records of the stage have failed before anything succeeded.
    pub(crate) fn failures(&self, task: TaskId) -> u32 {
        self.stages[self.of[task.0 as usize]].failures
    }

    /// Nothing more comes to a task; gives the others of its stage if it was the last.
    pub(crate) fn at_end(&mut self, task: TaskId) -> BTreeSet<TaskId> {
        let stage = self.stage(task);
        if !stage.at_end.insert(task) || stage.at_end != stage.tasks {
            return BTreeSet::new();
        }
        let mut others = stage.tasks.clone();
        others.remove(&task);
        others
    }

    /// Nothing more comes to any task of the stage.
    pub(crate) fn all_at_end(&self, task: TaskId) -> bool {
        let stage = &self.stages[self.of[task.0 as usize]];
        stage.at_end == stage.tasks
    }

    fn stage(&mut self, task: TaskId) -> &mut Stage {
        &mut self.stages[self.of[task.0 as usize]]
    }
}
