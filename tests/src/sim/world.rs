//! The system under test: several nodes' cores, each in a simulated process, under one clock.

use super::check::{Check, Checked, Violation, require};
use super::copies::Copies;
use super::disk::Disk;
use super::driver::{Driver, Later, Next};
use super::ends::Printed;
use super::fault::Fault;
use super::halting::Overdue;
pub(super) use super::life::Process;
use super::life::Stats;
use super::model::Model;
use super::net::Conn;
use super::plan::Plan;
use super::rng::Rng;
use super::trace::Trace;
use super::wire::Wire;
use super::{NodeEnd, Outcome};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use worker_core::config::{Graph, NodeConfig, NodeIx, TaskId};
use worker_core::event::{Event, NodeEvent, SourceEvent, TaskEvent};
use worker_core::{Node, Time};
use worker_proto::{Batch, Fingerprint, Incarnation};

/// How long an end of a connection hears nothing before it gives up, in µs.
const SILENCE_US: u64 = 6_000_000;
/// How often ends look at that, in µs.
const TICK_US: u64 = 1_000_000;
/// A life's number is what is left of its incarnation when this divides it.
pub(super) const LIVES_MAX: u64 = 1_000;
/// What clocks show, in ms, and by how much more they are set.
const CLOCK_MS: u64 = 3_600_000;
/// How long a run goes on that has failed for a good reason, in µs.
const FAILED_US: u64 = 30_000_000;
/// So many events at one moment are too many.
const EVENTS_AT_ONCE_MAX: u64 = 200_000;

/// All of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) trace: Trace,
    pub(super) model: Model,
    pub(super) graph: Arc<Graph>,
    pub(super) wire: Wire,
    pub(super) nodes: Vec<Process>,
    pub(super) conns: Vec<Conn>,
    /// `cuts[from][to]`: how many faults keep frames from passing.
    pub(super) cuts: Vec<Vec<u32>>,
    /// How many times slower the sinks of a stage are.
    pub(super) slow: Vec<u64>,
    /// By node; with a journal only.
    pub(super) disks: Vec<Disk>,
    /// By task: cost of the outputs of its largest commit.
    pub(super) largest_commit: Vec<u64>,
    /// What programs that are sources have printed.
    pub(super) printed: Printed,
    /// Since when the pipeline has failed for a good reason, in µs.
    pub(super) failed_at: Option<u64>,
    /// A process that was replaced has failed at a limit.
    pub(super) ghost_failed: bool,
    pub(super) overdue: Vec<Overdue>,
    pub(super) copies: Copies,
    queue: BTreeMap<(u64, u64), Ev>,
    events: u64,
    pub(super) stats: Stats,
    pub(super) last_effect_us: Vec<u64>,
}

/// What happens at some moment.
#[derive(Debug)]
pub(super) enum Ev {
    Wake { node: usize, life: u64 },
    Later { node: usize, life: u64, later: Box<Later> },
    Connect { conn: usize },
    Connected { conn: usize },
    Closed { conn: usize, end: usize, why: &'static str },
    Arrive { conn: usize, to: usize },
    Fault(Fault),
    EndOf(Fault),
    Tick,
    Drain { node: usize },
    Synced { node: usize, life: u64, task: TaskId, covered: usize },
    WriterGoesOn { node: usize, life: u64, task: TaskId },
    Restart { node: usize },
    Replace { node: usize, life: u64, wakes_us: u64, dies_us: u64 },
    GhostWakes { node: usize },
    GhostDies { node: usize },
}

impl World {
    pub(super) fn new(plan: Plan, print: bool) -> Self {
        let model = Model::new(&plan);
        let wire = Wire::new(plan.is_journaled());
        let disks = (0..plan.nodes).filter(|_| plan.is_journaled());
        let disks = disks.map(|at| Disk::new(&plan, &model.graph, small(at))).collect();
        let tasks = model.graph.tasks.len();
        let nodes = (0..plan.nodes).map(|at| Process::new(&plan, &model, at)).collect();
        Self {
            now: 0,
            rng: Rng::new(plan.seed),
            trace: Trace::new(print),
            graph: Arc::new(model.graph.clone()),
            model,
            wire,
            nodes,
            conns: Vec::new(),
            cuts: vec![vec![0; plan.nodes]; plan.nodes],
            slow: vec![1; plan.stages.len()],
            disks,
            largest_commit: vec![0; tasks],
            printed: Printed::default(),
            failed_at: None,
            ghost_failed: false,
            overdue: Vec::new(),
            copies: Copies::default(),
            queue: BTreeMap::new(),
            events: 0,
            stats: Stats::default(),
            last_effect_us: vec![0; tasks],
            plan,
        }
    }

    /// Runs until every process has ended, or until `deadline`.
    pub(super) fn run(&mut self, deadline: u64) -> Checked {
        for scheduled in self.plan.faults.clone() {
            self.at(scheduled.at, Ev::Fault(scheduled.fault));
        }
        if let Some(at) = self.plan.drain_at {
            for node in (0..self.nodes.len()).filter(|&node| self.has_source(node)).collect::<Vec<_>>() {
                self.at(at, Ev::Drain { node });
            }
        }
        self.at(TICK_US, Ev::Tick);
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        let (mut moment, mut at_once) = (0, 0);
        while let Some(((at, _), ev)) = self.queue.pop_first() {
            let failed = self.failed_at.is_some_and(|since| at > since + FAILED_US);
            if at > deadline || failed || self.is_over() {
                break;
            }
            at_once = if at == moment { at_once + 1 } else { 0 };
            require(at_once < EVENTS_AT_ONCE_MAX, Check::Livelock, || {
                format!("time stands still at {at} µs")
            })?;
            moment = at;
            self.now = at;
            self.stats.events += 1;
            self.happen(ev)?;
        }
        self.stats.ended_us = self.now;
        Ok(())
    }

    /// How it all was.
    pub(super) fn outcome(self, violation: Option<Violation>) -> Outcome {
        let stalls = self.nodes.iter().filter_map(|node| node.core.as_ref()).flat_map(Node::stalls).collect();
        let retried = self.retries();
        Outcome {
            trace: self.trace.hash(),
            violation,
            stats: Stats { retried, ..self.stats },
            last_effect_us: self.last_effect_us,
            ends: self.nodes.into_iter().take(self.plan.nodes).map(|node| node.state).collect(),
            stalls,
        }
    }

    fn is_over(&self) -> bool {
        let ended =
            |node: &Process| matches!(node.state, NodeEnd::Finished | NodeEnd::Halted(_)) && !node.comes_back;
        self.nodes.iter().take(self.plan.nodes).all(ended)
    }

    pub(super) fn at(&mut self, at: u64, ev: Ev) {
        self.events += 1;
        self.queue.insert((at.max(self.now), self.events), ev);
    }

    pub(super) fn time(&self) -> Time {
        Time::from_micros(self.now)
    }

    fn happen(&mut self, ev: Ev) -> Checked {
        if let Some(node) = self.stopped_node(&ev) {
            self.nodes[node].backlog.push_back(ev);
            return Ok(());
        }
        match ev {
            Ev::Wake { node, life } => self.wake(node, life),
            Ev::Later { node, life, later } => self.came_true(node, life, *later),
            Ev::Connect { conn } => self.connect(conn),
            Ev::Connected { conn } => self.connected(conn),
            Ev::Closed { conn, end, why } => self.closed(conn, end, why),
            Ev::Arrive { conn, to } => self.arrive(conn, to),
            Ev::Fault(fault) => self.begin_fault(&fault),
            Ev::EndOf(fault) => self.end_fault(&fault),
            Ev::Tick => self.tick(),
            Ev::Drain { node } if self.nodes[node].core.is_some() => {
                self.nodes[node].draining = true;
                self.input(node, Event::Node(NodeEvent::Drain))
            }
            Ev::Drain { .. } => Ok(()),
            Ev::Synced { node, life, task, covered } => self.synced(node, life, task, covered),
            Ev::WriterGoesOn { node, life, task } => self.writer_goes_on(node, life, task),
            Ev::Restart { node } => self.restart(node),
            Ev::Replace { node, life, wakes_us, dies_us } => self.replace(node, life, wakes_us, dies_us),
            Ev::GhostWakes { node } => self.ghost_wakes(node),
            Ev::GhostDies { node } => {
                self.ghost_dies(node);
                Ok(())
            }
        }
    }

    /// The stopped process that an event is for.
    fn stopped_node(&self, ev: &Ev) -> Option<usize> {
        let node = match *ev {
            Ev::Wake { node, .. }
            | Ev::Later { node, .. }
            | Ev::Drain { node }
            | Ev::Synced { node, .. }
            | Ev::WriterGoesOn { node, .. } => node,
            Ev::Connected { conn } => self.conns[conn].ends[super::net::DIALER].node,
            Ev::Closed { conn, end, .. } => self.conns[conn].ends[end].node,
            Ev::Connect { .. }
            | Ev::Arrive { .. }
            | Ev::Fault(_)
            | Ev::EndOf(_)
            | Ev::Tick
            | Ev::Restart { .. }
            | Ev::Replace { .. }
            | Ev::GhostWakes { .. }
            | Ev::GhostDies { .. } => {
                return None;
            }
        };
        self.nodes[node].paused.then_some(node)
    }

    pub(super) fn start(&mut self, node: usize) -> Checked {
        let (now, life) = (self.time(), self.nodes[node].life);
        let (states, resume) =
            if self.plan.is_journaled() { self.recover(node)? } else { Default::default() };
        let driver = Driver::new(&self.plan, &self.model.graph, small(node), life, resume);
        let process = &mut self.nodes[node];
        // Clocks are set, forward and back.
        let clock_ms = CLOCK_MS + Rng::new(self.plan.seed ^ life ^ (node as u64) << 32).below(2 * CLOCK_MS);
        process.config.incarnation = Incarnation(clock_ms * LIVES_MAX + life);
        let mut core = if self.plan.is_journaled() {
            Node::with_journal(process.config.clone(), now, &states)
        } else {
            Node::new(process.config.clone(), now)
        };
        if let Some(bug) = self.plan.bug {
            core.plant(bug);
        }
        if let Some(disk) = self.disks.get(node) {
            core.knows_peers(now, &disk.peers);
            let finished = disk.peers.iter().filter(|(_, peer)| peer.finished);
            process.finished_peers = finished.map(|(peer, _)| *peer).collect();
        }
        process.core = Some(core);
        process.driver = driver;
        process.driver.disk_full(self.disks.get(node).is_some_and(|disk| disk.full));
        process.state = NodeEnd::Up;
        process.inputs.clear();
        process.wakes.clear();
        process.wake_at = None;
        (process.fuse, process.draining, process.gave_up) = (None, false, false);
        if self.disks.get(node).is_some_and(|disk| disk.full) {
            process.inputs.push_back(Event::Node(NodeEvent::StorageFull { full: true }));
        }
        self.trace.note(self.now, format_args!("node {node} starts, life {life}: {states:?}"));
        self.settle(node)
    }

    fn wake(&mut self, node: usize, life: u64) -> Checked {
        let now = self.time();
        let process = &mut self.nodes[node];
        if process.life != life || process.wake_at.is_none_or(|at| at > now.as_micros()) {
            return Ok(());
        }
        process.wake_at = None;
        let Some(core) = &mut process.core else { return Ok(()) };
        core.handle_wake(now);
        self.settle(node)
    }

    /// Asks the core when to wake it.
    pub(super) fn set_alarm(&mut self, node: usize) {
        let life = self.nodes[node].life;
        let Some(core) = &self.nodes[node].core else { return };
        if let Some((at, _)) = core.next_wake() {
            let at = at.as_micros().max(self.now);
            if self.nodes[node].wake_at.is_none_or(|set| at < set) {
                self.nodes[node].wake_at = Some(at);
                self.at(at, Ev::Wake { node, life });
            }
        }
    }

    /// Something that a process was waiting for.
    fn came_true(&mut self, node: usize, life: u64, later: Later) -> Checked {
        if self.nodes[node].life != life || self.nodes[node].core.is_none() {
            return Ok(());
        }
        if let Some((task, generation)) = later.task
            && !self.nodes[node].driver.is_current(task, generation)
        {
            return Ok(());
        }
        if matches!(later.next, Next::Dies) {
            self.die(node, false, false)?;
            self.restart_soon(node);
            return Ok(());
        }
        let task = later.task.map(|(task, _)| task);
        let driver = &mut self.nodes[node].driver;
        let (told, following) = driver.happens(self.now, task, later.next, &mut self.rng)?;
        for later in following {
            self.later(node, later);
        }
        for (event, effects) in told {
            if self.nodes[node].life == life && self.nodes[node].core.is_some() {
                self.tell(node, task, event, &effects)?;
            }
        }
        Ok(())
    }

    /// The core is told something that a driver has seen.
    fn tell(&mut self, node: usize, task: Option<TaskId>, event: Event, effects: &[Batch]) -> Checked {
        let event = self.before_input(node, task, event, effects)?;
        let source = if let Event::Task(task, TaskEvent::Source(SourceEvent::Read { .. })) = event {
            Some(task)
        } else {
            None
        };
        let life = self.nodes[node].life;
        self.hand_over(node, &event)?;
        self.input(node, event)?;
        if let (Some(task), true) = (source, self.nodes[node].life == life) {
            self.after_chunk(node, task);
        }
        Ok(())
    }

    /// Gives the core an input and does what follows from it.
    pub(super) fn input(&mut self, node: usize, event: Event) -> Checked {
        self.nodes[node].inputs.push_back(event);
        self.settle(node)
    }

    /// Ends of connections look whether they still hear the other.
    fn tick(&mut self) -> Checked {
        self.check_overdue(None)?;
        for conn in 0..self.conns.len() {
            for end in 0..2 {
                let (own, other) = (&self.conns[conn].ends[end], &self.conns[conn].ends[1 - end]);
                if !own.open || own.id.is_none() || self.nodes[own.node].paused {
                    continue;
                }
                let peer = &self.nodes[other.node];
                let path_is_fine = self.cuts[peer.home][self.nodes[own.node].home] == 0;
                let is_heard = path_is_fine && !peer.paused && other.open && peer.life == other.life;
                let stuck = own.closing.is_some_and(|since| self.now - since > SILENCE_US);
                if is_heard && !stuck {
                    self.conns[conn].ends[end].heard = self.now;
                } else if stuck || self.now - own.heard > SILENCE_US {
                    self.closed(conn, end, "nothing was heard for 6 s")?;
                }
            }
        }
        self.at(self.now + TICK_US, Ev::Tick);
        Ok(())
    }

    pub(super) fn resume(&mut self, node: usize) -> Checked {
        self.nodes[node].paused = false;
        for conn in &mut self.conns {
            conn.ends.iter_mut().filter(|end| end.node == node).for_each(|end| end.heard = self.now);
        }
        while let Some(ev) = self.nodes[node].backlog.pop_front() {
            self.happen(ev)?;
        }
        self.deliver_all()?;
        for conn in self.nodes[node].conns.keys().copied().collect::<Vec<_>>() {
            self.nodes[node].wakes.push_back(conn);
        }
        self.settle(node)
    }

    pub(super) fn forget_backlog(&mut self, node: usize) {
        self.nodes[node].backlog.clear();
    }

    fn has_source(&self, node: usize) -> bool {
        self.plan.stages.iter().any(|stage| stage.from.is_empty() && stage.nodes.contains(&small(node)))
    }
}

impl Process {
    pub(super) fn new(plan: &Plan, model: &Model, at: usize) -> Self {
        let config = NodeConfig {
            cluster: "simulated".into(),
            nodes: (0..plan.nodes).map(|n| format!("n{n}")).collect(),
            me: NodeIx(small(at)),
            incarnation: Incarnation(0),
            pipeline: Fingerprint(1),
            placement: Fingerprint(2),
            graph: model.graph.clone(),
            slots: plan.slots,
            limits: plan.limits,
            redial: plan.redial,
            linger: plan.linger,
            seed: plan.seed ^ at as u64,
        };
        Self {
            driver: Driver::new(plan, &model.graph, small(at), 0, BTreeMap::new()),
            config,
            core: None,
            state: NodeEnd::Down,
            life: 0,
            paused: false,
            conns: BTreeMap::new(),
            inputs: VecDeque::new(),
            wakes: VecDeque::new(),
            backlog: VecDeque::new(),
            wake_at: None,
            deaths: 0,
            home: at,
            ghost: false,
            finished_peers: BTreeSet::new(),
            fuse: None,
            draining: false,
            comes_back: false,
            runs_seen: 0,
            gave_up: false,
        }
    }
}

pub(super) fn small(node: usize) -> u16 {
    u16::try_from(node).expect("few nodes")
}

/// How long everything may take to drain after the heal, in µs: the most that waits can add up to, and the work.
pub(super) fn drain_bound(plan: &Plan) -> u64 {
    let micros = |d: Duration| u64::try_from(d.as_micros()).expect("short");
    let waits = 3 * (micros(plan.redial.max) + 2 * SILENCE_US + 3_000_000 + 8 * plan.net.latency_us.1);
    let waits = if plan.is_journaled() { 2 * waits + 4 * micros(plan.linger) } else { waits };
    let work = super::work::of(plan);
    let flaky = if plan.faults.iter().any(|f| f.at > plan.heal_us) { 4 } else { 1 };
    (waits * plan.stages.len() as u64 + work) * flaky
}

impl Violation {
    /// A rule broken by a panic.
    pub(super) fn panic(message: &str) -> Self {
        Self::new(Check::Panic, message)
    }
}
