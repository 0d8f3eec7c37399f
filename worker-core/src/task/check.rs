//! What always holds of tasks, by kind.

use super::batch::Phase as BatchPhase;
use super::{Life, Task, TaskMachine};
use crate::check::Inconsistency;
use crate::config::TaskId;
use crate::ctx::Ctx;

impl Task {
    /// Counts again what the task holds, and holds it against its links; takes time in proportion to that.
    pub(crate) fn check(&self, ctx: &Ctx) -> Result<(), Inconsistency> {
        self.base.check_pending(ctx)?;
        match &self.kind {
            TaskMachine::Source(source) => source.check(),
            TaskMachine::Batch(batch) => batch.check(&self.base, ctx),
            TaskMachine::Stream(stream) => stream.check(),
            TaskMachine::Records(records) => records.check(&self.base, ctx),
            TaskMachine::Sink(sink) => sink.check(ctx),
        }
    }

    /// Holds what the task has taken of its inputs against the inboxes, once everything is followed to its end.
    pub(crate) fn check_inputs(&self, ctx: &Ctx) -> Result<(), Inconsistency> {
        self.base.check_inputs(ctx)?;
        let gives_up = matches!(&self.kind, TaskMachine::Records(records) if records.is_stopped());
        if self.base.life != Life::Running || gives_up {
            return Ok(());
        }
        self.base.inputs.iter().try_for_each(|&link| {
            let mut reached = self.base.reached(ctx.inbox_ref(link), ctx);
            match &self.kind {
                TaskMachine::Source(_) => {}
                TaskMachine::Batch(batch) => batch.pieces().try_for_each(|piece| reached.piece(piece))?,
                TaskMachine::Records(records) => {
                    records.pieces().try_for_each(|piece| reached.piece(piece))?
                }
                TaskMachine::Stream(stream) => stream.positions().try_for_each(|i| reached.position(i))?,
                TaskMachine::Sink(sink) => sink.positions().try_for_each(|i| reached.position(i))?,
            }
            reached.queue()
        })
    }

    /// Its id, if a program of it runs in a slot.
    pub(crate) fn runs_in_slot(&self) -> Option<TaskId> {
        let runs = matches!(&self.kind, TaskMachine::Batch(batch) if batch.is_running());
        runs.then_some(self.base.id)
    }

    /// Its id, if it waits for a slot.
    pub(crate) fn waits_for_slot(&self) -> Option<TaskId> {
        let phase = if let TaskMachine::Batch(batch) = &self.kind { batch.phase() } else { return None };
        matches!(phase, BatchPhase::Queued { .. }).then_some(self.base.id)
    }

    /// Whether its program has been asked and has not answered.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(&self.kind, TaskMachine::Records(records) if records.asked_records() > 0)
    }
}
