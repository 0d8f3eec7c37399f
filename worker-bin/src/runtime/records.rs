//! Asks records children.

use super::batch::{StageProgram, task_env};
use super::collect::Collector;
use super::engine::{Engine, lock};
use super::journal::TaskJournal;
use super::measure::ProgramRun;
use crate::child::records::{Answers, KeyedState, RecordsEvents, RecordsHandle, RecordsRules};
use crate::child::{Idle, Program, TaskEnv, start_records};
use crate::logging::{batch_span, failed};
use crate::pipeline::RecordsState;
use crate::pipeline::plan::{LocalTask, RecordsSettings};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tracing::Span;
use worker_core::config::{RecordsSpec, TaskId};
use worker_core::event::{Commit, Event, Failure, RecordsEvent, TaskEvent};
use worker_core::route::PartitionBy;
use worker_proto::{Batch, LinkId, Seq};

/// Runs the lives of one task's program, one at a time.
#[derive(Debug)]
pub(super) struct RecordsPort {
    task: TaskId,
    program: Arc<Program>,
    env: TaskEnv,
    rules: RecordsRules,
    collector: Arc<Mutex<Collector>>,
    state: Arc<Mutex<KeyedState>>,
    child: Arc<Mutex<Option<(u64, RecordsHandle)>>>,
    /// What applies commits to the state, as they are appended; `None` in memory mode.
    journal: Option<Arc<TaskJournal>>,
}

impl RecordsPort {
    pub(super) fn new(
        task: &LocalTask,
        stage: StageProgram,
        settings: &RecordsSettings,
        spec: &RecordsSpec,
        collector: Collector,
        state: Arc<Mutex<KeyedState>>,
        tmpdir: PathBuf,
    ) -> Self {
        let rules = RecordsRules {
            partition_by: settings.key.clone(),
            terminator_in: task.terminator_in,
            inline: settings.state == RecordsState::Inline,
            in_flight: usize::try_from(spec.in_flight).unwrap_or(usize::MAX),
            in_flight_bytes: spec.in_flight_bytes,
            keys_wanted: task.edges.iter().any(|edge| edge.by == Some(PartitionBy::Given)),
        };
        Self {
            task: task.id,
            program: stage.program,
            env: task_env(task, tmpdir),
            rules,
            collector: Arc::new(Mutex::new(collector)),
            state,
            journal: None,
            child: Arc::default(),
        }
    }

    /// With a journal that has the state and applies commits to it.
    pub(super) fn with_journal(self, journal: Option<Arc<TaskJournal>>) -> Self {
        Self { journal, ..self }
    }

    /// The empty state of a task, to be filled by its journal where it has one.
    pub(super) fn empty_state(task: &LocalTask, settings: &RecordsSettings) -> Arc<Mutex<KeyedState>> {
        Arc::new(Mutex::new(KeyedState::new(&task.name, settings.state_budget_bytes)))
    }

    pub(super) fn begin(&self, engine: &Arc<Engine>, life: u64) {
        let env = TaskEnv { batch_id: life, attempt: 1, ..self.env.clone() };
        let _in_runtime = engine.runtime.enter();
        let events = Events {
            task: self.task,
            life,
            engine: Arc::clone(engine),
            collector: Arc::clone(&self.collector),
            state: Arc::clone(&self.state),
            program: engine.measure(self.task).program(),
        };
        let state = Arc::clone(&self.state);
        let appended = self.journal.as_ref().map(|journal| journal.fence());
        let committed = async move {
            if let Some(appended) = appended {
                // Closed instead of answered when the journal has failed, which ends the process.
                appended.await.ok();
            }
        };
        let _within = batch_span(&env.task, env.batch_id, env.attempt).entered();
        let handle =
            start_records(&engine.launcher, &self.program, env, &self.rules, state, committed, events);
        *lock(&self.child) = Some((life, handle));
    }

    pub(super) fn request(&self, life: u64, link: LinkId, first_seq: Seq, batch: Batch) {
        self.with_child(life, move |child| child.request(link, first_seq, batch));
    }

    pub(super) fn tick(&self, life: u64) {
        self.with_child(life, RecordsHandle::tick);
    }

    pub(super) fn end(&self, life: u64) {
        self.with_child(life, RecordsHandle::end);
    }

    pub(super) fn kill(&self) {
        if let Some((_, child)) = lock(&self.child).take() {
            child.kill();
        }
    }

    /// Takes over the state changes of a commit that no journal takes over.
    pub(super) fn committed(&self, commit: &Commit) {
        if let (Some(position), None) = (&commit.position, &self.journal) {
            lock(&self.state).apply(position);
        }
    }

    /// Tells the child of a life something. With a journal only when it has the note of what is asked: the program may kill this
    /// process as soon as it is.
    fn with_child(&self, life: u64, f: impl FnOnce(&RecordsHandle) + Send + 'static) {
        let child = Arc::clone(&self.child);
        let tell = move || {
            if let Some((_, child)) = lock(&child).as_ref().filter(|(l, _)| *l == life) {
                f(child);
            }
        };
        match &self.journal {
            Some(journal) => journal.then(tell),
            None => tell(),
        }
    }
}

/// What one life's child answers, told to the node.
struct Events {
    task: TaskId,
    life: u64,
    engine: Arc<Engine>,
    collector: Arc<Mutex<Collector>>,
    state: Arc<Mutex<KeyedState>>,
    program: ProgramRun,
}

impl Events {
    fn tell(&self, answers: Answers, ended: bool) {
        let checked = match self.state.try_lock() {
            Ok(state) => state.check(),
            // The journal may be writing all of it down, which takes a while on a slow disk.
            Err(_) => tokio::task::block_in_place(|| lock(&self.state).check()),
        };
        if let Err(error) = checked {
            return self.engine.tell(Event::Task(self.task, TaskEvent::Failed { why: error.to_string() }));
        }
        let records = answers.records;
        let output = lock(&self.collector).answered(answers);
        let (task, life) = (self.task, self.life);
        self.engine.tell(Event::task(task, RecordsEvent::Answered { life, records, output, ended }));
    }
}

impl RecordsEvents for Events {
    fn answered(&mut self, answers: Answers) {
        self.tell(answers, false);
    }

    fn idle(&mut self, rest: Option<Idle>) {
        self.engine.program_idle(self.task, rest);
    }

    fn ended(&mut self, result: Result<Answers, Failure>) {
        self.program.ended(&result);
        failed(&Span::current(), &result);
        match result {
            Ok(answers) => self.tell(answers, true),
            Err(failure) => {
                let (task, life) = (self.task, self.life);
                self.engine.tell(Event::task(task, RecordsEvent::Failed { life, failure }));
            }
        }
    }
}
