//! Dead letters of a run without state: written in order, and on a full disk when there is room again.

use super::blockers::{Blockers, Observer};
use super::cell::Tell;
use super::dead::DeadLetters;
use crate::full::is_full;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use worker_core::config::TaskId;
use worker_core::event::{Blocker, Commit, Event, TaskEvent};

/// How long to wait before a full disk is tried again.
const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// What is to be kept, and who waits for it. The core bounds the commits under way.
#[derive(Debug)]
pub(super) struct Letters {
    dead: Arc<DeadLetters>,
    blockers: Arc<Blockers>,
    waiting: VecDeque<(TaskId, Commit)>,
    /// The disk was full; the next attempt is due then.
    retry_at: Option<Instant>,
    held_up: BTreeSet<TaskId>,
}

impl Letters {
    pub(super) fn new(dead: Arc<DeadLetters>, blockers: Arc<Blockers>) -> Self {
        Self { dead, blockers, waiting: VecDeque::new(), retry_at: None, held_up: BTreeSet::new() }
    }

    pub(super) fn keep(&mut self, task: TaskId, commit: Commit) {
        self.waiting.push_back((task, commit));
    }

    /// When a full disk is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Keeps what waits, as far as there is room.
    pub(super) fn write_on(&mut self, cell: &dyn Tell) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        while let Some((task, commit)) = self.waiting.front_mut() {
            let task = *task;
            let (kept, result) = self.dead.keep(task, &commit.dead);
            commit.dead.drain(..kept);
            match result {
                Ok(()) => {
                    let event = Event::Task(task, TaskEvent::Persisted { commit: commit.id });
                    self.waiting.pop_front();
                    cell.tell(event);
                }
                Err(error) if is_full(&error) => return self.wait(cell, &error.to_string()),
                Err(error) => {
                    self.waiting.pop_front();
                    cell.tell(Event::Task(task, TaskEvent::Failed { why: error.to_string() }));
                }
            }
        }
        self.go_on(cell);
    }

    fn wait(&mut self, cell: &dyn Tell, why: &str) {
        if self.retry_at.replace(Instant::now() + FULL_DISK_WAIT).is_none() {
            tracing::warn!(
                why,
                "dead letters find no room: their tasks wait and go on by themselves when there is some"
            );
        }
        let tasks: BTreeSet<TaskId> = self.waiting.iter().map(|(task, _)| *task).collect();
        for task in tasks {
            if self.held_up.insert(task) {
                let full = Blocker::DiskFull { since: cell.now(), what: why.to_owned() };
                self.blockers.blocked(cell, task, Observer::DeadLetters, Some(full));
            }
        }
    }

    fn go_on(&mut self, cell: &dyn Tell) {
        if self.retry_at.take().is_some() {
            tracing::info!("dead letters can be kept again");
        }
        for task in std::mem::take(&mut self.held_up) {
            self.blockers.blocked(cell, task, Observer::DeadLetters, None);
        }
    }
}
