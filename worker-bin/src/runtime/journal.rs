//! The threads around a column's journal: one appends, one syncs, and whoever waits hears of it.
//!
//! A column is the tasks of a node whose partition is the same modulo the number of columns. They share a journal and its two
//! threads, so that one sync serves all of them, and a thousand tasks need no thousand threads.
//! ```text
//!   Persist, Note, Acknowledged, Load ─▶ writer ─append─▶ journal ◀─sync─ syncer ─▶ Persisted
//!                                          └─ Load ─▶ reader ─▶ Loaded        └─ poisoned: the process ends
//! ```
//! The writer goes on appending while the syncer waits for the disk, so that one sync covers all that came meanwhile. On a
//! full disk the writer gives up the reserve, tells the node, and tries again; what needs no room (loads, releases) goes on.

mod reader;
mod syncer;
mod writer;

use super::dispatch::ToJournal;
use super::durable::AnyJournal;
use super::measure::TaskMeasure;
use super::storage::{GivesBack, StorageGuard};
use crate::io::dead::DeadLetterLog;
use crate::logging::task_span;
use crate::mutex::lock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;
use worker_core::config::{Graph, TaskId};
use worker_core::event::{Attempt, Commit, CommitId, Place, Printed};
use worker_journal::{JournalError, Member, Position};
use worker_proto::{Batch, LinkId, Seq};

/// A finished journal that is no larger stays as it is: giving it back takes syncs, for which short runs would wait.
const FINISHED_BYTES: u64 = 16 << 20;

/// A task's part of its column's journal, shared by the column's threads.
#[derive(Debug)]
pub struct TaskJournal {
    task: TaskId,
    member: Member,
    name: String,
    measure: Arc<TaskMeasure>,
    column: Arc<Column>,
    queued: Mutex<Queued>,
    /// How far the task is by what is on stable storage of this life's commits.
    durable_position: Mutex<Option<Bytes>>,
    /// Told when less is queued, or nothing will be appended any more.
    drained: Condvar,
    commits: AtomicU64,
}

/// What the tasks of a column share.
#[derive(Debug)]
struct Column {
    name: String,
    journal: Mutex<AnyJournal>,
    /// Bounded by the core: a task takes no new work while too many commits or too many bytes of them are not durable.
    commands: Sender<Order>,
    unsynced: Mutex<Unsynced>,
    appended: Condvar,
    storage: Arc<StorageGuard>,
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
    commits: VecDeque<Appended>,
    stopped: bool,
}

/// A commit that was appended.
#[derive(Debug)]
struct Appended {
    /// Where it ends.
    position: Position,
    member: Member,
    commit: CommitId,
    /// When it was asked for.
    asked: Instant,
}

/// What the journal is to do for one of its tasks.
#[derive(Debug)]
struct Order {
    member: Member,
    command: JournalCommand,
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
    column: Arc<Column>,
    commands: Receiver<Order>,
    graph: Arc<Graph>,
    /// In the order of the journal's members.
    tasks: Vec<WrittenTask>,
    reader: reader::Reader,
}

/// One of the tasks that a writer writes for.
#[derive(Debug)]
struct WrittenTask {
    shared: Arc<TaskJournal>,
    dead: DeadLetterLog,
    span: Span,
}

/// A task that takes part in a column's journal.
#[derive(Debug)]
pub(super) struct MemberTask {
    pub(super) task: TaskId,
    pub(super) measure: Arc<TaskMeasure>,
    pub(super) dead: DeadLetterLog,
}

/// The journal of a column: what its tasks, in the order of the journal's members, and its threads have of it.
pub(super) fn column_journal(
    name: String,
    graph: &Arc<Graph>,
    journal: AnyJournal,
    tasks: Vec<MemberTask>,
    storage: &Arc<StorageGuard>,
) -> (Vec<Arc<TaskJournal>>, JournalThreads) {
    let (sender, commands) = channel();
    let column = Arc::new(Column {
        name,
        journal: Mutex::new(journal),
        commands: sender,
        unsynced: Mutex::default(),
        appended: Condvar::new(),
        storage: Arc::clone(storage),
        syncs: AtomicU64::new(0),
    });
    let keeper: Weak<dyn GivesBack> = Arc::downgrade(&(Arc::clone(&column) as Arc<dyn GivesBack>));
    storage.asks(keeper);
    let members = (0..).map(Member).zip(tasks);
    let tasks: Vec<WrittenTask> = members.map(|(member, task)| task.joins(&column, member, graph)).collect();
    let shared = tasks.iter().map(|task| Arc::clone(&task.shared)).collect();
    let (graph, reader) = (Arc::clone(graph), reader::Reader::default());
    (shared, JournalThreads { column, commands, graph, tasks, reader })
}

impl MemberTask {
    fn joins(self, column: &Arc<Column>, member: Member, graph: &Graph) -> WrittenTask {
        let Self { task, measure, dead } = self;
        let name = graph.task(task).name.clone();
        let span = task_span(&name);
        let shared = Arc::new(TaskJournal {
            task,
            member,
            name,
            measure,
            column: Arc::clone(column),
            queued: Mutex::default(),
            durable_position: Mutex::default(),
            drained: Condvar::new(),
            commits: AtomicU64::new(0),
        });
        WrittenTask { shared, dead, span }
    }
}

impl TaskJournal {
    pub(super) fn task(&self) -> TaskId {
        self.task
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
    }

    pub(super) fn note(&self, attempt: Attempt) {
        self.tell(JournalCommand::Note(attempt));
    }

    pub(super) fn unstage(&self, place: Place) {
        self.tell(JournalCommand::Unstage(place));
    }

    /// Nothing of it is needed any more: gives back what it holds of the disk, where that is much. Once a column is enough.
    pub(super) fn finish(&self) {
        if self.member == Member(0) && lock(&self.column.journal).disk_bytes() > FINISHED_BYTES {
            self.tell(JournalCommand::GiveBack);
        }
        if self.member == Member(0) {
            self.column.storage.gives_reserve_up();
        }
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
        &self.column.storage
    }

    /// Says how many commits were appended in this life, and how many syncs made them, and those of the same column, durable.
    pub(super) fn say_costs(&self) {
        let (commits, syncs) = (self.commits.load(Relaxed), self.column.syncs.load(Relaxed));
        tracing::debug!(task = self.name, commits, syncs, "journal");
    }

    /// Does something that must not wait, when what was ordered before is appended.
    pub(super) fn then(&self, act: impl FnOnce() + Send + 'static) {
        self.tell(JournalCommand::Then(Then(Box::new(act))));
    }

    fn tell(&self, command: JournalCommand) {
        self.column.tell(self.member, command);
    }

    /// Puts output that is not committed yet into the journal. Blocks.
    pub(super) fn stage(&self, batch: &Batch) -> Result<Place, JournalError> {
        lock(&self.column.journal).stage(batch)
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
        let journal = lock(&self.column.journal);
        let outputs = step_of(&journal.printed_of(self.member, window), first)
            .map(|step| journal.printed_output_of(self.member, window, step));
        drop(journal);
        let extents = outputs.and_then(Result::ok).unwrap_or_default();
        extents.into_iter().filter_map(|(_, extent)| extent.read().ok()).collect()
    }
}

/// Which step printed what comes behind the first `first` records.
fn step_of(printed: &[Printed], first: u64) -> Option<usize> {
    let mut before = 0;
    printed.iter().position(|printed| {
        before += printed.records;
        before > first
    })
}

impl Column {
    fn tell(&self, member: Member, command: JournalCommand) {
        self.commands.send(Order { member, command }).ok();
    }

    /// Nothing will be appended any more.
    fn close(&self) {
        lock(&self.unsynced).stopped = true;
        self.appended.notify_one();
    }
}

impl GivesBack for Column {
    fn give_back(&self) {
        self.tell(Member(0), JournalCommand::GiveBack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was printed is asked for by the number of its step among all, those that printed nothing included.
    #[test]
    fn a_step_is_found_by_the_records_before_it() {
        let printed = [2, 0, 3, 0, 0, 1].map(|records| Printed { records, hash: 0 });
        let steps: Vec<_> = (0..7).map(|first| step_of(&printed, first)).collect();
        assert_eq!(steps, [Some(0), Some(0), Some(2), Some(2), Some(2), Some(5), None]);
    }
}
