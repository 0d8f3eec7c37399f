//! Connections: the node's endpoint for worker-net.

use super::cell::{Cell, Tell};
use super::refusals::Refusals;
use super::trace::first_new;
use crate::chaos::{Chaos, Cut, Fault};
use crate::logging::peer_span;
use crate::mutex::lock;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tracing::Instrument as _;
use worker_core::config::NodeIx;
use worker_core::event::{ConnAction, ConnEvent, ConnId, Event, Identity, Loss};
use worker_core::status::Latencies;
use worker_net::{
    Breach, CloseCause, DialError, Endpoint, Greeted, Listener, Settings, Stream, Tls, Transmit, Turned,
};
use worker_proto::Frame;

/// What a frame without tuples counts for in a burst, in bytes.
const CONTROL_FRAME_BYTES: usize = 64;

/// Connections that are dialled or open.
#[derive(Debug)]
pub(super) struct Connections {
    cell: Weak<Cell>,
    /// Names of all nodes, and their addresses; none for one process alone.
    nodes: Vec<String>,
    addresses: Vec<String>,
    chaos: Option<Arc<Chaos>>,
    tls: Option<Arc<Tls>>,
    runtime: tokio::runtime::Handle,
    open: Mutex<BTreeMap<u64, Connection>>,
    /// The last round trip of a heartbeat, and all of them, by peer that this node dialled.
    round_trips: Mutex<BTreeMap<NodeIx, (Duration, Latencies)>>,
    refusals: Arc<Refusals>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Connection {
    /// Whom this node dialled; whoever dials this node has a connection of the other direction.
    dialled: Option<NodeIx>,
    wake: Arc<Notify>,
    /// Close it when the node has nothing more for it.
    closing: bool,
}

impl Connections {
    pub(super) fn new(
        cell: &Arc<Cell>,
        (nodes, addresses): (Vec<String>, Vec<String>),
        chaos: Option<Arc<Chaos>>,
        tls: Option<Arc<Tls>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cell: Arc::downgrade(cell),
            nodes,
            addresses,
            chaos,
            tls,
            runtime: tokio::runtime::Handle::current(),
            open: Mutex::default(),
            round_trips: Mutex::default(),
            refusals: Arc::default(),
            changed: Notify::new(),
        })
    }

    pub(super) fn act(self: &Arc<Self>, conn: ConnId, action: ConnAction) {
        match action {
            ConnAction::Dial { peer } => self.dial(conn, peer),
            ConnAction::Wake => self.wake(conn),
            ConnAction::Close => self.close(conn),
        }
    }

    fn dial(self: &Arc<Self>, conn: ConnId, peer: NodeIx) {
        let wake = self.add(conn, Some(peer));
        let all = Arc::clone(self);
        let name = &self.nodes[usize::from(peer.0)];
        let span = peer_span(name, conn.0);
        if self.chaos.as_ref().is_some_and(|chaos| chaos.strikes(Fault::Link, &format!("dialling {name}"))) {
            // The core waits for the answer to what it asks for, and is not told before it has asked.
            let refused = async move {
                all.lost(conn, Loss::Unreachable, "not dialled on purpose (--chaos)".to_owned());
            };
            self.runtime.spawn(refused.instrument(span));
            return;
        }
        let live = async move {
            let settings = Settings::default();
            match worker_net::dial(&all.addresses[usize::from(peer.0)], &settings).await {
                Ok(stream) => all.dialled(conn, peer, stream, wake, &settings).await,
                Err(error) => {
                    let loss = match &error {
                        DialError::Connect { nobody_listens: true, .. } => Loss::NobodyListens,
                        DialError::Timeout { .. } => Loss::NoAnswer,
                        DialError::Connect { .. } | DialError::Resolve { .. } => Loss::Unreachable,
                    };
                    all.lost(conn, loss, error.to_string());
                }
            }
        };
        self.runtime.spawn(live.instrument(span));
    }

    /// There is a byte stream to a peer; with TLS both prove first who they are.
    async fn dialled(
        self: Arc<Self>,
        conn: ConnId,
        peer: NodeIx,
        stream: TcpStream,
        wake: Arc<Notify>,
        settings: &Settings,
    ) {
        let name = &self.nodes[usize::from(peer.0)];
        let secured = match &self.tls {
            None => Ok((Stream::Plain(stream), None)),
            Some(tls) => {
                tls.dialled(stream, name, settings).await.map(|(stream, guard)| (stream, Some(guard)))
            }
        };
        let (stream, guard) = match secured {
            Ok(secured) => secured,
            Err(why) => {
                self.refusals.dropped(Breach::Certificate, None, &format!("node {name}: {why}"));
                return self.lost(conn, Loss::Unreachable, why);
            }
        };
        self.tell(conn, ConnEvent::Dialed);
        let endpoint = Arc::clone(&self) as Arc<dyn Endpoint>;
        match &self.chaos {
            Some(chaos) => {
                let cut = Cut::of(stream, chaos, name);
                worker_net::drive_guarded(cut, conn.0, endpoint, wake, settings, guard).await;
            }
            None => worker_net::drive_guarded(stream, conn.0, endpoint, wake, settings, guard).await,
        }
    }

    /// Accepts connections for as long as the process lives.
    pub(super) fn serve(self: &Arc<Self>, listener: Listener) {
        let all = Arc::clone(self);
        self.runtime.spawn(async move {
            loop {
                let incoming = listener.accept().await;
                let peer = incoming.peer();
                if all.cell.strong_count() == 0 {
                    return;
                }
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    let settings = Settings::default();
                    match incoming.greeted(&settings).await {
                        Ok(greeted) => all.let_speak(peer, greeted, &settings).await,
                        Err(turned) => all.turned(peer, &turned),
                    }
                });
            }
        });
    }

    /// Somebody has said a first frame: the node hears of him.
    async fn let_speak(self: &Arc<Self>, peer: SocketAddr, greeted: Greeted, settings: &Settings) {
        let Some(cell) = self.cell.upgrade() else { return };
        let identity = match greeted.node() {
            None => Identity::Claimed,
            Some(name) => match self.index(name) {
                Some(node) => Identity::Proved(node),
                None => return,
            },
        };
        let conn = cell.act(|node, now| node.accept_as(now, identity));
        let span = peer_span(&peer.to_string(), conn.0);
        span.in_scope(|| tracing::debug!("accepted a connection"));
        let wake = self.add(conn, None);
        let endpoint: Arc<dyn Endpoint> = Arc::clone(self) as Arc<dyn Endpoint>;
        greeted.drive(conn.0, endpoint, wake, settings).instrument(span).await;
    }

    fn index(&self, name: &str) -> Option<NodeIx> {
        let at = self.nodes.iter().position(|node| node == name)?;
        u16::try_from(at).ok().map(NodeIx)
    }

    /// Somebody was dropped before he had said anything: that costs a number, and now and then a line.
    fn turned(&self, peer: SocketAddr, turned: &Turned) {
        if let Some(breach) = turned.breach {
            self.refusals.dropped(breach, Some(peer), &turned.why);
        }
    }

    fn tell(&self, conn: ConnId, event: ConnEvent) {
        if let Some(cell) = self.cell.upgrade() {
            cell.tell(Event::Conn(conn, event));
        }
    }

    fn lost(&self, conn: ConnId, loss: Loss, why: String) {
        self.remove(conn.0);
        self.tell(conn, ConnEvent::Closed { loss, why });
    }

    fn add(&self, conn: ConnId, dialled: Option<NodeIx>) -> Arc<Notify> {
        let connection = Connection { dialled, ..Connection::default() };
        let wake = Arc::clone(&connection.wake);
        lock(&self.open).insert(conn.0, connection);
        wake
    }

    fn wake(&self, conn: ConnId) {
        if let Some(connection) = lock(&self.open).get(&conn.0) {
            connection.wake.notify_one();
        }
    }

    fn close(&self, conn: ConnId) {
        if let Some(connection) = lock(&self.open).get_mut(&conn.0) {
            connection.closing = true;
            connection.wake.notify_one();
        }
    }

    fn is_closing(&self, conn: u64) -> bool {
        lock(&self.open).get(&conn).is_none_or(|c| c.closing)
    }

    /// The last round trip of a heartbeat to each peer this node dialled.
    pub(super) fn round_trips(&self) -> BTreeMap<NodeIx, Duration> {
        lock(&self.round_trips).iter().map(|(peer, (last, _))| (*peer, *last)).collect()
    }

    pub(super) fn round_trip_times(&self) -> BTreeMap<NodeIx, Latencies> {
        lock(&self.round_trips).iter().map(|(peer, (_, all))| (*peer, *all)).collect()
    }

    /// Who counts them: the node turns away some by itself.
    pub(super) fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// How many were turned away or dropped, by class.
    pub(super) fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.refusals.counts()
    }

    fn took(&self, conn: u64, took: Duration) {
        let Some(peer) = lock(&self.open).get(&conn).and_then(|c| c.dialled) else { return };
        let mut trips = lock(&self.round_trips);
        let (last, all) = trips.entry(peer).or_default();
        *last = took;
        all.add(took);
    }

    fn remove(&self, conn: u64) {
        lock(&self.open).remove(&conn);
        self.changed.notify_waiters();
    }

    /// Waits until every connection has ended, but not longer than `patience`.
    pub(super) async fn wait_closed(&self, patience: Duration) {
        let gone = async {
            loop {
                let changed = self.changed.notified();
                if lock(&self.open).is_empty() {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, gone).await.ok();
    }
}

impl Endpoint for Connections {
    fn frames(&self, conn: u64, frames: &mut Vec<Frame>) {
        let Some(cell) = self.cell.upgrade() else { return };
        cell.act(|node, now| {
            for frame in frames.drain(..) {
                let first = cell.tracer().and_then(|_| first_new(node, &frame));
                node.handle(now, Event::Conn(ConnId(conn), ConnEvent::Frame(frame)));
                if let (Some(tracer), Some(first)) = (cell.tracer(), first) {
                    tracer.came(node, first);
                }
            }
        });
    }

    fn transmit(&self, conn: u64, bytes_max: usize, out: &mut Vec<Frame>) -> Transmit {
        let Some(cell) = self.cell.upgrade() else { return Transmit::Close };
        // Not asked afterwards: what closes it may happen below, and its last word is pulled the next time.
        let closing = self.is_closing(conn);
        let more = cell.act(|node, now| {
            let mut bytes = 0;
            while bytes < bytes_max {
                let Some(frame) = node.poll_transmit(now, ConnId(conn)) else { return false };
                bytes += if let Frame::Batch(batch) = &frame {
                    batch.batch.bytes() + batch.batch.raw_ends().len()
                } else {
                    CONTROL_FRAME_BYTES
                };
                out.push(frame);
            }
            true
        });
        if !more && closing { Transmit::Close } else { Transmit::Open }
    }

    fn round_trip(&self, conn: u64, took: Duration) {
        self.took(conn, took);
    }

    fn closed(&self, conn: u64, cause: CloseCause, why: String) {
        let loss = match cause {
            CloseCause::Silent => Loss::Silent,
            CloseCause::Lost => Loss::Lost,
            CloseCause::Breach(breach) => {
                self.refusals.dropped(breach, None, &why);
                Loss::Lost
            }
        };
        self.lost(ConnId(conn), loss, why);
    }
}
