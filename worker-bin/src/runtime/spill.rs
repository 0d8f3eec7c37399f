//! The thread that moves batches out of memory and back, and keeps dead letters.

use super::blockers::Observer;
use super::engine::Engine;
use crate::io::spill::{SpillError, SpillStore};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use worker_core::config::TaskId;
use worker_core::event::{Blocker, Commit, Event, LinkEvent, Place, TaskEvent};
use worker_proto::{Batch, LinkId, Seq};

/// How long to wait before a full disk is tried again.
pub(super) const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// Orders for the spill thread. Bounded by the core: what is on its way out of memory is part of each link's budget.
#[derive(Debug)]
pub(super) struct SpillPort {
    pub(super) store: Arc<SpillStore>,
    orders: Sender<SpillCommand>,
}

#[derive(Debug)]
enum SpillCommand {
    Store(LinkId, Seq, Batch),
    Load(LinkId, Seq, Place),
    Discard(Place),
    Dead(TaskId, Box<Commit>),
    Flush(oneshot::Sender<()>),
}

/// The thread's side, until it is started.
#[derive(Debug)]
pub(super) struct SpillOrders {
    store: Arc<SpillStore>,
    orders: Receiver<SpillCommand>,
    /// The last attempt to store failed; the next is due then.
    retry_at: Cell<Option<Instant>>,
    /// Tasks whose outputs are not stored because of it, as far as the node was told.
    held_up: RefCell<BTreeSet<TaskId>>,
}

impl SpillPort {
    pub(super) fn new(dir: &Path) -> Result<(Self, SpillOrders), SpillError> {
        let store = Arc::new(SpillStore::new(dir)?);
        let (sender, receiver) = channel();
        Ok((
            Self { store: Arc::clone(&store), orders: sender },
            SpillOrders { store, orders: receiver, retry_at: Cell::new(None), held_up: RefCell::default() },
        ))
    }

    pub(super) fn store(&self, link: LinkId, first_seq: Seq, batch: Batch) {
        self.orders.send(SpillCommand::Store(link, first_seq, batch)).ok();
    }

    pub(super) fn load(&self, link: LinkId, first_seq: Seq, place: Place) {
        self.orders.send(SpillCommand::Load(link, first_seq, place)).ok();
    }

    /// Keeps a commit's dead letters, then tells that it is durable.
    pub(super) fn keep_dead(&self, task: TaskId, commit: Commit) {
        self.orders.send(SpillCommand::Dead(task, Box::new(commit))).ok();
    }

    /// Waits until what was ordered before is done: no dead letter is left unwritten when the process ends.
    pub(super) async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        self.orders.send(SpillCommand::Flush(sender)).ok();
        done.await.ok();
    }

    /// In order behind loads of the same place.
    pub(super) fn discard(&self, place: Place) {
        self.orders.send(SpillCommand::Discard(place)).ok();
    }
}

impl SpillOrders {
    pub(super) fn start(self, engine: &Arc<Engine>) -> std::io::Result<()> {
        let engine = Arc::downgrade(engine);
        let run = move || {
            let mut waiting: VecDeque<(LinkId, Seq, Batch)> = VecDeque::new();
            while let Some(order) = self.next(!waiting.is_empty()) {
                let Some(engine) = engine.upgrade() else { return };
                match order {
                    Some(SpillCommand::Store(link, first_seq, batch)) => {
                        waiting.push_back((link, first_seq, batch))
                    }
                    Some(SpillCommand::Load(link, first_seq, place)) => {
                        self.load(&engine, link, first_seq, place)
                    }
                    Some(SpillCommand::Discard(place)) => self.store.discard(place),
                    Some(SpillCommand::Dead(task, commit)) => {
                        engine.tell(match engine.keep_dead(task, &commit.dead) {
                            Ok(()) => Event::Task(task, TaskEvent::Persisted { commit: commit.id }),
                            Err(why) => Event::Task(task, TaskEvent::Failed { why }),
                        })
                    }
                    Some(SpillCommand::Flush(done)) => drop(done),
                    None => {}
                }
                if self.retry_at.get().is_none_or(|at| Instant::now() >= at) {
                    self.store_waiting(&engine, &mut waiting);
                }
            }
        };
        std::thread::Builder::new().name("spill".into()).spawn(run).map(drop)
    }

    /// The next order; `Some(None)` when it is time to try a full disk again, `None` when there will be no more.
    fn next(&self, full: bool) -> Option<Option<SpillCommand>> {
        let Some(retry_at) = self.retry_at.get().filter(|_| full) else {
            return self.orders.recv().ok().map(Some);
        };
        match self.orders.recv_timeout(retry_at.saturating_duration_since(Instant::now())) {
            Ok(order) => Some(Some(order)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// A full disk only makes the tasks behind it wait: what is to be stored stays in memory, within its link's budget,
    /// and loads, which make room, go on.
    fn store_waiting(&self, engine: &Arc<Engine>, waiting: &mut VecDeque<(LinkId, Seq, Batch)>) {
        while let Some((link, first_seq, batch)) = waiting.front() {
            match self.store.store(batch) {
                Ok(place) => {
                    let (link, first_seq) = (*link, *first_seq);
                    if self.retry_at.take().is_some() {
                        tracing::info!("outputs can be put aside again");
                    }
                    waiting.pop_front();
                    let task = task_of(engine, link);
                    let was_held_up = self.held_up.borrow().contains(&task);
                    if was_held_up && waiting.iter().all(|(other, ..)| task_of(engine, *other) != task) {
                        self.goes_on(engine, &[task].into());
                    }
                    engine.tell(Event::Link(link, LinkEvent::Stored { first_seq, place }));
                }
                Err(error) => {
                    if self.retry_at.replace(Some(Instant::now() + FULL_DISK_WAIT)).is_none() {
                        tracing::warn!(%error, "cannot put outputs aside; tasks behind it wait until it works");
                    }
                    // What was acknowledged meanwhile needs no place any more.
                    engine.act(|node, _| {
                        waiting
                            .retain(|(link, seq, _)| node.outbox(*link).is_some_and(|o| o.is_storing(*seq)));
                    });
                    return self.say_held_up(engine, waiting, &error);
                }
            }
        }
    }

    /// Tells the node which tasks the disk holds up, and which it does not any more.
    fn say_held_up(
        &self,
        engine: &Arc<Engine>,
        waiting: &VecDeque<(LinkId, Seq, Batch)>,
        error: &SpillError,
    ) {
        let now: BTreeSet<_> = waiting.iter().map(|(link, ..)| task_of(engine, *link)).collect();
        let before = self.held_up.borrow().clone();
        for &task in now.difference(&before) {
            let full = Blocker::DiskFull { since: engine.now(), what: error.to_string() };
            engine.blocked(task, Observer::Spill, Some(full));
        }
        self.goes_on(engine, &before.difference(&now).copied().collect());
        self.held_up.borrow_mut().extend(now);
    }

    fn goes_on(&self, engine: &Arc<Engine>, tasks: &BTreeSet<TaskId>) {
        for task in tasks {
            if self.held_up.borrow_mut().remove(task) {
                engine.blocked(*task, Observer::Spill, None);
            }
        }
    }

    fn load(&self, engine: &Arc<Engine>, link: LinkId, first_seq: Seq, place: Place) {
        match self.store.load(place) {
            Ok(batch) => engine.tell(Event::Link(link, LinkEvent::Loaded { first_seq, batch })),
            Err(error) => {
                let (task, why) =
                    (engine.graph.link(link).from, format!("{}: {error}", engine.graph.link_name(link)));
                engine.tell(Event::Task(task, TaskEvent::Failed { why }));
            }
        }
    }
}

/// The task whose output a link carries.
fn task_of(engine: &Engine, link: LinkId) -> TaskId {
    engine.graph.link(link).from
}
