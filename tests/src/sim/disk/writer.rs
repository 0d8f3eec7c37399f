//! The writer of a task's journal: it may be behind with what it was told, and work may wait for it.

use super::{DiskEntry, TaskDisk, keep};
use crate::sim::check::Checked;
use crate::sim::plan::DiskBug;
use worker_core::event::{StreamStep, TaskAction};

/// What a journal's writer is told.
#[derive(Debug)]
pub(super) enum WriterCommand {
    Append(DiskEntry),
    /// Work that may begin when everything before it is appended.
    Begin(TaskAction),
}

impl TaskDisk {
    /// Appends; what it is sure of comes with a sync.
    pub(in crate::sim) fn append(&mut self, entry: DiskEntry, full: bool) -> Checked {
        if let Some(commit) = entry.commit() {
            for (first, chunk) in &commit.outputs {
                keep(&mut self.outputs_kept, *first, chunk);
            }
        }
        if full || self.has_orders() {
            self.waiting.push_back(WriterCommand::Append(entry));
            return Ok(());
        }
        self.add(entry)
    }

    /// Whether what it is told now has to wait.
    pub(in crate::sim) fn has_orders(&self) -> bool {
        self.behind || !self.waiting.is_empty()
    }

    /// Whether work waits for its writer.
    pub(in crate::sim) fn has_work(&self) -> bool {
        self.waiting.iter().any(|order| matches!(order, WriterCommand::Begin(_)))
    }

    pub(in crate::sim) fn begin_later(&mut self, work: TaskAction) {
        self.waiting.push_back(WriterCommand::Begin(work));
    }

    /// The task's programs are killed: what waits is not begun.
    pub(in crate::sim) fn forget_work(&mut self) {
        self.waiting.retain(|order| matches!(order, WriterCommand::Append(_)));
    }

    /// Its writer, which is not behind any more, appends what it was told, until there is work to begin.
    pub(in crate::sim) fn write_on(&mut self) -> Checked<Option<TaskAction>> {
        while let Some(order) = self.waiting.pop_front() {
            match order {
                WriterCommand::Append(entry) => self.add(entry)?,
                WriterCommand::Begin(work) => return Ok(Some(work)),
            }
        }
        Ok(None)
    }

    fn add(&mut self, entry: DiskEntry) -> Checked {
        let Some(late) = self.late.take() else {
            if self.bug == Some(DiskBug::AdmittedLate) && is_admission(&entry) {
                self.late = Some(entry);
                return Ok(());
            }
            return self.put(entry);
        };
        self.put(entry)?;
        self.put(late)
    }

    fn put(&mut self, entry: DiskEntry) -> Checked {
        self.keep_letters(&entry);
        if let Some(real) = &mut self.real {
            real.append(&entry)?;
        } else if let Some(changes) = entry.commit().and_then(|commit| commit.position.as_ref()) {
            self.apply(changes.clone());
        }
        self.entries.push(entry);
        Ok(())
    }
}

fn is_admission(entry: &DiskEntry) -> bool {
    entry.commit().is_some_and(|commit| matches!(commit.stream, Some(StreamStep::Admit { .. })))
}
