//! Stream programs: one process a window, fed, closed, and with a journal run again.

use super::{Driver, EventWithEffects, Later, Next, Surroundings, failure};
use crate::sim::check::{Check, Checked, Violation};
use crate::sim::disk::WindowKept;
use crate::sim::plan::StageKind;
use crate::sim::program::{StreamProgram, batch_of, marked};
use crate::sim::rng::Rng;
use bytes::Bytes;
use worker_bin::runtime::parts::WindowOutput;
use worker_core::config::TaskId;
use worker_core::event::{Event, Failure, StreamEvent, TaskEvent};
use worker_core::replay::{Divergence, Suppressor};
use worker_proto::Batch;

/// A stream's program, in the window that is under way.
#[derive(Debug, Default)]
pub(super) struct StreamChild {
    held: Vec<Bytes>,
    pub(super) exited: bool,
    output: WindowOutput,
    /// The window in which it died in this life of the process: once is enough, unless it is started again as often as it takes.
    died_in: Option<u64>,
    /// How often it died in this life of the process.
    deaths: u32,
}

/// So often at most a program dies in one life of the process.
const DEATHS_MAX: u32 = 5;

/// The end of a window's program.
#[derive(Debug)]
pub(in crate::sim) struct Exit {
    window: u64,
    /// What it printed behind its closed input.
    printed: Batch,
    result: Result<(), Failure>,
    early: bool,
    effects: Vec<Batch>,
}

impl Driver {
    /// Starts a window's program, giving it again what it was given before.
    pub(in crate::sim) fn stream_start(
        &mut self,
        now: u64,
        id: TaskId,
        window: u64,
        kept: WindowKept,
        rng: &mut Rng,
    ) -> Checked<Vec<Later>> {
        let task = self.task(id)?;
        task.stream.held.clear();
        task.stream.exited = false;
        task.busy_until = task.busy_until.max(now);
        let before = task.journaled.then(|| Suppressor::new(kept.printed));
        task.stream.output = WindowOutput::new(before);
        let mut later = Vec::new();
        for batch in kept.inputs {
            // It need not be given in the same pieces.
            let cut = rng.index(batch.len() + 1);
            for part in [batch.slice(0..cut), batch.slice(cut..batch.len())] {
                if !part.is_empty() {
                    later.extend(task.feed(now, id, window, &part, rng)?);
                }
            }
        }
        let is_fed = |next: &Next| {
            matches!(next, Next::Tell(Event::Task(_, TaskEvent::Stream(StreamEvent::Fed { .. })), _))
        };
        later.retain(|later| !is_fed(&later.next));
        Ok(later)
    }

    pub(in crate::sim) fn feed(
        &mut self,
        now: u64,
        id: TaskId,
        window: u64,
        batch: &Batch,
        rng: &mut Rng,
    ) -> Checked<Vec<Later>> {
        self.task(id)?.feed(now, id, window, batch, rng)
    }

    pub(in crate::sim) fn stream_close(
        &mut self,
        now: u64,
        id: TaskId,
        window: u64,
        rng: &mut Rng,
    ) -> Checked<Option<Later>> {
        let task = self.task(id)?;
        let program = task.stream_program()?;
        if task.stream.exited {
            return Ok(None);
        }
        let at = task.busy_until.max(now) + 10;
        if task.dies(window, rng) {
            return Ok(Some(task.dead(at, id, window)));
        }
        Ok(Some(task.exit(at, id, window, program, false)))
    }
}

impl Surroundings {
    fn stream_program(&self) -> Checked<StreamProgram> {
        match self.stage.kind {
            StageKind::Stream { program, .. } => Ok(program),
            StageKind::Source { .. }
            | StageKind::Batch { .. }
            | StageKind::Records { .. }
            | StageKind::Sink { .. } => {
                Err(Violation::new(Check::Driver, "a stream's program for a task that is no stream"))
            }
        }
    }

    fn feed(
        &mut self,
        now: u64,
        id: TaskId,
        window: u64,
        batch: &Batch,
        rng: &mut Rng,
    ) -> Checked<Vec<Later>> {
        let program = self.stream_program()?;
        let mut later = Vec::new();
        if self.stream.exited {
            return Ok(later);
        }
        let StageKind::Stream { record_us, .. } = self.stage.kind else { return Ok(later) };
        self.busy_until = self.busy_until.max(now) + (record_us * batch.len() as u64).max(1);
        let at = self.busy_until;
        if self.dies(window, rng) {
            return Ok(vec![self.dead(at, id, window)]);
        }
        for record in batch.iter() {
            self.stream.held.push(Bytes::copy_from_slice(record));
            if matches!(program, StreamProgram::Head(limit) if self.stream.held.len() as u64 >= limit) {
                later.push(self.exit(at, id, window, program, true));
                return Ok(later);
            }
        }
        let position =
            if program == StreamProgram::Unsteady { format!("<{}>", rng.any()) } else { self.life_mark() };
        let copy = match program {
            StreamProgram::Identity | StreamProgram::Unsteady => Some(None),
            StreamProgram::Both => Some(Some(0)),
            StreamProgram::Sort | StreamProgram::Count | StreamProgram::Head(_) => None,
        };
        if let (Some(copy), true) = (copy, self.is_read) {
            let letter = self.stage.letter;
            let printed: Vec<Bytes> =
                batch.iter().map(|record| marked(record, letter, &position, copy)).collect();
            later.push(self.later(at, id, Next::Prints(window, batch_of(&printed))));
        }
        let fed = Event::task(id, StreamEvent::Fed { window, cost: batch.cost() });
        later.push(self.later(at, id, Next::Tell(fed, Vec::new())));
        Ok(later)
    }

    /// Whether the program dies now: where it can be run again, once a window, or sooner or later where it is again and again.
    fn dies(&mut self, window: u64, rng: &mut Rng) -> bool {
        let StageKind::Stream { ref spec, dies_percent, .. } = self.stage.kind else { return false };
        let child = &mut self.stream;
        let may_die = match spec.restart {
            Some(_) => child.deaths < DEATHS_MAX,
            None => self.journaled && child.died_in != Some(window),
        };
        let dies = may_die && rng.chance(dies_percent);
        if dies {
            (child.died_in, child.exited) = (Some(window), true);
            child.deaths += 1;
        }
        dies
    }

    fn dead(&self, at: u64, id: TaskId, window: u64) -> Later {
        let (printed, result) = (Batch::empty(), Err(failure()));
        self.later(at, id, Next::Exits(Exit { window, printed, result, early: false, effects: Vec::new() }))
    }

    /// The program prints while its input is open.
    pub(super) fn prints(
        &mut self,
        id: TaskId,
        window: u64,
        printed: Batch,
    ) -> Checked<Option<EventWithEffects>> {
        match self.stream.output.fresh(printed, differs) {
            Ok(fresh) if fresh.is_empty() => Ok(None),
            Ok(fresh) => {
                let output = self.stream.output.route(fresh, &mut self.collector);
                Ok(Some((Event::task(id, StreamEvent::Output { window, output }), Vec::new())))
            }
            Err(_) => {
                // It is killed, and what it would have done is void.
                self.stream.exited = true;
                self.generation += 1;
                self.exited(id, window, Err(failure()), false).map(Some)
            }
        }
    }

    pub(super) fn exits(&mut self, id: TaskId, exit: Exit) -> Checked<EventWithEffects> {
        let Exit { window, printed, mut result, early, mut effects } = exit;
        match self.stream.output.fresh(printed, differs) {
            Ok(fresh) if fresh.is_empty() => {}
            Ok(fresh) => self.hold(fresh)?,
            Err(_) => result = Err(failure()),
        }
        if result.is_err() {
            effects.clear();
        }
        let (event, _) = self.exited(id, window, result, early)?;
        Ok((event, effects))
    }

    fn exited(
        &mut self,
        id: TaskId,
        window: u64,
        result: Result<(), Failure>,
        early: bool,
    ) -> Checked<EventWithEffects> {
        let result = self.stream.output.ended(result, &mut self.collector);
        Ok((Event::task(id, StreamEvent::Exited { window, result, early }), Vec::new()))
    }

    /// The program ends and prints what it held.
    fn exit(&mut self, at: u64, id: TaskId, window: u64, program: StreamProgram, early: bool) -> Later {
        self.stream.exited = true;
        let taken = std::mem::take(&mut self.stream.held);
        let (letter, position) = (self.stage.letter, self.life_mark());
        let mut printed: Vec<Bytes> = match program {
            StreamProgram::Identity | StreamProgram::Unsteady => Vec::new(),
            StreamProgram::Sort | StreamProgram::Head(_) => {
                taken.iter().map(|record| marked(record, letter, &position, None)).collect()
            }
            StreamProgram::Both => {
                taken.iter().map(|record| marked(record, letter, &position, Some(1))).collect()
            }
            StreamProgram::Count => {
                vec![format!("{}#{window} k{} counted {}:\n", self.index, self.life, taken.len()).into()]
            }
        };
        printed.sort();
        let effects = if taken.is_empty() { Vec::new() } else { vec![batch_of(&taken)] };
        if !self.is_read {
            printed.clear();
        }
        let printed = batch_of(&printed);
        self.later(at, id, Next::Exits(Exit { window, printed, result: Ok(()), early, effects }))
    }
}

fn differs(divergence: &Divergence) -> String {
    format!("record {} and on differ from what was committed", divergence.first + 1)
}
