//! One node whose peers are played by the test, frame by frame.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the test's driver carries out only what the test is about"
)]

use super::tests::{batch_spec, records, stream_spec};
use super::*;
use crate::config::{Graph, Limits, LinkSpec, Retry, StreamSpec, TaskKind, TaskSpec};
use crate::event::{
    BatchAction, BatchEvent, Body, Chunk, ConnAction, ConnEvent, Contents, DeadLetter, Failure, FailureKind,
    JournalAction, LinkAction, Loss, NodeAction, NodeError, NodeEvent, Output, RecordsAction, Report,
    SinkAction, SinkEvent, SourceAction, SourceEvent, Spent, StreamAction, StreamEvent, TaskAction,
    TaskEvent,
};
use std::time::Duration;
use worker_proto::frame::{BatchFrame, End, GoAwayWhy, Hello, Open};
use worker_proto::limits::PROTOCOL;
use worker_proto::{Batch, ConnNo, Epoch, Fingerprint, Frame, Incarnation, JournalId, Seq};

/// Tasks in a line, the first on node `a`, the others on node `b`, which is the node under test.
fn config(kinds: Vec<TaskKind>) -> NodeConfig {
    let spec = |(at, kind): (usize, TaskKind)| TaskSpec {
        name: format!("t{at}/0"),
        node: NodeIx(u16::from(at > 0)),
        kind,
    };
    let tasks: Vec<_> = kinds.into_iter().enumerate().map(spec).collect();
    let task = |at: usize| TaskId(u32::try_from(at).unwrap());
    let links = (1..tasks.len()).map(|to| LinkSpec::new(task(to - 1), task(to))).collect();
    NodeConfig {
        cluster: "test".into(),
        nodes: vec!["a".into(), "b".into()],
        me: NodeIx(1),
        incarnation: Incarnation(7),
        pipeline: Fingerprint(1),
        placement: Fingerprint(1),
        graph: Graph { tasks, links, ..Graph::default() },
        slots: 1,
        limits: Limits {
            credit_bytes: 4096,
            outbox_bytes: 8192,
            spill_bytes: 1 << 20,
            shared_credit_bytes: 0,
        },
        redial: Retry { max_attempts: 1, initial: Duration::from_millis(100), max: Duration::from_secs(5) },
        linger: Duration::from_secs(5),
        seed: 1,
    }
}

struct Peer {
    node: Node,
    now: Time,
    conn: ConnId,
    /// Actions not carried out by [`Peer::settle`].
    seen: Vec<Action>,
}

impl Peer {
    /// Node `b` under test, with node `a` of life `incarnation` connected and its link 0 open.
    fn connected(config: NodeConfig, incarnation: u64) -> Self {
        let mut node = Node::new(config, Time::ZERO);
        let conn = node.accept(Time::ZERO);
        let mut peer = Self { node, now: Time::ZERO, conn, seen: Vec::new() };
        peer.greet(incarnation, 1);
        peer
    }

    fn greet(&mut self, incarnation: u64, conn_no: u64) {
        self.say(Frame::Hello(Hello {
            protocol: PROTOCOL,
            cluster: "test".into(),
            node: "a".into(),
            to: "b".into(),
            incarnation: Incarnation(incarnation),
            conn_no: ConnNo(conn_no),
            pipeline: Fingerprint(1),
            placement: Fingerprint(1),
        }));
        let (link, epoch, journal) = (LinkId(0), Epoch(incarnation), JournalId(0));
        self.say(Frame::Open(Open { link, epoch, journal, first_unacked: Seq(1), next: Seq(1) }));
    }

    fn say(&mut self, frame: Frame) {
        self.tell(Event::Conn(self.conn, ConnEvent::Frame(frame)));
    }

    fn batch(&mut self, first: u64, batch: Batch) {
        self.say(Frame::Batch(BatchFrame { link: LinkId(0), epoch: Epoch(1), first_seq: Seq(first), batch }));
    }

    fn end(&mut self, seq: u64) {
        self.say(Frame::End(End { link: LinkId(0), epoch: Epoch(1), seq: Seq(seq) }));
    }

    fn tell(&mut self, event: Event) {
        self.node.handle(self.now, event);
        self.settle();
    }

    /// Carries out what needs no decision; batch programs pass their input on, stream programs take it.
    fn settle(&mut self) {
        while let Some(action) = self.node.poll_action() {
            let event = match &action {
                Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                    Event::Task(*task, TaskEvent::Persisted { commit: commit.id })
                }
                Action::Task(task, TaskAction::Sink(SinkAction::Write { work, .. })) => {
                    Event::task(*task, SinkEvent::Written { work: *work, position: None })
                }
                Action::Task(task, TaskAction::Sink(SinkAction::Close)) => {
                    Event::task(*task, SinkEvent::Closed)
                }
                Action::Task(task, TaskAction::Batch(BatchAction::Run(run))) => {
                    let chunks =
                        run.input.iter().map(|b| Chunk { link: LinkId(1), body: Body::Memory(b.clone()) });
                    let output = Output { chunks: chunks.collect(), ..Output::default() };
                    Event::task(
                        *task,
                        BatchEvent::Done { work: run.work, result: Ok(output), spent: Spent::default() },
                    )
                }
                Action::Task(task, TaskAction::Stream(StreamAction::Feed { window, batch })) => {
                    Event::task(*task, StreamEvent::Fed { window: *window, cost: batch.cost() })
                }
                _ => {
                    self.seen.push(action);
                    continue;
                }
            };
            self.node.handle(self.now, event);
        }
    }

    /// What the node writes on the connection now.
    fn hear(&mut self) -> Vec<Frame> {
        let heard = std::iter::from_fn(|| self.node.poll_transmit(self.now, self.conn)).collect();
        self.settle();
        heard
    }

    fn halted(&self) -> Option<&NodeError> {
        self.seen
            .iter()
            .find_map(|a| if let Action::Node(NodeAction::Halt { error }) = a { Some(error) } else { None })
    }

    fn finished(&self) -> bool {
        self.seen.iter().any(|a| matches!(a, Action::Node(NodeAction::Finished)))
    }
}

#[test]
fn a_done_node_waits_for_a_living_peers_goodbye_without_spinning() {
    let linger = Duration::ZERO;
    let mut peer =
        Peer::connected(NodeConfig { linger, ..config(vec![TaskKind::Source, TaskKind::Sink]) }, 1);
    peer.batch(1, records(&["x"]));
    peer.end(2);
    peer.hear();
    let (due, _) = peer.node.next_wake().expect("it looks again whether its peer is gone");
    peer.now = due;
    peer.node.handle_wake(due);
    peer.settle();
    assert!(!peer.finished(), "the peer is connected and has not said goodbye");
    assert!(peer.node.next_wake().is_some_and(|(at, _)| at > due));
    peer.say(Frame::Bye);
    assert!(peer.hear().contains(&Frame::Bye) && peer.finished());
}

#[test]
fn a_node_that_leaves_gives_up_its_streams_and_closes_its_sinks() {
    let kinds = vec![
        TaskKind::Source,
        TaskKind::Batch(batch_spec()),
        TaskKind::Stream(stream_spec()),
        TaskKind::Sink,
    ];
    let mut peer = Peer::connected(config(kinds), 1);
    peer.batch(1, records(&["x", "y"]));
    peer.tell(Event::Node(NodeEvent::Drain));
    peer.hear();
    while let (Some((at, _)), false) = (peer.node.next_wake(), peer.finished()) {
        peer.now = at;
        peer.node.handle_wake(at);
        peer.settle();
        peer.hear();
    }
    assert!(peer.finished(), "{:?}", peer.node.stalls());
    assert!(peer.seen.iter().any(|a| matches!(
        a,
        Action::Task(
            TaskId(2),
            TaskAction::Batch(BatchAction::Kill)
                | TaskAction::Stream(StreamAction::Kill)
                | TaskAction::Records(RecordsAction::Kill)
        )
    )));
}

#[test]
fn a_node_that_is_stopped_fails_nobody() {
    let mut peer =
        Peer::connected(config(vec![TaskKind::Source, TaskKind::Stream(stream_spec()), TaskKind::Sink]), 1);
    peer.batch(1, records(&["x"]));
    peer.node.stop(peer.now);
    peer.settle();
    let last = peer.hear();
    assert!(matches!(&last[..], [Frame::GoAway(g)] if g.why == GoAwayWhy::Leaving), "{last:?}");
    let killed = Failure {
        kind: FailureKind::Signal(9),
        message: "killed".into(),
        stderr_tail: String::new(),
        silent: true,
    };
    peer.tell(Event::task(TaskId(1), StreamEvent::Exited { window: 1, result: Err(killed), early: true }));
    assert_eq!(peer.halted(), None);
}

#[test]
fn a_restarted_source_node_fails_the_pipeline_unless_it_had_finished() {
    let begin = || Peer::connected(config(vec![TaskKind::Source, TaskKind::Sink]), 1);
    let restart = |peer: &mut Peer| {
        peer.tell(Event::Conn(peer.conn, ConnEvent::Closed { loss: Loss::Lost, why: "reset".into() }));
        peer.conn = peer.node.accept(peer.now);
        peer.greet(2, 1);
        let heard = peer.hear();
        assert!(matches!(&heard[..], [Frame::GoAway(g)] if g.why == GoAwayWhy::Failed), "{heard:?}");
    };
    let mut amid = begin();
    amid.batch(1, records(&["x"]));
    restart(&mut amid);
    assert!(matches!(amid.halted(), Some(NodeError::Peer { .. })));
    let mut kinds = config(vec![TaskKind::Source, TaskKind::Sink]);
    // A second source elsewhere keeps the sink waiting.
    kinds.graph.tasks.push(TaskSpec { name: "late/0".into(), node: NodeIx(1), kind: TaskKind::Source });
    kinds.graph.links.push(LinkSpec::new(TaskId(2), TaskId(1)));
    let mut finished = Peer::connected(kinds, 1);
    finished.batch(1, records(&["x"]));
    finished.end(2);
    finished.say(Frame::Bye);
    restart(&mut finished);
    assert_eq!(finished.halted(), None);
}

#[test]
fn a_peer_that_does_not_read_answers_is_cut_off() {
    let mut peer = Peer::connected(config(vec![TaskKind::Source, TaskKind::Sink]), 1);
    for _ in 0..100 {
        peer.say(Frame::Bye);
    }
    assert!(peer.seen.iter().any(|a| matches!(a, Action::Conn(_, ConnAction::Close))));
}

#[test]
fn what_a_new_life_repeats_to_a_task_that_has_ended_is_reported() {
    let mut kinds = config(vec![TaskKind::Batch(batch_spec()), TaskKind::Sink]);
    kinds.linger = Duration::from_secs(60);
    let mut peer = Peer::connected(kinds, 1);
    peer.batch(1, records(&["x"]));
    peer.end(2);
    peer.hear();
    peer.tell(Event::Conn(peer.conn, ConnEvent::Closed { loss: Loss::Lost, why: "reset".into() }));
    peer.conn = peer.node.accept(peer.now);
    peer.greet(2, 1);
    let batch = records(&["x", "z"]);
    peer.say(Frame::Batch(BatchFrame { link: LinkId(0), epoch: Epoch(2), first_seq: Seq(1), batch }));
    assert!(
        peer.seen.iter().any(|a| matches!(a, Action::Link(_, LinkAction::Lost { records: 2 }))),
        "{:?}",
        peer.seen
    );
}

#[test]
fn dead_letters_of_routing_count_against_what_is_allowed() {
    let mut all_here = config(vec![TaskKind::Source, TaskKind::Sink]);
    all_here.graph.tasks[0].node = NodeIx(1);
    let mut node = Node::new(all_here, Time::ZERO);
    let letter = DeadLetter {
        cause: None,
        batch_id: None,
        record: bytes::Bytes::from_static(b"x\n"),
        reason: "no field 7".into(),
        attempts: 0,
        stderr_tail: String::new(),
        origin: None,
        contents: Contents::Record,
        header: None,
    };
    let output = Output { dead: vec![letter; 200], records: 200, ..Output::default() };
    node.handle(Time::ZERO, Event::task(TaskId(0), SourceEvent::Read { output }));
    let actions: Vec<_> = std::iter::from_fn(|| node.poll_action()).collect();
    assert!(actions.iter().any(|a| matches!(a, Action::Node(NodeAction::Halt { .. }))), "{actions:?}");
}

/// A source that feeds a program which soon has enough, and another; both go to one sink.
#[test]
fn a_program_that_has_enough_never_stops_the_others() {
    let early = StreamSpec { window: None, early_exit_is_done: true, replay_bytes: 1 << 20, restart: None };
    let kinds =
        vec![TaskKind::Source, TaskKind::Stream(early), TaskKind::Stream(stream_spec()), TaskKind::Sink];
    let mut diamond = config(kinds);
    diamond.graph.tasks[0].node = NodeIx(1);
    let link = |from, to| LinkSpec::new(TaskId(from), TaskId(to));
    diamond.graph.links = vec![link(0, 1), link(0, 2), link(1, 3), link(2, 3)];
    diamond.limits.spill_bytes = 10_000;
    let mut node = Node::new(diamond, Time::ZERO);
    let mut left = 2_000_u32;
    let mut exited = false;
    let to = |l: u32, batch: Batch| Chunk { link: LinkId(l), body: Body::Memory(batch) };
    for _ in 0..100_000 {
        let Some(action) = node.poll_action() else { panic!("stuck with {left} left: {:?}", node.stalls()) };
        let now = Time::ZERO;
        let event = match action {
            Action::Task(task, TaskAction::Source(SourceAction::Read { chunks, .. })) => {
                for _ in 0..chunks.min(left) {
                    left -= 1;
                    let batch = records(&["0123456789012345678901234567890123456789"; 25]);
                    let chunks = vec![to(0, batch.clone()), to(1, batch)];
                    let output = Output { chunks, records: 25, ..Output::default() };
                    node.handle(now, Event::task(task, SourceEvent::Read { output }));
                }
                if left > 0 {
                    continue;
                }
                Event::task(task, SourceEvent::Ended { complete: true })
            }
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                Event::Task(task, TaskEvent::Persisted { commit: commit.id })
            }
            Action::Task(TaskId(1), TaskAction::Stream(StreamAction::Feed { window, .. })) if !exited => {
                exited = true;
                let output =
                    Output { chunks: vec![to(2, records(&["first"]))], records: 1, ..Output::default() };
                Event::task(TaskId(1), StreamEvent::Exited { window, result: Ok(output), early: true })
            }
            Action::Task(task, TaskAction::Stream(StreamAction::Feed { window, batch })) => {
                Event::task(task, StreamEvent::Fed { window, cost: batch.cost() })
            }
            Action::Task(task, TaskAction::Stream(StreamAction::Close { window })) => {
                Event::task(task, StreamEvent::Exited { window, result: Ok(Output::default()), early: false })
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Write { work, .. })) => {
                Event::task(task, SinkEvent::Written { work, position: None })
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Close)) => Event::task(task, SinkEvent::Closed),
            Action::Node(NodeAction::Finished) => return,
            _ => continue,
        };
        node.handle(now, event);
    }
    panic!("endless");
}

#[test]
fn why_a_peer_closes_is_told_in_its_own_words() {
    let mut sender = config(vec![TaskKind::Source, TaskKind::Sink]);
    sender.me = NodeIx(0);
    let mut node = Node::new(sender, Time::ZERO);
    let Some(conn) = std::iter::from_fn(|| node.poll_action())
        .find_map(|a| if let Action::Conn(conn, ConnAction::Dial { .. }) = a { Some(conn) } else { None })
    else {
        panic!("it dials")
    };
    node.handle(Time::ZERO, Event::Conn(conn, ConnEvent::Dialed));
    let message = "another living process is node a".to_owned();
    let frame = Frame::GoAway(worker_proto::frame::GoAway { why: GoAwayWhy::NameInUse, message });
    node.handle(Time::ZERO, Event::Conn(conn, ConnEvent::Frame(frame)));
    node.handle(
        Time::ZERO,
        Event::Conn(
            conn,
            ConnEvent::Closed { loss: Loss::Lost, why: "the peer closed the connection".into() },
        ),
    );
    let told = std::iter::from_fn(|| node.poll_action()).any(
        |a| matches!(a, Action::Node(NodeAction::Report(Report::PeerDown { why, .. })) if why.contains("another living process")),
    );
    assert!(told);
}

#[test]
fn commits_take_effect_in_their_order_whichever_is_durable_first() {
    let mut all_here = config(vec![TaskKind::Source, TaskKind::Sink]);
    all_here.graph.tasks[0].node = NodeIx(1);
    let mut node = Node::new(all_here, Time::ZERO);
    for text in ["first", "second"] {
        let chunks = vec![Chunk { link: LinkId(0), body: Body::Memory(records(&[text])) }];
        let output = Output { chunks, records: 1, ..Output::default() };
        node.handle(Time::ZERO, Event::task(TaskId(0), SourceEvent::Read { output }));
    }
    let written = |node: &mut Node| {
        let actions = std::iter::from_fn(|| node.poll_action());
        actions
            .filter_map(|a| {
                if let Action::Task(_, TaskAction::Sink(SinkAction::Write { batches, .. })) = a {
                    Some(batches)
                } else {
                    None
                }
            })
            .flatten()
            .count()
    };
    let persisted = |id| Event::Task(TaskId(0), TaskEvent::Persisted { commit: crate::event::CommitId(id) });
    node.handle(Time::ZERO, persisted(2));
    assert_eq!(written(&mut node), 0, "nothing leaves before the commit before it");
    node.handle(Time::ZERO, persisted(1));
    assert_eq!(written(&mut node), 1);
    assert_eq!(node.outbox(LinkId(0)).map(|outbox| outbox.counters().records), Some(2));
}

#[test]
fn a_node_that_has_failed_does_not_say_that_it_dials_again() {
    let mut sender = config(vec![TaskKind::Source, TaskKind::Sink]);
    sender.me = NodeIx(0);
    let mut node = Node::new(sender, Time::ZERO);
    let dialled = std::iter::from_fn(|| node.poll_action())
        .any(|a| matches!(a, Action::Conn(_, ConnAction::Dial { .. })));
    node.handle(
        Time::ZERO,
        Event::Conn(ConnId(1), ConnEvent::Closed { loss: Loss::Lost, why: "refused".into() }),
    );
    while node.poll_action().is_some() {}
    node.handle(Time::ZERO, Event::Task(TaskId(0), TaskEvent::Failed { why: "broken".into() }));
    let after: Vec<_> = std::iter::from_fn(|| node.poll_action()).collect();
    assert!(dialled && after.iter().any(|a| matches!(a, Action::Node(NodeAction::Halt { .. }))), "{after:?}");
    assert!(!after.iter().any(|a| matches!(a, Action::Node(NodeAction::Report(_)))), "{after:?}");
}

#[test]
fn a_peer_that_dials_is_dialled_back_at_once() {
    let mut both_ways = config(vec![TaskKind::Source, TaskKind::Batch(batch_spec()), TaskKind::Sink]);
    both_ways.graph.tasks[2].node = NodeIx(0);
    let mut peer = Peer::connected(both_ways.clone(), 1);
    // Dials that fail make the next wait longer and longer.
    for _ in 0..20 {
        if let Some((at, _)) = peer.node.next_wake() {
            peer.now = at;
            peer.node.handle_wake(at);
            peer.settle();
        }
        let dialled = peer.seen.iter().rev().find_map(|a| {
            if let Action::Conn(conn, ConnAction::Dial { .. }) = a { Some(*conn) } else { None }
        });
        peer.tell(Event::Conn(
            dialled.expect("it dials"),
            ConnEvent::Closed { loss: Loss::Lost, why: "refused".into() },
        ));
    }
    peer.tell(Event::Conn(peer.conn, ConnEvent::Closed { loss: Loss::Lost, why: "reset".into() }));
    peer.conn = peer.node.accept(peer.now);
    peer.seen.clear();
    peer.greet(1, 2);
    let (due, _) = peer.node.next_wake().expect("it will dial");
    assert_eq!(due, peer.now, "now, not when the wait is over");
    peer.node.handle_wake(due);
    peer.settle();
    assert!(peer.seen.iter().any(|a| matches!(a, Action::Conn(_, ConnAction::Dial { .. }))));
}

#[test]
fn a_node_that_fails_lets_every_peer_know_that_it_is_just_greeting() {
    let mut two_sinks = config(vec![TaskKind::Source, TaskKind::Sink, TaskKind::Sink]);
    two_sinks.me = NodeIx(0);
    two_sinks.nodes.push("c".into());
    two_sinks.graph.tasks[2].node = NodeIx(2);
    two_sinks.graph.links[1].from = TaskId(0);
    let mut node = Node::new(two_sinks, Time::ZERO);
    let drain = |node: &mut Node| std::iter::from_fn(|| node.poll_action()).collect::<Vec<_>>();
    let dials: Vec<_> = drain(&mut node)
        .into_iter()
        .filter_map(|a| if let Action::Conn(conn, ConnAction::Dial { .. }) = a { Some(conn) } else { None })
        .collect();
    let [b, c] = dials[..] else { panic!("it dials both: {dials:?}") };
    node.handle(Time::ZERO, Event::Conn(b, ConnEvent::Dialed));
    let message = "source node restarted".to_owned();
    let frame = Frame::GoAway(worker_proto::frame::GoAway { why: GoAwayWhy::Failed, message });
    node.handle(Time::ZERO, Event::Conn(b, ConnEvent::Frame(frame)));
    node.handle(Time::ZERO, Event::Conn(b, ConnEvent::Closed { loss: Loss::Lost, why: "closed".into() }));
    let halts =
        |actions: &[Action]| actions.iter().any(|a| matches!(a, Action::Node(NodeAction::Halt { .. })));
    assert!(!halts(&drain(&mut node)), "c has not heard of it");
    node.handle(Time::ZERO, Event::Conn(c, ConnEvent::Dialed));
    assert!(matches!(node.poll_transmit(Time::ZERO, c), Some(Frame::Hello(_))));
    node.handle(Time::ZERO, Event::Conn(c, ConnEvent::Closed { loss: Loss::Lost, why: "closed".into() }));
    assert!(halts(&drain(&mut node)));
}
