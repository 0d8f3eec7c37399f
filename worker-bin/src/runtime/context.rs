//! What a task's port has of the world around it: whom it tells, and what its programs are started with.

use super::blockers::{Blockers, Observer, blocker};
use super::cell::{Tell, Traffic};
use super::measure::{ProgramRun, TaskMeasure};
use super::storage::StorageGuard;
use super::trace::Mark;
use crate::child::{Idle, Launcher, Program, TaskEnv};
use crate::pipeline::plan::LocalTask;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use worker_core::config::TaskId;
use worker_core::event::{Blocker, Event, TaskEvent, WorkId};
use worker_proto::{LinkId, Seq};

/// What one port is made with.
#[derive(Clone, Debug)]
pub struct TaskContext {
    pub reporter: Reporter,
    pub launcher: Launcher,
    pub runtime: tokio::runtime::Handle,
    pub env: TaskEnv,
}

/// What a stage's program needs, whatever runs it.
#[derive(Clone, Debug)]
pub struct StageProgram {
    pub program: Arc<Program>,
    /// What every batch and process gets first, if that is known before the run.
    pub header: Option<Bytes>,
    /// The first record that a batch prints is a header.
    pub gives_header: bool,
}

pub(super) fn task_env(task: &LocalTask, tmpdir: PathBuf) -> TaskEnv {
    TaskEnv {
        task: task.name.clone(),
        partition: task.partition,
        partitions: task.partitions,
        tmpdir,
        ..TaskEnv::default()
    }
}

/// Tells the node what happens to one task. It keeps nobody alive: threads outlive a run's end.
#[derive(Clone)]
pub struct Reporter {
    task: TaskId,
    to: Weak<dyn Tell>,
    blockers: Arc<Blockers>,
    measure: Arc<TaskMeasure>,
}

impl Reporter {
    #[must_use]
    pub fn new(task: TaskId, to: Weak<dyn Tell>, blockers: Arc<Blockers>, measure: Arc<TaskMeasure>) -> Self {
        Self { task, to, blockers, measure }
    }

    /// Says whether anybody was there to hear it.
    pub(super) fn tell(&self, event: impl Into<TaskEvent>) -> bool {
        let Some(to) = self.to.upgrade() else { return false };
        to.tell(Event::task(self.task, event));
        true
    }

    /// Several at once; says whether anybody was there to hear them.
    pub(super) fn tell_all(&self, events: impl IntoIterator<Item = TaskEvent>) -> bool {
        let Some(to) = self.to.upgrade() else { return false };
        to.tell_all(events.into_iter().map(|event| Event::Task(self.task, event)).collect());
        true
    }

    /// Something other than a commit finds no room on the disk of `storage`. Says whether it is worth trying again at once.
    pub(super) fn disk_is_full(&self, storage: &Arc<StorageGuard>, why: &str) -> bool {
        storage.is_full_now(&self.to, why)
    }

    pub(super) fn failed(&self, why: String) -> bool {
        self.tell(TaskEvent::Failed { why })
    }

    pub(super) fn traffic(&self) -> Option<Traffic> {
        self.to.upgrade().map(|to| to.traffic())
    }

    /// Whether what the task's program prints is to be read now.
    pub(super) fn takes_print(&self) -> bool {
        self.to.upgrade().is_none_or(|to| to.takes_print(self.task))
    }

    pub(super) fn is_heard(&self) -> bool {
        self.to.strong_count() > 0
    }

    /// A program was asked about records of a link.
    pub(super) fn asked(&self, link: LinkId, first: Seq, records: u64) {
        if let Some(to) = self.to.upgrade() {
            to.mark(Mark::Asked { link, first, records });
        }
    }

    /// A program is started over a batch.
    pub(super) fn batch_started(&self, work: WorkId) {
        if let Some(to) = self.to.upgrade() {
            to.mark(Mark::Started { task: self.task, work });
        }
    }

    /// That program has ended.
    pub(super) fn batch_ended(&self, work: WorkId) {
        if let Some(to) = self.to.upgrade() {
            to.mark(Mark::Ended { task: self.task, work });
        }
    }

    /// Who is told.
    pub(super) fn to(&self) -> &Weak<dyn Tell> {
        &self.to
    }

    /// The task's program rests, or goes on.
    pub(super) fn idle(&self, idle: Option<Idle>) {
        let Some(to) = self.to.upgrade() else { return };
        let now = to.now();
        self.blocked(&*to, Observer::Child, idle.map(|idle| blocker(idle, now)));
    }

    /// What the task gives finds no room on a disk, for this reason; `None`: it has room again.
    pub(super) fn waits_for_room(&self, why: Option<String>) {
        let Some(to) = self.to.upgrade() else { return };
        let by = why.map(|what| Blocker::DiskFull { since: to.now(), what });
        self.blocked(&*to, Observer::Output, by);
    }

    /// Nobody reads what the task writes to; that it is over is told by [`Self::waits_for_room`].
    pub(super) fn waits_for_reader(&self, what: String) {
        let Some(to) = self.to.upgrade() else { return };
        let by = Blocker::NoReader { since: to.now(), what };
        self.blocked(&*to, Observer::Output, Some(by));
    }

    /// The task's program is started again after so long, after so many failures in a row; `None`: it is now.
    pub(super) fn restarts(&self, again: Option<(Duration, u32, String)>) {
        let Some(to) = self.to.upgrade() else { return };
        let now = to.now();
        let by = again.map(|(wait, failures, what)| Blocker::Restarting {
            since: now,
            at: now + wait,
            failures,
            what,
        });
        self.blocked(&*to, Observer::Child, by);
    }

    fn blocked(&self, to: &dyn Tell, observer: Observer, by: Option<Blocker>) {
        self.blockers.blocked(to, self.task, observer, by);
    }

    /// A program of the task is started.
    pub(super) fn program(&self) -> ProgramRun {
        self.measure.program()
    }

    pub(super) fn measure(&self) -> &TaskMeasure {
        &self.measure
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter").field("task", &self.task).finish_non_exhaustive()
    }
}
