//! The worker's own journal on a disk in memory, beside the model of it: whatever it gives back must be what the model says.

use super::{DiskEntry, Keyed, WindowKept};
use crate::sim::check::{Check, Checked, Violation, require};
use crate::sim::fold;
use std::collections::BTreeMap;
use std::sync::Arc;
use worker_core::event::Attempt;
use worker_core::event::Turn;
use worker_core::recovery::TaskState;
use worker_journal::{
    Fold, Identity, Journal, JournalError, MemFile, MemStorage, NewestPosition, Opened, Settings, SyncTicket,
    join,
};
use worker_proto::{Batch, Fingerprint, JournalId, LinkId, Seq};

/// Small segments, so that a short run has many.
const SETTINGS: Settings = Settings { first_segment_bytes: 2 * 1024, segment_bytes_max: 8 * 1024 };

/// A journal, through all lives of its task.
#[derive(Debug)]
pub(super) struct Real {
    storage: MemStorage,
    identity: Identity,
    journal: Option<Journal<MemStorage, Box<dyn Fold>>>,
    /// The state it was opened with, until a life takes it.
    state: Option<TaskState>,
    ticket: Option<SyncTicket<MemFile>>,
}

impl Real {
    pub(super) fn new(id: JournalId, outputs: Vec<LinkId>) -> Self {
        let identity =
            Identity { task: format!("task{}", id.0), fingerprint: Fingerprint(9), outputs, new_id: id };
        let storage = MemStorage::new();
        Self { storage, identity, journal: None, state: None, ticket: None }
    }

    /// The process is gone, and with `power` a seed for what else is. The next life's journal is opened, with a new sum of its
    /// positions where that is more than the newest.
    pub(super) fn crash(&mut self, power: Option<u64>, keyed: Option<&Keyed>) -> Checked<&TaskState> {
        self.ticket = None;
        self.journal = None;
        if let Some(seed) = power {
            self.storage.crash(seed);
        }
        self.open(keyed)
    }

    fn open(&mut self, keyed: Option<&Keyed>) -> Checked<&TaskState> {
        let positions: Box<dyn Fold> = match keyed {
            Some(keyed) => Box::new(Arc::clone(keyed)),
            None => Box::new(NewestPosition::default()),
        };
        let opened = Journal::open(self.storage.clone(), &self.identity, SETTINGS, positions);
        let Opened { journal, state, .. } = opened.map_err(|error| broken(&error))?;
        self.journal = Some(journal);
        Ok(self.state.insert(state))
    }

    /// What the life that begins is given.
    pub(super) fn begin(&mut self, keyed: Option<&Keyed>) -> Checked<TaskState> {
        if self.state.is_none() {
            self.open(keyed)?;
        }
        self.state.take().ok_or_else(|| Violation::new(Check::Recovery, "a journal without a state"))
    }

    pub(super) fn append(&mut self, entry: &DiskEntry) -> Checked {
        let journal = self.journal()?;
        match entry {
            DiskEntry::Life(_) => Ok(()),
            DiskEntry::Commit(commit) => journal.append(commit, None).map(drop),
            DiskEntry::Note(attempt) => journal.note(attempt).map(drop),
            DiskEntry::Released(link, through) => {
                journal.acknowledged(*link, *through);
                Ok(())
            }
        }
        .map_err(|error| broken(&error))
    }

    pub(super) fn begin_sync(&mut self) -> Checked {
        self.ticket = self.journal()?.to_sync();
        Ok(())
    }

    pub(super) fn synced(&mut self) -> Checked {
        if let Some(ticket) = self.ticket.take() {
            let position = ticket.run().map_err(|error| broken(&error))?;
            self.journal()?.synced(position);
        }
        Ok(())
    }

    /// I9: the sync under way fails, and nothing can be appended after it.
    pub(super) fn fail_sync(&mut self) -> Checked {
        let Some(ticket) = self.ticket.take() else { return Ok(()) };
        self.storage.fail_sync(1);
        let failed = ticket.run().is_err();
        let refused = self.journal()?.note(&Attempt::default()).is_err();
        require(failed && refused, Check::Durable, || "a journal goes on after a sync that failed".into())
    }

    pub(super) fn load(&mut self, link: LinkId, first: Seq, records: u64) -> Checked<Batch> {
        self.journal()?.read(link, first, records).map_err(|error| broken(&error))
    }

    pub(super) fn check_window(&mut self, window: u64, expected: &WindowKept) -> Checked {
        let journal = self.journal()?;
        let inputs = journal
            .admitted(window)
            .and_then(|extents| if extents.is_empty() { Ok(Batch::empty()) } else { join(extents.iter()) });
        let inputs = inputs.map_err(|error| broken(&error))?;
        let admitted: Vec<&[u8]> = expected.inputs.iter().flat_map(Batch::iter).collect();
        require(inputs.iter().collect::<Vec<_>>() == admitted, Check::Recovery, || {
            format!("window {window}: {inputs:?} is admitted, not {:?}", expected.inputs)
        })?;
        let printed = journal.printed(window);
        require(printed == expected.printed, Check::Recovery, || {
            format!("window {window}: {printed:?} was printed, not {:?}", expected.printed)
        })
    }

    fn journal(&mut self) -> Checked<&mut Journal<MemStorage, Box<dyn Fold>>> {
        self.journal.as_mut().ok_or_else(|| Violation::new(Check::Driver, "a journal that is not open"))
    }
}

/// How many of `entries`, of which `durable` cannot be lost, a journal's state is the sum of.
pub(super) fn survivors(
    state: &TaskState,
    entries: &[DiskEntry],
    durable: usize,
    outputs: &[LinkId],
) -> Checked<usize> {
    for kept in (durable..=entries.len()).rev() {
        let model = fold::task_state(&entries[..kept], outputs, state.journal, None);
        if model.commits == state.commits && model.attempt == state.attempt {
            agree(state, &model)?;
            return Ok(kept);
        }
    }
    let detail = format!("{state:?} is no beginning of what was appended; {durable} entries are durable");
    Err(Violation::new(Check::Recovery, detail))
}

/// Everything but the outputs is the same, and of those nothing is missing that is not acknowledged.
fn agree(state: &TaskState, model: &TaskState) -> Checked {
    let without = |state: &TaskState| {
        let mut state = state.clone();
        // Headers stand in the head of the turn, so a task that is in no order has an empty one with them.
        let turn = state.turn.take().filter(|turn| **turn != Turn::default());
        TaskState { epoch: model.epoch, outputs: BTreeMap::new(), position: None, turn, ..state }
    };
    require(without(state) == without(model), Check::Recovery, || format!("{state:?} is not {model:?}"))?;
    for (link, output) in &model.outputs {
        let fresh = worker_core::recovery::OutputState::fresh();
        let real = state.outputs.get(link).unwrap_or(&fresh);
        let same = (real.next, real.end) == (output.next, output.end) && real.through <= output.through;
        let mut reached = real.held.first().map_or(real.through, |held| held.first.before());
        let mut gapless = reached <= real.through;
        for held in &real.held {
            gapless &= held.first == reached.next() && held.records > 0;
            reached = held.first.plus(held.records).before();
        }
        let all = reached.max(real.through).next() >= output.end.unwrap_or(output.next);
        require(same && gapless && all, Check::Recovery, || {
            format!("link {link}: {real:?} is not {output:?}")
        })?;
    }
    Ok(())
}

fn broken(error: &JournalError) -> Violation {
    Violation::new(Check::Recovery, error.to_string())
}
