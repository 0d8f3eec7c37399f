//! Two nodes over a network that breaks: a source on one, a sink on the other, and every record arrives once, in order.
//!
//! The whole contract of [`Node`] in one place: hand it an input, do its actions, let writable connections pull frames, and
//! ask when to wake it. Nothing here waits or reads a clock, so each run is the same. `cargo run -p worker-core --example pair`

#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use std::collections::VecDeque;
use std::time::Duration;
use worker_core::config::{Graph, Limits, LinkSpec, NodeConfig, NodeIx, Retry, TaskId, TaskKind, TaskSpec};
use worker_core::event::{
    Action, ConnAction, ConnEvent, ConnId, Event, JournalAction, Loss, NodeAction, Output, SinkAction,
    SinkEvent, SourceAction, SourceEvent, TaskAction, TaskEvent,
};
use worker_core::route::{Edge, Router};
use worker_core::{Batch, Fingerprint, Frame, Incarnation, LinkId, Node, Time};

const RECORDS: u64 = 1_000;
const LATENCY: Duration = Duration::from_millis(2);
/// The network breaks this often; what is under way is lost.
const BREAKS_EVERY: Duration = Duration::from_millis(37);

fn main() {
    let mut pair = Pair::new();
    while !pair.sides.iter().all(|side| side.is_finished) {
        pair.step();
        assert!(pair.now < Time::from_micros(60_000_000), "the pair is stuck");
    }
    let received = pair.sides[1].written.len();
    let expected: Vec<String> = (0..RECORDS).map(record).collect();
    assert_eq!(pair.sides[1].written, expected, "every record once, in order");
    println!("{} s: {received} records arrived once and in order, over {} connections", pair.now, pair.dials);
}

/// Two nodes and what is under way between them.
struct Pair {
    now: Time,
    sides: [Side; 2],
    /// Frames under way to each side.
    wires: [VecDeque<(Time, Frame)>; 2],
    next_break: Time,
    dials: u64,
}

/// One node and its surroundings.
struct Side {
    node: Node,
    conn: Option<ConnId>,
    router: Router,
    read: u64,
    written: Vec<String>,
    is_finished: bool,
}

impl Pair {
    fn new() -> Self {
        Self {
            now: Time::ZERO,
            sides: [Side::new(0), Side::new(1)],
            wires: [VecDeque::new(), VecDeque::new()],
            next_break: Time::ZERO + BREAKS_EVERY,
            dials: 0,
        }
    }

    /// One millisecond: break, deliver, wake, and let both nodes do what follows.
    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        if self.now >= self.next_break {
            self.next_break = self.now + BREAKS_EVERY;
            self.break_connection();
        }
        for to in 0..2 {
            while self.wires[to].front().is_some_and(|&(due, _)| due <= self.now) {
                let (Some((_, frame)), Some(conn)) = (self.wires[to].pop_front(), self.sides[to].conn) else {
                    break;
                };
                self.sides[to].node.handle(self.now, Event::Conn(conn, ConnEvent::Frame(frame)));
                self.settle(to);
            }
            if self.sides[to].node.next_wake().is_some_and(|(at, _)| at <= self.now) {
                self.sides[to].node.handle_wake(self.now);
            }
            self.settle(to);
        }
    }

    /// Both sides lose the connection, and everything under way with it.
    fn break_connection(&mut self) {
        let lost: usize = self.wires.iter().map(VecDeque::len).sum();
        println!("{} s: the network breaks, {lost} frames are lost", self.now);
        self.wires.iter_mut().for_each(VecDeque::clear);
        for side in &mut self.sides {
            if let Some(conn) = side.conn.take() {
                side.node.handle(
                    self.now,
                    Event::Conn(
                        conn,
                        ConnEvent::Closed { loss: Loss::Lost, why: "the network broke".into() },
                    ),
                );
            }
        }
    }

    /// Does the actions of a side until there are none, then lets its connection pull frames.
    fn settle(&mut self, at: usize) {
        loop {
            if let Some(action) = self.sides[at].node.poll_action() {
                self.perform(at, action);
            } else if let Some(frame) = self.sides[at].transmit(self.now) {
                self.wires[1 - at].push_back((self.now + LATENCY, frame));
            } else {
                return;
            }
        }
    }

    fn perform(&mut self, at: usize, action: Action) {
        let side = &mut self.sides[at];
        match action {
            Action::Conn(conn, ConnAction::Dial { .. }) => {
                self.dials += 1;
                side.conn = Some(conn);
                side.node.handle(self.now, Event::Conn(conn, ConnEvent::Dialed));
                let accepted = self.sides[1 - at].node.accept(self.now);
                self.sides[1 - at].conn = Some(accepted);
            }
            Action::Task(task, TaskAction::Source(SourceAction::Read { chunks, .. })) => {
                for _ in 0..chunks {
                    let event = side.read_chunk(task);
                    side.node.handle(self.now, event);
                }
            }
            // In memory mode a commit is durable at once.
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                side.node.handle(self.now, Event::Task(task, TaskEvent::Persisted { commit: commit.id }));
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Write { work, batches })) => {
                let text = |record: &[u8]| String::from_utf8_lossy(record).into_owned();
                side.written.extend(batches.iter().flat_map(Batch::iter).map(text));
                side.node.handle(self.now, Event::task(task, SinkEvent::Written { work, position: None }));
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Close)) => {
                side.node.handle(self.now, Event::task(task, SinkEvent::Closed))
            }
            Action::Node(NodeAction::Report(report)) => println!("{} s: node {at}: {report:?}", self.now),
            Action::Node(NodeAction::Finished) => side.is_finished = true,
            // Connections are pulled after every step anyway, and closing them is left to the end of the process.
            Action::Conn(_, ConnAction::Wake | ConnAction::Close) => {}
            Action::Link(..)
            | Action::Task(..)
            | Action::Node(NodeAction::Halt { .. } | NodeAction::KeepPeer { .. }) => {
                panic!("this pipeline needs no {action:?}")
            }
        }
    }
}

impl Side {
    fn new(me: u16) -> Self {
        Self {
            node: Node::new(config(me), Time::ZERO),
            conn: None,
            router: Router::new(vec![Edge { links: vec![LinkId(0)], by: None }], b'\n'),
            read: 0,
            written: Vec::new(),
            is_finished: false,
        }
    }

    fn transmit(&mut self, now: Time) -> Option<Frame> {
        self.node.poll_transmit(now, self.conn?)
    }

    /// The next ten records of the source, or its end.
    fn read_chunk(&mut self, task: TaskId) -> Event {
        if self.read == RECORDS {
            return Event::task(task, SourceEvent::Ended { complete: true });
        }
        let lines: String = (self.read..self.read + 10).map(record).collect();
        self.read += 10;
        let mut output = Output::default();
        self.router.route(Batch::from_terminated(lines.into(), b'\n'), &mut output);
        Event::task(task, SourceEvent::Read { output })
    }
}

fn record(number: u64) -> String {
    format!("record {number}\n")
}

fn config(me: u16) -> NodeConfig {
    let task = |name: &str, node, kind| TaskSpec { name: name.into(), node: NodeIx(node), kind };
    NodeConfig {
        cluster: "pair".into(),
        nodes: vec!["left".into(), "right".into()],
        me: NodeIx(me),
        incarnation: Incarnation(1),
        pipeline: Fingerprint(1),
        placement: Fingerprint(1),
        graph: Graph {
            tasks: vec![task("numbers/0", 0, TaskKind::Source), task("out/0", 1, TaskKind::Sink)],
            links: vec![LinkSpec::new(TaskId(0), TaskId(1))],
            ..Graph::default()
        },
        slots: 1,
        limits: Limits {
            credit_bytes: 1_000,
            outbox_bytes: 4_000,
            spill_bytes: 1 << 30,
            shared_credit_bytes: 0,
        },
        redial: Retry { max_attempts: 1, initial: Duration::from_millis(1), max: Duration::from_millis(10) },
        linger: Duration::from_secs(5),
        seed: 7,
    }
}
