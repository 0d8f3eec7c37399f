//! The thread that moves batches out of memory and back, and keeps dead letters.

use super::blockers::{Blockers, Observer};
use super::cell::{Cell, Tell};
use super::dead::DeadLetters;
use super::dispatch::ToSpill;
use super::letters::Letters;
use crate::io::spill::{SpillError, SpillStore};
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use worker_core::config::{Graph, TaskId};
use worker_core::event::{Blocker, Event, LinkEvent, Place, TaskEvent};
use worker_proto::{Batch, LinkId, Seq};

/// How long to wait before a full disk is tried again.
pub(super) const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// Orders for the spill thread. Bounded by the core: what is on its way out of memory is part of each link's budget.
#[derive(Debug)]
pub(super) struct SpillPort {
    pub(super) store: Arc<SpillStore>,
    commands: Sender<SpillCommand>,
}

#[derive(Debug)]
enum SpillCommand {
    Do(ToSpill),
    Flush(oneshot::Sender<()>),
}

/// The thread's side, until it is started.
#[derive(Debug)]
pub(super) struct SpillThread {
    context: SpillContext,
    store: Arc<SpillStore>,
    commands: Receiver<SpillCommand>,
    /// The last attempt to store failed; the next is due then.
    retry_at: std::cell::Cell<Option<Instant>>,
    /// Tasks whose outputs are not stored because of it, as far as the node was told.
    held_up: RefCell<BTreeSet<TaskId>>,
    letters: Letters,
}

impl SpillPort {
    pub(super) fn new(dir: &Path, context: SpillContext) -> Result<(Self, SpillThread), SpillError> {
        let store = Arc::new(SpillStore::new(dir)?);
        let letters = Letters::new(Arc::clone(&context.dead), Arc::clone(&context.blockers));
        let (sender, receiver) = channel();
        Ok((
            Self { store: Arc::clone(&store), commands: sender },
            SpillThread {
                context,
                store,
                commands: receiver,
                retry_at: std::cell::Cell::new(None),
                held_up: RefCell::default(),
                letters,
            },
        ))
    }

    /// Does what the node asks, in order.
    pub(super) fn act(&self, command: ToSpill) {
        self.commands.send(SpillCommand::Do(command)).ok();
    }

    /// Leaves no directory that was not there before.
    pub(super) fn leave(&self) {
        self.store.leave();
    }

    /// Waits until what was ordered before is done: no dead letter is left unwritten when the process ends.
    pub(super) async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        self.commands.send(SpillCommand::Flush(sender)).ok();
        done.await.ok();
    }
}

/// What the spill thread tells, and what it has to know for that.
#[derive(Debug)]
pub(super) struct SpillContext {
    pub(super) graph: Arc<Graph>,
    pub(super) blockers: Arc<Blockers>,
    pub(super) dead: Arc<DeadLetters>,
}

impl SpillThread {
    pub(super) fn start(mut self, cell: &Arc<Cell>) -> std::io::Result<()> {
        let cell = Arc::downgrade(cell);
        let run = move || {
            let mut waiting: VecDeque<(LinkId, Seq, Batch)> = VecDeque::new();
            while let Some(command) = self.next(!waiting.is_empty()) {
                let Some(cell) = cell.upgrade() else { return };
                match command {
                    Some(SpillCommand::Do(ToSpill::Store(link, first_seq, batch))) => {
                        waiting.push_back((link, first_seq, batch));
                    }
                    Some(SpillCommand::Do(ToSpill::Load(link, first_seq, place))) => {
                        self.load(&cell, link, first_seq, place);
                    }
                    // In order behind loads of the same place.
                    Some(SpillCommand::Do(ToSpill::Discard(place))) => self.store.discard(place),
                    Some(SpillCommand::Do(ToSpill::KeepDead(task, commit))) => {
                        self.letters.keep(task, *commit);
                    }
                    // What waits for room is waited for by the node, too; at the end of a run that fails it is not.
                    Some(SpillCommand::Flush(done)) => drop(done),
                    None => {}
                }
                self.letters.write_on(&*cell);
                if self.retry_at.get().is_none_or(|at| Instant::now() >= at) {
                    self.store_waiting(&cell, &mut waiting);
                }
            }
        };
        std::thread::Builder::new().name("spill".into()).spawn(run).map(drop)
    }

    /// The next order; `Some(None)` when it is time to try a full disk again, `None` when there will be no more.
    fn next(&self, full: bool) -> Option<Option<SpillCommand>> {
        let spills = self.retry_at.get().filter(|_| full);
        let Some(retry_at) = spills.into_iter().chain(self.letters.retry_at()).min() else {
            return self.commands.recv().ok().map(Some);
        };
        match self.commands.recv_timeout(retry_at.saturating_duration_since(Instant::now())) {
            Ok(command) => Some(Some(command)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// The task whose output a link carries.
    fn task_of(&self, link: LinkId) -> TaskId {
        self.context.graph.link(link).from
    }

    /// A full disk only makes the tasks behind it wait: what is to be stored stays in memory, within its link's budget,
    /// and loads, which make room, go on.
    fn store_waiting(&self, cell: &Cell, waiting: &mut VecDeque<(LinkId, Seq, Batch)>) {
        while let Some((link, first_seq, batch)) = waiting.front() {
            match self.store.store(batch) {
                Ok(place) => {
                    let (link, first_seq) = (*link, *first_seq);
                    if self.retry_at.take().is_some() {
                        tracing::info!("outputs can be put aside again");
                    }
                    waiting.pop_front();
                    let task = self.task_of(link);
                    let was_held_up = self.held_up.borrow().contains(&task);
                    if was_held_up && waiting.iter().all(|(other, ..)| self.task_of(*other) != task) {
                        self.goes_on(cell, &[task].into());
                    }
                    cell.tell(Event::Link(link, LinkEvent::Stored { first_seq, place }));
                }
                Err(error) => {
                    if self.retry_at.replace(Some(Instant::now() + FULL_DISK_WAIT)).is_none() {
                        tracing::warn!(%error, "cannot put outputs aside; tasks behind it wait until it works");
                    }
                    // What was acknowledged meanwhile needs no place any more.
                    cell.act(|node, _| {
                        waiting
                            .retain(|(link, seq, _)| node.outbox(*link).is_some_and(|o| o.is_storing(*seq)));
                    });
                    return self.say_held_up(cell, waiting, &error);
                }
            }
        }
    }

    /// Tells the node which tasks the disk holds up, and which it does not any more.
    fn say_held_up(&self, cell: &Cell, waiting: &VecDeque<(LinkId, Seq, Batch)>, error: &SpillError) {
        let now: BTreeSet<_> = waiting.iter().map(|(link, ..)| self.task_of(*link)).collect();
        let before = self.held_up.borrow().clone();
        for &task in now.difference(&before) {
            let full = Blocker::DiskFull { since: cell.now(), what: error.to_string() };
            self.context.blockers.blocked(cell, task, Observer::Spill, Some(full));
        }
        self.goes_on(cell, &before.difference(&now).copied().collect());
        self.held_up.borrow_mut().extend(now);
    }

    fn goes_on(&self, cell: &Cell, tasks: &BTreeSet<TaskId>) {
        for task in tasks {
            if self.held_up.borrow_mut().remove(task) {
                self.context.blockers.blocked(cell, *task, Observer::Spill, None);
            }
        }
    }

    fn load(&self, cell: &Cell, link: LinkId, first_seq: Seq, place: Place) {
        match self.store.load(place) {
            Ok(batch) => cell.tell(Event::Link(link, LinkEvent::Loaded { first_seq, batch })),
            Err(error) => {
                let why = format!("{}: {error}", self.context.graph.link_name(link));
                cell.tell(Event::Task(self.task_of(link), TaskEvent::Failed { why }));
            }
        }
    }
}
