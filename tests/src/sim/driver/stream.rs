//! Stream programs: one process a window, fed, closed, and with a journal run again.

use super::{Driver, Later, Surroundings, failure};
use crate::sim::check::{Check, Checked, Violation};
use crate::sim::disk::WindowKept;
use crate::sim::plan::StageKind;
use crate::sim::program::{StreamProgram, batch_of, marked};
use crate::sim::rng::Rng;
use bytes::Bytes;
use worker_core::config::TaskId;
use worker_core::event::{Event, Failure, FailureKind, Output, Printed, StreamEvent, TaskEvent};
use worker_core::replay::Suppressor;
use worker_proto::Batch;

/// A stream's program, in the window that is under way.
#[derive(Debug, Default)]
pub(super) struct StreamChild {
    held: Vec<Bytes>,
    exited: bool,
    /// What it printed before and must print again; with a journal only.
    suppressor: Option<Suppressor>,
    /// The window in which it died in this life of the process: once is enough.
    died_in: Option<u64>,
}

impl Driver {
    /// Starts a window's program, giving it again what it was given before.
    pub(in crate::sim) fn stream_start(
        &mut self,
        now: u64,
        id: TaskId,
        window: u64,
        kept: Option<WindowKept>,
        rng: &mut Rng,
    ) -> Checked<Vec<Later>> {
        let task = self.task(id)?;
        task.child.held.clear();
        task.child.exited = false;
        task.busy_until = task.busy_until.max(now);
        let kept = match kept {
            Some(kept) => kept,
            None if task.journaled => WindowKept::default(),
            None => return Ok(Vec::new()),
        };
        task.child.suppressor = Some(Suppressor::new(kept.printed));
        let mut later = Vec::new();
        for batch in kept.inputs {
            // It need not be given in the same pieces.
            let cut = rng.index(batch.len() + 1);
            for part in [batch.slice(0..cut), batch.slice(cut..batch.len())] {
                if !part.is_empty() {
                    task.feed(now, id, window, &part, rng, &mut later)?;
                }
            }
        }
        later.retain(|later| {
            !matches!(later.event, Event::Task(_, TaskEvent::Stream(StreamEvent::Fed { .. })))
        });
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
        let mut later = Vec::new();
        self.task(id)?.feed(now, id, window, batch, rng, &mut later)?;
        Ok(later)
    }

    pub(in crate::sim) fn stream_close(
        &mut self,
        now: u64,
        id: TaskId,
        window: u64,
    ) -> Checked<Option<Later>> {
        let task = self.task(id)?;
        let program = task.stream_program()?;
        if task.child.exited {
            return Ok(None);
        }
        let at = task.busy_until.max(now) + 10;
        Ok(Some(task.exit(at, id, window, program, false)))
    }
}

impl Surroundings {
    /// Its children are dead.
    pub(super) fn killed(&mut self) {
        self.child.exited = true;
        self.records.deafen();
    }

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
        later: &mut Vec<Later>,
    ) -> Checked {
        let program = self.stream_program()?;
        if self.child.exited {
            return Ok(());
        }
        let StageKind::Stream { record_us, dies_percent, .. } = self.stage.kind else { return Ok(()) };
        self.busy_until = self.busy_until.max(now) + (record_us * batch.len() as u64).max(1);
        let at = self.busy_until;
        if self.journaled && self.child.died_in != Some(window) && rng.chance(dies_percent) {
            self.child.died_in = Some(window);
            self.child.exited = true;
            let event = Event::task(id, StreamEvent::Exited { window, result: Err(failure()), early: false });
            later.push(self.later(at, id, Vec::new(), event));
            return Ok(());
        }
        for record in batch.iter() {
            self.child.held.push(Bytes::copy_from_slice(record));
            if matches!(program, StreamProgram::Head(limit) if self.child.held.len() as u64 >= limit) {
                later.push(self.exit(at, id, window, program, true));
                return Ok(());
            }
        }
        let position =
            if program == StreamProgram::Unsteady { format!("<{}>", rng.any()) } else { self.life_mark() };
        let copy = match program {
            StreamProgram::Identity | StreamProgram::Unsteady => Some(None),
            StreamProgram::Both => Some(Some(0)),
            StreamProgram::Sort | StreamProgram::Count | StreamProgram::Head(_) => None,
        };
        if let Some(copy) = copy {
            let letter = self.stage.letter;
            let printed: Vec<Bytes> =
                batch.iter().map(|record| marked(record, letter, &position, copy)).collect();
            match self.suppressed(batch_of(&printed)) {
                Err(diverged) => {
                    self.child.exited = true;
                    let event =
                        Event::task(id, StreamEvent::Exited { window, result: Err(diverged), early: false });
                    later.push(self.later(at, id, Vec::new(), event));
                    return Ok(());
                }
                Ok(printed) if printed.is_empty() => {}
                Ok(printed) => {
                    let output = self.route_printed(printed);
                    later.push(self.later(
                        at,
                        id,
                        Vec::new(),
                        Event::task(id, StreamEvent::Output { window, output }),
                    ));
                }
            }
        }
        let fed = Event::task(id, StreamEvent::Fed { window, cost: batch.cost() });
        later.push(self.later(at, id, Vec::new(), fed));
        Ok(())
    }

    /// The part of what was printed that is new.
    fn suppressed(&mut self, printed: Batch) -> Result<Batch, Failure> {
        match &mut self.child.suppressor {
            Some(suppressor) => suppressor.pass(printed).map_err(|diverged| {
                diverged_failure(format!(
                    "record {} and on differ from what was committed",
                    diverged.first + 1
                ))
            }),
            None => Ok(printed),
        }
    }

    fn route_printed(&mut self, batch: Batch) -> Output {
        let printed = self.journaled.then(|| Printed::of(&batch));
        let mut output = Output { printed, ..Output::default() };
        self.router.route(batch, &mut output);
        output
    }

    /// The program ends and prints what it held.
    fn exit(&mut self, at: u64, id: TaskId, window: u64, program: StreamProgram, early: bool) -> Later {
        self.child.exited = true;
        let taken = std::mem::take(&mut self.child.held);
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
        let result = self.suppressed(batch_of(&printed)).and_then(|printed| {
            let missing = self.child.suppressor.as_ref().map_or(0, Suppressor::missing);
            if missing > 0 && !early {
                return Err(diverged_failure(format!("{missing} records fewer than were committed")));
            }
            Ok(self.route_printed(printed))
        });
        // With a journal input takes effect when it is admitted.
        let effects = if taken.is_empty() || self.journaled { Vec::new() } else { vec![batch_of(&taken)] };
        self.later(at, id, effects, Event::task(id, StreamEvent::Exited { window, result, early }))
    }
}

fn diverged_failure(message: String) -> Failure {
    Failure { kind: FailureKind::Diverged, message, stderr_tail: String::new(), silent: false }
}
