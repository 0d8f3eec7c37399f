//! The thread that makes what was appended durable, and tells of it.

use super::{Appended, Column, TaskJournal};
use crate::mutex::lock;
use crate::runtime::cell::{Cell, End, Tell};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};
use worker_core::event::{Event, NodeError, TaskEvent};
use worker_journal::{Fold as _, JournalError, Member};

/// The longest rest between syncs of a journal that always has something to sync.
const SYNC_REST_MAX: Duration = Duration::from_millis(1);

/// Syncs whenever something is not durable. A commit that comes while nothing is synced does not wait. One that comes during
/// a sync waits for its end, and at most as long again: syncs without pause cost processor time and disk that the rest
/// of the pipeline needs, and write the same page again and again.
pub(super) fn sync_all(column: &Column, tasks: &[Arc<TaskJournal>], cell: &Weak<Cell>) {
    while column.wait_for_appended() {
        let begun = Instant::now();
        let synced = column.sync();
        let took = begun.elapsed();
        let Some(cell) = cell.upgrade() else { return };
        let of = |member: Member| tasks.get(member.0 as usize);
        let positions = match synced {
            Ok(positions) => positions,
            Err((member, error)) => {
                // A journal that nobody has appended to is not synced.
                let name = of(member).map_or(column.name.as_str(), |task| &task.name);
                return fail(&cell, name, &error.to_string());
            }
        };
        for (member, position) in positions {
            if let Some(task) = of(member) {
                *lock(&task.durable_position) = position;
                task.measure.journal_synced(took);
            }
        }
        let (durable, is_behind) = column.take_durable();
        let mut events = Vec::with_capacity(durable.len());
        for Appended { member, commit, asked, .. } in durable {
            let Some(task) = of(member) else { continue };
            task.measure.committed([asked.elapsed()]);
            events.push(Event::Task(task.task, TaskEvent::Persisted { commit }));
        }
        cell.tell_all(events);
        drop(cell);
        let rest = took.min(SYNC_REST_MAX);
        if is_behind && !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }
}

/// How far each task is by what a sync has made durable.
type Positions = Vec<(Member, Option<Bytes>)>;

impl Column {
    /// Waits until there is something to sync; `false`: there will be nothing any more.
    fn wait_for_appended(&self) -> bool {
        let mut unsynced = lock(&self.unsynced);
        while unsynced.commits.is_empty() && !unsynced.stopped {
            unsynced = self.appended.wait(unsynced).unwrap_or_else(PoisonError::into_inner);
        }
        !unsynced.commits.is_empty()
    }

    /// Makes everything appended until now durable. An error comes with one of those who wait.
    fn sync(&self) -> Result<Positions, (Member, JournalError)> {
        let (ticket, positions) = {
            let journal = lock(&self.journal);
            let ticket = journal.to_sync();
            let waiting: BTreeSet<Member> =
                lock(&self.unsynced).commits.iter().map(|appended| appended.member).collect();
            let position = |member| journal.fold_of(member).and_then(|fold| fold.position());
            let positions: Positions = waiting.into_iter().map(|member| (member, position(member))).collect();
            (ticket, positions)
        };
        if let Some(ticket) = ticket {
            self.syncs.fetch_add(1, Relaxed);
            let first = positions.first().map_or(Member(0), |(member, _)| *member);
            let position = ticket.run().map_err(|error| (first, error))?;
            lock(&self.journal).synced(position);
        }
        Ok(positions)
    }

    /// The commits that are durable now, and whether there are more that are not.
    fn take_durable(&self) -> (Vec<Appended>, bool) {
        let durable = lock(&self.journal).durable();
        let mut unsynced = lock(&self.unsynced);
        let count = unsynced.commits.partition_point(|appended| appended.position <= durable);
        let commits = unsynced.commits.drain(..count).collect();
        (commits, !unsynced.commits.is_empty() && !unsynced.stopped)
    }
}

/// Nothing of this journal is acknowledged from now on; the process ends with the reason.
pub(super) fn fail(cell: &Cell, task: &str, why: &str) {
    cell.end(End::Failed(NodeError::Task { task: task.to_owned(), why: why.to_owned() }));
    // Nothing is begun or committed from now on. To the peers this is a node that was killed: they wait for its next life.
    cell.leave();
}
