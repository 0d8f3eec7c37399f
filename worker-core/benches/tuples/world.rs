//! Nodes whose drivers do nothing but what they are asked to: frames move in memory, programs give what they get, sinks keep nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use worker_core::config::{Graph, Limits, LinkSpec, NodeConfig, NodeIx, Retry, TaskId, TaskKind, TaskSpec};
use worker_core::event::{
    Action, BatchAction, BatchEvent, Body, Chunk, ConnAction, ConnEvent, ConnId, Event, JournalAction,
    NodeAction, NodeEvent, Output, RecordsAction, RecordsEvent, SinkAction, SinkEvent, SourceAction,
    SourceEvent, Spent, StreamAction, StreamEvent, TaskAction, TaskEvent, WorkId,
};
use worker_core::recovery::TaskState;
use worker_core::{Node, Time};
use worker_proto::{Batch, Epoch, Fingerprint, Incarnation, JournalId, LinkId};

/// Who does what.
pub(crate) struct Plan {
    tasks: Vec<(usize, TaskKind)>,
    links: Vec<(usize, usize)>,
    /// Links that the source gives to, in turn.
    source_links: u64,
    /// What it gives at a time.
    chunk: Batch,
    journaled: bool,
    unacknowledged: u64,
}

impl Plan {
    /// A source on one node, and as many sinks as links on another.
    pub(crate) fn links(links: u64, chunk: Batch) -> Self {
        let count = usize::try_from(links).expect("a number of links");
        let sinks = (0..count).map(|_| (1, TaskKind::Sink));
        let tasks = std::iter::once((0, TaskKind::Source)).chain(sinks).collect();
        let links_of = (1..=count).map(|sink| (0, sink)).collect();
        Self { tasks, links: links_of, source_links: links, chunk, journaled: false, unacknowledged: 0 }
    }

    /// Source → stage → sink on one node.
    pub(crate) fn stage(kind: TaskKind, chunk: Batch) -> Self {
        let tasks = vec![(0, TaskKind::Source), (0, kind), (0, TaskKind::Sink)];
        Self {
            tasks,
            links: vec![(0, 1), (1, 2)],
            source_links: 1,
            chunk,
            journaled: false,
            unacknowledged: 0,
        }
    }

    /// Sinks are slow: so many tuples are on their way before one is written.
    pub(crate) fn unacknowledged(self, tuples: u64) -> Self {
        Self { unacknowledged: tuples, ..self }
    }

    pub(crate) fn journaled(self) -> Self {
        Self { journaled: true, ..self }
    }

    fn nodes(&self) -> usize {
        self.tasks.iter().map(|(node, _)| node + 1).max().unwrap_or_default()
    }

    fn config(&self, me: usize) -> NodeConfig {
        let at = |node: usize| NodeIx(u16::try_from(node).expect("few nodes"));
        let tasks = self.tasks.iter().enumerate().map(|(task, (node, kind))| TaskSpec {
            name: format!("task/{task}"),
            node: at(*node),
            kind: kind.clone(),
        });
        let links = self.links.iter().map(|&(from, to)| LinkSpec::new(task_id(from), task_id(to)));
        let room = (1 << 20) + self.unacknowledged * 4 * self.chunk.cost() / self.chunk.len() as u64;
        NodeConfig {
            cluster: "bench".into(),
            nodes: ["a", "b"][..self.nodes()].iter().map(|&name| name.into()).collect(),
            me: at(me),
            incarnation: Incarnation(1),
            pipeline: Fingerprint(1),
            placement: Fingerprint(1),
            graph: Graph { tasks: tasks.collect(), links: links.collect(), ..Graph::default() },
            slots: 1,
            limits: Limits {
                credit_bytes: room,
                outbox_bytes: 2 * room,
                spill_bytes: 1 << 40,
                shared_credit_bytes: 0,
            },
            redial: Retry {
                max_attempts: 1,
                initial: Duration::from_millis(1),
                max: Duration::from_millis(10),
            },
            linger: Duration::from_secs(2),
            seed: 1,
        }
    }

    fn node(&self, me: usize) -> Node {
        let config = self.config(me);
        if !self.journaled {
            return Node::new(config, Time::ZERO);
        }
        let fresh = |at: usize| (task_id(at), TaskState::fresh(Epoch(1), JournalId(at as u64 + 1)));
        let here = (0..self.tasks.len()).filter(|&at| self.tasks[at].0 == me);
        let states: BTreeMap<TaskId, TaskState> = here.map(fresh).collect();
        Node::with_journal(config, Time::ZERO, &states)
    }
}

fn task_id(at: usize) -> TaskId {
    TaskId(u32::try_from(at).expect("fewer than 2³² tasks"))
}

pub(crate) struct World {
    nodes: Vec<Node>,
    plan: Plan,
    now: Time,
    /// Records that the source has still to give.
    left: u64,
    turn: u64,
    permits: u32,
    /// What sinks were given and have not written: node, task, write and records.
    unwritten: VecDeque<(usize, TaskId, WorkId, u64)>,
    given: u64,
    written: u64,
    /// The connection's ends.
    conns: Option<[ConnId; 2]>,
    ended: bool,
    finished: usize,
}

impl World {
    /// The source gives at least so many tuples.
    pub(crate) fn new(plan: Plan, tuples: u64) -> Self {
        let nodes = (0..plan.nodes()).map(|me| plan.node(me)).collect();
        Self {
            nodes,
            plan,
            now: Time::ZERO,
            left: tuples,
            turn: 0,
            permits: 0,
            unwritten: VecDeque::new(),
            given: 0,
            written: 0,
            conns: None,
            ended: false,
            finished: 0,
        }
    }

    /// Until all nodes have finished.
    pub(crate) fn run(mut self) {
        while self.finished < self.nodes.len() {
            let acted = (0..self.nodes.len()).fold(false, |acted, at| self.act(at) | acted);
            let moved = self.transmit();
            if !acted && !moved && !self.read() && !self.write() {
                self.pass();
            }
        }
        assert_eq!(self.given, self.written, "every tuple comes once");
    }

    fn tell(&mut self, node: usize, event: Event) {
        self.nodes[node].handle(self.now, event);
    }

    fn act(&mut self, at: usize) -> bool {
        let mut acted = false;
        while let Some(action) = self.nodes[at].poll_action() {
            acted = true;
            self.carry_out(at, action);
        }
        acted
    }

    /// All that a connection has for the other side.
    fn transmit(&mut self) -> bool {
        let Some(conns) = self.conns else { return false };
        let mut moved = false;
        for from in 0..2 {
            while let Some(frame) = self.nodes[from].poll_transmit(self.now, conns[from]) {
                moved = true;
                self.tell(1 - from, Event::Conn(conns[1 - from], ConnEvent::Frame(frame)));
            }
        }
        moved
    }

    fn read(&mut self) -> bool {
        if self.ended || (self.permits == 0 && self.left > 0) {
            return false;
        }
        if self.left == 0 {
            self.ended = true;
            self.tell(0, Event::task(TaskId(0), SourceEvent::Ended { complete: true }));
            return true;
        }
        if self.given - self.written > self.plan.unacknowledged && !self.unwritten.is_empty() {
            return false;
        }
        let (batch, records) = (self.plan.chunk.clone(), self.plan.chunk.len() as u64);
        self.permits -= 1;
        self.left = self.left.saturating_sub(records);
        self.given += records;
        let link = LinkId(u32::try_from(self.turn % self.plan.source_links).expect("fewer than 2³² links"));
        self.turn += 1;
        self.tell(0, Event::task(TaskId(0), SourceEvent::Read { output: output(link, batch) }));
        true
    }

    /// A sink has written what it was given first.
    fn write(&mut self) -> bool {
        let Some((node, task, work, records)) = self.unwritten.pop_front() else { return false };
        self.written += records;
        self.tell(node, Event::task(task, SinkEvent::Written { work, position: None }));
        true
    }

    /// Nothing can be done before some time has passed.
    fn pass(&mut self) {
        let wakes = self.nodes.iter().filter_map(Node::next_wake).map(|(at, _)| at);
        self.now = wakes.min().expect("nodes that have not finished wait for something");
        for node in &mut self.nodes {
            node.handle_wake(self.now);
        }
    }

    fn carry_out(&mut self, at: usize, action: Action) {
        match action {
            Action::Task(task, action) => self.task(at, task, action),
            Action::Conn(dialled, ConnAction::Dial { .. }) => {
                self.tell(at, Event::Conn(dialled, ConnEvent::Dialed));
                let accepted = self.nodes[1].accept(self.now);
                self.conns = Some([dialled, accepted]);
            }
            Action::Conn(conn, ConnAction::Close) => {
                let loss = worker_core::event::Loss::Lost;
                self.tell(at, Event::Conn(conn, ConnEvent::Closed { loss, why: String::new() }));
            }
            Action::Node(NodeAction::KeepPeer { peer, version, .. }) => {
                self.tell(at, Event::Node(NodeEvent::PeerKept { peer, version }));
            }
            Action::Node(NodeAction::Finished) => self.finished += 1,
            Action::Node(NodeAction::Halt { error }) => panic!("{error}"),
            // What is pulled all the time needs no waking; nothing is stored.
            Action::Conn(_, ConnAction::Wake) | Action::Link(..) | Action::Node(NodeAction::Report(_)) => {}
        }
    }

    fn task(&mut self, at: usize, task: TaskId, action: TaskAction) {
        let event: TaskEvent = match action {
            TaskAction::Source(SourceAction::Read { chunks, .. }) => {
                self.permits += chunks;
                return;
            }
            TaskAction::Sink(SinkAction::Write { work, batches }) => {
                let records = batches.iter().map(|batch| batch.len() as u64).sum();
                self.unwritten.push_back((at, task, work, records));
                return;
            }
            TaskAction::Sink(SinkAction::Close) => SinkEvent::Closed.into(),
            TaskAction::Journal(JournalAction::Persist(commit)) => TaskEvent::Persisted { commit: commit.id },
            TaskAction::Batch(BatchAction::Run(run)) => {
                let chunks =
                    run.input.into_iter().map(|batch| Chunk { link: LinkId(1), body: Body::Memory(batch) });
                let result = Ok(Output { chunks: chunks.collect(), ..Output::default() });
                BatchEvent::Done { work: run.work, result, spent: Spent::default() }.into()
            }
            TaskAction::Stream(StreamAction::Feed { window, batch }) => {
                self.tell(at, Event::task(task, StreamEvent::Fed { window, cost: batch.cost() }));
                StreamEvent::Output { window, output: output(LinkId(1), batch) }.into()
            }
            TaskAction::Stream(StreamAction::Close { window }) => {
                StreamEvent::Exited { window, result: Ok(Output::default()), early: false }.into()
            }
            TaskAction::Records(RecordsAction::Request { life, batch, .. }) => {
                let records = batch.len() as u64;
                let output = output(LinkId(1), batch);
                RecordsEvent::Answered { life, records, output, ended: false }.into()
            }
            TaskAction::Records(RecordsAction::End { life }) => {
                RecordsEvent::Answered { life, records: 0, output: Output::default(), ended: true }.into()
            }
            TaskAction::Source(SourceAction::Stop | SourceAction::Cancel)
            | TaskAction::Sink(SinkAction::Header { .. })
            | TaskAction::Batch(BatchAction::Kill)
            | TaskAction::Stream(StreamAction::Start { .. } | StreamAction::Kill)
            | TaskAction::Records(
                RecordsAction::Start { .. } | RecordsAction::Tick { .. } | RecordsAction::Kill,
            )
            | TaskAction::Journal(JournalAction::Note(_)) => return,
        };
        self.tell(at, Event::Task(task, event));
    }
}

fn output(link: LinkId, batch: Batch) -> Output {
    let (records, bytes) = (batch.len() as u64, batch.bytes() as u64);
    let chunks = vec![Chunk { link, body: Body::Memory(batch) }];
    Output { chunks, records, bytes, ..Output::default() }
}
