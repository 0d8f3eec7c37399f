//! One end of the measured link: a node of two tasks with the least possible driver.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use worker_core::config::{Graph, Limits, LinkSpec, NodeConfig, NodeIx, Retry, TaskId, TaskKind, TaskSpec};
use worker_core::event::{
    Action, Body, Chunk, ConnAction, ConnEvent, ConnId, Event, JournalAction, LinkAction, LinkEvent, Loss,
    NodeAction, Output, Place, SinkAction, SinkEvent, SourceAction, SourceEvent, TaskAction, TaskEvent,
};
use worker_core::{Node, Time};
use worker_net::{CloseCause, Endpoint, Listener, Settings, Tls, Transmit};
use worker_proto::{Batch, Fingerprint, Frame, Incarnation, LinkId, Seq};

/// What the source gives at a time, in bytes.
const CHUNK_BYTES: usize = 128 * 1024;

/// Sends records to the node at `to` for `time`; gives how many, and how long it took until all were acknowledged.
pub(super) fn send(
    to: SocketAddr,
    record_bytes: usize,
    time: Duration,
    tls: Option<Arc<Tls>>,
) -> (u64, Duration) {
    runtime().block_on(async {
        let (end, done) = End::start(0, Some((to, tls)), record_bytes, time);
        done.await.expect("the node finishes");
        (end.state().records, end.begun.elapsed())
    })
}

/// Prints where it listens, receives until the sender's end, then prints how many records came.
pub(super) fn receive(record_bytes: usize, tls: Option<Arc<Tls>>) {
    runtime().block_on(async {
        let listener = Listener::bind("127.0.0.1:0", Settings::default()).await.expect("bind").with_tls(tls);
        println!("{}", listener.address().expect("bound").port());
        std::io::stdout().flush().expect("flush");
        let (end, done) = End::start(1, None, record_bytes, Duration::ZERO);
        let settings = Settings::default();
        let greeted = listener.accept().await.greeted(&settings).await.expect("the sender says Hello");
        let conn = end.act(|node, now| node.accept(now));
        let wake = end.connection(conn);
        let endpoint: Arc<dyn Endpoint> = Arc::clone(&end) as Arc<dyn Endpoint>;
        let drive = tokio::spawn(async move { greeted.drive(conn.0, endpoint, wake, &settings).await });
        done.await.expect("the node finishes");
        drive.await.expect("the connection ends");
        println!("{}", end.state().records);
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

struct End {
    begun: Instant,
    until: Duration,
    peer: Option<(SocketAddr, Option<Arc<Tls>>)>,
    chunk: Batch,
    state: Mutex<State>,
    me: Weak<End>,
}

struct State {
    node: Node,
    records: u64,
    /// What the sender gives away until its receiver is there; it goes to disk in the worker.
    stored: BTreeMap<Seq, Batch>,
    conns: BTreeMap<u64, (Arc<Notify>, bool)>,
    done: Option<oneshot::Sender<()>>,
}

impl End {
    fn start(
        me: u16,
        peer: Option<(SocketAddr, Option<Arc<Tls>>)>,
        record_bytes: usize,
        until: Duration,
    ) -> (Arc<Self>, oneshot::Receiver<()>) {
        let mut record = vec![b'x'; record_bytes];
        record[record_bytes - 1] = b'\n';
        let chunk = Batch::from_terminated(Bytes::from(record.repeat(CHUNK_BYTES / record.len())), b'\n');
        let (sender, done) = oneshot::channel();
        let node = Node::new(config(me), Time::ZERO);
        let state =
            State { node, records: 0, stored: BTreeMap::new(), conns: BTreeMap::new(), done: Some(sender) };
        let end = Arc::new_cyclic(|me| Self {
            begun: Instant::now(),
            until,
            peer,
            chunk,
            state: Mutex::new(state),
            me: me.clone(),
        });
        end.act(|_, _| {});
        (end, done)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it was held")
    }

    fn act<R>(&self, f: impl FnOnce(&mut Node, Time) -> R) -> R {
        let mut state = self.state();
        let now = Time::from_micros(u64::try_from(self.begun.elapsed().as_micros()).expect("a short run"));
        let result = f(&mut state.node, now);
        while let Some(action) = state.node.poll_action() {
            self.carry_out(&mut state, now, action);
        }
        result
    }

    fn carry_out(&self, state: &mut State, now: Time, action: Action) {
        match action {
            Action::Task(task, TaskAction::Source(SourceAction::Read { chunks, .. })) => {
                for _ in 0..chunks {
                    if self.begun.elapsed() >= self.until {
                        state.node.handle(now, Event::task(task, SourceEvent::Ended { complete: true }));
                        return;
                    }
                    let (body, records) = (Body::Memory(self.chunk.clone()), self.chunk.len() as u64);
                    state.records += records;
                    let chunks = vec![Chunk { link: LinkId(0), body }];
                    let output = Output { chunks, records, ..Output::default() };
                    state.node.handle(now, Event::task(task, SourceEvent::Read { output }));
                }
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Write { work, batches })) => {
                state.records += batches.iter().map(|b| b.len() as u64).sum::<u64>();
                state.node.handle(now, Event::task(task, SinkEvent::Written { work, position: None }));
            }
            Action::Task(task, TaskAction::Sink(SinkAction::Close)) => {
                state.node.handle(now, Event::task(task, SinkEvent::Closed))
            }
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                state.node.handle(now, Event::Task(task, TaskEvent::Persisted { commit: commit.id }));
            }
            Action::Conn(conn, ConnAction::Dial { .. }) => self.dial(state, conn),
            Action::Conn(conn, ConnAction::Wake) => {
                if let Some((wake, _)) = state.conns.get(&conn.0) {
                    wake.notify_one();
                }
            }
            Action::Conn(conn, ConnAction::Close) => {
                if let Some((wake, closing)) = state.conns.get_mut(&conn.0) {
                    *closing = true;
                    wake.notify_one();
                }
            }
            Action::Link(link, LinkAction::Store { first_seq, batch }) => {
                state.stored.insert(first_seq, batch);
                let stored = LinkEvent::Stored { first_seq, place: Place(first_seq.0) };
                state.node.handle(now, Event::Link(link, stored));
            }
            Action::Link(link, LinkAction::Load { first_seq, .. }) => {
                let batch = state.stored.get(&first_seq).expect("what was stored").clone();
                state.node.handle(now, Event::Link(link, LinkEvent::Loaded { first_seq, batch }));
            }
            Action::Link(_, LinkAction::Discard { place }) => {
                state.stored.remove(&Seq(place.0));
            }
            Action::Link(_, LinkAction::Acknowledged { .. }) => {}
            Action::Node(NodeAction::Finished) => {
                state.done.take().map(|done| done.send(()));
            }
            Action::Node(NodeAction::Halt { error }) => panic!("{error}"),
            Action::Node(NodeAction::Report(_)) => {}
            Action::Link(_, LinkAction::Lost { .. })
            | Action::Task(..)
            | Action::Node(NodeAction::KeepPeer { .. }) => {
                panic!("not expected on this link: {action:?}")
            }
        }
    }

    fn dial(&self, state: &mut State, conn: ConnId) {
        let wake = Arc::new(Notify::new());
        state.conns.insert(conn.0, (Arc::clone(&wake), false));
        let end = self.me.upgrade().expect("alive");
        let (peer, tls) = self.peer.clone().expect("only the sender dials");
        tokio::spawn(async move {
            let settings = Settings::default();
            let stream = worker_net::dial(&peer.to_string(), &settings).await.expect("dial");
            let Some(tls) = tls else {
                end.act(|node, now| node.handle(now, Event::Conn(conn, ConnEvent::Dialed)));
                return worker_net::drive(stream, conn.0, end, wake, &settings).await;
            };
            let (stream, guard) = tls.dialled(stream, "b", &settings).await.expect("both know each other");
            end.act(|node, now| node.handle(now, Event::Conn(conn, ConnEvent::Dialed)));
            worker_net::drive_guarded(stream, conn.0, end, wake, &settings, Some(guard)).await;
        });
    }

    fn connection(&self, conn: ConnId) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        self.state().conns.insert(conn.0, (Arc::clone(&wake), false));
        wake
    }
}

impl Endpoint for End {
    fn frames(&self, conn: u64, frames: &mut Vec<Frame>) {
        self.act(|node, now| {
            for frame in frames.drain(..) {
                node.handle(now, Event::Conn(ConnId(conn), ConnEvent::Frame(frame)));
            }
        });
    }

    fn transmit(&self, conn: u64, bytes_max: usize, out: &mut Vec<Frame>) -> Transmit {
        let more = self.act(|node, now| {
            let mut bytes = 0;
            while bytes < bytes_max {
                let Some(frame) = node.poll_transmit(now, ConnId(conn)) else { return false };
                bytes += if let Frame::Batch(batch) = &frame { batch.batch.bytes() } else { 64 };
                out.push(frame);
            }
            true
        });
        let closing = self.state().conns.get(&conn).is_none_or(|c| c.1);
        if !more && closing { Transmit::Close } else { Transmit::Open }
    }

    fn closed(&self, conn: u64, cause: CloseCause, why: String) {
        self.act(|node, now| {
            node.handle(now, Event::Conn(ConnId(conn), ConnEvent::Closed { loss: loss(cause), why }))
        });
    }
}

fn config(me: u16) -> NodeConfig {
    let task = |name: &str, node, kind| TaskSpec { name: name.to_owned(), node: NodeIx(node), kind };
    let tasks = vec![task("source/0", 0, TaskKind::Source), task("sink/0", 1, TaskKind::Sink)];
    NodeConfig {
        cluster: "bench".into(),
        nodes: vec!["a".into(), "b".into()],
        me: NodeIx(me),
        incarnation: Incarnation(1),
        pipeline: Fingerprint(1),
        placement: Fingerprint(1),
        graph: Graph { tasks, links: vec![LinkSpec::new(TaskId(0), TaskId(1))], ..Graph::default() },
        slots: 1,
        limits: Limits {
            credit_bytes: 1280 << 10,
            outbox_bytes: 16 << 20,
            spill_bytes: 1 << 30,
            shared_credit_bytes: 64 << 20,
        },
        redial: Retry { max_attempts: 1, initial: Duration::from_millis(1), max: Duration::from_millis(10) },
        linger: Duration::from_secs(2),
        seed: 1,
    }
}

fn loss(cause: CloseCause) -> Loss {
    match cause {
        CloseCause::Silent => Loss::Silent,
        CloseCause::Lost | CloseCause::Breach(_) => Loss::Lost,
    }
}
