//! The thread that writes one sink.

use super::batch::task_env;
use super::engine::{Engine, lock};
use super::open::OpenedSink;
use crate::child::{PipedChild, TaskEnv, start_sink};
use crate::io::sink::{SinkError, SinkWriter, StreamSink};
use crate::pipeline::plan::LocalTask;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::oneshot;
use worker_core::config::TaskId;
use worker_core::event::{Event, WorkId};
use worker_proto::Batch;

/// Orders for a sink thread; the core has at most one write under way.
#[derive(Debug)]
pub(super) struct SinkPort {
    orders: Sender<Order>,
    /// Resolves when the thread has ended and dropped its writer.
    gone: Mutex<Option<oneshot::Receiver<()>>>,
}

#[derive(Debug)]
enum Order {
    Write(WorkId, Vec<Batch>),
    Close,
    Stop,
}

/// The thread's side, until it is started.
#[derive(Debug)]
pub(super) struct SinkThread {
    task: TaskId,
    name: String,
    env: TaskEnv,
    target: Option<OpenedSink>,
    orders: Receiver<Order>,
    /// Dropped with the thread.
    _alive: oneshot::Sender<()>,
}

impl SinkPort {
    pub(super) fn new(
        task: &LocalTask,
        target: OpenedSink,
        tmpdir: PathBuf,
    ) -> (Self, super::engine::Thread) {
        let (sender, orders) = channel();
        let (alive, gone) = oneshot::channel();
        let (name, env) = (task.name.clone(), task_env(task, tmpdir));
        let thread = SinkThread { task: task.id, name, env, target: Some(target), orders, _alive: alive };
        (Self { orders: sender, gone: Mutex::new(Some(gone)) }, super::engine::Thread::Sink(Box::new(thread)))
    }

    pub(super) fn write(&self, work: WorkId, batches: Vec<Batch>) {
        self.orders.send(Order::Write(work, batches)).ok();
    }

    pub(super) fn close(&self) {
        self.orders.send(Order::Close).ok();
    }

    pub(super) fn stop(&self) {
        self.orders.send(Order::Stop).ok();
    }

    /// Waits until the thread has ended.
    pub(super) async fn gone(&self) {
        let gone = lock(&self.gone).take();
        if let Some(gone) = gone {
            gone.await.ok();
        }
    }
}

impl SinkThread {
    pub(super) fn start(self, engine: &Arc<Engine>) -> std::io::Result<()> {
        let weak = Arc::downgrade(engine);
        let thread = std::thread::Builder::new().name(self.name.clone());
        thread.spawn(move || self.live(&weak)).map(drop)
    }

    fn live(mut self, engine: &Weak<Engine>) {
        let Some(target) = self.target.take() else { return };
        let opened = match (target, engine.upgrade()) {
            (OpenedSink::Writer(writer), _) => Ok((writer, None)),
            (OpenedSink::Program(program), Some(engine)) => {
                let name = program.stage.clone();
                let started = engine.runtime.block_on(start_sink(&engine.launcher, program, &self.env));
                started.map_err(|failure| failure.message).map(|(stdin, child)| {
                    let writer: Box<dyn SinkWriter> = Box::new(StreamSink::new(OwnedFd::from(stdin), name));
                    (writer, Some(child))
                })
            }
            (OpenedSink::Program(_), None) => return,
        };
        let task = self.task;
        let result = opened.and_then(|(writer, child)| self.write_all(engine, writer, child));
        if let (Err(why), Some(engine)) = (result, engine.upgrade()) {
            engine.tell(Event::TaskFailed { task, why });
        }
    }

    fn write_all(
        &self,
        engine: &Weak<Engine>,
        mut writer: Box<dyn SinkWriter>,
        mut child: Option<PipedChild>,
    ) -> Result<(), String> {
        let task = self.task;
        while let Ok(order) = self.orders.recv() {
            let result = match &order {
                Order::Write(_, batches) => writer.write(batches),
                Order::Close => writer.close(),
                Order::Stop => return Ok(()),
            };
            let Some(engine) = engine.upgrade() else { return Ok(()) };
            match (result, &mut child) {
                (Ok(()), _) => {}
                (Err(SinkError::ReaderGone { .. }), None) => {
                    engine.tell(Event::SinkReaderGone { task });
                    return Ok(());
                }
                (Err(error), None) => return Err(error.to_string()),
                (Err(error), Some(child)) => {
                    let ended = engine.runtime.block_on(child.wait());
                    return Err(ended.err().map_or_else(|| error.to_string(), |failure| failure.message));
                }
            }
            match order {
                Order::Write(work, _) => engine.tell(Event::Written { task, work, mark: None }),
                Order::Close => {
                    if let Some(child) = &mut child {
                        engine.runtime.block_on(child.wait()).map_err(|failure| failure.message)?;
                    }
                    engine.tell(Event::SinkClosed { task });
                    return Ok(());
                }
                Order::Stop => return Ok(()),
            }
        }
        Ok(())
    }
}
