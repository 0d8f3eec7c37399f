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
    pub(super) fn append(&mut self, entry: DiskEntry, asked: u64, waits: bool) -> Checked {
        if let Some(commit) = entry.commit() {
            for (first, chunk) in &commit.outputs {
                keep(&mut self.outputs_kept, *first, chunk);
            }
        }
        if waits {
            self.waiting.push_back((asked, WriterCommand::Append(entry)));
            return Ok(());
        }
        self.add(entry, asked)
    }

    /// Whether what it is told now has to wait.
    pub(in crate::sim) fn has_orders(&self) -> bool {
        self.behind || !self.waiting.is_empty()
    }

    /// Whether work waits for its writer.
    pub(in crate::sim) fn has_work(&self) -> bool {
        self.waiting.iter().any(|(_, order)| matches!(order, WriterCommand::Begin(_)))
    }

    pub(super) fn begin_later(&mut self, asked: u64, work: TaskAction) {
        self.waiting.push_back((asked, WriterCommand::Begin(work)));
    }

    /// The task's programs are killed: what waits is not begun.
    pub(in crate::sim) fn forget_work(&mut self) {
        self.waiting.retain(|(_, order)| matches!(order, WriterCommand::Append(_)));
    }

    /// When the first of what it was told and has not done was asked for.
    pub(super) fn waits_since(&self) -> Option<u64> {
        self.waiting.front().map(|(asked, _)| *asked)
    }

    /// Its writer, which is not behind any more, does the next thing that it was told; gives the work that is to begin.
    pub(super) fn write_next(&mut self) -> Checked<Option<TaskAction>> {
        match self.waiting.pop_front() {
            Some((asked, WriterCommand::Append(entry))) => self.add(entry, asked).map(|()| None),
            Some((_, WriterCommand::Begin(work))) => Ok(Some(work)),
            None => Ok(None),
        }
    }

    fn add(&mut self, entry: DiskEntry, asked: u64) -> Checked {
        let Some(late) = self.late.take() else {
            if self.bug == Some(DiskBug::AdmittedLate) && is_admission(&entry) {
                self.late = Some(entry);
                return Ok(());
            }
            return self.put(entry, asked);
        };
        self.put(entry, asked)?;
        self.put(late, asked)
    }

    fn put(&mut self, entry: DiskEntry, asked: u64) -> Checked {
        self.keep_letters(&entry);
        if let Some(real) = &mut self.real {
            real.append(&entry)?;
        } else if let Some(changes) = entry.commit().and_then(|commit| commit.position.as_ref()) {
            self.apply(changes.clone());
        }
        self.entries.push(entry);
        self.asked.push(asked);
        Ok(())
    }
}

fn is_admission(entry: &DiskEntry) -> bool {
    entry.commit().is_some_and(|commit| matches!(commit.stream, Some(StreamStep::Admit { .. })))
}
