//! The thread that makes what was appended durable, and tells of it.

use super::TaskJournal;
use crate::mutex::lock;
use crate::runtime::cell::{Cell, End, Tell};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{PoisonError, Weak};
use std::time::{Duration, Instant};
use worker_core::event::{Event, NodeError, TaskEvent};

/// The longest rest between syncs of a journal that always has something to sync.
const SYNC_REST_MAX: Duration = Duration::from_millis(1);

/// Syncs whenever something is not durable. A commit that comes while nothing is synced does not wait. One that comes during
/// a sync waits for its end, and at most as long again: syncs without pause cost processor time and disk that the rest
/// of the pipeline needs, and write the same page again and again.
pub(super) fn sync_all(shared: &TaskJournal, cell: &Weak<Cell>) {
    loop {
        {
            let mut unsynced = lock(&shared.unsynced);
            while unsynced.commits.is_empty() && !unsynced.stopped {
                unsynced = shared.appended.wait(unsynced).unwrap_or_else(PoisonError::into_inner);
            }
            if unsynced.stopped && unsynced.commits.is_empty() {
                return;
            }
        }
        let begun = Instant::now();
        let (ticket, position) = {
            let journal = lock(&shared.journal);
            (journal.to_sync(), journal.fold().position())
        };
        let is_sync = ticket.is_some();
        shared.syncs.fetch_add(u64::from(is_sync), Relaxed);
        let synced = match ticket {
            Some(ticket) => ticket.run().map(|position| lock(&shared.journal).synced(position)),
            None => Ok(()),
        };
        if synced.is_ok() {
            *lock(&shared.durable_position) = position;
        }
        let took = begun.elapsed();
        let Some(cell) = cell.upgrade() else { return };
        let measure = &shared.measure;
        if is_sync {
            measure.journal_synced(took);
        }
        if let Err(error) = synced {
            return fail(&cell, shared, &error.to_string());
        }
        let durable = lock(&shared.journal).durable();
        let (mut ids, mut asked) = (Vec::new(), Vec::new());
        let is_behind = {
            let mut unsynced = lock(&shared.unsynced);
            while let Some((_, id, at)) =
                unsynced.commits.front().filter(|(position, ..)| *position <= durable)
            {
                ids.push(*id);
                asked.push(at.elapsed());
                unsynced.commits.pop_front();
            }
            !unsynced.commits.is_empty() && !unsynced.stopped
        };
        measure.committed(asked);
        let task = shared.task;
        let durable = ids.into_iter().map(|commit| Event::Task(task, TaskEvent::Persisted { commit }));
        cell.tell_all(durable.collect());
        drop(cell);
        let rest = took.min(SYNC_REST_MAX);
        if is_behind && !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }
}

/// Nothing of this task is acknowledged from now on; the process ends with the reason.
pub(super) fn fail(cell: &Cell, shared: &TaskJournal, why: &str) {
    cell.end(End::Failed(NodeError::Task { task: shared.name.clone(), why: why.to_owned() }));
    // Nothing is begun or committed from now on. To the peers this is a node that was killed: they wait for its next life.
    cell.leave();
}
