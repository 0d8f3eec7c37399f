//! Feeds stream children.

use super::batch::{StageProgram, task_env};
use super::collect::Collector;
use super::engine::{Engine, lock};
use crate::child::{StreamEvents, StreamHandle, TaskEnv, start_stream};
use crate::pipeline::plan::LocalTask;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use worker_core::config::TaskId;
use worker_core::event::{Event, Failure, Output};
use worker_proto::Batch;

/// Runs the windows of one task, one at a time.
#[derive(Debug)]
pub(super) struct StreamPort {
    task: TaskId,
    stage: StageProgram,
    env: TaskEnv,
    collector: Arc<Mutex<Collector>>,
    child: Mutex<Option<(u64, StreamHandle)>>,
}

impl StreamPort {
    pub(super) fn new(task: &LocalTask, stage: StageProgram, collector: Collector, tmpdir: PathBuf) -> Self {
        Self {
            task: task.id,
            stage,
            env: task_env(task, tmpdir),
            collector: Arc::new(Mutex::new(collector)),
            child: Mutex::default(),
        }
    }

    pub(super) fn begin(&self, engine: &Arc<Engine>, window: u64) {
        let env = TaskEnv { batch_id: window, attempt: 1, ..self.env.clone() };
        let (task, engine) = (self.task, Arc::clone(engine));
        let _in_runtime = engine.runtime.enter();
        let events =
            Events { task, window, engine: Arc::clone(&engine), collector: Arc::clone(&self.collector) };
        let (program, header) = (Arc::clone(&self.stage.program), self.stage.header.clone());
        let handle = start_stream(&engine.launcher, program, env, header, events);
        *lock(&self.child) = Some((window, handle));
    }

    pub(super) fn feed(&self, window: u64, batch: Batch) {
        if let Some((_, child)) = lock(&self.child).as_ref().filter(|(w, _)| *w == window) {
            child.feed(batch);
        }
    }

    pub(super) fn close(&self, window: u64) {
        if let Some((_, child)) = lock(&self.child).as_ref().filter(|(w, _)| *w == window) {
            child.close();
        }
    }

    pub(super) fn kill(&self) {
        if let Some((_, child)) = lock(&self.child).take() {
            child.kill();
        }
    }
}

/// What one window's child says, told to the node.
struct Events {
    task: TaskId,
    window: u64,
    engine: Arc<Engine>,
    collector: Arc<Mutex<Collector>>,
}

impl StreamEvents for Events {
    fn fed(&mut self, cost: u64) {
        self.engine.tell(Event::StreamFed { task: self.task, window: self.window, cost });
    }

    fn output(&mut self, batch: Batch, after_close: bool) -> Result<(), String> {
        if after_close {
            return lock(&self.collector).hold(batch);
        }
        let output = lock(&self.collector).route(batch);
        self.engine.tell(Event::StreamOutput { task: self.task, window: self.window, output });
        Ok(())
    }

    fn exited(&mut self, result: Result<(), Failure>, early: bool) {
        let result: Result<Output, Failure> = {
            let mut collector = lock(&self.collector);
            match result {
                Ok(()) => Ok(collector.take()),
                Err(failure) => {
                    collector.discard();
                    Err(failure)
                }
            }
        };
        self.engine.tell(Event::StreamExited { task: self.task, window: self.window, result, early });
    }
}
