//! What stands around the node: programs, files and the journal, which keep to the law of use.

use crate::fuzz::{Input, is_fit_to_print};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use worker_core::config::{
    BatchSpec, Graph, Limits, LinkSpec, MaxDead, NodeConfig, NodeIx, OnError, RecordsSpec, Retry, StreamSpec,
    TaskId, TaskKind, TaskSpec,
};
use worker_core::event::{
    Action, BatchAction, BatchEvent, Body, Chunk, Commit, CommitId, ConnAction, ConnEvent, ConnId, Event,
    Failure, FailureKind, JournalAction, LinkAction, LinkEvent, Loss, NodeAction, NodeEvent, Output, Place,
    RecordsAction, RecordsEvent, Report, SinkAction, SinkEvent, SourceAction, SourceEvent, Spent,
    StreamAction, StreamEvent, TaskAction, TaskEvent,
};
use worker_core::recovery::TaskState;
use worker_core::{
    Batch, BatchBuilder, Epoch, Fingerprint, Frame, Incarnation, JournalId, LinkId, Node, Seq, Time,
};

/// Most actions that may follow from one input.
const ACTIONS_MAX: usize = 20_000;

pub(super) struct Driver {
    pub(super) node: Node,
    pub(super) now: Time,
    /// Dials that have got a connection.
    pub(super) dialled: Vec<ConnId>,
    /// Those on which this node has said who it is.
    pub(super) greeted: BTreeSet<ConnId>,
    /// Programs and files do at once what they are asked.
    pub(super) answers_at_once: bool,
    me: u16,
    kind: TaskKind,
    journaled: bool,
    /// Dials of which nothing is known yet.
    pub(super) dialling: VecDeque<ConnId>,
    waiting: VecDeque<Event>,
    permits: VecDeque<TaskId>,
    read: u64,
    /// By link and number, what was given to it, where that can be asked for again.
    kept: BTreeMap<(LinkId, u64), Bytes>,
    /// What lies in commits that are not durable yet.
    asked: BTreeMap<(TaskId, CommitId), BTreeSet<(LinkId, u64)>>,
    spilled: BTreeMap<u64, Batch>,
    places: u64,
    /// What the sink has been given last.
    written: u64,
    /// The peer has said only what says its own place, in one life.
    is_in_order: bool,
    lives: BTreeSet<u64>,
}

impl Driver {
    /// A source on node a, a task of any kind, and a sink; which of them are here is chosen.
    pub(super) fn new(input: &mut Input<'_>) -> Self {
        let flags = input.byte();
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let kind = kind(input.below(4));
        let (me, journaled) = (u16::from(!flag(0)), flag(1));
        let config = config(me, kind.clone(), u16::from(flag(2)));
        let node = match journaled {
            false => Node::new(config, Time::ZERO),
            true => {
                let tasks = (0..).map(TaskId).zip(&config.graph.tasks);
                let here = tasks.filter(|(_, spec)| spec.node == NodeIx(me));
                let states = here.map(|(task, _)| {
                    let journal = JournalId(if flag(3) { 1 } else { 1 + u64::from(task.0) });
                    (task, TaskState::fresh(Epoch(1), journal))
                });
                let states = states.collect();
                Node::with_journal(config, Time::ZERO, &states)
            }
        };
        Self {
            node,
            now: Time::ZERO,
            dialled: Vec::new(),
            greeted: BTreeSet::new(),
            answers_at_once: true,
            me,
            kind,
            journaled,
            dialling: VecDeque::new(),
            waiting: VecDeque::new(),
            permits: VecDeque::new(),
            read: 0,
            kept: BTreeMap::new(),
            asked: BTreeMap::new(),
            spilled: BTreeMap::new(),
            places: 0,
            written: 0,
            is_in_order: true,
            lives: BTreeSet::new(),
        }
    }

    pub(super) fn me(&self) -> &'static str {
        ["a", "b"][usize::from(self.me)]
    }

    pub(super) fn peer(&self) -> &'static str {
        ["b", "a"][usize::from(self.me)]
    }

    /// Tasks of another node are told nothing.
    pub(super) fn is_here(&self, event: &Event) -> bool {
        match event {
            Event::Task(task, _) => self.node.status().tasks.iter().any(|status| status.task == *task),
            Event::Conn(..) | Event::Link(..) | Event::Node(_) => true,
        }
    }

    /// A frame that comes may say what is not of its place.
    pub(super) fn heard(&mut self, frame: &Frame) {
        if let Frame::Hello(hello) = frame {
            self.lives.insert(hello.incarnation.0);
        }
        let is_sure = if let Frame::Batch(batch) = frame {
            (batch.first_seq.0..).zip(batch.batch.iter()).all(|(seq, record)| number(record) == Some(seq))
        } else if let Frame::Open(open) = frame {
            self.journaled || open.first_unacked == Seq(1)
        } else {
            true
        };
        self.is_in_order &= is_sure && self.lives.len() <= 1;
    }

    pub(super) fn tell(&mut self, event: Event) {
        if let Event::Task(task, TaskEvent::Persisted { commit }) = event {
            self.asked.remove(&(task, commit));
        }
        self.node.handle(self.now, event);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.node.handle_wake(self.now);
    }

    /// What came of the oldest dial.
    pub(super) fn dialled(&mut self, well: bool) -> Option<Event> {
        let conn = self.dialling.pop_front()?;
        if well {
            self.dialled.push(conn);
            return Some(Event::Conn(conn, ConnEvent::Dialed));
        }
        let why = "connection refused".to_owned();
        Some(Event::Conn(conn, ConnEvent::Closed { loss: Loss::NobodyListens, why }))
    }

    /// A source reads, or the oldest of what is asked for is done.
    pub(super) fn do_what_is_asked(&mut self, input: &mut Input<'_>) {
        if input.chance()
            && let Some(event) = self.waiting.pop_front()
        {
            return self.tell(event);
        }
        let Some(task) = self.permits.pop_front() else { return };
        let event = match input.below(12) {
            0 => SourceEvent::Ended { complete: true },
            _ => {
                let mut batch = BatchBuilder::default();
                for _ in 0..=input.below(5) {
                    self.read += 1;
                    batch.push(
                        format!("{}{:.>length$}\n", self.read, "", length = usize::from(input.byte()))
                            .as_bytes(),
                    );
                }
                SourceEvent::Read { output: self.output(LinkId(0), batch.take()) }
            }
        };
        if matches!(event, SourceEvent::Ended { .. }) {
            self.permits.clear();
        }
        self.tell(Event::task(task, event));
    }

    /// Does what the node asks for, until it asks for a connection to be closed.
    pub(super) fn settle(&mut self) -> Option<ConnId> {
        for _ in 0..ACTIONS_MAX {
            if let Some(action) = self.node.poll_action() {
                if let Action::Conn(conn, ConnAction::Close) = action {
                    return Some(conn);
                }
                self.act(action);
            } else if let Some(event) = self.waiting.pop_front().filter(|_| self.answers_at_once) {
                self.tell(event);
            } else {
                return None;
            }
        }
        panic!("it never comes to rest");
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Conn(conn, ConnAction::Dial { .. }) => self.dialling.push_back(conn),
            Action::Conn(_, ConnAction::Wake | ConnAction::Close) => {}
            Action::Link(link, action) => self.keep(link, action),
            Action::Task(task, action) => {
                let answer = self.answer(task, action);
                self.waiting.extend(answer.map(|answer| Event::Task(task, answer)));
            }
            Action::Node(NodeAction::KeepPeer { peer, version, .. }) => {
                self.waiting.push_back(Event::Node(NodeEvent::PeerKept { peer, version }));
            }
            Action::Node(NodeAction::Halt { error }) => is_fit_to_print(&error.to_string()),
            Action::Node(NodeAction::Report(report)) => match report {
                Report::PeerDown { why, .. } | Report::BatchFailed { why, .. } => is_fit_to_print(&why),
                Report::PeerRefused { why, peer, .. } => {
                    is_fit_to_print(&why);
                    is_fit_to_print(peer.as_deref().unwrap_or_default());
                }
                Report::PeerUp { .. }
                | Report::PeerGone { .. }
                | Report::PeerRestarted { .. }
                | Report::ReaderGone { .. } => {}
            },
            Action::Node(NodeAction::Finished) => {}
        }
    }

    fn answer(&mut self, task: TaskId, action: TaskAction) -> Option<TaskEvent> {
        Some(match action {
            TaskAction::Source(SourceAction::Read { chunks, .. }) => {
                self.permits.extend((0..chunks).map(|_| task));
                return None;
            }
            TaskAction::Source(SourceAction::Stop | SourceAction::Cancel) => {
                self.permits.clear();
                SourceEvent::Ended { complete: true }.into()
            }
            TaskAction::Batch(BatchAction::Run(run)) => {
                let result = match run.batch_id % 7 {
                    6 => Err(failure()),
                    _ => Ok(self.passed_on(&run.input)),
                };
                BatchEvent::Done { work: run.work, result, spent: Spent::default() }.into()
            }
            TaskAction::Stream(StreamAction::Feed { window, batch }) => {
                StreamEvent::Fed { window, cost: batch.cost() }.into()
            }
            TaskAction::Stream(StreamAction::Close { window }) => {
                StreamEvent::Exited { window, result: Ok(Output::default()), early: false }.into()
            }
            TaskAction::Records(RecordsAction::Request { life, batch, .. }) => {
                let records = batch.records();
                let output = self.passed_on(&[batch]);
                RecordsEvent::Answered { life, records, output, ended: false }.into()
            }
            TaskAction::Records(RecordsAction::End { life }) => {
                RecordsEvent::Answered { life, records: 0, output: Output::default(), ended: true }.into()
            }
            TaskAction::Sink(SinkAction::Write { work, batches }) => {
                self.is_in_its_order(&batches);
                SinkEvent::Written { work, position: None }.into()
            }
            TaskAction::Sink(SinkAction::Header { work, .. }) => {
                SinkEvent::Written { work, position: None }.into()
            }
            TaskAction::Sink(SinkAction::Close) => SinkEvent::Closed.into(),
            TaskAction::Journal(JournalAction::Persist(commit)) => self.persist(task, &commit),
            TaskAction::Batch(BatchAction::Kill)
            | TaskAction::Stream(StreamAction::Start { .. } | StreamAction::Kill)
            | TaskAction::Records(
                RecordsAction::Start { .. } | RecordsAction::Tick { .. } | RecordsAction::Kill,
            )
            | TaskAction::Journal(JournalAction::Note(_)) => return None,
        })
    }

    fn persist(&mut self, task: TaskId, commit: &Commit) -> TaskEvent {
        let asked = self.asked.entry((task, commit.id)).or_default();
        for (first, chunk) in &commit.outputs {
            if let Body::Memory(batch) = &chunk.body {
                for (seq, record) in (first.0..).zip(batch.iter()) {
                    asked.insert((chunk.link, seq));
                    self.kept.insert((chunk.link, seq), Bytes::copy_from_slice(record));
                }
            }
        }
        TaskEvent::Persisted { commit: commit.id }
    }

    fn keep(&mut self, link: LinkId, action: LinkAction) {
        let event = match action {
            LinkAction::Store { first_seq, batch } => {
                self.places += 1;
                self.spilled.insert(self.places, batch);
                LinkEvent::Stored { first_seq, place: Place(self.places) }
            }
            LinkAction::Load { first_seq, place, records } => {
                let batch = match self.journaled {
                    false => self.spilled[&place.0].clone(),
                    true => {
                        let mut batch = BatchBuilder::default();
                        (first_seq.0..first_seq.0 + records)
                            .for_each(|seq| batch.push(&self.kept[&(link, seq)]));
                        batch.take()
                    }
                };
                LinkEvent::Loaded { first_seq, batch }
            }
            LinkAction::Discard { place } => {
                assert!(self.spilled.remove(&place.0).is_some(), "it was there");
                return;
            }
            LinkAction::Acknowledged { .. } | LinkAction::Lost { .. } => return,
        };
        self.waiting.push_back(Event::Link(link, event));
    }

    /// The records of a task's input as its output, on the link behind it.
    fn passed_on(&self, input: &[Batch]) -> Output {
        let mut batch = BatchBuilder::default();
        input.iter().for_each(|input| batch.append(input));
        self.output(LinkId(1), batch.take())
    }

    fn output(&self, link: LinkId, batch: Batch) -> Output {
        let (records, bytes) = (batch.records(), batch.bytes() as u64);
        let chunks =
            if batch.is_empty() { Vec::new() } else { vec![Chunk { link, body: Body::Memory(batch) }] };
        Output { chunks, records, bytes, ..Output::default() }
    }

    /// What leaves on a link is what was given to it at that place.
    pub(super) fn is_what_was_given(&self, link: LinkId, first: Seq, batch: &Batch) {
        for (seq, record) in (first.0..).zip(batch.iter()) {
            if link == LinkId(0) {
                assert_eq!(number(record), Some(seq), "the source's {seq}");
            }
            let kept = self.kept.get(&(link, seq)).expect("nothing leaves without a commit");
            assert!(
                self.asked.values().all(|asked| !asked.contains(&(link, seq))),
                "nothing leaves before its commit"
            );
            assert_eq!(kept, record, "tuple {seq} of link {link}");
        }
    }

    /// Where nothing is put aside on the way, a sink is given one record behind the other.
    fn is_in_its_order(&mut self, batches: &[Batch]) {
        let passes_on = matches!(self.kind, TaskKind::Records(_) | TaskKind::Sink);
        if !passes_on || !self.is_in_order {
            return;
        }
        for record in batches.iter().flat_map(Batch::iter) {
            self.written += 1;
            assert_eq!(number(record), Some(self.written), "{:?}", String::from_utf8_lossy(record));
        }
    }
}

/// What a record begins with.
fn number(record: &[u8]) -> Option<u64> {
    let digits: Vec<u8> = record.iter().copied().take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).ok()?.parse().ok()
}

fn failure() -> Failure {
    let message = "exit 1".to_owned();
    Failure { kind: FailureKind::Exit(1), message, stderr_tail: String::new(), silent: true }
}

fn kind(choice: u8) -> TaskKind {
    let second = Duration::from_secs(1);
    let retry = Retry { max_attempts: 2, initial: second / 10, max: second };
    let (on_error, max_dead) = (OnError::DeadLetter, MaxDead::Unlimited);
    match choice {
        0 => TaskKind::Batch(BatchSpec {
            max_bytes: 2000,
            max_records: 50,
            linger: second / 50,
            retry,
            on_error,
            max_dead,
        }),
        1 => TaskKind::Stream(StreamSpec {
            window: None,
            early_exit_is_done: false,
            replay_bytes: 1 << 20,
            restart: None,
        }),
        2 => TaskKind::Records(RecordsSpec {
            in_flight: 4,
            in_flight_bytes: 2000,
            tick: Some(second),
            retry,
            on_error,
            max_dead,
        }),
        _ => TaskKind::Sink,
    }
}

/// A source on node a, the task on node b, and, unless that is a sink, a sink behind it.
fn config(me: u16, kind: TaskKind, sink_on: u16) -> NodeConfig {
    let task = |name: &str, node, kind| TaskSpec { name: name.to_owned(), node: NodeIx(node), kind };
    let mut tasks = vec![task("in/0", 0, TaskKind::Source), task("t/0", 1, kind.clone())];
    let mut links = vec![LinkSpec::new(TaskId(0), TaskId(1))];
    if !matches!(kind, TaskKind::Sink) {
        tasks.push(task("out/0", sink_on, TaskKind::Sink));
        links.push(LinkSpec::new(TaskId(1), TaskId(2)));
    }
    NodeConfig {
        cluster: "fuzz".to_owned(),
        nodes: vec!["a".to_owned(), "b".to_owned()],
        me: NodeIx(me),
        incarnation: Incarnation(1),
        pipeline: Fingerprint(1),
        placement: Fingerprint(1),
        graph: Graph { tasks, links, ..Graph::default() },
        slots: 1,
        limits: Limits {
            credit_bytes: 2048,
            outbox_bytes: 1024,
            spill_bytes: 8192,
            shared_credit_bytes: 4096,
        },
        redial: Retry { max_attempts: 1, initial: Duration::from_millis(100), max: Duration::from_secs(5) },
        linger: Duration::from_secs(5),
        seed: 1,
    }
}
