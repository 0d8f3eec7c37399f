//! The thread that writes one sink, and the one that syncs it, where each record is to survive crashes once.

mod follower;

use super::context::TaskContext;
use super::storage::StorageGuard;
use crate::io::sink::{Moved, PipeReader, SinkError, SinkSync, SinkWriter};
use crate::logging::task_span;
use crate::mutex::lock;
use bytes::Bytes;
use follower::{Follower, whole};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use worker_core::event::{SinkAction, SinkEvent, WorkId};
use worker_proto::Batch;

/// How long to wait before a full disk is tried again.
const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// How often it is looked whether somebody reads a named pipe.
const READER_WAIT: Duration = Duration::from_millis(50);

/// What a run that keeps no state says when it ends in the middle.
const NOT_KEPT: &str =
    "the run ends here: it keeps no state, so what it had accepted is lost, and started again it begins anew";

/// The rest between syncs of a file that is always written to: what is synced is only acknowledged by that, so nobody waits
/// for it, and the writes that may be under way last longer.
const SYNC_REST: Duration = Duration::from_millis(4);

/// Orders for a sink thread; the core bounds the writes under way.
#[derive(Debug)]
pub struct SinkPort {
    commands: Sender<SinkCommand>,
    stopped: Arc<AtomicBool>,
    moved: Moved,
    /// Resolves when the thread has ended and dropped its writer.
    gone: Mutex<Option<oneshot::Receiver<()>>>,
}

#[derive(Debug)]
enum SinkCommand {
    Write(WorkId, Vec<Batch>, Are),
    Close,
    Stop,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
enum Are {
    Records,
    /// One record, which heads all others.
    Header,
}

/// The thread's side, until it is started.
#[derive(Debug)]
pub struct SinkThread {
    context: TaskContext,
    /// Where a journal is: its disk, which may be the sink's.
    storage: Option<Arc<StorageGuard>>,
    writer: Option<Box<dyn SinkWriter>>,
    commands: Receiver<SinkCommand>,
    stopped: Arc<AtomicBool>,
    moved: Moved,
    /// Dropped with the thread.
    _alive: oneshot::Sender<()>,
}

impl SinkPort {
    pub fn new(
        context: TaskContext,
        writer: Box<dyn SinkWriter>,
        storage: Option<Arc<StorageGuard>>,
    ) -> (Self, SinkThread) {
        let (sender, commands) = channel();
        let (alive, gone) = oneshot::channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let moved = Moved::default();
        let gone = Mutex::new(Some(gone));
        let port = Self { commands: sender, stopped: Arc::clone(&stopped), moved: moved.clone(), gone };
        let writer = Some(writer);
        (port, SinkThread { context, storage, writer, commands, stopped, moved, _alive: alive })
    }

    pub fn act(&self, action: SinkAction) {
        let command = match action {
            SinkAction::Write { work, batches } => SinkCommand::Write(work, batches, Are::Records),
            SinkAction::Header { work, header } => SinkCommand::Write(work, vec![header], Are::Header),
            SinkAction::Close => SinkCommand::Close,
        };
        self.commands.send(command).ok();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.commands.send(SinkCommand::Stop).ok();
    }

    /// Counts the bytes that are taken of what it writes.
    pub(super) fn moved(&self) -> Moved {
        self.moved.clone()
    }

    /// Waits until the thread has ended.
    pub async fn gone(&self) {
        let gone = lock(&self.gone).take();
        if let Some(gone) = gone {
            gone.await.ok();
        }
    }
}

impl SinkThread {
    pub fn start(self) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(self.context.env.task.clone());
        thread.spawn(move || self.live()).map(drop)
    }

    fn live(mut self) {
        let _within = task_span(&self.context.env.task).entered();
        let Some(writer) = self.writer.take() else { return };
        if let Err(why) = self.write_all(writer) {
            self.context.reporter.failed(why);
        }
    }

    fn write_all(&self, mut writer: Box<dyn SinkWriter>) -> Result<(), String> {
        let reporter = &self.context.reporter;
        writer.count_into(self.moved.clone());
        let synced = writer.sync_handle().map(|handle| self.start_sync(handle)).transpose()?;
        let follower = writer.reader().map(|reader| self.start_following(reader)).transpose()?;
        let tends = writer.tend().unwrap_or(true);
        while let Some(command) = self.next(tends.then_some(&mut *writer), follower.as_ref())? {
            if let (Some(follower), SinkCommand::Write(work, batches, _)) = (&follower, &command) {
                follower.writes(*work, batches);
            }
            let before = self.moved.bytes();
            let result = match &command {
                SinkCommand::Write(_, batches, are) => {
                    self.patiently((synced.is_some(), follower.as_ref()), || match are {
                        Are::Records => writer.write(batches),
                        Are::Header => batches.iter().try_for_each(|header| writer.write_header(header)),
                    })
                }
                SinkCommand::Close => self.patiently((false, None), || writer.close()),
                SinkCommand::Stop => return Ok(()),
            };
            if let (Err(_), SinkCommand::Write(work, batches, Are::Records)) = (&result, &command)
                && self.storage.is_none()
                && writer.file().is_some()
            {
                // What is in a file counts, although the run fails with the rest.
                let (records, bytes) = whole(batches, self.moved.bytes().saturating_sub(before));
                reporter.tell(SinkEvent::Partly { work: *work, records, bytes });
            }
            match result {
                Ok(()) => {}
                Err(SinkError::ReaderGone { .. }) => {
                    match &follower {
                        Some(follower) => follower.gone(),
                        None => drop(reporter.tell(SinkEvent::ReaderGone)),
                    }
                    return Ok(());
                }
                // The run is over.
                Err(SinkError::NoReader { .. }) => return Ok(()),
                Err(error @ SinkError::Full { .. }) if self.storage.is_none() => {
                    return Err(format!("{error}; {NOT_KEPT}"));
                }
                Err(error) => return Err(error.to_string()),
            }
            match command {
                SinkCommand::Write(work, ..) => match &synced {
                    // Refused only when the syncing thread has ended, with an error that it has told.
                    Some(synced) => drop(synced.send((work, writer.position()))),
                    None if follower.is_some() => {}
                    None if reporter.tell(SinkEvent::Written { work, position: None }) => {}
                    None => return Ok(()),
                },
                SinkCommand::Close => {
                    reporter.tell(SinkEvent::Closed);
                    return Ok(());
                }
                SinkCommand::Stop => return Ok(()),
            }
        }
        Ok(())
    }

    /// The next command; `tended` is looked after until it comes.
    fn next(
        &self,
        mut tended: Option<&mut dyn SinkWriter>,
        follower: Option<&Follower>,
    ) -> Result<Option<SinkCommand>, String> {
        loop {
            let Some(writer) = &mut tended else { return Ok(self.commands.recv().ok()) };
            match self.commands.recv_timeout(READER_WAIT) {
                Ok(command) => return Ok(Some(command)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
            match writer.tend() {
                Ok(_) => {}
                Err(SinkError::NoReader { .. }) => follower.into_iter().for_each(Follower::no_reader),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn start_following(&self, reader: PipeReader) -> Result<Follower, String> {
        let (task, reporter) = (&self.context.env.task, self.context.reporter.clone());
        Follower::start(task, (reader, self.moved.clone()), reporter, Arc::clone(&self.stopped))
    }

    /// Does it again and again while nobody reads a named pipe or, of a file that survives crashes, while there is no room:
    /// nothing of a failed write counts there. Of a pipe that is followed, who follows it tells.
    fn patiently(
        &self,
        (durable, follower): (bool, Option<&Follower>),
        mut act: impl FnMut() -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let reporter = &self.context.reporter;
        let mut said = false;
        loop {
            let (error, wait) = match act() {
                Err(error @ SinkError::Full { .. }) if durable => (error, FULL_DISK_WAIT),
                Err(error @ SinkError::NoReader { .. }) => {
                    if let Some(follower) = follower {
                        said = true;
                        follower.no_reader();
                    }
                    (error, READER_WAIT)
                }
                result => {
                    if said && follower.is_none() {
                        reporter.waits_for_room(None);
                    }
                    return result;
                }
            };
            if !reporter.is_heard() {
                return Err(error);
            }
            if self.storage.as_ref().is_some_and(|storage| storage.helps(&error, reporter.to())) {
                continue;
            }
            if !std::mem::replace(&mut said, true) {
                self.say_waiting(&error);
            }
            std::thread::sleep(wait);
            if self.stopped.load(Ordering::Relaxed) {
                return Err(error);
            }
        }
    }

    fn say_waiting(&self, error: &SinkError) {
        let reporter = &self.context.reporter;
        if let SinkError::NoReader { name } = error {
            tracing::warn!(%error, "waiting for a reader");
            reporter.waits_for_reader(name.clone());
        } else {
            tracing::warn!(%error, "waiting for room: it goes on by itself when there is some");
            reporter.waits_for_room(Some(error.to_string()));
        }
    }

    /// Tells that writes are done when a sync that began after them has succeeded: one for all that came meanwhile.
    fn start_sync(&self, handle: SinkSync) -> Result<Sender<(WorkId, Option<Bytes>)>, String> {
        let (sender, written) = channel::<(WorkId, Option<Bytes>)>();
        let reporter = self.context.reporter.clone();
        let sync = move || {
            let mut next = written.recv().ok();
            while let Some(first) = next.take() {
                let works: Vec<_> = std::iter::once(first).chain(written.try_iter()).collect();
                let begun = Instant::now();
                let result = handle.sync();
                let took = begun.elapsed();
                reporter.measure().sink_synced(took);
                if let Err(error) = result {
                    reporter.failed(error.to_string());
                    return;
                }
                let events = works.into_iter().map(|(work, position)| SinkEvent::Written { work, position });
                if !reporter.tell_all(events.map(Into::into)) {
                    return;
                }
                next = match written.try_recv() {
                    Ok(waiting) => {
                        std::thread::sleep(SYNC_REST);
                        Some(waiting)
                    }
                    Err(_) => written.recv().ok(),
                };
            }
        };
        let thread = std::thread::Builder::new().name(format!("{} sync", self.context.env.task));
        thread.spawn(sync).map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(sender)
    }
}
