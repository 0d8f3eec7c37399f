//! Runs batch children.

use super::collect::Collector;
use super::engine::{Engine, lock};
use crate::child::{BatchStats, Program, TaskEnv, run_batch};
use crate::logging::{batch_span, failed};
use crate::pipeline::plan::LocalTask;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tracing::Instrument as _;
use worker_core::config::TaskId;
use worker_core::event::{BatchEvent, Event, Run};

/// What a stage's program needs, whatever runs it.
#[derive(Clone, Debug)]
pub(super) struct StageProgram {
    pub(super) program: Arc<Program>,
    pub(super) header: Option<Bytes>,
}

/// Runs the batches of one task, one at a time.
#[derive(Debug)]
pub(super) struct BatchPort {
    task: TaskId,
    stage: StageProgram,
    env: TaskEnv,
    collector: Arc<Mutex<Option<Collector>>>,
    running: Mutex<Option<AbortHandle>>,
    warned_unread: Arc<AtomicBool>,
}

impl BatchPort {
    pub(super) fn new(task: &LocalTask, stage: StageProgram, collector: Collector, tmpdir: PathBuf) -> Self {
        Self {
            task: task.id,
            stage,
            env: task_env(task, tmpdir),
            collector: Arc::new(Mutex::new(Some(collector))),
            running: Mutex::default(),
            warned_unread: Arc::default(),
        }
    }

    /// Runs a batch, with a journal when it is `noted` there what is in flight: a death may follow at once.
    pub(super) fn run(&self, engine: &Arc<Engine>, run: Run, noted: Option<oneshot::Receiver<()>>) {
        let env = TaskEnv { batch_id: run.batch_id, attempt: run.attempt, ..self.env.clone() };
        let span = batch_span(&env.task, run.batch_id, run.attempt);
        let (engine, stage) = (Arc::clone(engine), self.stage.clone());
        let (task, slot, warned) = (self.task, Arc::clone(&self.collector), Arc::clone(&self.warned_unread));
        let handle = engine.runtime.clone().spawn(async move {
            if let Some(noted) = noted {
                // Closed instead of answered when the journal has failed, which ends the process.
                noted.await.ok();
            }
            // One run at a time: the collector is there unless a killed run has not let go of it, whose output is void.
            let Some(mut collector) = lock(&slot).take() else { return };
            collector.discard();
            let work = run.work;
            let mut keep = |batch| collector.hold(batch, &|full| engine.output_waits_for_room(task, full));
            let on_idle = |idle| engine.program_idle(task, idle);
            let header = stage.header.clone();
            let mut program = engine.measure(task).program();
            let (result, spent) =
                run_batch(&engine.launcher, &stage.program, &env, header, run.input, &mut keep, &on_idle)
                    .instrument(span.clone())
                    .await;
            program.ended(&result);
            failed(&span, &result);
            let result = match result {
                Ok(stats) => {
                    span.in_scope(|| warn_unread(&stats, &warned));
                    Ok(collector.take())
                }
                Err(failure) => {
                    collector.discard();
                    Err(failure)
                }
            };
            *lock(&slot) = Some(collector);
            engine.tell(Event::task(task, BatchEvent::Done { work, result, spent }));
        });
        *lock(&self.running) = Some(handle.abort_handle());
    }

    /// Kills the present child, if there is one: dropping a run kills its process group.
    pub(super) fn kill(&self) {
        if let Some(running) = lock(&self.running).take() {
            running.abort();
        }
    }
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

fn warn_unread(stats: &BatchStats, warned: &AtomicBool) {
    if stats.unread_bytes > 0 && !warned.swap(true, Ordering::Relaxed) {
        let (unread, input) = (stats.unread_bytes, stats.input_bytes);
        tracing::warn!(unread, input, "the program ended well without reading all its input; said once");
    }
}
