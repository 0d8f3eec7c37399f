//! Batch programs: what they are given, print, and sometimes die of.

use super::{Driver, Later, Next, Surroundings, failure};
use crate::sim::check::{Check, Checked, Violation, require};
use crate::sim::plan::StageKind;
use crate::sim::program::{BatchProgram, batch_of, is_killer, is_poison, outputs_of};
use crate::sim::rng::Rng;
use bytes::Bytes;
use std::time::Duration;
use worker_core::config::TaskId;
use worker_core::event::{BatchEvent, Event, Output, Run, Spent, WorkId};
use worker_proto::Batch;

/// A run that is under way, and what it will have come to.
#[derive(Debug)]
pub(in crate::sim) struct BatchRun {
    work: WorkId,
    input: Vec<Batch>,
    /// In the pieces in which it is read.
    printed: Vec<Batch>,
    fails: bool,
    spent: Spent,
}

impl Driver {
    pub(in crate::sim) fn run(&mut self, now: u64, id: TaskId, run: Run, rng: &mut Rng) -> Checked<Later> {
        self.runs += 1;
        let task = self.task(id)?;
        let records: Vec<&[u8]> = run.input.iter().flat_map(Batch::iter).collect();
        require(!std::mem::replace(&mut task.running, true), Check::Slots, || {
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
        // With a journal every run makes something else of its records, so that one that should not be is seen.
        let position = if task.journaled { format!("<{}>", rng.below(1 << 32)) } else { task.life_mark() };
        let letter = task.stage.letter;
        let printed: Vec<Bytes> = records
            .iter()
            .filter(|_| task.is_read)
            .flat_map(|record| outputs_of(program, record, letter, &position))
            .collect();
        let took = cost_us.0 + cost_us.1 * records.len() as u64;
        let spent = Spent { start: Duration::from_micros(cost_us.0), total: Duration::from_micros(took) };
        let printed = pieces(&batch_of(&printed), rng);
        let next = if kills {
            Next::Dies
        } else {
            Next::RunEnds(BatchRun { work: run.work, input: run.input, printed, fails, spent })
        };
        Ok(task.later(now + took.max(1), id, next))
    }

    /// A run is over; gives what is told of it, and the records that took effect with it.
    pub(super) fn run_ends(&mut self, id: TaskId, run: BatchRun) -> Checked<(Event, Vec<Batch>)> {
        self.runs -= 1;
        let task = self.task(id)?;
        task.running = false;
        task.collector.discard();
        let BatchRun { work, input, mut printed, fails, spent } = run;
        printed.truncate(if fails { printed.len() / 2 } else { printed.len() });
        printed.into_iter().try_for_each(|piece| task.hold(piece))?;
        let (result, effects) = if fails {
            task.collector.discard();
            (Err(failure()), Vec::new())
        } else {
            (Ok(Output { header: task.header.clone(), ..task.collector.take() }), input)
        };
        Ok((Event::task(id, BatchEvent::Done { work, result, spent }), effects))
    }

    /// Kills a task's children.
    pub(in crate::sim) fn kill(&mut self, id: TaskId) -> Checked {
        let task = self.task(id)?;
        task.generation += 1;
        task.killed();
        if std::mem::take(&mut task.running) {
            self.runs -= 1;
        }
        Ok(())
    }
}

impl Surroundings {
    /// Its children are dead, and what they printed and did not end well with is void.
    fn killed(&mut self) {
        self.stream.exited = true;
        self.records.killed();
        self.collector.discard();
    }
}

/// Cut anywhere.
fn pieces(batch: &Batch, rng: &mut Rng) -> Vec<Batch> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < batch.len() {
        let to = at + 1 + rng.index(batch.len() - at);
        pieces.push(batch.slice(at..to));
        at = to;
    }
    pieces
}
