//! What surrounds a node's core in one process: programs, sources, sinks and the store. Time passes, nothing is real.

use super::check::{Check, Checked, require};
use super::plan::{Plan, Stage, StageKind};
use super::program::{BatchProgram, StreamProgram, batch_of, is_poison, marked, outputs_of, source_record};
use super::rng::Rng;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use worker_core::config::{Graph, TaskId};
use worker_core::event::{Body, Event, Failure, FailureKind, Output, Place, Run, Spent};
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
    life: u64,
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
    running: bool,
    held: Vec<Bytes>,
    taken: u64,
    printed: u64,
    exited: bool,
    writing: Option<Vec<Batch>>,
}

/// Something that will have happened.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) at: u64,
    pub(super) task: Option<(TaskId, u64)>,
    /// Records whose effects are done with it.
    pub(super) effects: Vec<Batch>,
    pub(super) event: Event,
}

impl Driver {
    pub(super) fn new(plan: &Plan, graph: &Graph, node: u16, life: u64) -> Self {
        let tasks =
            (0..graph.tasks.len()).map(super::plan::task_id).filter(|&t| graph.task(t).node.0 == node);
        let tasks = tasks.map(|task| {
            let stage = plan.stages[plan.stage_of(task)].clone();
            let router = Router::new(plan.edges_of(graph, task), b'\n');
            (task, Surroundings::new(task, life, stage, router))
        });
        Self {
            tasks: tasks.collect(),
            store: BTreeMap::new(),
            places: 0,
            moving: BTreeMap::new(),
            stored: BTreeMap::new(),
            runs: 0,
            life,
        }
    }

    /// Whether what was begun in `generation` of the task still counts.
    pub(super) fn is_current(&self, task: TaskId, generation: u64) -> bool {
        self.tasks[&task].generation == generation
    }

    pub(super) fn run(&mut self, now: u64, run: &Run, rng: &mut Rng) -> Checked<Later> {
        self.runs += 1;
        let life = self.life;
        let task = self.task(run.task)?;
        require(!std::mem::replace(&mut task.running, true), Check::Slots, || {
            "two batches of a task at once".into()
        })?;
        let StageKind::Batch { program, cost_us, .. } = task.stage.kind else {
            return Err(super::check::Violation::new(Check::Driver, "Run for a task that runs no batches"));
        };
        let records: Vec<&[u8]> = run.input.iter().flat_map(Batch::iter).collect();
        let fails = match program {
            BatchProgram::Chance(percent) => rng.chance(percent),
            BatchProgram::Identity
            | BatchProgram::Filter(_)
            | BatchProgram::Multiply(_)
            | BatchProgram::FailOn(_)
            | BatchProgram::FailAlways => records.iter().any(|record| is_poison(program, record)),
        };
        let took = cost_us.0 + cost_us.1 * records.len() as u64;
        let result = if fails {
            Err(failure())
        } else {
            let printed: Vec<Bytes> = records
                .iter()
                .flat_map(|record| outputs_of(program, record, task.stage.letter, life))
                .collect();
            Ok(task.route(&printed))
        };
        let spent = Spent { start: Duration::from_micros(cost_us.0), total: Duration::from_micros(took) };
        let effects = if fails { Vec::new() } else { run.input.clone() };
        let event = Event::RunDone { task: run.task, work: run.work, result, spent };
        Ok(task.later(now + took.max(1), run.task, effects, event))
    }

    pub(super) fn run_ended(&mut self, id: TaskId) {
        self.runs -= 1;
        self.tasks.get_mut(&id).expect("an own task").running = false;
    }

    /// Kills a task's children.
    pub(super) fn kill(&mut self, id: TaskId) -> Checked {
        let task = self.task(id)?;
        task.generation += 1;
        task.exited = true;
        if std::mem::take(&mut task.running) {
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
        Ok(Some(task.later(now + 1, id, Vec::new(), Event::SourceEnded { task: id, complete: true })))
    }

    pub(super) fn stream_start(&mut self, now: u64, id: TaskId) -> Checked {
        let task = self.task(id)?;
        (task.taken, task.exited) = (0, false);
        task.held.clear();
        task.busy_until = task.busy_until.max(now);
        Ok(())
    }

    pub(super) fn feed(&mut self, now: u64, id: TaskId, window: u64, batch: &Batch) -> Checked<Vec<Later>> {
        let life = self.life;
        let task = self.task(id)?;
        if task.exited {
            return Ok(Vec::new());
        }
        let StageKind::Stream { program, record_us, .. } = task.stage.kind else {
            return Err(super::check::Violation::new(
                Check::Driver,
                "StreamFeed for a task that is no stream",
            ));
        };
        task.busy_until = task.busy_until.max(now) + (record_us * batch.len() as u64).max(1);
        let at = task.busy_until;
        let mut later = Vec::new();
        for record in batch.iter() {
            task.taken += 1;
            task.held.push(Bytes::copy_from_slice(record));
            if matches!(program, StreamProgram::Head(limit) if task.taken >= limit) {
                later.push(task.exit(at, id, window, program, life, true));
                return Ok(later);
            }
        }
        if program == StreamProgram::Identity {
            let printed: Vec<Bytes> =
                batch.iter().map(|record| marked(record, task.stage.letter, life, None)).collect();
            let output = task.route(&printed);
            let event = Event::StreamOutput { task: id, window, output };
            later.push(task.later(at, id, Vec::new(), event));
        }
        let fed = Event::StreamFed { task: id, window, cost: batch.cost() };
        later.push(task.later(at, id, Vec::new(), fed));
        Ok(later)
    }

    pub(super) fn stream_close(&mut self, now: u64, id: TaskId, window: u64) -> Checked<Option<Later>> {
        let life = self.life;
        let task = self.task(id)?;
        let StageKind::Stream { program, .. } = task.stage.kind else {
            return Err(super::check::Violation::new(
                Check::Driver,
                "StreamClose for a task that is no stream",
            ));
        };
        if task.exited {
            return Ok(None);
        }
        let at = task.busy_until.max(now) + 10;
        Ok(Some(task.exit(at, id, window, program, life, false)))
    }

    pub(super) fn write(&mut self, now: u64, id: TaskId, batches: &[Batch], times: u64) -> Checked<u64> {
        let task = self.task(id)?;
        let StageKind::Sink { record_us } = task.stage.kind else {
            return Err(super::check::Violation::new(Check::Driver, "Write for a task that is no sink"));
        };
        require(task.writing.is_none(), Check::Driver, || "two writes of a sink at once".into())?;
        task.writing = Some(batches.to_vec());
        let records: u64 = batches.iter().map(|b| b.len() as u64).sum();
        // A write that began while the sink was very slow does not outlast that by much.
        let took = records * record_us;
        Ok(now + (took * times).min(took * 20 + 2_000_000).max(1))
    }

    pub(super) fn written(&mut self, id: TaskId) {
        self.tasks.get_mut(&id).expect("an own task").writing = None;
    }

    /// Writes that were under way when the process died: each may have reached the outside in part.
    pub(super) fn interrupted_writes(&mut self) -> Vec<(TaskId, Vec<Batch>)> {
        self.tasks.iter_mut().filter_map(|(&id, task)| Some((id, task.writing.take()?))).collect()
    }

    pub(super) fn generation(&self, id: TaskId) -> u64 {
        self.tasks[&id].generation
    }

    /// A source has handed over all it has (or was told to stop).
    pub(super) fn source_is_done(&self, id: TaskId) -> bool {
        self.tasks[&id].source_ended
    }

    /// Puts some chunks of an output in the store, as a driver does with what is too large for memory; gives their bytes.
    pub(super) fn prestore(
        &mut self,
        output: &mut Output,
        percent: u64,
        rng: &mut Rng,
    ) -> Vec<(LinkId, Batch)> {
        let mut records = Vec::new();
        for chunk in &mut output.chunks {
            let Body::Memory(batch) = &chunk.body else { continue };
            let batch = batch.clone();
            records.push((chunk.link, batch.clone()));
            if rng.chance(percent) {
                let (count, cost) = (batch.len() as u64, batch.cost());
                chunk.body = Body::Stored { place: self.put(batch), records: count, cost };
            }
        }
        records
    }

    fn put(&mut self, batch: Batch) -> Place {
        self.places += 1;
        self.store.insert(Place(self.places), batch);
        Place(self.places)
    }

    /// The records of a chunk, wherever they are.
    pub(super) fn records_of(&self, body: &Body) -> Checked<Batch> {
        match body {
            Body::Memory(batch) => Ok(batch.clone()),
            Body::Stored { place, .. } => self.get(*place),
        }
    }

    fn get(&self, place: Place) -> Checked<Batch> {
        self.store.get(&place).cloned().ok_or_else(|| {
            super::check::Violation::new(Check::Store, format!("nothing is stored at {}", place.0))
        })
    }

    pub(super) fn store(&mut self, at: u64, link: LinkId, first_seq: Seq, batch: Batch) -> Later {
        let place = self.put(batch);
        *self.moving.entry(link).or_default() += 1;
        Later { at, task: None, effects: Vec::new(), event: Event::Stored { link, first_seq, place } }
    }

    pub(super) fn load(&mut self, at: u64, link: LinkId, first_seq: Seq, place: Place) -> Checked<Later> {
        let batch = self.get(place)?;
        *self.moving.entry(link).or_default() += 1;
        Ok(Later { at, task: None, effects: Vec::new(), event: Event::Loaded { link, first_seq, batch } })
    }

    /// A store or a load is done.
    pub(super) fn moved(&mut self, link: LinkId) {
        *self.moving.entry(link).or_default() -= 1;
    }

    pub(super) fn is_moving(&self, link: LinkId) -> bool {
        self.moving.get(&link).is_some_and(|&count| count > 0)
    }

    pub(super) fn discard(&mut self, place: Place) -> Checked {
        let known = self.store.remove(&place).is_some();
        require(known, Check::Store, || format!("what is stored at {} was forgotten twice", place.0))
    }

    /// How many batches are stored.
    pub(super) fn stored_count(&self) -> usize {
        self.store.len()
    }

    /// How many batches are stored that the core was told of.
    pub(super) fn left_behind(&self) -> usize {
        let moving: u64 = self.moving.values().sum();
        self.store.len().saturating_sub(usize::try_from(moving).expect("few"))
    }

    fn task(&mut self, id: TaskId) -> Checked<&mut Surroundings> {
        self.tasks.get_mut(&id).ok_or_else(|| {
            super::check::Violation::new(Check::Driver, format!("task {} is not on this node", id.0))
        })
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
            running: false,
            held: Vec::new(),
            taken: 0,
            printed: 0,
            exited: false,
            writing: None,
        }
    }

    fn later(&self, at: u64, id: TaskId, effects: Vec<Batch>, event: Event) -> Later {
        Later { at, task: Some((id, self.generation)), effects, event }
    }

    fn route(&mut self, printed: &[Bytes]) -> Output {
        let mut output = Output::default();
        self.router.route(batch_of(printed), &mut output);
        output
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
            return Some(self.later(at, id, Vec::new(), Event::SourceEnded { task: id, complete: true }));
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
        let output = self.route(&texts);
        Some(self.later(at, id, Vec::new(), Event::SourceRead { task: id, output }))
    }

    /// The program ends and prints what it held.
    fn exit(
        &mut self,
        at: u64,
        id: TaskId,
        window: u64,
        program: StreamProgram,
        life: u64,
        early: bool,
    ) -> Later {
        self.exited = true;
        let taken = std::mem::take(&mut self.held);
        let mut printed = match program {
            StreamProgram::Identity => Vec::new(),
            StreamProgram::Sort | StreamProgram::Head(_) => {
                taken.iter().map(|record| marked(record, self.stage.letter, life, None)).collect()
            }
            StreamProgram::Count => {
                self.printed += 1;
                let line = format!("{}#{} k{} counted {}:\n", self.index, self.printed, life, taken.len());
                vec![line.into()]
            }
        };
        printed.sort();
        let output = self.route(&printed);
        let effects = if taken.is_empty() { Vec::new() } else { vec![batch_of(&taken)] };
        let event = Event::StreamExited { task: id, window, result: Ok(output), early };
        self.later(at, id, effects, event)
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
