//! What surrounds a node's core in one process: programs, sources, sinks and the store. Time passes, nothing is real but what
//! the worker itself does with what programs print.

mod batch;
mod records;
mod source;
mod store;
mod stream;

pub(super) use batch::BatchRun;
pub(super) use records::Values;
pub(super) use stream::Exit;

use super::check::{Check, Checked, Violation, require};
use super::plan::{DiskBug, Plan, Stage, StageKind};
use super::rng::Rng;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use worker_bin::child::records::KeyedState;
use worker_bin::runtime::parts::{Collector, Taps};
use worker_core::config::{Graph, TaskId};
use worker_core::event::{Event, Failure, FailureKind};
use worker_core::route::Router;
use worker_proto::{Batch, LinkId, Seq};

/// One process's surroundings.
#[derive(Debug)]
pub(super) struct Driver {
    tasks: BTreeMap<TaskId, Surroundings>,
    store: store::Store,
    /// Stores and loads under way, by link.
    moving: BTreeMap<LinkId, u64>,
    pub(super) stored: BTreeMap<(LinkId, Seq), u64>,
    pub(super) runs: usize,
}

/// Where a task's last life left its surroundings.
#[derive(Debug, Default)]
pub(super) struct Resume {
    /// Of a source: how many records it has behind it.
    pub(super) read: u64,
    /// Of a records stage: its state, as its journal keeps it.
    pub(super) keyed: Option<Arc<Mutex<KeyedState>>>,
}

#[derive(Debug)]
struct Surroundings {
    index: usize,
    /// Which life of the process this is.
    life: u64,
    stage: Stage,
    collector: Collector,
    /// Counts kills: what was begun before the last one never ends.
    generation: u64,
    /// When the program is free again, in µs.
    busy_until: u64,
    source: source::Reader,
    /// A batch child runs.
    running: bool,
    stream: stream::StreamChild,
    records: records::RecordsChild,
    /// Somebody reads what its programs print.
    is_read: bool,
    /// What each of its batches prints before all else.
    header: Option<Bytes>,
    reader_gone: bool,
    /// Writes under way, in order.
    writing: VecDeque<Vec<Batch>>,
    journaled: bool,
}

/// Something that will happen.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) at: u64,
    pub(super) task: Option<(TaskId, u64)>,
    pub(super) next: Next,
}

/// What will happen.
#[derive(Debug)]
pub(super) enum Next {
    /// The core is told something, and these records have taken effect.
    Tell(Event, Vec<Batch>),
    /// The whole process dies.
    Dies,
    RunEnds(BatchRun),
    /// A window's program prints while its input is open.
    Prints(u64, Batch),
    Exits(Exit),
    /// The program that a source reads is killed: it was asked to end, and has not.
    SourceKilled,
    /// A records child answers so many requests.
    Answers(usize),
}

/// Whoever reads what a sink writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Goes,
    HasGone,
}

/// What the core is told, and records that have taken effect.
type EventWithEffects = (Event, Vec<Batch>);

impl Driver {
    pub(super) fn new(
        plan: &Plan,
        graph: &Graph,
        node: u16,
        life: u64,
        mut resume: BTreeMap<TaskId, Resume>,
    ) -> Self {
        let store = store::Store::default();
        let tasks =
            (0..graph.tasks.len()).map(super::plan::task_id).filter(|&t| graph.task(t).node.0 == node);
        let tasks = tasks.map(|task| {
            let left = resume.remove(&task).unwrap_or_default();
            (task, Surroundings::new(plan, graph, task, life, left, &store))
        });
        Self { tasks: tasks.collect(), store, moving: BTreeMap::new(), stored: BTreeMap::new(), runs: 0 }
    }

    /// Whether what was begun in `generation` of the task still counts.
    pub(super) fn is_current(&self, task: TaskId, generation: u64) -> bool {
        self.tasks[&task].generation == generation
    }

    /// What comes of something that happens now: what the core is told of it, and what follows.
    pub(super) fn happens(
        &mut self,
        now: u64,
        task: Option<TaskId>,
        next: Next,
        rng: &mut Rng,
    ) -> Checked<(Vec<EventWithEffects>, Vec<Later>)> {
        let id = |task: Option<TaskId>| {
            task.ok_or_else(|| Violation::new(Check::Driver, "something of a task without a task"))
        };
        let told = match next {
            Next::Tell(event, effects) => vec![(event, effects)],
            Next::Dies => Vec::new(),
            Next::RunEnds(run) => vec![self.run_ends(id(task)?, run)?],
            Next::Prints(window, printed) => {
                let id = id(task)?;
                self.task(id)?.prints(id, window, printed)?.into_iter().collect()
            }
            Next::Exits(exit) => {
                let id = id(task)?;
                vec![self.task(id)?.exits(id, exit)?]
            }
            Next::SourceKilled => self.task(id(task)?)?.killed_at_last(id(task)?).into_iter().collect(),
            Next::Answers(count) => return self.answers(now, id(task)?, count, rng),
        };
        Ok((told, Vec::new()))
    }

    pub(super) fn write(&mut self, now: u64, id: TaskId, batches: &[Batch], times: u64) -> Checked<u64> {
        let task = self.task(id)?;
        let StageKind::Sink { record_us, .. } = task.stage.kind else {
            return Err(Violation::new(Check::Driver, "Write for a task that is no sink"));
        };
        require(task.writing.is_empty() || task.journaled, Check::Driver, || {
            "two writes of a sink at once".into()
        })?;
        task.writing.push_back(batches.to_vec());
        let records: u64 = batches.iter().map(|b| b.len() as u64).sum();
        // A write that began while the sink was very slow does not outlast that by much.
        let took = records * record_us;
        task.busy_until = task.busy_until.max(now) + (took * times).min(took * 20 + 2_000_000).max(1);
        Ok(task.busy_until)
    }

    /// Whether the reader of a sink has gone, once it is to write more.
    pub(super) fn reader_leaves(&mut self, id: TaskId, is_healed: bool, rng: &mut Rng) -> Option<Reader> {
        let task = self.tasks.get_mut(&id)?;
        let leaves = matches!(task.stage.kind, StageKind::Sink { leaves_percent, .. } if !is_healed && rng.chance(leaves_percent));
        if task.reader_gone {
            return Some(Reader::HasGone);
        }
        task.reader_gone = leaves;
        leaves.then_some(Reader::Goes)
    }

    pub(super) fn written(&mut self, id: TaskId) -> Vec<Batch> {
        self.tasks.get_mut(&id).and_then(|task| task.writing.pop_front()).unwrap_or_default()
    }

    /// Writes that were under way when the process died: each may have reached the outside in part.
    pub(super) fn interrupted_writes(&mut self) -> Vec<(TaskId, Vec<Batch>)> {
        self.tasks.iter_mut().filter_map(|(&id, task)| Some((id, task.writing.pop_front()?))).collect()
    }

    pub(super) fn generation(&self, id: TaskId) -> u64 {
        self.tasks[&id].generation
    }

    fn task(&mut self, id: TaskId) -> Checked<&mut Surroundings> {
        self.tasks
            .get_mut(&id)
            .ok_or_else(|| Violation::new(Check::Driver, format!("task {} is not on this node", id.0)))
    }
}

impl Surroundings {
    fn new(plan: &Plan, graph: &Graph, id: TaskId, life: u64, left: Resume, store: &store::Store) -> Self {
        let stage = plan.stages[plan.stage_of(id)].clone();
        let mut edges = plan.edges_of(graph, id);
        if plan.disk.bug == Some(DiskBug::RoutesAnew) && life % 2 == 1 {
            edges.iter_mut().for_each(|edge| edge.links.reverse());
        }
        let is_read = !edges.is_empty();
        let keyed = left.keyed.unwrap_or_else(|| Arc::new(Mutex::new(KeyedState::new("none", 0))));
        let records =
            records::RecordsChild::new(&stage.kind, stage.by.as_ref(), &edges, keyed, plan.disk.bug);
        let (router, memory_max) = (Router::new(edges, b'\n'), plan.limits.outbox_bytes);
        let collector = Collector::new(id, router, memory_max, Box::new(store.clone()), Taps::new(&[]));
        let journaled = plan.is_journaled();
        Self {
            index: id.0 as usize,
            // With a journal what is committed is made once: no life shows in it.
            life: if journaled { 0 } else { life },
            stage,
            collector,
            generation: 0,
            busy_until: 0,
            source: source::Reader::at(left.read),
            running: false,
            stream: stream::StreamChild::default(),
            records,
            is_read,
            header: plan.header_from(id),
            reader_gone: false,
            writing: VecDeque::new(),
            journaled,
        }
    }

    fn later(&self, at: u64, id: TaskId, next: Next) -> Later {
        Later { at, task: Some((id, self.generation)), next }
    }

    /// Holds what a program has printed until that counts.
    fn hold(&mut self, printed: Batch) -> Checked {
        let held = self.collector.hold(printed, &|_| {});
        held.map_err(|why| Violation::new(Check::Driver, why))
    }

    /// How this life of the process shows in what it makes.
    fn life_mark(&self) -> String {
        if self.life > 0 { format!("'{}", self.life) } else { String::new() }
    }
}

impl Later {
    /// Something of the whole process.
    pub(super) fn of_node(at: u64, event: Event) -> Self {
        Self { at, task: None, next: Next::Tell(event, Vec::new()) }
    }
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::Exit(1),
        message: "exit status 1".into(),
        stderr_tail: String::new(),
        silent: true,
    }
}
