//! The node behind its lock, its clock and its timer, and the law of use: what follows from news is carried out before the lock
//! is given back, and so in order.

use super::trace::{Mark, Tracer};
use crate::awake::Clock;
use crate::mutex::lock;
use crate::text::units::duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use tokio::sync::{Notify, oneshot};
use worker_core::config::TaskId;
use worker_core::event::{Action, Event, NodeError, NodeEvent};
use worker_core::stall::Stall;
use worker_core::status::{Status, TaskCounters};
use worker_core::{Node, Time};

/// How a node's work ended.
#[derive(Debug)]
pub(super) enum End {
    Finished,
    Failed(NodeError),
    Stopped(i32),
}

/// What carries out actions. It is called under the node's lock: it must not wait.
pub(super) trait Carry: Send + Sync {
    fn carry_out(&self, cell: &Cell, node: &mut Node, action: Action);
}

/// Who hears what happened: the node, or a test.
pub trait Tell: Send + Sync {
    fn tell(&self, event: Event);
    /// Several at once, under one lock.
    fn tell_all(&self, events: Vec<Event>);
    /// For how long the process has run; time in which it was stopped is none.
    fn now(&self) -> Time;
    /// What goes on in the node.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
    /// Whether what a stream's program prints is to be read now.
    fn takes_print(&self, _task: TaskId) -> bool {
        true
    }
    /// A driver has done something that the node need not know.
    fn mark(&self, _mark: Mark) {}
}

/// Whether anything goes on in a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Records that wait, or are worked on.
    pub(super) waiting: u64,
    /// Records taken, given and done so far, by all tasks.
    pub(super) moved: u64,
}

/// One node; everybody who has news for it holds the cell, and the cell knows nobody but who carries actions out.
pub(super) struct Cell {
    node: Mutex<Node>,
    tracer: Tracer,
    clock: Arc<Clock>,
    carrier: OnceLock<Box<dyn Carry>>,
    wake_at: Mutex<Option<Time>>,
    timer: Notify,
    pub(super) activity: Activity,
    ended: Mutex<Option<oneshot::Sender<End>>>,
    stop_asked: Notify,
}

impl Cell {
    /// A node that does nothing until it has a carrier; `ended` is told how it ends.
    pub(super) fn new(node: Node, tracer: Tracer, ended: oneshot::Sender<End>) -> Arc<Self> {
        Arc::new(Self {
            node: Mutex::new(node),
            tracer,
            clock: Clock::running(),
            carrier: OnceLock::new(),
            wake_at: Mutex::new(None),
            timer: Notify::new(),
            activity: Activity::default(),
            ended: Mutex::new(Some(ended)),
            stop_asked: Notify::new(),
        })
    }

    /// Lets the node act, for the first time, and whenever its time has come.
    pub(super) fn start(self: &Arc<Self>, carrier: Box<dyn Carry>) {
        if self.carrier.set(carrier).is_ok() {
            tokio::spawn(Arc::clone(self).keep_time());
            self.act(|_, _| {});
        }
    }

    /// Lets `f` use the node, then carries out what the node asks for, in order.
    pub(super) fn act<R>(&self, f: impl FnOnce(&mut Node, Time) -> R) -> R {
        let mut node = self.node();
        // Behind the lock: whoever looks whether anything stirs, and then rests, looks before this is handled or after.
        if self.activity.stir() && self.clock.goes_on() {
            debug_assert!(node.next_wake().is_none(), "while the clock rests nobody waits for time");
            self.timer.notify_one();
        }
        let now = Tell::now(self);
        if let Some(lasted) = self.clock.take_stop() {
            tracing::warn!("this process was itself stopped for {}", duration(lasted.as_secs_f64()));
            node.handle(now, Event::Node(NodeEvent::WasStopped { lasted }));
        }
        let result = f(&mut node, now);
        let Some(carrier) = self.carrier.get() else { return result };
        let tracer = self.tracer();
        while let Some(action) = node.poll_action() {
            if let Some(tracer) = tracer {
                tracer.asked_for(&node, &action);
            }
            carrier.carry_out(self, &mut node, action);
        }
        if let Some(tracer) = tracer {
            tracer.look(&node);
        }
        let next = node.next_wake().map(|(at, _)| at);
        let mut wake_at = lock(&self.wake_at);
        if *wake_at != next {
            let sooner = next.is_some_and(|n| wake_at.is_none_or(|w| n < w));
            *wake_at = next;
            if sooner {
                self.timer.notify_one();
            }
        }
        result
    }

    /// Wakes the node when it asked to be.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let wake_at = *lock(&self.wake_at);
            match wake_at {
                None if self.clock.rests() => self.timer.notified().await,
                None => {
                    tokio::time::timeout(Clock::LOOK_EVERY, self.timer.notified()).await.ok();
                    // Only the clock is looked at, unless there is something to tell.
                    if self.clock.has_stopped() {
                        self.act(|_, _| {});
                    }
                }
                Some(at) => {
                    let wait = at.since(Tell::now(&*self));
                    if wait.is_zero() {
                        self.act(|node, now| node.handle_wake(now));
                    } else {
                        tokio::select! {
                            () = tokio::time::sleep(wait.min(Clock::LOOK_EVERY)) => {}
                            () = self.timer.notified() => {}
                        }
                    }
                }
            }
        }
    }

    /// Who follows records, where anybody wants to know.
    #[inline]
    pub(super) fn tracer(&self) -> Option<&Tracer> {
        Tracer::is_on().then_some(&self.tracer)
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        lock(&self.node)
    }

    /// Waits until something happens; `alone`: until then no peer can miss this process.
    pub(super) async fn rest(&self, alone: bool) {
        if alone {
            self.let_clock_rest();
        }
        self.activity.stirred().await;
        if self.clock.goes_on() {
            self.timer.notify_one();
        }
    }

    /// The clock rests where nothing has happened since that was to be seen and nobody waits for time, for what passes then counts,
    /// a stop of the process included. Both are known under the node's lock, under which things happen: so whatever happens ends
    /// the rest before anybody waits for time, and the node's waits have nothing of it.
    fn let_clock_rest(&self) {
        let _node = self.node();
        if self.activity.is_undisturbed() && lock(&self.wake_at).is_none() {
            self.clock.rest();
        }
    }

    /// Looks at the node for a moment.
    pub(super) fn look<R>(&self, f: impl FnOnce(&Node) -> R) -> R {
        f(&self.node())
    }

    pub(super) fn status(&self) -> Status {
        self.look(Node::status)
    }

    /// Counters and queues, and the reasons for which work waits, of one moment.
    pub(super) fn status_and_stalls(&self) -> (Status, Vec<Stall>) {
        self.look(|node| (node.status(), node.stalls()))
    }

    /// The run ends so; the first end counts.
    pub(super) fn end(&self, end: End) {
        if let Some(sender) = lock(&self.ended).take() {
            sender.send(end).ok();
        }
    }

    /// The node is to be stopped in good order: a sink has no reader any more, and this life cannot finish its work.
    pub(super) fn ask_for_a_stop(&self) {
        self.stop_asked.notify_one();
    }

    /// Resolves when that was asked.
    pub(super) async fn stop_asked(&self) {
        self.stop_asked.notified().await;
    }

    /// Says a last word to the peers, where the node has not done so by itself, and decides nothing more.
    pub(super) fn leave(&self) {
        self.act(Node::stop);
    }
}

impl Tell for Cell {
    fn tell(&self, event: Event) {
        if let Some(tracer) = self.tracer() {
            tracer.told(&event);
        }
        self.act(|node, now| node.handle(now, event));
    }

    fn tell_all(&self, events: Vec<Event>) {
        if let Some(tracer) = self.tracer() {
            events.iter().for_each(|event| tracer.told(event));
        }
        self.act(|node, now| events.into_iter().for_each(|event| node.handle(now, event)));
    }

    fn now(&self) -> Time {
        Time::ZERO + self.clock.now()
    }

    fn traffic(&self) -> Traffic {
        let status = self.status();
        let held = status.links.iter().map(|link| link.counters.held_records);
        let waiting = held.chain(status.tasks.iter().map(|task| task.queued_records)).sum();
        let moved = status.tasks.iter().map(|task| {
            let TaskCounters { records_in, records_out, .. } = task.counters;
            records_in + records_out + task.done_records
        });
        Traffic { waiting, moved: moved.sum() }
    }

    fn takes_print(&self, task: TaskId) -> bool {
        self.look(|node| node.takes_print(task))
    }

    fn mark(&self, mark: Mark) {
        if let Some(tracer) = self.tracer() {
            tracer.mark(mark);
        }
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").finish_non_exhaustive()
    }
}

/// Whether anything happens: who looks at the node rests while nothing does.
#[derive(Debug, Default)]
pub(super) struct Activity {
    rests: AtomicBool,
    stirred: Notify,
}

impl Activity {
    /// Something happens; cheap, for it is said at every event. Says whether somebody rests.
    fn stir(&self) -> bool {
        let rested = self.rests.load(Ordering::Relaxed) && self.rests.swap(false, Ordering::AcqRel);
        if rested {
            self.stirred.notify_waiters();
        }
        rested
    }

    /// From now on it is seen whether anything happens. To be said before a look, for what happens during it is not in it.
    pub(super) fn rests(&self) {
        self.rests.store(true, Ordering::Release);
    }

    /// Nothing has happened since [`rests`](Self::rests).
    fn is_undisturbed(&self) -> bool {
        self.rests.load(Ordering::Acquire)
    }

    /// Nobody rests after all.
    pub(super) fn goes_on(&self) {
        self.stir();
    }

    /// Resolves when something happens after [`rests`](Self::rests), at once if something did.
    pub(super) async fn stirred(&self) {
        let stirred = self.stirred.notified();
        tokio::pin!(stirred);
        stirred.as_mut().enable();
        if self.is_undisturbed() {
            stirred.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::sink_of;
    use super::*;

    fn cell() -> Arc<Cell> {
        let config = sink_of(1);
        let tracer = Tracer::new(Arc::new(config.graph.clone()), false);
        Cell::new(Node::new(config, Time::ZERO), tracer, oneshot::channel().0)
    }

    #[test]
    fn the_clock_rests_only_where_nothing_has_happened_since_the_look_and_whatever_happens_ends_it() {
        let cell = cell();
        cell.activity.rests();
        cell.act(|_, _| {});
        cell.let_clock_rest();
        assert!(!cell.clock.rests(), "something was told between the look and the rest");
        cell.activity.rests();
        cell.let_clock_rest();
        assert!(cell.clock.rests());
        cell.act(|_, _| assert!(!cell.clock.rests(), "what follows from it may wait for time"));
    }

    #[test]
    fn the_clock_does_not_rest_while_somebody_waits_for_time() {
        let cell = cell();
        *lock(&cell.wake_at) = Some(Time::from_micros(1));
        cell.activity.rests();
        cell.let_clock_rest();
        assert!(!cell.clock.rests());
    }
}
