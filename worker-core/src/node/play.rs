//! A node whose driver is a test: what needs no decision is carried out, the rest waits until the test does it.

#![expect(clippy::wildcard_enum_match_arm, reason = "each test carries out only what it is about")]

use super::tests::{line, records};
use super::*;
use crate::config::{BatchSpec, MaxDead, OnError, RecordsSpec, Retry, TaskKind};
use crate::event::{
    BatchAction, BatchEvent, Body, Chunk, ConnAction, ConnEvent, Failure, FailureKind, JournalAction,
    LinkAction, LinkEvent, NodeAction, NodeEvent, Output, Place, RecordsAction, RecordsEvent, SinkAction,
    SinkEvent, SourceAction, SourceEvent, Spent, StreamAction, StreamEvent, TaskAction, TaskEvent,
};
use crate::recovery::TaskState;
use crate::stall::Reason;
use std::time::Duration;
use worker_proto::frame::{Opened, Welcome};
use worker_proto::{Batch, Epoch, Frame, Incarnation, JournalId, Seq};

pub(super) struct Play {
    pub(super) node: Node,
    pub(super) now: Time,
    /// Actions that nobody has carried out yet.
    pub(super) due: Vec<Action>,
    /// Chunks that each source may read.
    pub(super) permits: BTreeMap<TaskId, u32>,
    /// Commits become durable at once.
    pub(super) syncs: bool,
    /// What is to be stored finds room.
    pub(super) stores: bool,
    /// What is to be kept of peers is, at once.
    pub(super) keeps: bool,
    journaled: bool,
    places: u64,
    /// What can be read back, by its first number.
    kept: BTreeMap<(LinkId, Seq), Batch>,
    /// What sinks were given and wrote.
    pub(super) written: Vec<String>,
    /// Records given to stream programs of the present window.
    fed: usize,
}

impl Play {
    pub(super) fn new(config: NodeConfig) -> Self {
        Self::of(Node::new(config, Time::from_micros(1)))
    }

    pub(super) fn journaled(config: NodeConfig) -> Self {
        let fresh = |at: u32| (TaskId(at), TaskState::fresh(Epoch(1), JournalId(u64::from(at) + 1)));
        let states = (0_u32..).zip(&config.graph.tasks).map(|(at, _)| fresh(at)).collect();
        Self::recovered(config, &states)
    }

    /// A later life of a node with a journal.
    pub(super) fn recovered(config: NodeConfig, states: &BTreeMap<TaskId, TaskState>) -> Self {
        let node = Node::with_journal(config, Time::from_micros(1), states);
        Self { journaled: true, ..Self::of(node) }
    }

    fn of(node: Node) -> Self {
        let mut play = Self {
            node,
            now: Time::from_micros(1),
            due: Vec::new(),
            permits: BTreeMap::new(),
            syncs: true,
            stores: true,
            keeps: true,
            journaled: false,
            places: 0,
            kept: BTreeMap::new(),
            written: Vec::new(),
            fed: 0,
        };
        play.carry();
        play
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.node.handle(self.now, event);
        self.carry();
    }

    /// Time passes, and what is due then happens.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.node.handle_wake(self.now);
        self.carry();
    }

    fn carry(&mut self) {
        while let Some(action) = self.node.poll_action() {
            let event = match &action {
                Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) if self.syncs => {
                    for (first, chunk) in &commit.outputs {
                        if let (true, Body::Memory(batch)) = (self.journaled, &chunk.body) {
                            self.kept.insert((chunk.link, *first), batch.clone());
                        }
                    }
                    Event::Task(*task, TaskEvent::Persisted { commit: commit.id })
                }
                Action::Link(link, LinkAction::Load { first_seq, records, .. }) => {
                    let asked = (*link, *first_seq)..(*link, first_seq.plus(*records));
                    let parts = self.kept.range(asked).map(|(_, batch)| batch.clone());
                    let batch = parts.reduce(|all, next| all.joined(&next)).expect("it was kept");
                    Event::Link(*link, LinkEvent::Loaded { first_seq: *first_seq, batch })
                }
                Action::Link(link, LinkAction::Store { first_seq, batch }) if self.stores => {
                    self.places += 1;
                    self.kept.insert((*link, *first_seq), batch.clone());
                    Event::Link(*link, LinkEvent::Stored { first_seq: *first_seq, place: Place(self.places) })
                }
                Action::Node(NodeAction::KeepPeer { peer, version, .. }) if self.keeps => {
                    Event::Node(NodeEvent::PeerKept { peer: *peer, version: *version })
                }
                Action::Task(task, TaskAction::Source(SourceAction::Read { chunks, .. })) => {
                    *self.permits.entry(*task).or_default() += chunks;
                    continue;
                }
                _ => {
                    self.due.push(action);
                    continue;
                }
            };
            self.node.handle(self.now, event);
        }
    }

    pub(super) fn reasons(&self, task: u32) -> Vec<Reason> {
        let stalls = self.node.stalls().into_iter();
        stalls.filter(|stall| stall.task == TaskId(task)).flat_map(|stall| stall.reasons).collect()
    }

    /// The only reason of a task to wait.
    pub(super) fn reason(&self, task: u32) -> Reason {
        let mut reasons = self.reasons(task);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons.remove(0)
    }

    /// Source 0 reads these records, if it may; they go to link 0.
    pub(super) fn read(&mut self, lines: &[&str]) -> bool {
        self.read_to(&[0], lines)
    }

    /// The same, with a copy to each of several links.
    pub(super) fn read_to(&mut self, links: &[u32], lines: &[&str]) -> bool {
        let permits = self.permits.entry(TaskId(0)).or_default();
        if *permits == 0 {
            return false;
        }
        *permits -= 1;
        let chunks = links.iter().map(|&link| chunk(link, records(lines))).collect();
        let output = Output { chunks, records: lines.len() as u64, ..Output::default() };
        self.tell(Event::task(TaskId(0), SourceEvent::Read { output }));
        true
    }

    /// Source 0 reads chunks of about 1,000 bytes for as long as it may, but at most so many; says how many.
    pub(super) fn read_on(&mut self, most: usize) -> usize {
        let line = "x".repeat(999);
        (0..most).take_while(|_| self.read(&[&line])).count()
    }

    pub(super) fn end_source(&mut self) {
        self.tell(Event::task(TaskId(0), SourceEvent::Ended { complete: true }));
    }

    /// Takes the first due action that `f` knows.
    pub(super) fn take<R>(&mut self, f: impl Fn(&Action) -> Option<R>) -> Option<R> {
        let (at, found) = self.due.iter().enumerate().find_map(|(at, action)| Some((at, f(action)?)))?;
        self.due.remove(at);
        Some(found)
    }

    /// The connection that the node dials now.
    pub(super) fn dialled(&mut self) -> ConnId {
        self.take(|a| if let Action::Conn(conn, ConnAction::Dial { .. }) = a { Some(*conn) } else { None })
            .expect("it dials")
    }

    /// What is to be kept of a peer now.
    pub(super) fn takes_to_keep(&mut self) -> Option<(NodeIx, PeerState, u64)> {
        self.take(|a| match a {
            Action::Node(NodeAction::KeepPeer { peer, state, version }) => {
                Some((*peer, state.clone(), *version))
            }
            _ => None,
        })
    }

    pub(super) fn hear(&mut self, conn: ConnId, frame: Frame) {
        self.tell(Event::Conn(conn, ConnEvent::Frame(frame)));
    }

    /// Peer `b` of this life answers the dial.
    pub(super) fn welcome(&mut self, conn: ConnId, life: u64) {
        self.tell(Event::Conn(conn, ConnEvent::Dialed));
        self.hear(conn, Frame::Welcome(Welcome { node: "b".into(), incarnation: Incarnation(life) }));
    }

    /// It opens link 0, of which it has nothing.
    pub(super) fn open(&mut self, conn: ConnId, credit: u64) {
        let (link, epoch) = (LinkId(0), Epoch(1));
        let (committed, received, finished) = (Seq::ZERO, Seq::ZERO, Seq::ZERO);
        let (ended, journal) = (false, JournalId(9));
        let opened = Opened { link, epoch, committed, received, finished, ended, journal, credit };
        self.hear(conn, Frame::Opened(opened));
    }

    pub(super) fn transmit(&mut self, conn: ConnId) {
        while self.node.poll_transmit(self.now, conn).is_some() {}
        self.carry();
    }

    pub(super) fn fail_run(&mut self) {
        let run = self.take(|a| {
            if let Action::Task(task, TaskAction::Batch(BatchAction::Run(run))) = a {
                Some((*task, run.work))
            } else {
                None
            }
        });
        let (task, work) = run.expect("it runs");
        let result = Err(failure());
        self.tell(Event::task(task, BatchEvent::Done { work, result, spent: Spent::default() }));
    }

    /// Carries out everything: programs give what they are given, a stream's one line more at its end, and so does a records
    /// program.
    pub(super) fn work(&mut self) {
        while !self.due.is_empty() {
            for action in std::mem::take(&mut self.due) {
                if let Some(event) = self.done(action) {
                    self.tell(event);
                }
            }
        }
    }

    /// What comes of an action of source 0 → stage 1 → sink 2.
    fn done(&mut self, action: Action) -> Option<Event> {
        let to_sink = |batch: Batch| {
            let records = batch.len() as u64;
            Output { chunks: vec![chunk(1, batch)], records, ..Output::default() }
        };
        Some(match action {
            Action::Task(task, TaskAction::Batch(BatchAction::Run(run))) => {
                let output = run.input.iter().map(|b| chunk(1, b.clone())).collect();
                let output = Output { chunks: output, ..Output::default() };
                Event::task(
                    task,
                    BatchEvent::Done { work: run.work, result: Ok(output), spent: Spent::default() },
                )
            }
            Action::Task(_, TaskAction::Stream(StreamAction::Start { .. })) => {
                self.fed = 0;
                return None;
            }
            Action::Task(task, TaskAction::Stream(StreamAction::Feed { window, batch })) => {
                self.fed += batch.len();
                self.tell(Event::task(task, StreamEvent::Fed { window, cost: batch.cost() }));
                Event::task(task, StreamEvent::Output { window, output: to_sink(batch) })
            }
            Action::Task(task, TaskAction::Stream(StreamAction::Close { window })) => {
                let last = to_sink(records(&[&format!("end of {}", self.fed)]));
                Event::task(task, StreamEvent::Exited { window, result: Ok(last), early: false })
            }
            Action::Task(task, TaskAction::Records(RecordsAction::Request { life, batch, .. })) => {
                let records = batch.len() as u64;
                Event::task(
                    task,
                    RecordsEvent::Answered { life, records, output: to_sink(batch), ended: false },
                )
            }
            Action::Task(task, TaskAction::Records(RecordsAction::End { life })) => {
                let output = to_sink(records(&["end"]));
                Event::task(task, RecordsEvent::Answered { life, records: 0, output, ended: true })
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Write { work, batches })) => {
                let lines = batches.iter().flat_map(Batch::iter);
                self.written.extend(lines.map(|r| String::from_utf8_lossy(r).trim_end().to_owned()));
                Event::task(task, SinkEvent::Written { work, position: None })
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Close)) => Event::task(task, SinkEvent::Closed),
            Action::Task(task, TaskAction::Source(SourceAction::Stop | SourceAction::Cancel)) => {
                Event::task(task, SourceEvent::Ended { complete: false })
            }
            Action::Node(NodeAction::Halt { error }) => panic!("{error}"),
            _ => return None,
        })
    }
}

pub(super) fn chunk(link: u32, batch: Batch) -> Chunk {
    Chunk { link: LinkId(link), body: Body::Memory(batch) }
}

pub(super) fn failure() -> Failure {
    let message = "exit 1".to_owned();
    Failure { kind: FailureKind::Exit(1), message, stderr_tail: String::new(), silent: true }
}

/// Source 0 → stage 1 → sink 2 on node `a`.
pub(super) fn around(stage: TaskKind) -> NodeConfig {
    line(vec![TaskKind::Source, stage, TaskKind::Sink])
}

/// Source 0 on node `a`, which is the one under test, → sink 1 on node `b`.
pub(super) fn to_b() -> NodeConfig {
    let mut config = line(vec![TaskKind::Source, TaskKind::Sink]);
    config.nodes.push("b".into());
    config.graph.tasks[1].node = NodeIx(1);
    config
}

/// Batches that wait for nothing.
pub(super) fn batch() -> TaskKind {
    let spec = super::tests::batch_spec();
    TaskKind::Batch(BatchSpec { linger: Duration::ZERO, ..spec })
}

pub(super) fn asked(in_flight: u64) -> TaskKind {
    TaskKind::Records(RecordsSpec {
        in_flight,
        in_flight_bytes: 1 << 20,
        tick: None,
        retry: Retry { max_attempts: 3, initial: Duration::from_secs(1), max: Duration::from_secs(1) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(10),
    })
}
