//! Asks records children.

use super::collect::Collector;
use super::context::{Reporter, TaskContext};
use super::dispatch::When;
use super::journal::TaskJournal;
use super::measure::ProgramRun;
use crate::child::records::{Answers, KeyedState, RecordsEvents, RecordsHandle, RecordsRules};
use crate::child::{Idle, Manner, Program, TaskEnv, start_records};
use crate::logging::{batch_span, failed};
use crate::mutex::lock;
use std::sync::{Arc, Mutex};
use tracing::Span;
use worker_core::event::{Commit, Failure, RecordsAction, RecordsEvent};

/// Runs the lives of one task's program, one at a time.
#[derive(Debug)]
pub struct RecordsPort {
    context: TaskContext,
    program: Arc<Program>,
    rules: RecordsRules,
    collector: Arc<Mutex<Collector>>,
    state: Arc<Mutex<KeyedState>>,
    child: Arc<Mutex<Option<(u64, RecordsHandle)>>>,
    /// What applies commits to the state, as they are appended; `None` in memory mode.
    journal: Option<Arc<TaskJournal>>,
}

impl RecordsPort {
    pub fn new(
        context: TaskContext,
        program: Arc<Program>,
        rules: RecordsRules,
        collector: Collector,
        state: Arc<Mutex<KeyedState>>,
        journal: Option<Arc<TaskJournal>>,
    ) -> Self {
        let collector = Arc::new(Mutex::new(collector));
        Self { context, program, rules, collector, state, journal, child: Arc::default() }
    }

    pub fn act(&self, action: RecordsAction, when: When) {
        match action {
            RecordsAction::Start { life } => self.begin(life, when),
            RecordsAction::Request { life, link, first_seq, batch } => {
                let reporter = self.context.reporter.clone();
                self.with_child(life, when, move |child| {
                    reporter.asked(link, first_seq, batch.len() as u64);
                    child.request(link, first_seq, batch);
                });
            }
            RecordsAction::Tick { life } => self.with_child(life, when, RecordsHandle::tick),
            RecordsAction::End { life } => self.with_child(life, when, RecordsHandle::end),
            RecordsAction::Kill => self.leave(Manner::Close),
        }
    }

    fn begin(&self, life: u64, when: When) {
        let TaskContext { reporter, launcher, runtime, env } = &self.context;
        let env = TaskEnv { batch_id: life, attempt: 1, ..env.clone() };
        let _in_runtime = runtime.enter();
        let events = Events {
            life,
            reporter: reporter.clone(),
            collector: Arc::clone(&self.collector),
            state: Arc::clone(&self.state),
            program: reporter.program(),
        };
        let state = Arc::clone(&self.state);
        let appended = self.noting(when).map(|journal| journal.fence());
        let committed = async move {
            if let Some(appended) = appended {
                // Closed instead of answered when the journal has failed, which ends the process.
                appended.await.ok();
            }
        };
        let _within = batch_span(&env.task, env.batch_id, env.attempt).entered();
        let handle = start_records(launcher, &self.program, env, &self.rules, state, committed, events);
        *lock(&self.child) = Some((life, handle));
    }

    fn noting(&self, when: When) -> Option<&Arc<TaskJournal>> {
        self.journal.as_ref().filter(|_| when == When::Noted)
    }

    /// Brings its program to its end in good order; what it answers is of no use.
    pub(super) fn leave(&self, manner: Manner) {
        if let Some((_, child)) = &*lock(&self.child) {
            child.leave(manner);
        }
    }

    pub(super) fn kill(&self) {
        if let Some((_, child)) = lock(&self.child).take() {
            child.kill();
        }
    }

    /// Takes over the state changes of a commit that no journal takes over.
    pub(super) fn apply(&self, commit: &Commit) {
        if let Some(position) = &commit.position {
            lock(&self.state).apply(position);
        }
    }

    fn with_child(&self, life: u64, when: When, f: impl FnOnce(&RecordsHandle) + Send + 'static) {
        let child = Arc::clone(&self.child);
        let tell = move || {
            if let Some((_, child)) = lock(&child).as_ref().filter(|(l, _)| *l == life) {
                f(child);
            }
        };
        match self.noting(when) {
            Some(journal) => journal.then(tell),
            None => tell(),
        }
    }
}

/// What one life's child answers, told to the node.
struct Events {
    life: u64,
    reporter: Reporter,
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
            self.reporter.failed(error.to_string());
            return;
        }
        let records = answers.records;
        let output = lock(&self.collector).answered(answers);
        self.reporter.tell(RecordsEvent::Answered { life: self.life, records, output, ended });
    }
}

impl RecordsEvents for Events {
    fn answered(&mut self, answers: Answers) {
        self.tell(answers, false);
    }

    fn idle(&mut self, rest: Option<Idle>) {
        self.reporter.idle(rest);
    }

    fn ended(&mut self, result: Result<Answers, Failure>) {
        self.program.ended(&result);
        failed(&Span::current(), &result);
        match result {
            Ok(answers) => self.tell(answers, true),
            Err(failure) => {
                self.reporter.tell(RecordsEvent::Failed { life: self.life, failure });
            }
        }
    }
}
