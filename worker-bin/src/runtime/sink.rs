//! The thread that writes one sink, and the one that syncs it, where each record is to survive crashes once.

use super::batch::task_env;
use super::engine::{Engine, lock};
use super::measure::ProgramRun;
use super::open::OpenedSink;
use crate::child::{PipedChild, TaskEnv, start_sink};
use crate::io::sink::{Moved, SinkError, SinkSync, SinkWriter, StreamSink};
use crate::logging::task_span;
use crate::pipeline::plan::LocalTask;
use bytes::Bytes;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use worker_core::config::TaskId;
use worker_core::event::{Event, Failure, SinkEvent, TaskEvent, WorkId};
use worker_proto::Batch;

/// How long to wait before a full disk is tried again.
const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// The rest between syncs of a file that is always written to: what is synced is only acknowledged by that, so nobody waits
/// for it, and the writes that may be under way last longer.
const SYNC_REST: Duration = Duration::from_millis(4);

/// Orders for a sink thread; the core bounds the writes under way.
#[derive(Debug)]
pub(super) struct SinkPort {
    orders: Sender<SinkCommand>,
    stopped: Arc<AtomicBool>,
    moved: Moved,
    /// Resolves when the thread has ended and dropped its writer.
    gone: Mutex<Option<oneshot::Receiver<()>>>,
}

#[derive(Debug)]
enum SinkCommand {
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
    orders: Receiver<SinkCommand>,
    stopped: Arc<AtomicBool>,
    moved: Moved,
    /// Dropped with the thread.
    _alive: oneshot::Sender<()>,
}

impl SinkPort {
    pub(super) fn new(task: &LocalTask, target: OpenedSink, tmpdir: PathBuf) -> (Self, super::ports::Thread) {
        let (sender, orders) = channel();
        let (alive, gone) = oneshot::channel();
        let (name, env) = (task.name.clone(), task_env(task, tmpdir));
        let stopped = Arc::new(AtomicBool::new(false));
        let moved = Moved::default();
        let gone = Mutex::new(Some(gone));
        let port = Self { orders: sender, stopped: Arc::clone(&stopped), moved: moved.clone(), gone };
        let (task, target) = (task.id, Some(target));
        let thread = SinkThread { task, name, env, target, orders, stopped, moved, _alive: alive };
        (port, super::ports::Thread::Sink(Box::new(thread)))
    }

    pub(super) fn write(&self, work: WorkId, batches: Vec<Batch>) {
        self.orders.send(SinkCommand::Write(work, batches)).ok();
    }

    pub(super) fn close(&self) {
        self.orders.send(SinkCommand::Close).ok();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.orders.send(SinkCommand::Stop).ok();
    }

    /// Bytes that were taken of what it writes.
    pub(super) fn moved(&self) -> u64 {
        self.moved.bytes()
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
        let _within = task_span(&self.name).entered();
        let Some(target) = self.target.take() else { return };
        let opened = match (target, engine.upgrade()) {
            (OpenedSink::Writer(writer), _) => Ok((writer, None)),
            (OpenedSink::Program(program), Some(engine)) => {
                let name = program.stage.clone();
                let mut run = engine.measure(self.task).program();
                let started = engine.runtime.block_on(start_sink(&engine.launcher, program, &self.env));
                if started.is_err() {
                    run.ended(&started);
                }
                started.map_err(|failure| failure.message).map(|(stdin, child)| {
                    let writer: Box<dyn SinkWriter> = Box::new(StreamSink::new(OwnedFd::from(stdin), name));
                    (writer, Some((child, run)))
                })
            }
            (OpenedSink::Program(_), None) => return,
        };
        let task = self.task;
        let result = opened.and_then(|(writer, child)| self.write_all(engine, writer, child));
        if let (Err(why), Some(engine)) = (result, engine.upgrade()) {
            engine.tell(Event::Task(task, TaskEvent::Failed { why }));
        }
    }

    fn write_all(
        &self,
        engine: &Weak<Engine>,
        mut writer: Box<dyn SinkWriter>,
        mut child: Option<(PipedChild, ProgramRun)>,
    ) -> Result<(), String> {
        let task = self.task;
        writer.count_into(self.moved.clone());
        let synced = writer.sync_handle().map(|handle| self.start_sync(engine, handle)).transpose()?;
        while let Ok(order) = self.orders.recv() {
            let result = match &order {
                SinkCommand::Write(_, batches) => {
                    self.write(engine, writer.as_mut(), batches, synced.is_some())
                }
                SinkCommand::Close => writer.close(),
                SinkCommand::Stop => return Ok(()),
            };
            let Some(engine) = engine.upgrade() else { return Ok(()) };
            match (result, &mut child) {
                (Ok(()), _) => {}
                (Err(SinkError::ReaderGone { .. }), None) => {
                    engine.tell(Event::task(task, SinkEvent::ReaderGone));
                    return Ok(());
                }
                (Err(error), None) => return Err(error.to_string()),
                (Err(error), Some(child)) => {
                    let ended = wait(&engine, child);
                    return Err(ended.err().map_or_else(|| error.to_string(), |failure| failure.message));
                }
            }
            match order {
                SinkCommand::Write(work, _) => match &synced {
                    // Refused only when the syncing thread has ended, with an error that it has told.
                    Some(synced) => drop(synced.send((work, writer.position()))),
                    None => engine.tell(Event::task(task, SinkEvent::Written { work, position: None })),
                },
                SinkCommand::Close => {
                    if let Some(child) = &mut child {
                        wait(&engine, child).map_err(|failure| failure.message)?;
                    }
                    engine.tell(Event::task(task, SinkEvent::Closed));
                    return Ok(());
                }
                SinkCommand::Stop => return Ok(()),
            }
        }
        Ok(())
    }

    /// A file that survives crashes waits for room where there is none; nothing of a failed write counts.
    fn write(
        &self,
        engine: &Weak<Engine>,
        writer: &mut dyn SinkWriter,
        batches: &[Batch],
        durable: bool,
    ) -> Result<(), SinkError> {
        let mut said = false;
        loop {
            let error = match writer.write(batches) {
                Err(error @ SinkError::Full { .. }) if durable => error,
                result => {
                    if let (true, Some(engine)) = (said, engine.upgrade()) {
                        engine.output_waits_for_room(self.task, None);
                    }
                    return result;
                }
            };
            let Some(engine) = engine.upgrade() else { return Err(error) };
            if engine.is_on_state_disk(&error) && engine.storage_is_full(&error.to_string()) {
                continue;
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(%error, "waiting for room");
                engine.output_waits_for_room(self.task, Some(error.to_string()));
            }
            drop(engine);
            std::thread::sleep(FULL_DISK_WAIT);
            if self.stopped.load(Ordering::Relaxed) {
                return Err(error);
            }
        }
    }

    /// Tells that writes are done when a sync that began after them has succeeded: one for all that came meanwhile.
    fn start_sync(
        &self,
        engine: &Weak<Engine>,
        handle: SinkSync,
    ) -> Result<Sender<(WorkId, Option<Bytes>)>, String> {
        let (sender, written) = channel::<(WorkId, Option<Bytes>)>();
        let (task, engine) = (self.task, engine.clone());
        let sync = move || {
            let mut next = written.recv().ok();
            while let Some(first) = next.take() {
                let works: Vec<_> = std::iter::once(first).chain(written.try_iter()).collect();
                let begun = Instant::now();
                let result = handle.sync();
                let took = begun.elapsed();
                let Some(engine) = engine.upgrade() else { return };
                engine.measure(task).sink_synced(took);
                if let Err(error) = result {
                    return engine.tell(Event::Task(task, TaskEvent::Failed { why: error.to_string() }));
                }
                engine.act(|node, now| {
                    for (work, position) in works {
                        node.handle(now, Event::task(task, SinkEvent::Written { work, position }));
                    }
                });
                drop(engine);
                next = match written.try_recv() {
                    Ok(waiting) => {
                        std::thread::sleep(SYNC_REST);
                        Some(waiting)
                    }
                    Err(_) => written.recv().ok(),
                };
            }
        };
        let thread = std::thread::Builder::new().name(format!("{} sync", self.name));
        thread.spawn(sync).map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(sender)
    }
}

/// Waits for the end of a sink's program.
fn wait(engine: &Engine, (child, run): &mut (PipedChild, ProgramRun)) -> Result<(), Failure> {
    let result = engine.runtime.block_on(child.wait());
    run.ended(&result);
    result
}
