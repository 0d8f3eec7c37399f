//! The threads around a task's journal: one appends, one syncs, and whoever waits hears of it.
//!
//! ```text
//!   Persist, Note, Acknowledged, Load ─▶ writer ─append─▶ journal ◀─sync─ syncer ─▶ Persisted
//!                                          └─ Loaded                        └─ poisoned: the process ends
//! ```
//! The writer goes on appending while the syncer waits for the disk, so that one sync covers all that came meanwhile. On a
//! full disk the writer gives up the reserve, tells the node, and tries again; what needs no room (loads, releases) goes on.

use super::cell::{Cell, End, Tell};
use super::dispatch::ToJournal;
use super::durable::AnyJournal;
use super::measure::TaskMeasure;
use super::storage::{GivesBack, StorageGuard};
use crate::descriptors;
use crate::io::dead::{DeadLetterLog, DeadLogError, NewLetter};
use crate::logging::task_span;
use crate::mutex::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use worker_core::config::{Graph, TaskId};
use worker_core::event::{
    Attempt, Commit, CommitId, DeadLetter, Event, LinkEvent, NodeError, Place, Printed, TaskEvent,
};
use worker_journal::{JournalError, Position};
use worker_proto::{Batch, LinkId, Seq};

/// The longest rest between syncs of a journal that always has something to sync.
const SYNC_REST_MAX: Duration = Duration::from_millis(1);

/// How long to wait before a full disk is tried again.
const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// How many batches of a window are read back before the child has taken them.
const REPLAY_AHEAD: usize = 4;

/// A task's journal, shared by its threads.
#[derive(Debug)]
pub struct TaskJournal {
    task: TaskId,
    name: String,
    measure: Arc<TaskMeasure>,
    journal: Mutex<AnyJournal>,
    /// Bounded by the core: a task takes no new work while too many commits or too many bytes of them are not durable.
    orders: Sender<JournalCommand>,
    unsynced: Mutex<Unsynced>,
    appended: Condvar,
    queued: Mutex<Queued>,
    /// Told when less is queued, or nothing will be appended any more.
    drained: Condvar,
    commits: AtomicU64,
    syncs: AtomicU64,
}

/// What is ordered to be appended and is not yet.
#[derive(Debug, Default)]
struct Queued {
    bytes: u64,
    closed: bool,
}

/// What was appended and is not known to be durable.
#[derive(Debug, Default)]
struct Unsynced {
    commits: VecDeque<(Position, CommitId, Instant)>,
    stopped: bool,
}

#[derive(Debug)]
enum JournalCommand {
    /// With when it was asked for.
    Commit(Box<Commit>, Instant),
    Note(Attempt),
    Acknowledged(LinkId, Seq),
    Load(LinkId, Seq, u64),
    Unstage(Place),
    Window(u64, oneshot::Sender<Result<Replayed, String>>),
    Then(Then),
    Fence(oneshot::Sender<()>),
    GiveBack,
    Stop,
}

/// What is done when the orders before it are: it must not wait.
struct Then(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Then {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Then")
    }
}

/// A window's past: what was printed, and its input, read at the pace at which it is taken.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) printed: Vec<Printed>,
    pub(super) input: mpsc::Receiver<Result<Batch, String>>,
}

/// The threads' side, until they are started.
#[derive(Debug)]
pub(super) struct JournalThreads {
    shared: Arc<TaskJournal>,
    orders: Receiver<JournalCommand>,
    graph: Arc<Graph>,
    dead: DeadLetterLog,
    storage: Arc<StorageGuard>,
}

impl TaskJournal {
    pub(super) fn new(
        task: TaskId,
        graph: Arc<Graph>,
        measure: Arc<TaskMeasure>,
        journal: AnyJournal,
        dead: DeadLetterLog,
        storage: Arc<StorageGuard>,
    ) -> (Arc<Self>, JournalThreads) {
        let (sender, orders) = channel();
        let shared = Arc::new(Self {
            task,
            name: graph.task(task).name.clone(),
            measure,
            journal: Mutex::new(journal),
            orders: sender,
            unsynced: Mutex::default(),
            appended: Condvar::new(),
            queued: Mutex::default(),
            drained: Condvar::new(),
            commits: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        });
        let keeper: Weak<dyn GivesBack> = Arc::downgrade(&(Arc::clone(&shared) as Arc<dyn GivesBack>));
        storage.asks(keeper);
        (Arc::clone(&shared), JournalThreads { shared, orders, graph, dead, storage })
    }

    /// Does what the node asks, in order.
    pub(super) fn act(&self, order: ToJournal) {
        match order {
            ToJournal::Commit(commit) => self.commit(commit),
            ToJournal::Note(attempt) => self.note(attempt),
            ToJournal::Acknowledged(link, through) => {
                self.order(JournalCommand::Acknowledged(link, through));
            }
            ToJournal::Load(link, first_seq, records) => {
                self.order(JournalCommand::Load(link, first_seq, records));
            }
            ToJournal::Unstage(place) => self.unstage(place),
        }
    }

    fn commit(&self, commit: Commit) {
        lock(&self.queued).bytes += commit.memory_cost();
        self.order(JournalCommand::Commit(Box::new(commit), Instant::now()));
    }

    /// Waits until at most `bytes_max` bytes wait to be appended: a program that prints more than the disk takes is held up.
    /// Blocks.
    pub(super) fn wait_for_room(&self, bytes_max: u64) {
        let mut queued = lock(&self.queued);
        while queued.bytes > bytes_max && !queued.closed {
            queued = self.drained.wait(queued).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn taken(&self, bytes: u64) {
        lock(&self.queued).bytes -= bytes;
        self.drained.notify_all();
    }

    fn close(&self) {
        lock(&self.queued).closed = true;
        self.drained.notify_all();
        lock(&self.unsynced).stopped = true;
        self.appended.notify_one();
    }

    pub(super) fn note(&self, attempt: Attempt) {
        self.order(JournalCommand::Note(attempt));
    }

    pub(super) fn unstage(&self, place: Place) {
        self.order(JournalCommand::Unstage(place));
    }

    pub(super) fn stop(&self) {
        self.order(JournalCommand::Stop);
    }

    /// Resolves (with an error, which says nothing) when what was ordered before is appended.
    pub(super) fn fence(&self) -> oneshot::Receiver<()> {
        let (sender, done) = oneshot::channel();
        self.order(JournalCommand::Fence(sender));
        done
    }

    /// Says how many commits were appended in this life, and how many syncs made them durable.
    pub(super) fn say_costs(&self) {
        let (commits, syncs) = (self.commits.load(Relaxed), self.syncs.load(Relaxed));
        tracing::debug!(task = self.name, commits, syncs, "journal");
    }

    /// Does something that must not wait, when what was ordered before is appended.
    pub(super) fn then(&self, act: impl FnOnce() + Send + 'static) {
        self.order(JournalCommand::Then(Then(Box::new(act))));
    }

    fn order(&self, order: JournalCommand) {
        self.orders.send(order).ok();
    }

    /// Puts output that is not committed yet into the journal. Blocks.
    pub(super) fn stage(&self, batch: &Batch) -> Result<Place, JournalError> {
        lock(&self.journal).stage(batch)
    }

    /// Asks for what a window has printed, and its input, as far as the journal has them by the orders given until now:
    /// what is admitted later is fed, not replayed.
    pub(super) fn window(&self, window: u64) -> oneshot::Receiver<Result<Replayed, String>> {
        let (sender, receiver) = oneshot::channel();
        self.order(JournalCommand::Window(window, sender));
        receiver
    }

    /// What a window's program printed in the step that begins behind its first `first` records, as far as it can be read.
    pub(super) fn printed_again(&self, window: u64, first: u64) -> Vec<Batch> {
        let journal = lock(&self.journal);
        let mut before = 0;
        let step = journal.printed(window).iter().filter(|p| p.records > 0).position(|printed| {
            before += printed.records;
            before > first
        });
        let outputs = step.map(|step| journal.printed_output(window, step));
        drop(journal);
        let extents = outputs.and_then(Result::ok).unwrap_or_default();
        extents.into_iter().filter_map(|(_, extent)| extent.read().ok()).collect()
    }
}

impl GivesBack for TaskJournal {
    fn give_back(&self) {
        self.order(JournalCommand::GiveBack);
    }
}

impl JournalThreads {
    pub(super) fn start(self, cell: &Arc<Cell>) -> std::io::Result<()> {
        let (weak, shared) = (Arc::downgrade(cell), Arc::clone(&self.shared));
        let syncer = std::thread::Builder::new().name(format!("{} sync", shared.name));
        syncer.spawn(move || task_span(&shared.name).in_scope(|| sync_all(&shared, &weak)))?;
        let weak = Arc::downgrade(cell);
        let writer = std::thread::Builder::new().name(format!("{} log", self.shared.name));
        writer
            .spawn(move || task_span(&self.shared.name.clone()).in_scope(|| self.write_all(&weak)))
            .map(drop)
    }

    fn write_all(mut self, cell: &Weak<Cell>) {
        let mut later = VecDeque::new();
        loop {
            let order = match later.pop_front() {
                Some(order) => order,
                None => match self.orders.recv() {
                    Ok(order) => order,
                    Err(_) => break,
                },
            };
            let Some(cell) = cell.upgrade() else { break };
            let done = match order {
                JournalCommand::Stop => break,
                JournalCommand::Commit(commit, asked) => {
                    let appended = self.append(&cell, &commit, asked, &mut later);
                    self.shared.taken(commit.memory_cost());
                    appended
                }
                JournalCommand::Note(attempt) => {
                    self.until_there_is_room(&cell, &mut later, |s| s.journal().note(&attempt)).map(drop)
                }
                order @ (JournalCommand::Acknowledged(..)
                | JournalCommand::Load(..)
                | JournalCommand::Unstage(_)
                | JournalCommand::Window(..)
                | JournalCommand::Then(_)
                | JournalCommand::GiveBack
                | JournalCommand::Fence(_)) => self.needs_no_room(&cell, order),
            };
            if let Err(error) = done {
                fail(&cell, &self.shared, &error);
                break;
            }
        }
        self.shared.close();
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, AnyJournal> {
        lock(&self.shared.journal)
    }

    /// Dead letters are on stable storage before the commit that has them.
    fn append(
        &mut self,
        cell: &Arc<Cell>,
        commit: &Commit,
        asked: Instant,
        later: &mut VecDeque<JournalCommand>,
    ) -> Result<(), String> {
        let mut dead_len = None;
        if !commit.dead.is_empty() {
            let graph = Arc::clone(&self.graph);
            let from = |letter: &DeadLetter| {
                letter.origin.map(|(link, _)| graph.task(graph.link(link).from).name.as_str())
            };
            let ids: Vec<_> = commit.dead.iter().map(|l| l.batch_id.map(|id| id.to_string())).collect();
            let letters: Vec<_> = commit
                .dead
                .iter()
                .zip(&ids)
                .map(|(letter, id)| NewLetter { letter, from: from(letter), batch_id: id.as_deref() })
                .collect();
            dead_len = Some(self.until_there_is_room(cell, later, |s| s.dead.append(&letters))?);
        }
        let position = self.until_there_is_room(cell, later, |s| s.journal().append(commit, dead_len))?;
        self.shared.commits.fetch_add(1, Relaxed);
        lock(&self.shared.unsynced).commits.push_back((position, commit.id, asked));
        self.shared.appended.notify_one();
        Ok(())
    }

    /// Tries again and again while the disk is full; meanwhile it does what needs no room, and keeps the rest for `later`.
    fn until_there_is_room<T, E: MayBeFull>(
        &mut self,
        cell: &Arc<Cell>,
        later: &mut VecDeque<JournalCommand>,
        mut attempt: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, String> {
        loop {
            match attempt(self) {
                Ok(done) => return Ok(done),
                Err(error) if error.is_full() => {
                    let to: Weak<dyn Tell> = Arc::downgrade(&(Arc::clone(cell) as Arc<dyn Tell>));
                    if !error.is_about_descriptors() && self.storage.is_full_now(&to, &error.to_string()) {
                        continue;
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
            match self.orders.recv_timeout(FULL_DISK_WAIT) {
                Ok(
                    order @ (JournalCommand::Commit(..)
                    | JournalCommand::Note(_)
                    | JournalCommand::Fence(_)
                    | JournalCommand::Window(..)
                    | JournalCommand::Then(_)),
                ) => later.push_back(order),
                Ok(JournalCommand::Stop) => return Err("stopped while the disk was full".into()),
                Ok(order) => self.needs_no_room(cell, order)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("stopped while the disk was full".into()),
            }
        }
    }

    fn needs_no_room(&self, cell: &Cell, order: JournalCommand) -> Result<(), String> {
        match order {
            JournalCommand::Acknowledged(link, through) => self.journal().acknowledged(link, through),
            JournalCommand::Unstage(place) => self.journal().unstage(place),
            JournalCommand::Load(link, first_seq, records) => {
                let extents = self.journal().locate(link, first_seq, records).map_err(|e| e.to_string())?;
                let batch = worker_journal::join(extents.iter()).map_err(|e| e.to_string())?;
                cell.tell(Event::Link(link, LinkEvent::Loaded { first_seq, batch }));
            }
            JournalCommand::Fence(done) => drop(done),
            JournalCommand::Then(Then(act)) => act(),
            // Nobody listens when the child was killed meanwhile.
            JournalCommand::Window(window, asker) => drop(asker.send(self.replayed(window))),
            JournalCommand::GiveBack => return self.gives_back().map_err(|error| error.to_string()),
            JournalCommand::Commit(..) | JournalCommand::Note(_) | JournalCommand::Stop => {}
        }
        Ok(())
    }

    /// Segments go when a checkpoint that does not need them is durable.
    fn gives_back(&self) -> Result<(), JournalError> {
        let ticket = {
            let mut journal = self.journal();
            match journal.give_back() {
                Ok(true) => journal.to_sync(),
                Ok(false) => None,
                Err(error) if error.is_full() => None,
                Err(error) => return Err(error),
            }
        };
        if let Some(ticket) = ticket {
            let position = ticket.run()?;
            self.journal().synced(position);
        }
        Ok(())
    }
}

impl JournalThreads {
    fn replayed(&self, window: u64) -> Result<Replayed, String> {
        let (printed, extents) = {
            let journal = self.journal();
            let admitted = journal.admitted(window).map_err(|error| error.to_string())?;
            (journal.printed(window), admitted)
        };
        let (sender, input) = mpsc::channel(REPLAY_AHEAD);
        let read = move || {
            for extent in extents {
                let batch = extent.read().map_err(|error| error.to_string());
                let failed = batch.is_err();
                if sender.blocking_send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("{} again", self.shared.name));
        thread
            .spawn(read)
            .map_err(|error| format!("cannot start a thread to read its input back: {error}"))?;
        Ok(Replayed { printed, input })
    }
}

/// Syncs whenever something is not durable. A commit that comes while nothing is synced does not wait. One that comes during
/// a sync waits for its end, and at most as long again: syncs without pause cost processor time and disk that the rest
/// of the pipeline needs, and write the same page again and again.
fn sync_all(shared: &TaskJournal, cell: &Weak<Cell>) {
    loop {
        {
            let mut unsynced = lock(&shared.unsynced);
            while unsynced.commits.is_empty() && !unsynced.stopped {
                unsynced = shared.appended.wait(unsynced).unwrap_or_else(PoisonError::into_inner);
            }
            if unsynced.stopped && unsynced.commits.is_empty() {
                return;
            }
        }
        let begun = Instant::now();
        let ticket = lock(&shared.journal).to_sync();
        let is_sync = ticket.is_some();
        shared.syncs.fetch_add(u64::from(is_sync), Relaxed);
        let synced = match ticket {
            Some(ticket) => ticket.run().map(|position| lock(&shared.journal).synced(position)),
            None => Ok(()),
        };
        let took = begun.elapsed();
        let Some(cell) = cell.upgrade() else { return };
        let measure = &shared.measure;
        if is_sync {
            measure.journal_synced(took);
        }
        if let Err(error) = synced {
            return fail(&cell, shared, &error.to_string());
        }
        let durable = lock(&shared.journal).durable();
        let (mut ids, mut asked) = (Vec::new(), Vec::new());
        let is_behind = {
            let mut unsynced = lock(&shared.unsynced);
            while let Some((_, id, at)) =
                unsynced.commits.front().filter(|(position, ..)| *position <= durable)
            {
                ids.push(*id);
                asked.push(at.elapsed());
                unsynced.commits.pop_front();
            }
            !unsynced.commits.is_empty() && !unsynced.stopped
        };
        measure.committed(asked);
        let task = shared.task;
        let durable = ids.into_iter().map(|commit| Event::Task(task, TaskEvent::Persisted { commit }));
        cell.tell_all(durable.collect());
        drop(cell);
        let rest = took.min(SYNC_REST_MAX);
        if is_behind && !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }
}

/// Nothing of this task is acknowledged from now on; the process ends with the reason.
fn fail(cell: &Cell, shared: &TaskJournal, why: &str) {
    cell.end(End::Failed(NodeError::Task { task: shared.name.clone(), why: why.to_owned() }));
    // Nothing is begun or committed from now on. To the peers this is a node that was killed: they wait for its next life.
    cell.leave();
}

/// Errors that may mean that there is no room on the disk, for now.
trait MayBeFull: std::fmt::Display {
    fn is_full(&self) -> bool;
    /// Or rather none for one more open file.
    fn is_about_descriptors(&self) -> bool;
}

impl MayBeFull for JournalError {
    fn is_full(&self) -> bool {
        JournalError::is_full(self)
    }

    fn is_about_descriptors(&self) -> bool {
        JournalError::is_about_descriptors(self)
    }
}

impl MayBeFull for DeadLogError {
    fn is_full(&self) -> bool {
        matches!(self, DeadLogError::Full { .. })
    }

    fn is_about_descriptors(&self) -> bool {
        matches!(self, DeadLogError::Full { source, .. } if descriptors::none_left(source))
    }
}
