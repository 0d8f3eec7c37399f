//! The threads around a task's journal: one appends, one syncs, and whoever waits hears of it.
//!
//! ```text
//!   Persist, Note, Acknowledged, Load ─▶ writer ─append─▶ journal ◀─sync─ syncer ─▶ Persisted
//!                                          └─ Loaded                        └─ poisoned: the process ends
//! ```
//! The writer goes on appending while the syncer waits for the disk, so that one sync covers all that came meanwhile. On a
//! full disk the writer gives up the reserve, tells the node, and tries again; what needs no room (loads, releases) goes on.

mod syncer;
mod writer;

use super::dispatch::ToJournal;
use super::durable::AnyJournal;
use super::measure::TaskMeasure;
use super::storage::{GivesBack, StorageGuard};
use crate::io::dead::DeadLetterLog;
use crate::mutex::lock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use worker_core::config::{Graph, TaskId};
use worker_core::event::{Attempt, Commit, CommitId, Place, Printed};
use worker_journal::{JournalError, Position};
use worker_proto::{Batch, LinkId, Seq};

/// A task's journal, shared by its threads.
#[derive(Debug)]
pub struct TaskJournal {
    task: TaskId,
    name: String,
    measure: Arc<TaskMeasure>,
    journal: Mutex<AnyJournal>,
    /// Bounded by the core: a task takes no new work while too many commits or too many bytes of them are not durable.
    commands: Sender<JournalCommand>,
    unsynced: Mutex<Unsynced>,
    appended: Condvar,
    queued: Mutex<Queued>,
    /// How far the task is by what is on stable storage of this life's commits.
    durable_position: Mutex<Option<Bytes>>,
    storage: Arc<StorageGuard>,
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
    commands: Receiver<JournalCommand>,
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
        let (sender, commands) = channel();
        let shared = Arc::new(Self {
            task,
            name: graph.task(task).name.clone(),
            measure,
            journal: Mutex::new(journal),
            commands: sender,
            unsynced: Mutex::default(),
            appended: Condvar::new(),
            queued: Mutex::default(),
            durable_position: Mutex::default(),
            storage: Arc::clone(&storage),
            drained: Condvar::new(),
            commits: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        });
        let keeper: Weak<dyn GivesBack> = Arc::downgrade(&(Arc::clone(&shared) as Arc<dyn GivesBack>));
        storage.asks(keeper);
        (Arc::clone(&shared), JournalThreads { shared, commands, graph, dead, storage })
    }

    /// Does what the node asks, in order.
    pub(super) fn act(&self, command: ToJournal) {
        match command {
            ToJournal::Commit(commit) => self.commit(commit),
            ToJournal::Note(attempt) => self.note(attempt),
            ToJournal::Acknowledged(link, through) => {
                self.tell(JournalCommand::Acknowledged(link, through));
            }
            ToJournal::Load(link, first_seq, records) => {
                self.tell(JournalCommand::Load(link, first_seq, records));
            }
            ToJournal::Unstage(place) => self.unstage(place),
        }
    }

    fn commit(&self, commit: Commit) {
        lock(&self.queued).bytes += commit.memory_cost();
        self.tell(JournalCommand::Commit(Box::new(commit), Instant::now()));
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
        self.tell(JournalCommand::Note(attempt));
    }

    pub(super) fn unstage(&self, place: Place) {
        self.tell(JournalCommand::Unstage(place));
    }

    pub(super) fn stop(&self) {
        self.tell(JournalCommand::Stop);
    }

    /// Resolves (with an error, which says nothing) when what was ordered before is appended.
    pub(super) fn fence(&self) -> oneshot::Receiver<()> {
        let (sender, done) = oneshot::channel();
        self.tell(JournalCommand::Fence(sender));
        done
    }

    /// How far the task is by what is on stable storage; `None` before anything of this life is.
    pub(super) fn durable_position(&self) -> Option<Bytes> {
        lock(&self.durable_position).clone()
    }

    /// The disk that commits go to.
    pub(super) fn storage(&self) -> &Arc<StorageGuard> {
        &self.storage
    }

    /// Says how many commits were appended in this life, and how many syncs made them durable.
    pub(super) fn say_costs(&self) {
        let (commits, syncs) = (self.commits.load(Relaxed), self.syncs.load(Relaxed));
        tracing::debug!(task = self.name, commits, syncs, "journal");
    }

    /// Does something that must not wait, when what was ordered before is appended.
    pub(super) fn then(&self, act: impl FnOnce() + Send + 'static) {
        self.tell(JournalCommand::Then(Then(Box::new(act))));
    }

    fn tell(&self, command: JournalCommand) {
        self.commands.send(command).ok();
    }

    /// Puts output that is not committed yet into the journal. Blocks.
    pub(super) fn stage(&self, batch: &Batch) -> Result<Place, JournalError> {
        lock(&self.journal).stage(batch)
    }

    /// Asks for what a window has printed, and its input, as far as the journal has them by the orders given until now:
    /// what is admitted later is fed, not replayed.
    pub(super) fn window(&self, window: u64) -> oneshot::Receiver<Result<Replayed, String>> {
        let (sender, receiver) = oneshot::channel();
        self.tell(JournalCommand::Window(window, sender));
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
        self.tell(JournalCommand::GiveBack);
    }
}
