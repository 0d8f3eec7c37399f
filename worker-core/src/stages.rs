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

/// Who runs its program over no records, for the header that it prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Nobody yet: a batch may still print one.
    NoneYet,
    This,
    Another,
}

#[derive(Debug, Default)]
struct Stage {
    /// Its tasks on this node.
    tasks: BTreeSet<TaskId>,
    /// Those of them to which nothing more will come, and that have nothing but records held back.
    at_end: BTreeSet<TaskId>,
    /// Those of them that have done, durably, all that they will ever be given.
    over: BTreeSet<TaskId>,
    /// The one that runs its program over no records, as none of their batches has printed a header.
    asks: Option<TaskId>,
    succeeded: bool,
    /// A program has succeeded in an earlier life.
    succeeded_before: bool,
    /// How the last record failed, and how many in a row so.
    alike: Option<(Option<FailureKind>, u32)>,
    failures: u32,
    /// The first record of what its batches print, where that is no record.
    header: Option<Bytes>,
    /// What its batches aim at, in bytes of cost, once one has run.
    batch_bytes: u64,
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
            stage.over.insert(task);
        }
    }

    /// A program has succeeded; gives the other tasks to which that is news.
    pub(crate) fn succeeded(&mut self, task: TaskId) -> BTreeSet<TaskId> {
        let stage = self.stage(task);
        if std::mem::replace(&mut stage.succeeded, true) {
            return BTreeSet::new();
        }
        stage.others(task)
    }

    pub(crate) fn has_succeeded(&self, task: TaskId) -> bool {
        self.stages[self.of[task.0 as usize]].succeeded
    }

    pub(crate) fn has_succeeded_before(&self, task: TaskId) -> bool {
        self.stages[self.of[task.0 as usize]].succeeded_before
    }

    /// A batch has printed this header; the first one counts. Gives the other tasks if that is news to them.
    pub(crate) fn has_header(&mut self, task: TaskId, header: &Bytes) -> BTreeSet<TaskId> {
        let stage = self.stage(task);
        if stage.header.is_some() {
            return BTreeSet::new();
        }
        stage.header = Some(header.clone());
        stage.others(task)
    }

    pub(crate) fn header(&self, task: TaskId) -> Option<&Bytes> {
        self.stages[self.of[task.0 as usize]].header.as_ref()
    }

    /// Batches of a task aim at this size, in bytes of cost.
    pub(crate) fn aims_at(&mut self, task: TaskId, bytes: u64) {
        let stage = self.stage(task);
        stage.batch_bytes = stage.batch_bytes.max(bytes);
    }

    /// The largest batch that a task of this one's stage aims at here, in bytes of cost; 0 where none has run.
    pub(crate) fn batch_bytes(&self, task: TaskId) -> u64 {
        self.stages[self.of[task.0 as usize]].batch_bytes
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
        stage.others(task)
    }

    /// Nothing more comes to any task of the stage.
    pub(crate) fn all_at_end(&self, task: TaskId) -> bool {
        let stage = &self.stages[self.of[task.0 as usize]];
        stage.at_end == stage.tasks
    }

    /// A task has done, durably, all that it will ever be given; gives the others of its stage if it was the last.
    pub(crate) fn over(&mut self, task: TaskId) -> BTreeSet<TaskId> {
        let stage = self.stage(task);
        if !stage.over.insert(task) || stage.over != stage.tasks {
            return BTreeSet::new();
        }
        stage.others(task)
    }

    /// Whether a task may run its program over no records: when no batch can print a header any more, the first that wants to.
    pub(crate) fn asks(&mut self, task: TaskId) -> Asks {
        let stage = self.stage(task);
        if stage.over != stage.tasks {
            return Asks::NoneYet;
        }
        if *stage.asks.get_or_insert(task) == task { Asks::This } else { Asks::Another }
    }

    fn stage(&mut self, task: TaskId) -> &mut Stage {
        &mut self.stages[self.of[task.0 as usize]]
    }
}

impl Stage {
    fn others(&self, task: TaskId) -> BTreeSet<TaskId> {
        self.tasks.iter().copied().filter(|&other| other != task).collect()
    }
}
