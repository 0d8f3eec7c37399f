//! What tasks and peers of a node share.

use crate::alone::Alone;
use crate::check::{Inconsistency, same};
use crate::config::{LinkOrder, NodeConfig, NodeIx, TaskId, TaskKind};
use crate::credit::SharedCredit;
use crate::event::{Action, Body, LinkAction, NodeError, Output};
use crate::fault::{Bug, Planted};
use crate::inbox::Inbox;
use crate::outbox::{Outbox, Request};
use crate::outboxes::{Changing, Outboxes};
use crate::rate::{Allowance, Rates};
use crate::recovery::TaskState;
use crate::rng::Rng;
use crate::slots::Slots;
use crate::stages::Stages;
use crate::time::Time;
use crate::timers::{Timers, WakeReason};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use worker_proto::frame::Open;
use worker_proto::{Epoch, JournalId, LinkId};

/// Links, timers, slots and the queue of actions, and what has changed since they were last looked at.
#[derive(Debug)]
pub(crate) struct Ctx {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) now: Time,
    /// When this life began.
    pub(crate) begun: Time,
    pub(crate) timers: Timers,
    pub(crate) slots: Slots,
    pub(crate) stages: Stages,
    pub(crate) rates: Rates,
    pub(super) shared_credit: SharedCredit,
    pub(crate) rng: Rng,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) planted: Planted,
    pub(crate) draining: bool,
    /// Sources end here, and all that was taken is to be delivered.
    pub(crate) finishing: bool,
    /// In memory: of all that the draining node took nothing moves any more, and nothing more comes.
    pub(crate) leaving: bool,
    /// `delivery = "exactly-once"`: every task has a journal.
    pub(crate) journaled: bool,
    /// Epoch and journal of each task; in memory mode the process's life.
    lives: Vec<(Epoch, JournalId)>,
    /// Of each task, whether another one reads from it.
    gives: Vec<bool>,
    /// The disk that commits go to is full: what was admitted goes on, nothing else is.
    pub(crate) storage_full: bool,
    /// Tasks that try a record of which the process may have died: nothing else is in flight then.
    pub(crate) alone: Alone,
    /// Records tasks that have unanswered requests.
    pub(crate) asking: usize,
    pub(crate) outboxes: Outboxes,
    pub(super) inboxes: Vec<Option<Inbox>>,
    pub(super) tasks_due: Due<TaskId>,
    pub(super) outboxes_due: Due<LinkId>,
    pub(super) inboxes_due: Due<LinkId>,
    /// Links whose receiver here wants nothing more and has not said so yet.
    pub(super) cancels: Vec<LinkId>,
    /// Inboxes that were empty and are not any more.
    pub(super) filled: Vec<LinkId>,
    /// Senders' lives to be made durable before their `Open` is answered.
    pub(super) lives_heard: Vec<Open>,
    /// Links whose sender's life is durable now.
    pub(crate) lives_durable: Vec<LinkId>,
    /// Links whose end has come, and whether for the first time.
    pub(super) ended: Vec<(LinkId, bool)>,
    /// Records that peers' restarts may have lost, in all.
    pub(crate) lost: u64,
    pub(super) halted: Option<NodeError>,
    /// This process was replaced, or has another state than its peers know: its end is not the pipeline's.
    pub(super) fenced: bool,
    /// Since when nobody has let this process in again that was stopped, or that a peer has given up.
    pub(super) left: Option<Left>,
    /// For how long this process was stopped last, and when it went on.
    pub(super) stopped: Option<(Duration, Time)>,
}

/// Why the others may have gone on without this process.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) how: HowLeft,
    pub(super) since: Time,
}

/// How it is known.
#[derive(Clone, Debug)]
pub(super) enum HowLeft {
    /// This peer has said that it heard nothing of it for too long.
    GivenUp(String),
    /// It was stopped for so long that every peer that lived must have given it up.
    Stopped(Duration),
}

impl Ctx {
    pub(super) fn new(
        config: Arc<NodeConfig>,
        now: Time,
        states: Option<&BTreeMap<TaskId, TaskState>>,
    ) -> Self {
        let links = config.graph.links.len();
        let incarnation = config.incarnation.0;
        let mut lives = vec![(Epoch(incarnation), JournalId(incarnation)); config.graph.tasks.len()];
        for (task, state) in states.into_iter().flatten() {
            if let Some(life) = lives.get_mut(task.0 as usize) {
                *life = (state.epoch, state.journal);
            }
        }
        let mut gives = vec![false; config.graph.tasks.len()];
        config.graph.links.iter().for_each(|link| gives[link.from.0 as usize] = true);
        Self {
            now,
            begun: now,
            timers: Timers::default(),
            slots: Slots::new(config.slots, &config.graph),
            stages: Stages::new(&config.graph, config.me),
            rates: Rates::new(&config.graph, config.me, now),
            shared_credit: SharedCredit::new(config.limits.shared_credit_bytes),
            rng: Rng::new(config.seed),
            actions: VecDeque::new(),
            planted: Planted::default(),
            draining: false,
            finishing: false,
            leaving: false,
            journaled: states.is_some(),
            lives,
            gives,
            storage_full: false,
            alone: Alone::default(),
            asking: 0,
            lives_heard: Vec::new(),
            lives_durable: Vec::new(),
            outboxes: Outboxes::new(&config.graph, config.limits),
            inboxes: (0..links).map(|_| None).collect(),
            tasks_due: Due::new(config.graph.tasks.len(), |t| t.0 as usize),
            outboxes_due: Due::new(links, |l| l.0 as usize),
            inboxes_due: Due::new(links, |l| l.0 as usize),
            cancels: Vec::new(),
            filled: Vec::new(),
            ended: Vec::new(),
            lost: 0,
            halted: None,
            fenced: false,
            left: None,
            stopped: None,
            config,
        }
    }

    /// The task whose turn for a slot it is.
    pub(super) fn grant_slot(&mut self) -> Option<TaskId> {
        let alone = &self.alone;
        self.slots.grant(|task| alone.may_begin(task))
    }

    /// Where nothing is in flight, and nothing else begins, the next that waits to be alone has its turn; whether one has.
    pub(super) fn gives_turn(&mut self) -> bool {
        if self.slots.used() > 0 || self.asking > 0 {
            return false;
        }
        let Some(task) = self.alone.next() else { return false };
        self.task_changed(task);
        true
    }

    /// A records task has no unanswered request any more.
    pub(crate) fn asked_nothing(&mut self, task: TaskId) {
        self.asking -= 1;
        self.nothing_in_flight(task);
    }

    /// A task has nothing in flight any more: where it had its turn to be alone, that is over.
    pub(crate) fn nothing_in_flight(&mut self, task: TaskId) {
        if self.alone.has_turn(task) {
            self.no_longer_alone(task);
        } else {
            self.alone.other_ended();
        }
    }

    /// A task that had its turn to be alone, or waited for it, does not need it: those that held back for it may begin again.
    pub(crate) fn no_longer_alone(&mut self, task: TaskId) {
        if self.alone.leaves(task) {
            self.wake_records();
        }
    }

    /// What a task that would take something may take now, by the rate of its stage. One that may take nothing is stepped again
    /// when it may.
    pub(crate) fn allowance(&mut self, task: TaskId) -> Allowance {
        let allowance = self.rates.allowance(task, self.now);
        if let Allowance::Later { stage, until } = allowance {
            self.timers.set(WakeReason::Rate(stage), until);
        }
        allowance
    }

    fn wake_records(&mut self) {
        let config = Arc::clone(&self.config);
        for (at, task) in (0_u32..).zip(&config.graph.tasks) {
            if task.node == config.me && matches!(task.kind, TaskKind::Records(_)) {
                self.task_changed(TaskId(at));
            }
        }
    }

    pub(crate) fn act(&mut self, action: impl Into<Action>) {
        self.actions.push_back(action.into());
    }

    /// The outbox of a link that starts at this node.
    pub(crate) fn outbox(&mut self, link: LinkId) -> Changing<'_> {
        self.outboxes.change(link).expect("tasks name only their own output links")
    }

    pub(crate) fn outbox_ref(&self, link: LinkId) -> &Outbox {
        self.outboxes.get(link).expect("tasks name only their own output links")
    }

    /// The inbox of a link that ends at this node.
    pub(crate) fn inbox(&mut self, link: LinkId) -> &mut Inbox {
        self.inboxes[link.0 as usize].as_mut().expect("tasks name only their own input links")
    }

    pub(crate) fn inbox_ref(&self, link: LinkId) -> &Inbox {
        self.inboxes[link.0 as usize].as_ref().expect("tasks name only their own input links")
    }

    pub(crate) fn task_changed(&mut self, task: TaskId) {
        self.tasks_due.push(task);
    }

    pub(crate) fn outbox_changed(&mut self, link: LinkId) {
        self.outboxes_due.push(link);
    }

    pub(crate) fn inbox_changed(&mut self, link: LinkId) {
        self.inboxes_due.push(link);
    }

    /// The sending task of `link`, here, may be able to go on.
    pub(super) fn sender_changed(&mut self, link: LinkId) {
        let task = self.config.graph.link(link).from;
        self.task_changed(task);
    }

    /// A program of the task's stage has succeeded: the stage's other tasks may hold records back until then.
    pub(crate) fn has_succeeded(&mut self, task: TaskId) {
        self.stages.succeeded(task).into_iter().for_each(|other| self.task_changed(other));
    }

    /// A batch of the task has printed this header: the stage's other tasks may wait to know that.
    pub(crate) fn has_header(&mut self, task: TaskId, header: &Bytes) {
        self.stages.has_header(task, header).into_iter().for_each(|other| self.task_changed(other));
    }

    /// The task has done, durably, all that it will ever be given: the stage's other tasks may wait for that.
    pub(crate) fn has_done_all(&mut self, task: TaskId) {
        self.stages.over(task).into_iter().for_each(|other| self.task_changed(other));
    }

    /// Nothing more comes to the task: the stage's other tasks may wait for that.
    pub(crate) fn at_end(&mut self, task: TaskId) {
        self.stages.at_end(task).into_iter().for_each(|other| self.task_changed(other));
    }

    /// Tuples were accepted into the inbox of `link`.
    pub(super) fn inbox_filled(&mut self, link: LinkId, was_empty: bool) {
        if was_empty && !self.inbox_ref(link).is_empty() {
            self.filled.push(link);
        }
        self.inbox_changed(link);
        let task = self.config.graph.link(link).to;
        self.task_changed(task);
    }

    /// The end of `link` was accepted.
    pub(super) fn inbox_ended(&mut self, link: LinkId, first: bool) {
        self.ended.push((link, first));
        self.inbox_changed(link);
        let task = self.config.graph.link(link).to;
        self.task_changed(task);
    }

    pub(super) fn sender_is_source(&self, link: LinkId) -> bool {
        let graph = &self.config.graph;
        matches!(graph.task(graph.link(link).from).kind, TaskKind::Source)
    }

    /// Passes on what an outbox wants done.
    pub(super) fn drain_requests(&mut self, link: LinkId) {
        while self.outbox_ref(link).has_request() {
            let Some(request) = self.outbox(link).poll_request() else { return };
            self.act(match request {
                Request::Store { first_seq, batch } => {
                    Action::Link(link, LinkAction::Store { first_seq, batch })
                }
                Request::Load { first_seq, place, records } => {
                    Action::Link(link, LinkAction::Load { first_seq, place, records })
                }
                Request::Release { through } => Action::Link(link, LinkAction::Acknowledged { through }),
                Request::Discard { place } => Action::Link(link, LinkAction::Discard { place }),
            });
        }
    }

    /// Output that counts for nothing: what the driver stored of it is not needed.
    pub(crate) fn discard(&mut self, output: Output) {
        for chunk in output.chunks {
            if let Body::Stored { place, .. } = chunk.body {
                self.act(Action::Link(chunk.link, LinkAction::Discard { place }));
            }
        }
    }

    /// The receiver of `link`, here, wants nothing more.
    pub(crate) fn cancel_upstream(&mut self, link: LinkId) {
        self.cancels.push(link);
    }

    /// A task cannot go on: the pipeline has failed.
    pub(crate) fn fail_task(&mut self, task: &str, why: String) {
        self.halt(NodeError::Task { task: task.to_owned(), why });
    }

    /// The pipeline has failed; the first reason counts.
    pub(crate) fn halt(&mut self, error: NodeError) {
        self.halted.get_or_insert(error);
    }

    /// The node ends for a reason that is its own: its peers go on, and wait for whoever has its place.
    pub(crate) fn end_alone(&mut self, error: NodeError) {
        self.fenced |= self.halted.is_none();
        self.halt(error);
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted.is_some()
    }

    /// Whether both ends of a link are on this node.
    pub(crate) fn is_local(&self, link: LinkId) -> bool {
        let graph = &self.config.graph;
        let spec = graph.link(link);
        graph.task(spec.from).node == graph.task(spec.to).node
    }

    /// Whether the tasks at both ends of a link share a journal. Then what the receiver commits lies behind what it has taken, and
    /// is lost with it: neither has to wait until the other's commits are durable (C1 of columns). Commits are appended in the order
    /// in which they are asked for.
    pub(crate) fn is_in_column(&self, link: LinkId) -> bool {
        let shared = || self.sender_life(link).1 == self.receiver_journal(link);
        self.journaled && self.is_local(link) && (shared() || self.planted.is(Bug::AppendedAcrossColumns))
    }

    /// Whether the tuples of a link may be taken before their commit is durable: by a task of the same column that itself gives what
    /// it makes of them to another task. What an end takes leaves the pipeline.
    pub(crate) fn goes_on_appended(&self, link: LinkId) -> bool {
        let gives = || self.gives[self.config.graph.link(link).to.0 as usize];
        (self.is_in_column(link) && gives())
            || (self.journaled && self.planted.is(Bug::ColumnLeftBeforeDurable))
    }

    /// Whether what a link carries is kept in the order of the source.
    pub(crate) fn is_in_order(&self, link: LinkId) -> bool {
        self.config.graph.link(link).order != LinkOrder::Any
    }

    /// The present life of the task that sends on `link`, of this node, and its journal.
    pub(super) fn sender_life(&self, link: LinkId) -> (Epoch, JournalId) {
        self.lives[self.config.graph.link(link).from.0 as usize]
    }

    /// The journal of the task that receives on `link`, of this node.
    pub(super) fn receiver_journal(&self, link: LinkId) -> JournalId {
        self.lives[self.config.graph.link(link).to.0 as usize].1
    }

    /// Whether a peer that can be reached would be by now: after a first dial that failed at the node's start a second one was due.
    pub(crate) fn is_past_first_dial(&self) -> bool {
        self.now.since(self.begun) >= self.config.redial.initial
    }

    pub(super) fn node_name(&self, node: NodeIx) -> &str {
        &self.config.nodes[usize::from(node.0)]
    }
}

/// Ids to look at again, each at most once in the queue.
#[derive(Debug)]
pub(super) struct Due<T> {
    queue: VecDeque<T>,
    queued: Vec<bool>,
    index: fn(T) -> usize,
}

impl<T: Copy> Due<T> {
    fn new(count: usize, index: fn(T) -> usize) -> Self {
        Self { queue: VecDeque::new(), queued: vec![false; count], index }
    }

    fn push(&mut self, id: T) {
        let queued = &mut self.queued[(self.index)(id)];
        if !std::mem::replace(queued, true) {
            self.queue.push_back(id);
        }
    }

    /// Each id that is marked is in the queue, once.
    pub(super) fn check(&self, what: &'static str) -> Result<(), Inconsistency> {
        let marked = self.queue.iter().filter(|&&id| self.queued[(self.index)(id)]).count();
        same(what, self.queue.len(), marked)?;
        same(what, self.queue.len(), self.queued.iter().filter(|&&queued| queued).count())
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let id = self.queue.pop_front()?;
        self.queued[(self.index)(id)] = false;
        Some(id)
    }
}
