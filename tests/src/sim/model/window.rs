//! What streams are fed and what their programs have done with it.

use super::Model;
use super::truth::{Effect, TaskTruth, index};
use crate::sim::check::{Check, Checked, require};
use bytes::Bytes;
use worker_core::config::TaskId;
use worker_core::event::{Commit, CommitId, StreamStep};
use worker_proto::Batch;

/// Input of a window that a commit admits.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) commit: CommitId,
    window: u64,
    records: Vec<Bytes>,
    cost: u64,
}

impl Model {
    /// With a journal a program is fed what the journal was asked to keep for it.
    pub(in crate::sim) fn fed(&mut self, task: TaskId, batch: &Batch) -> Checked {
        for record in batch.iter().filter(|_| self.journaled).map(Bytes::copy_from_slice).collect::<Vec<_>>()
        {
            let (link, epoch, seq) = self.origin(task, &record)?;
            let name = self.graph.link_name(link);
            let life = self.life(link, epoch);
            let admitted = index(seq).and_then(|at| life.effects.get(at)).is_some_and(|e| *e != Effect::None);
            require(admitted, Check::Window, || format!("{name}: {seq} is fed and not admitted"))?;
        }
        Ok(())
    }

    /// A program that ended well had been given these, all of them.
    pub(in crate::sim) fn took(&mut self, task: TaskId, records: &Batch) {
        self.task(task).taken.extend(records.iter().map(Bytes::copy_from_slice));
    }

    /// A window is over when a program that was given all its input has ended well.
    pub(super) fn check_taken(&mut self, task: TaskId, commit: &Commit) -> Checked {
        let name = self.graph.task(task).name.clone();
        let truth = self.task(task);
        match &commit.stream {
            Some(StreamStep::Admit { window, pieces }) => {
                let records = pieces.iter().flat_map(|piece| piece.batch.iter());
                let records = records.map(Bytes::copy_from_slice).collect();
                let cost = pieces.iter().map(|piece| piece.batch.cost()).sum();
                truth.admitted.push(Admitted { commit: commit.id, window: *window, records, cost });
                Ok(())
            }
            Some(StreamStep::Done { window }) => {
                let own = truth.admitted.iter().filter(|admitted| admitted.window == *window);
                let missing = own.flat_map(|admitted| &admitted.records).find(|r| !truth.taken.contains(*r));
                require(missing.is_none() || truth.stops_early, Check::Taken, || {
                    format!("{name}: window {window} is done, and no program that ended well had {missing:?}")
                })
            }
            Some(StreamStep::Printed { .. } | StreamStep::Cut { .. }) | None => Ok(()),
        }
    }
}

impl TaskTruth {
    /// What the newest window has admitted, in bytes of cost.
    pub(in crate::sim) fn admitted_cost(&self) -> u64 {
        let newest = self.admitted.last().map_or(0, |admitted| admitted.window);
        self.admitted_to(newest)
    }

    /// What any window has admitted, in bytes of cost.
    pub(in crate::sim) fn admitted_most(&self) -> u64 {
        self.admitted.iter().map(|admitted| self.admitted_to(admitted.window)).max().unwrap_or(0)
    }

    fn admitted_to(&self, window: u64) -> u64 {
        self.admitted.iter().filter(|admitted| admitted.window == window).map(|admitted| admitted.cost).sum()
    }
}
