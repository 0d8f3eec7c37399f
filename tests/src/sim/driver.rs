//! What surrounds a node's core in one process: programs, sources, sinks and the store. Time passes, nothing is real.

mod records;
mod store;
mod stream;

use super::check::{Check, Checked, Violation, require};
use super::fold;
use super::plan::{Plan, Stage, StageKind};
use super::program::{BatchProgram, batch_of, is_killer, is_poison, outputs_of, source_record};
use super::rng::Rng;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use worker_core::config::{Graph, TaskId};
use worker_core::event::{BatchEvent, Event, Failure, FailureKind, Output, Place, Run, SourceEvent, Spent};
use worker_core::route::Router;
use worker_proto::{Batch, LinkId, Seq};

/// One process's surroundings.
#[derive(Debug)]
pub(super) struct Driver {
    tasks: BTreeMap<TaskId, Surroundings>,
    store: BTreeMap<Place, Batch>,
    places: u64,
    /// Stores and loads under way, by link.
    moving: BTreeMap<LinkId, u64>,
    pub(super) stored: BTreeMap<(LinkId, Seq), u64>,
    pub(super) runs: usize,
}

/// Where a task's last life left its surroundings.
#[derive(Debug, Default)]
pub(super) struct Resume {
    /// Of a source: how many records are committed.
    pub(super) read: u64,
    /// Of a records stage: its state.
    pub(super) counts: BTreeMap<Bytes, u64>,
}

#[derive(Debug)]
struct Surroundings {
    index: usize,
    /// Which life of the process this is.
    life: u64,
    stage: Stage,
    router: Router,
    /// Counts kills: what was begun before the last one never ends.
    generation: u64,
    /// When the program is free again, in µs.
    busy_until: u64,
    permits: u32,
    reading: bool,
    read: u64,
    source_ended: bool,
    /// How many records the batch child has that runs.
    running: Option<u64>,
    child: stream::StreamChild,
    records: records::RecordsChild,
    /// Writes under way, in order.
    writing: VecDeque<Vec<Batch>>,
    journaled: bool,
}

/// Something that will have happened.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) at: u64,
    pub(super) task: Option<(TaskId, u64)>,
    /// Records whose effects are done with it.
    pub(super) effects: Vec<Batch>,
    pub(super) event: Event,
    /// The whole process dies then, instead of the event.
    pub(super) kills: bool,
}

impl Driver {
    pub(super) fn new(
        plan: &Plan,
        graph: &Graph,
        node: u16,
        life: u64,
        mut resume: BTreeMap<TaskId, Resume>,
    ) -> Self {
        let tasks =
            (0..graph.tasks.len()).map(super::plan::task_id).filter(|&t| graph.task(t).node.0 == node);
        let tasks = tasks.map(|task| {
            let stage = plan.stages[plan.stage_of(task)].clone();
            let router = Router::new(plan.edges_of(graph, task), b'\n');
            let mut own = Surroundings::new(task, life, stage, router);
            let left = resume.remove(&task).unwrap_or_default();
            (own.read, own.journaled) = (left.read, plan.is_journaled());
            own.records.committed = left.counts;
            if own.journaled {
                // What is committed is made once: no life shows in it.
                own.life = 0;
            }
            (task, own)
        });
        Self {
            tasks: tasks.collect(),
            store: BTreeMap::new(),
            places: 0,
            moving: BTreeMap::new(),
            stored: BTreeMap::new(),
            runs: 0,
        }
    }

    /// Whether what was begun in `generation` of the task still counts.
    pub(super) fn is_current(&self, task: TaskId, generation: u64) -> bool {
        self.tasks[&task].generation == generation
    }

    pub(super) fn run(&mut self, now: u64, id: TaskId, run: &Run, rng: &mut Rng) -> Checked<Later> {
        self.runs += 1;
        let task = self.task(id)?;
        let records: Vec<&[u8]> = run.input.iter().flat_map(Batch::iter).collect();
        require(task.running.replace(records.len() as u64).is_none(), Check::Slots, || {
            "two batches of a task at once".into()
        })?;
        let StageKind::Batch { program, cost_us, .. } = task.stage.kind else {
            return Err(Violation::new(Check::Driver, "Run for a task that runs no batches"));
        };
        let kills = records.iter().any(|record| is_killer(program, record));
        let fails = match program {
            BatchProgram::Chance(percent) => rng.chance(percent),
            BatchProgram::Identity
            | BatchProgram::Filter(_)
            | BatchProgram::Multiply(_)
            | BatchProgram::FailOn(_)
            | BatchProgram::KillOn(_)
            | BatchProgram::FailAlways => records.iter().any(|record| is_poison(program, record)),
        };
        let took = cost_us.0 + cost_us.1 * records.len() as u64;
        let result = if fails {
            Err(failure())
        } else {
            // With a journal every run makes something else of its records, so that one that should not be is seen.
            let position =
                if task.journaled { format!("<{}>", rng.below(1 << 32)) } else { task.life_mark() };
            let printed: Vec<Bytes> = records
                .iter()
                .flat_map(|record| outputs_of(program, record, task.stage.letter, &position))
                .collect();
            Ok(task.route(&printed))
        };
        let spent = Spent { start: Duration::from_micros(cost_us.0), total: Duration::from_micros(took) };
        let effects = if fails { Vec::new() } else { run.input.clone() };
        let event = Event::task(id, BatchEvent::Done { work: run.work, result, spent });
        Ok(Later { kills, ..task.later(now + took.max(1), id, effects, event) })
    }

    pub(super) fn run_ended(&mut self, id: TaskId) {
        self.runs -= 1;
        self.tasks.get_mut(&id).expect("an own task").running = None;
    }

    /// Kills a task's children.
    pub(super) fn kill(&mut self, id: TaskId) -> Checked {
        let task = self.task(id)?;
        task.generation += 1;
        task.killed();
        if task.running.take().is_some() {
            self.runs -= 1;
        }
        Ok(())
    }

    pub(super) fn permit(&mut self, now: u64, id: TaskId, chunks: u32) -> Checked<Option<Later>> {
        let task = self.task(id)?;
        task.permits += chunks;
        Ok(task.read_next(now, id))
    }

    /// A source's chunk was handed over.
    pub(super) fn chunk_read(&mut self, now: u64, id: TaskId) -> Option<Later> {
        let task = self.tasks.get_mut(&id)?;
        task.reading = false;
        task.read_next(now, id)
    }

    pub(super) fn stop_source(&mut self, now: u64, id: TaskId) -> Checked<Option<Later>> {
        let task = self.task(id)?;
        if std::mem::replace(&mut task.source_ended, true) {
            return Ok(None);
        }
        task.generation += 1;
        let complete = !task.journaled;
        Ok(Some(task.later(now + 1, id, Vec::new(), Event::task(id, SourceEvent::Ended { complete }))))
    }

    pub(super) fn write(&mut self, now: u64, id: TaskId, batches: &[Batch], times: u64) -> Checked<u64> {
        let task = self.task(id)?;
        let StageKind::Sink { record_us } = task.stage.kind else {
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

    /// A source has handed over all it has (or was told to stop).
    pub(super) fn source_is_done(&self, id: TaskId) -> bool {
        self.tasks[&id].source_ended
    }

    fn task(&mut self, id: TaskId) -> Checked<&mut Surroundings> {
        self.tasks
            .get_mut(&id)
            .ok_or_else(|| Violation::new(Check::Driver, format!("task {} is not on this node", id.0)))
    }
}

impl Surroundings {
    fn new(id: TaskId, life: u64, stage: Stage, router: Router) -> Self {
        Self {
            index: id.0 as usize,
            life,
            stage,
            router,
            generation: 0,
            busy_until: 0,
            permits: 0,
            reading: false,
            read: 0,
            source_ended: false,
            running: None,
            child: stream::StreamChild::default(),
            records: records::RecordsChild::default(),
            writing: VecDeque::new(),
            journaled: false,
        }
    }

    fn later(&self, at: u64, id: TaskId, effects: Vec<Batch>, event: Event) -> Later {
        Later { at, task: Some((id, self.generation)), effects, event, kills: false }
    }

    fn route(&mut self, printed: &[Bytes]) -> Output {
        let mut output = Output::default();
        self.router.route(batch_of(printed), &mut output);
        output
    }

    /// How this life of the process shows in what it makes.
    fn life_mark(&self) -> String {
        if self.life > 0 { format!("'{}", self.life) } else { String::new() }
    }

    /// Reads one chunk more, if it may and can.
    fn read_next(&mut self, now: u64, id: TaskId) -> Option<Later> {
        let StageKind::Source { records, chunk, every_us, padding } = self.stage.kind else { return None };
        if self.permits == 0 || self.reading || self.source_ended {
            return None;
        }
        let at = now + every_us;
        if self.read == records {
            self.source_ended = true;
            return Some(self.later(
                at,
                id,
                Vec::new(),
                Event::task(id, SourceEvent::Ended { complete: true }),
            ));
        }
        self.permits -= 1;
        self.reading = true;
        let last = (self.read + chunk).min(records);
        let texts: Vec<Bytes> = (self.read..last)
            .map(|number| {
                let padding = if padding == 0 { 0 } else { (number * 7919) % padding };
                source_record(self.index, number, self.life, usize::try_from(padding).expect("short"))
            })
            .collect();
        self.read = last;
        let mut output = self.route(&texts);
        output.position = self.journaled.then(|| fold::position(last));
        Some(self.later(at, id, Vec::new(), Event::task(id, SourceEvent::Read { output })))
    }
}

impl Later {
    /// Something of the whole process.
    pub(super) fn of_node(at: u64, event: Event) -> Self {
        Self { at, task: None, effects: Vec::new(), event, kills: false }
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
