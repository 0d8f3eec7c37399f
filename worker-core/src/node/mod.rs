//! The machine of one node: its tasks, the ends of its links, and its peers.

mod admit;
mod check;
mod conns;
mod credit;
mod downlink;
mod finish;
mod followed;
mod go_away;
mod inspect;
mod kept;
mod settle;
#[cfg(test)]
mod stop_tests;
mod turns;
mod uplink;

use crate::ctx::Ctx;

use crate::config::{LinkOrder, NodeConfig, NodeIx, TaskId, WhenFull};
use crate::event::{Action, ConnEvent, ConnId, Event, Identity, LinkEvent, NodeEvent, SinkEvent, TaskEvent};
use crate::fault::Bug;
use crate::inbox::{AckWhen, Inbox};
use crate::outbox::Outbox;
use crate::recovery::{OutputState, PeerState, TaskState};
use crate::task::{Demand, Heads, Order, Task, TaskMachine};
use crate::time::Time;
use crate::timers::WakeReason;
use conns::Conns;
use downlink::Downlink;
use std::collections::BTreeMap;
use std::sync::Arc;
use uplink::{State, Uplink};
use worker_proto::LinkId;

/// One node of a pipeline: everything that decides, nothing that does.
///
/// # The law of use
///
/// 1. Hand it one input: [`handle`](Self::handle), [`accept`](Self::accept) or [`handle_wake`](Self::handle_wake), each
///    with the time.
/// 2. Drain [`poll_action`](Self::poll_action) until it gives `None`, doing each action in order.
/// 3. Ask [`next_wake`](Self::next_wake) when to call `handle_wake` if nothing else happens before.
///
/// Beside it, a connection that can be written to pulls frames with [`poll_transmit`](Self::poll_transmit) until that
/// gives `None`; it may then have new actions (2) and comes again after
/// [`ConnAction::Wake`](crate::event::ConnAction::Wake). What is sent is decided at that last moment: control before tuples, a link's retries before its fresh tuples.
///
/// Handlers decide, polls only pop. Time never goes back. Same inputs, seed and times: same outputs, byte for byte.
#[derive(Debug)]
pub struct Node {
    ctx: Ctx,
    tasks: Vec<Option<Task>>,
    /// So many of them, from the first on, are done or another node's.
    done: usize,
    uplinks: BTreeMap<NodeIx, Uplink>,
    downlinks: BTreeMap<NodeIx, Downlink>,
    conns: Conns,
    over: bool,
    /// The node has failed and halts by then.
    halt_by: Option<Time>,
    /// The node checks itself after so many inputs more.
    #[cfg(debug_assertions)]
    check_after: usize,
}

impl Node {
    /// A node at its start, with `delivery = "memory"`; its first actions are ready.
    ///
    /// # Panics
    /// If the graph names tasks or nodes that do not exist.
    #[must_use]
    pub fn new(config: NodeConfig, now: Time) -> Self {
        Self::start(config, now, None)
    }

    /// A node with `delivery = "exactly-once"`, whose tasks go on where their journals say; its first actions are ready.
    ///
    /// `states` has one entry for each task of this node ([`TaskState::fresh`] for one that never ran), whose epoch is higher
    /// than that of any life before and durable. Every [`JournalAction::Persist`](crate::event::JournalAction::Persist) then goes to the task's journal, and
    /// [`TaskEvent::Persisted`](crate::event::TaskEvent::Persisted) comes when it is on stable storage.
    ///
    /// Tasks whose states name one journal share it, and a prefix of it is what a crash leaves: commits must be appended to it in the
    /// order in which they are asked for, whichever task asks. What such tasks give each other does not wait until it is durable.
    ///
    /// # Panics
    /// If the graph names tasks or nodes that do not exist.
    #[must_use]
    pub fn with_journal(config: NodeConfig, now: Time, states: &BTreeMap<TaskId, TaskState>) -> Self {
        Self::start(config, now, Some(states))
    }

    fn start(config: NodeConfig, now: Time, states: Option<&BTreeMap<TaskId, TaskState>>) -> Self {
        let config = Arc::new(config);
        let mut ctx = Ctx::new(Arc::clone(&config), now, states);
        let (graph, me) = (&config.graph, config.me);
        let mut inputs = vec![Vec::new(); graph.tasks.len()];
        let mut outputs = vec![Vec::new(); graph.tasks.len()];
        let mut up: BTreeMap<NodeIx, Vec<LinkId>> = BTreeMap::new();
        let mut down: BTreeMap<NodeIx, Vec<LinkId>> = BTreeMap::new();
        for (at, link) in graph.links.iter().enumerate() {
            let id = LinkId(u32::try_from(at).expect("fewer than 2³² links"));
            let (from, to) = (graph.task(link.from).node, graph.task(link.to).node);
            outputs[link.from.0 as usize].push(id);
            inputs[link.to.0 as usize].push(id);
            if from == me {
                let outbox = make_outbox(&config, id, states);
                ctx.outboxes.add(graph, me, id, outbox, states.is_some());
            }
            if to == me {
                ctx.inboxes[at] = Some(make_inbox(&config, id, states));
            }
            if from == me && to != me {
                up.entry(to).or_default().push(id);
            } else if from != me && to == me {
                down.entry(from).or_default().push(id);
            }
        }
        let in_flight: u64 = states.into_iter().flatten().map(|(_, s)| s.attempt.records).sum();
        let tasks = graph.tasks.iter().zip(inputs).zip(outputs).enumerate();
        let tasks = tasks
            .map(|(at, ((spec, inputs), outputs))| {
                let id = TaskId(u32::try_from(at).expect("fewer than 2³² tasks"));
                (spec.node == me).then(|| {
                    let order = Order::of(&config, id, &inputs, &outputs);
                    let heads = Heads::of(&config, id, &inputs);
                    order.gives().for_each(|links| ctx.outboxes.are_in_order(links));
                    let demand = Demand::of(&config, &outputs);
                    let mut task = Task::new(id, spec, inputs, outputs, (order, heads, demand));
                    if let Some(state) = states.and_then(|s| s.get(&id)) {
                        task.restore(&mut ctx, state, in_flight);
                    }
                    task
                })
            })
            .collect();
        let uplinks = up.into_iter().map(|(peer, links)| (peer, Uplink::new(peer, links, &ctx))).collect();
        let downlinks =
            down.into_iter().map(|(peer, links)| (peer, Downlink::new(peer, links, now))).collect();
        let mut node = Self {
            ctx,
            tasks,
            done: 0,
            uplinks,
            downlinks,
            conns: Conns::default(),
            over: false,
            halt_by: None,
            #[cfg(debug_assertions)]
            check_after: 0,
        };
        node.begin();
        node
    }

    fn begin(&mut self) {
        self.open_local_links();
        for task in self.tasks.iter().flatten() {
            self.ctx.task_changed(task.base.id);
        }
        for uplink in self.uplinks.values_mut() {
            uplink.dial(&mut self.ctx, self.conns.dial(uplink.peer));
        }
        self.settle();
    }

    /// An earlier life of this node finished everything and said so: nobody is dialled, peers that ask are answered, and after
    /// `linger` it is over. To be called right after [`with_journal`](Self::with_journal).
    pub fn was_finished(&mut self, now: Time) {
        self.at(now);
        for peer in self.uplinks.keys().copied().collect::<Vec<_>>() {
            self.needs_no_more(peer);
        }
        self.settle();
    }

    /// What an earlier life has kept of the peers that it sends to. To be called right after [`with_journal`](Self::with_journal).
    pub fn knows_peers(&mut self, now: Time, peers: &BTreeMap<NodeIx, PeerState>) {
        self.at(now);
        for (peer, state) in peers {
            let Some(uplink) = self.uplinks.get_mut(peer) else { continue };
            uplink.remember(state);
            if state.finished && !self.ctx.planted.is(Bug::FinishedPeerForgotten) {
                self.needs_no_more(*peer);
            }
        }
        self.settle();
    }

    /// The peer has everything: it may be gone, and nobody looks for it.
    fn needs_no_more(&mut self, peer: NodeIx) {
        let Some(uplink) = self.uplinks.get_mut(&peer) else { return };
        if let State::Dialing(conn) = uplink.state {
            self.conns.remove(conn);
            let dials = |action: &Action| matches!(action, Action::Conn(at, _) if *at == conn);
            self.ctx.actions.retain(|action| !dials(action));
        }
        uplink.give_up();
        for i in 0..uplink.links.len() {
            self.ctx.outbox(uplink.links[i]).cancel();
            self.ctx.outbox_changed(uplink.links[i]);
            self.ctx.sender_changed(uplink.links[i]);
        }
    }

    /// A connection was accepted; its first frame will say from whom.
    pub fn accept(&mut self, now: Time) -> ConnId {
        self.accept_as(now, Identity::Claimed)
    }

    /// The same where it may be proved from which node: it is let in as that one only.
    pub fn accept_as(&mut self, now: Time, identity: Identity) -> ConnId {
        self.at(now);
        self.conns.accept(identity)
    }

    /// Handles something that happened.
    pub fn handle(&mut self, now: Time, event: Event) {
        self.at(now);
        if !self.over {
            self.dispatch(event);
            self.settle();
        } else {
            self.hear_afterwards(event);
        }
    }

    /// It is over, and decides nothing: connections close, and what is written by then is counted.
    fn hear_afterwards(&mut self, event: Event) {
        match event {
            Event::Conn(conn, ConnEvent::Closed { .. }) => self.conns.remove(conn),
            Event::Task(id, TaskEvent::Sink(SinkEvent::Written { work, .. })) => {
                self.with_task(id, |task, ctx| {
                    if let TaskMachine::Sink(sink) = &mut task.kind {
                        sink.written_afterwards(&mut task.base, ctx, work);
                    }
                });
            }
            Event::Conn(..) | Event::Link(..) | Event::Task(..) | Event::Node(_) => {}
        }
    }

    /// Does what is due at `now`.
    pub fn handle_wake(&mut self, now: Time) {
        self.at(now);
        while let (Some(reason), false) = (self.ctx.timers.pop_due(now), self.over) {
            self.wake(reason);
            self.settle();
        }
    }

    /// The next thing the driver must do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.ctx.actions.pop_front()
    }

    /// The next frame to write on a connection. Call it only when the frame can be written soon.
    pub fn poll_transmit(&mut self, now: Time, conn: ConnId) -> Option<worker_proto::Frame> {
        self.at(now);
        let frame = self.transmit(conn);
        if frame.is_none() && !self.over {
            self.settle();
        }
        frame
    }

    /// When [`handle_wake`](Self::handle_wake) is due, and why.
    #[must_use]
    pub fn next_wake(&self) -> Option<(Time, WakeReason)> {
        self.ctx.timers.next()
    }

    /// Plants a bug, for tests of tests.
    #[doc(hidden)]
    pub fn plant(&mut self, bug: crate::fault::Bug) {
        self.ctx.planted.plant(bug);
        self.ctx.outboxes.plant(bug);
        for inbox in self.ctx.inboxes.iter_mut().flatten() {
            inbox.planted.plant(bug);
        }
    }

    fn at(&mut self, now: Time) {
        self.ctx.now = self.ctx.now.max(now);
    }

    fn wake(&mut self, reason: WakeReason) {
        match reason {
            WakeReason::Linger(task) => self.ctx.task_changed(task),
            WakeReason::Retry(task) => self.with_task(task, |task, ctx| task.retry_due(ctx)),
            WakeReason::Tick(task) => self.with_task(task, |task, ctx| {
                if let TaskMachine::Records(records) = &mut task.kind {
                    records.tick_due(&task.base, ctx);
                }
            }),
            WakeReason::Window(task) => self.with_task(task, |task, ctx| {
                if let TaskMachine::Stream(stream) = &mut task.kind {
                    stream.window_due(&mut task.base, ctx);
                }
            }),
            WakeReason::Rate(stage) => {
                self.ctx.rates.due(stage).into_iter().for_each(|task| self.ctx.task_changed(task));
            }
            WakeReason::Verdict(task) => self.with_task(task, |task, ctx| task.verdict_due(ctx)),
            WakeReason::Redial(peer) => {
                if let Some(uplink) = self.uplinks.get_mut(&peer) {
                    let conn = self.conns.dial(peer);
                    uplink.dial(&mut self.ctx, conn);
                }
            }
            WakeReason::Credit(peer) => {
                if let Some(uplink) = self.uplinks.get_mut(&peer) {
                    uplink.look_at_credit(&mut self.ctx);
                }
            }
            WakeReason::Goodbye if self.ctx.is_halted() => {}
            WakeReason::Goodbye => self.give_up_goodbyes(),
        }
    }

    fn with_task(&mut self, id: TaskId, f: impl FnOnce(&mut Task, &mut Ctx)) {
        if let Some(Some(task)) = self.tasks.get_mut(id.0 as usize) {
            f(task, &mut self.ctx);
        }
    }

    /// Every input is decided in the part of the node it concerns.
    fn dispatch(&mut self, event: Event) {
        match event {
            Event::Conn(conn, event) => self.conn_event(conn, event),
            Event::Link(link, event) => self.link_event(link, event),
            Event::Task(task, event) => self.with_task(task, |task, ctx| task.handle(ctx, event)),
            Event::Node(NodeEvent::Drain) => self.drain(),
            Event::Node(NodeEvent::Finish) => self.finish(),
            Event::Node(NodeEvent::WasStopped { lasted }) => self.was_stopped(lasted),
            Event::Node(NodeEvent::StorageFull { full }) => self.storage_full(full),
            Event::Node(NodeEvent::PeerKept { peer, version }) => {
                self.peer_kept(peer, version);
            }
        }
    }

    fn link_event(&mut self, link: LinkId, event: LinkEvent) {
        match event {
            LinkEvent::Stored { first_seq, place } => {
                self.ctx.outbox(link).stored(first_seq, place);
                self.ctx.sender_changed(link);
            }
            LinkEvent::Loaded { first_seq, batch } => self.ctx.outbox(link).loaded(first_seq, batch),
        }
        self.ctx.outbox_changed(link);
    }
}

fn make_outbox(config: &NodeConfig, link: LinkId, states: Option<&BTreeMap<TaskId, TaskState>>) -> Outbox {
    let limit = config.limits.outbox_bytes;
    let Some(states) = states else {
        return match config.graph.when_full.get(&link).copied().unwrap_or_default() {
            WhenFull::Wait => Outbox::new(limit),
            drops @ (WhenFull::DropNewest | WhenFull::DropOldest) => Outbox::dropping(limit, drops),
        };
    };
    let state = states.get(&config.graph.link(link).from).and_then(|s| s.outputs.get(&link));
    Outbox::restore(limit, state.unwrap_or(&OutputState::fresh()))
}

fn make_inbox(config: &NodeConfig, link: LinkId, states: Option<&BTreeMap<TaskId, TaskState>>) -> Inbox {
    let inbox = restored_inbox(config, link, states);
    match config.graph.link(link).order {
        LinkOrder::Any => inbox,
        LinkOrder::Dealt | LinkOrder::Shared => inbox.in_chunks(),
    }
}

fn restored_inbox(config: &NodeConfig, link: LinkId, states: Option<&BTreeMap<TaskId, TaskState>>) -> Inbox {
    let capacity = config.limits.credit_bytes;
    let Some(states) = states else { return Inbox::new(link, capacity, AckWhen::Received) };
    match states.get(&config.graph.link(link).to).and_then(|s| s.inputs.get(&link)) {
        Some(state) => Inbox::restore(link, capacity, state),
        None => Inbox::new(link, capacity, AckWhen::Committed),
    }
}

#[cfg(test)]
mod admit_tests;
#[cfg(test)]
mod alone_tests;
#[cfg(test)]
mod credit_tests;
#[cfg(test)]
mod demand_tests;
#[cfg(test)]
mod finish_tests;
#[cfg(test)]
mod header_tests;
#[cfg(test)]
mod held_back_tests;
#[cfg(test)]
mod injected_tests;
#[cfg(test)]
mod journal_tests;
#[cfg(test)]
mod link_reason_tests;
#[cfg(test)]
mod lives_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod pause_tests;
#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod play;
#[cfg(test)]
mod quarantine_tests;
#[cfg(test)]
mod reason_tests;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod stopped_tests;
#[cfg(test)]
mod tests;
