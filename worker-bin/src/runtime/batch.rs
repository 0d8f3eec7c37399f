//! Runs batch children.

use super::collect::Collector;
use super::context::{StageProgram, TaskContext};
use super::dispatch::When;
use super::journal::TaskJournal;
use crate::child::{BatchStats, Manner, Oversight, StopOrder, Takes, TaskEnv, run_batch};
use crate::logging::{batch_span, failed};
use crate::mutex::lock;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::task::AbortHandle;
use tracing::Instrument as _;
use worker_core::event::{BatchAction, BatchEvent, Output, Run, Spent};
use worker_proto::Batch;

/// Runs the batches of one task, one at a time.
#[derive(Debug)]
pub struct BatchPort {
    context: TaskContext,
    stage: StageProgram,
    /// Where what is in flight is noted; `None` in memory mode.
    journal: Option<Arc<TaskJournal>>,
    /// With the run that holds it; the next one waits until a killed one has let go of it.
    collector: Arc<tokio::sync::Mutex<Collector>>,
    running: Mutex<Option<(AbortHandle, Arc<StopOrder>)>>,
    warned_unread: Arc<AtomicBool>,
}

impl BatchPort {
    pub fn new(
        context: TaskContext,
        stage: StageProgram,
        collector: Collector,
        journal: Option<Arc<TaskJournal>>,
    ) -> Self {
        Self {
            context,
            stage,
            journal,
            collector: Arc::new(tokio::sync::Mutex::new(collector)),
            running: Mutex::default(),
            warned_unread: Arc::default(),
        }
    }

    /// What is said once is said once for all tasks that have the same.
    pub(super) fn saying_once_with(self, warned_unread: Arc<AtomicBool>) -> Self {
        Self { warned_unread, ..self }
    }

    pub fn act(&self, action: BatchAction, when: When) {
        match action {
            BatchAction::Run(run) => self.run(run, when),
            BatchAction::Kill => self.leave(),
        }
    }

    fn run(&self, run: Run, when: When) {
        let TaskContext { reporter, launcher, runtime, env } = self.context.clone();
        if run.input.is_empty() && self.stage.program.takes == Takes::Arguments {
            // Asked for its header alone, it has nothing to be given.
            let done =
                BatchEvent::Done { work: run.work, result: Ok(Output::default()), spent: Spent::default() };
            runtime.spawn(async move { reporter.tell(done) });
            return;
        }
        let env = TaskEnv { batch_id: run.batch_id, attempt: run.attempt, ..env };
        let span = batch_span(&env.task, run.batch_id, run.attempt);
        let (stage, slot, warned) =
            (self.stage.clone(), Arc::clone(&self.collector), Arc::clone(&self.warned_unread));
        let noted = self.journal.as_ref().filter(|_| when == When::Noted).map(|journal| journal.fence());
        let stop = Arc::new(StopOrder::new());
        let stopped = Arc::clone(&stop);
        let handle = runtime.spawn(async move {
            if let Some(noted) = noted {
                // Closed instead of answered when the journal has failed, which ends the process.
                noted.await.ok();
            }
            let mut collector = slot.lock_owned().await;
            // What a killed run has left counts for nothing.
            collector.discard();
            let work = run.work;
            let mut printed = Headed { awaits: stage.gives_header, header: None };
            let mut keep = |batch| match printed.without_header(batch) {
                Some(records) => collector.hold(records, &|full| reporter.waits_for_room(full)),
                None => Ok(()),
            };
            let on_idle = |idle| reporter.idle(idle);
            let header = run.header.or_else(|| stage.header.clone());
            let mut program = reporter.program();
            reporter.batch_started(work);
            let oversight = Oversight { on_idle: &on_idle, stop: &stopped };
            let (result, spent) =
                run_batch(&launcher, &stage.program, &env, header, run.input, &mut keep, oversight)
                    .instrument(span.clone())
                    .await;
            program.ended(&result);
            reporter.batch_ended(work);
            failed(&span, &result);
            if stopped.asked().is_some() {
                return collector.discard();
            }
            let result = match result {
                Ok(stats) => {
                    span.in_scope(|| warn_unread(&stats, &warned));
                    Ok(Output { header: printed.header, ..collector.take() })
                }
                Err(failure) => {
                    collector.discard();
                    Err(failure)
                }
            };
            drop(collector);
            reporter.tell(BatchEvent::Done { work, result, spent });
        });
        *lock(&self.running) = Some((handle.abort_handle(), stop));
    }

    /// Asks the present child to end, if there is one; what it gives is of no use. It has all its input already.
    pub(super) fn leave(&self) {
        if let Some((_, stop)) = &*lock(&self.running) {
            stop.stop(Manner::Terminate);
        }
    }

    /// Kills the present child, if there is one: dropping a run kills its process group.
    pub(super) fn kill(&self) {
        if let Some((running, _)) = lock(&self.running).take() {
            running.abort();
        }
    }
}

/// What a batch prints, of which the first record may be a header.
struct Headed {
    awaits: bool,
    header: Option<Bytes>,
}

impl Headed {
    /// The records of a piece; `None`: it was the header alone.
    fn without_header(&mut self, piece: Batch) -> Option<Batch> {
        if !self.awaits || piece.is_empty() {
            return Some(piece);
        }
        self.awaits = false;
        self.header = Some(Bytes::copy_from_slice(piece.record(0)));
        (piece.len() > 1).then(|| piece.slice(1..piece.len()))
    }
}

fn warn_unread(stats: &BatchStats, warned: &AtomicBool) {
    if stats.unread_bytes > 0 && !warned.swap(true, Ordering::Relaxed) {
        let (unread, input) = (stats.unread_bytes, stats.input_bytes);
        tracing::warn!(
            unread,
            input,
            "the program ended well without reading all its input; said once for this stage"
        );
    }
}
