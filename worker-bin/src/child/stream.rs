//! A process that is fed for as long as a task or window lives.

use super::launcher::Launcher;
use super::pipes::{Gauges, Stdin};
use super::program::{Program, TaskEnv};
use super::reading::{HasRead, Reading};
use super::serve::{Running, Service};
use super::stop::{Manner, StopOrder};
use super::watch::Idle;
use crate::mutex::lock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc};
use tracing::Instrument as _;
use worker_core::event::{Failure, FailureKind};
use worker_proto::Batch;

/// What happens to a stream child. Called on the child's own tokio task, never at once; must not block.
pub trait StreamEvents: Send + 'static {
    /// Batches of this cost (see [`Batch::cost`]) were written whole to its standard input.
    fn fed(&mut self, cost: u64);

    /// It has read so much of what it was given.
    fn read(&mut self, _read: HasRead) {}

    /// It printed these records; `after_close`: they were read after its standard input was closed.
    ///
    /// # Errors
    /// The reason why they cannot be taken; the child is killed and fails with it.
    fn output(&mut self, batch: Batch, after_close: bool) -> Result<(), String>;

    /// Whether what it prints is to be read now. It is asked again and again while that is not so.
    fn takes_print(&self) -> bool {
        true
    }

    /// It rests with its work undone, or with all it was given unanswered; `None`: not any more.
    fn idle(&mut self, _rest: Option<Idle>) {}

    /// It has ended, and all it printed was delivered. The last call, and one that always comes.
    ///
    /// `early`: it ended before its standard input was closed, or without reading all of it; `result` then only tells of
    /// its exit. After [`StreamHandle::kill`] it is a failure of kind `Signal(9)`.
    fn exited(&mut self, result: Result<(), Failure>, early: bool);
}

/// Feeds a stream child. Dropping it kills the child.
#[derive(Debug)]
pub struct StreamHandle {
    /// Unbounded here: what is fed and not yet taken is bounded by who feeds, told by [`StreamEvents::fed`].
    orders: mpsc::UnboundedSender<StreamCommand>,
    kill: Arc<Notify>,
    stop: Arc<StopOrder>,
    /// What it prints counts for nothing.
    is_void: Arc<AtomicBool>,
}

#[derive(Debug)]
enum StreamCommand {
    Feed(Batch),
    Close,
}

/// Gets ready what a child is given before everything that is fed to it, and for which [`StreamEvents::fed`] is not told.
/// The child is started when this is done; after the channel's end comes what is fed. An error, here or in the channel, ends
/// the child.
pub type Replay =
    Pin<Box<dyn Future<Output = Result<mpsc::Receiver<Result<Batch, String>>, String>> + Send + 'static>>;

/// Starts `program` on a tokio task of its own; `header` is written first, then `replay`. That it could not start is told by
/// [`StreamEvents::exited`].
#[must_use]
pub fn start_stream(
    launcher: &Launcher,
    program: Arc<Program>,
    env: TaskEnv,
    header: Option<Bytes>,
    replay: Option<Replay>,
    events: impl StreamEvents,
) -> StreamHandle {
    let (orders, received) = mpsc::unbounded_channel();
    let kill = Arc::new(Notify::new());
    let (stop, is_void) = (Arc::new(StopOrder::new()), Arc::new(AtomicBool::new(false)));
    let stream = Stream {
        launcher: launcher.clone(),
        program,
        env,
        kill: kill.clone(),
        stop: stop.clone(),
        is_void: is_void.clone(),
        events: Mutex::new(Box::new(events)),
        reading: Mutex::default(),
        wrote: Notify::new(),
    };
    tokio::spawn(async move { stream.live(header, replay, received).await }.in_current_span());
    StreamHandle { orders, kill, stop, is_void }
}

impl StreamHandle {
    /// Gives records to the child, in order.
    pub fn feed(&self, batch: Batch) {
        // A child that has ended takes nothing; its end was told.
        self.orders.send(StreamCommand::Feed(batch)).ok();
    }

    /// Closes its standard input behind what was fed.
    pub fn close(&self) {
        self.orders.send(StreamCommand::Close).ok();
    }

    /// Brings it to its end in good order, behind what was fed; what it prints meanwhile is delivered.
    pub fn stop(&self, manner: Manner) {
        self.close();
        self.stop.stop(manner);
    }

    /// Brings it to its end in good order, and takes nothing more of it.
    pub fn leave(&self, manner: Manner) {
        self.is_void.store(true, Relaxed);
        self.stop(manner);
    }

    /// Kills it; nothing it printed is delivered from now on, but what is being delivered.
    pub fn kill(&self) {
        self.kill.notify_one();
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Stream {
    launcher: Launcher,
    program: Arc<Program>,
    env: TaskEnv,
    kill: Arc<Notify>,
    stop: Arc<StopOrder>,
    is_void: Arc<AtomicBool>,
    events: Mutex<Box<dyn StreamEvents>>,
    reading: Mutex<Reading>,
    /// Told when something was written to it.
    wrote: Notify,
}

impl Stream {
    async fn live(
        self,
        header: Option<Bytes>,
        replay: Option<Replay>,
        orders: mpsc::UnboundedReceiver<StreamCommand>,
    ) {
        let replay = match replay {
            Some(ready) => match ready.await {
                Ok(batches) => Some(batches),
                Err(message) => return self.events().exited(Err(no_replay(message)), true),
            },
            None => None,
        };
        let started = Running::start(&self.launcher, &self.program, &self.env, true, &self.kill).await;
        let (running, pipe) = match started {
            Ok(started) => started,
            Err(failure) => return self.events().exited(Err(failure), true),
        };
        let gauges = Gauges::default();
        let on_idle = |idle| self.events().idle(idle);
        let takes_print = || self.is_void.load(Relaxed) || self.events().takes_print();
        let service = Service {
            program: &self.program,
            env: &self.env,
            gauges: &gauges,
            stream: true,
            gathers: false,
            refusal: FailureKind::Worker,
            kill: &self.kill,
            stop: &self.stop,
            on_idle: &on_idle,
            takes_print: &takes_print,
        };
        let unread = Arc::clone(running.unread());
        let feed = async {
            tokio::select! {
                fed = self.feed(Stdin { pipe, gauges: &gauges }, &unread, header, replay, orders) => fed?,
                never = self.follow_reading(&gauges, &unread) => match never {},
            }
            self.until_all_is_read(&gauges, &unread).await;
            Ok(())
        };
        let mut deliver = |batch| match self.is_void.load(Relaxed) {
            true => Ok(()),
            false => {
                let news = lock(&self.reading).look_as_it_prints(&gauges, &unread);
                let mut events = self.events();
                if let Some(read) = news {
                    events.read(read);
                }
                events.output(batch, gauges.closed.load(Relaxed))
            }
        };
        let ended = running.serve(&service, feed, &mut deliver).await;
        self.look(&gauges, &unread);
        let early = !gauges.closed.load(Relaxed) || ended.unread > 0;
        self.events().exited(ended.result, early);
    }

    async fn feed(
        &self,
        stdin: Stdin<'_>,
        unread: &OwnedFd,
        header: Option<Bytes>,
        replay: Option<mpsc::Receiver<Result<Batch, String>>>,
        mut orders: mpsc::UnboundedReceiver<StreamCommand>,
    ) -> io::Result<()> {
        let mut queue = Queue::default();
        let header = header.unwrap_or_default();
        lock(&self.reading).given_header(header.len() as u64);
        queue.push(header, 0);
        if let Some(mut replay) = replay {
            while let Some(batch) = replay.recv().await {
                let batch = batch.map_err(io::Error::other)?;
                lock(&self.reading).given(&batch, stdin.gauges, unread);
                queue.push(batch.payload().clone(), 0);
                while !queue.pieces.is_empty() {
                    stdin.write(&mut queue.pieces).await?;
                    self.wrote.notify_one();
                }
                queue.written();
            }
        }
        loop {
            while let Ok(order) = orders.try_recv() {
                self.take(&mut queue, order, (stdin.gauges, unread));
            }
            if queue.pieces.is_empty() {
                self.tell_fed(queue.written());
                if queue.closing {
                    stdin.close();
                    return Ok(());
                }
                match orders.recv().await {
                    Some(order) => self.take(&mut queue, order, (stdin.gauges, unread)),
                    // The handle is gone, so the child is being killed.
                    None => return std::future::pending().await,
                }
                continue;
            }
            stdin.write(&mut queue.pieces).await?;
            self.wrote.notify_one();
            self.tell_fed(queue.written());
        }
    }

    fn take(&self, queue: &mut Queue, order: StreamCommand, (gauges, unread): (&Gauges, &OwnedFd)) {
        match order {
            StreamCommand::Feed(batch) => {
                lock(&self.reading).given(&batch, gauges, unread);
                queue.push(batch.payload().clone(), batch.cost());
            }
            StreamCommand::Close => queue.closing = true,
        }
    }

    /// Looks how far it has read, for as long as something lies in its pipe. A pipe does not tell when it is read from.
    async fn follow_reading(&self, gauges: &Gauges, unread: &OwnedFd) -> Infallible {
        loop {
            self.wrote.notified().await;
            self.until_all_is_read(gauges, unread).await;
        }
    }

    async fn until_all_is_read(&self, gauges: &Gauges, unread: &OwnedFd) {
        loop {
            let wait = lock(&self.reading).wait();
            tokio::time::sleep(wait).await;
            self.look(gauges, unread);
            if lock(&self.reading).is_over() {
                return;
            }
        }
    }

    fn look(&self, gauges: &Gauges, unread: &OwnedFd) {
        let news = lock(&self.reading).look(gauges, unread);
        if let Some(read) = news {
            self.events().read(read);
        }
    }

    fn tell_fed(&self, cost: u64) {
        if cost > 0 {
            self.events().fed(cost);
        }
    }

    fn events(&self) -> MutexGuard<'_, Box<dyn StreamEvents>> {
        lock(&self.events)
    }
}

fn no_replay(message: String) -> Failure {
    Failure { kind: FailureKind::Worker, message, stderr_tail: String::new(), silent: true }
}

/// What waits to be written.
#[derive(Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    /// Cost of what each piece belongs to.
    costs: VecDeque<u64>,
    closing: bool,
}

impl Queue {
    fn push(&mut self, piece: Bytes, cost: u64) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
            self.costs.push_back(cost);
        }
    }

    /// Cost of the pieces that have gone since it was asked last.
    fn written(&mut self) -> u64 {
        let gone = self.costs.len() - self.pieces.len();
        self.costs.drain(..gone).sum()
    }
}
