//! Records programs: each request is answered, per key how often it was seen; the answers come in pieces.

use super::{Driver, Later, Surroundings, failure};
use crate::sim::check::{Check, Checked, Violation};
use crate::sim::fold;
use crate::sim::plan::StageKind;
use crate::sim::program::{RecordsProgram, counted, key_of, total, weight};
use crate::sim::rng::Rng;
use bytes::Bytes;
use std::collections::BTreeMap;
use worker_core::config::TaskId;
use worker_core::event::{DeadLetter, Event, Output, RecordsEvent};
use worker_proto::{Batch, LinkId, Seq};

/// A records stage's program and the state it was given.
#[derive(Debug, Default)]
pub(super) struct RecordsChild {
    /// As of the last commit asked for.
    pub(super) committed: BTreeMap<Bytes, u64>,
    /// As the program has it.
    counts: BTreeMap<Bytes, u64>,
    /// The present life's program is dead or was asked for its end.
    deaf: bool,
}

impl RecordsChild {
    /// It answers nothing more.
    pub(super) fn deafen(&mut self) {
        self.deaf = true;
    }
}

impl Driver {
    pub(in crate::sim) fn records_start(&mut self, now: u64, id: TaskId) -> Checked {
        let task = self.task(id)?;
        task.generation += 1;
        task.busy_until = task.busy_until.max(now);
        task.records.counts = task.records.committed.clone();
        task.records.deaf = false;
        Ok(())
    }

    /// A commit was asked for: its changes count from now on.
    pub(in crate::sim) fn state_changed(&mut self, id: TaskId, position: &Bytes) -> Checked {
        let task = self.task(id)?;
        if matches!(task.stage.kind, StageKind::Records { .. }) {
            fold::change(&mut task.records.committed, position);
        }
        Ok(())
    }

    pub(in crate::sim) fn request(
        &mut self,
        now: u64,
        id: TaskId,
        life: u64,
        from: (LinkId, Seq),
        batch: &Batch,
        rng: &mut Rng,
    ) -> Checked<Vec<Later>> {
        let task = self.task(id)?;
        let mut later = Vec::new();
        let mut at = 0;
        while at < batch.len() && !task.records.deaf {
            let to = at + 1 + rng.index(batch.len() - at);
            let first = from.1.plus(at as u64);
            later.push(task.answer(now, id, life, (from.0, first), &batch.slice(at..to), rng)?);
            at = to;
        }
        Ok(later)
    }

    pub(in crate::sim) fn records_tick(
        &mut self,
        now: u64,
        id: TaskId,
        life: u64,
        rng: &mut Rng,
    ) -> Checked<Option<Later>> {
        let task = self.task(id)?;
        if task.records.deaf {
            return Ok(None);
        }
        task.busy_until = task.busy_until.max(now) + 1;
        let output = if rng.chance(50) {
            let tick = format!("tick{} k0 {}:\n", task.index, rng.any());
            task.route(&[tick.into()])
        } else {
            Output::default()
        };
        let event = Event::task(id, RecordsEvent::Answered { life, records: 0, output, ended: false });
        Ok(Some(task.later(task.busy_until, id, Vec::new(), event)))
    }

    pub(in crate::sim) fn records_end(&mut self, now: u64, id: TaskId, life: u64) -> Checked<Option<Later>> {
        let task = self.task(id)?;
        if std::mem::replace(&mut task.records.deaf, true) {
            return Ok(None);
        }
        task.busy_until = task.busy_until.max(now) + 1;
        let totals: Vec<Bytes> =
            task.records.counts.iter().map(|(key, &count)| total(task.index, key, count)).collect();
        let output = task.route(&totals);
        let event = Event::task(id, RecordsEvent::Answered { life, records: 0, output, ended: true });
        Ok(Some(task.later(task.busy_until, id, Vec::new(), event)))
    }
}

impl Surroundings {
    /// Answers some requests, or dies of one.
    fn answer(
        &mut self,
        now: u64,
        id: TaskId,
        life: u64,
        from: (LinkId, Seq),
        batch: &Batch,
        rng: &mut Rng,
    ) -> Checked<Later> {
        let StageKind::Records { program, record_us, .. } = self.stage.kind else {
            return Err(Violation::new(Check::Driver, "a request to a task without a records program"));
        };
        self.busy_until = self.busy_until.max(now) + (record_us * batch.len() as u64).max(1);
        let dies = match program {
            RecordsProgram::DieOn(one_in) => batch.iter().any(|record| weight(record).is_multiple_of(one_in)),
            RecordsProgram::Chance(percent) => rng.chance(percent),
            RecordsProgram::Count | RecordsProgram::Fail(_) => false,
        };
        if dies {
            self.records.deaf = true;
            let event = Event::task(id, RecordsEvent::Failed { life, failure: failure() });
            return Ok(self.later(self.busy_until, id, Vec::new(), event));
        }
        let (mut printed, mut dead, mut changed) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (offset, record) in batch.iter().enumerate() {
            if matches!(program, RecordsProgram::Fail(one_in) if weight(record).is_multiple_of(one_in)) {
                dead.push(refused(record, (from.0, from.1.plus(offset as u64))));
                continue;
            }
            let key = key_of(record);
            let count = self.records.counts.entry(key.clone()).or_default();
            *count += 1;
            changed.insert(key, *count);
            printed.push(counted(record, self.stage.letter, *count));
        }
        let mut output = self.route(&printed);
        output.dead.append(&mut dead);
        output.position = Some(fold::changes(&changed));
        let effects = vec![batch.clone()];
        let event = Event::task(
            id,
            RecordsEvent::Answered { life, records: batch.len() as u64, output, ended: false },
        );
        Ok(self.later(self.busy_until, id, effects, event))
    }
}

fn refused(record: &[u8], origin: (LinkId, Seq)) -> DeadLetter {
    DeadLetter {
        record: Bytes::copy_from_slice(record),
        reason: "the program says fail".into(),
        attempts: 1,
        stderr_tail: String::new(),
        cause: None,
        batch_id: None,
        origin: Some(origin),
    }
}
