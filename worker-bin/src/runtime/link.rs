//! Connections: the node's endpoint for worker-net.

use super::engine::{Engine, lock};
use super::{Options, RunError};
use crate::logging::peer_span;
use crate::pipeline::plan::Plan;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::Instrument as _;
use worker_core::config::NodeIx;
use worker_core::event::{ConnEvent, ConnId, Event, Loss};
use worker_core::status::Latencies;
use worker_net::{CloseCause, Endpoint, Listener, Settings, Transmit};
use worker_proto::Frame;

/// What a frame without tuples counts for in a burst, in bytes.
const CONTROL_FRAME_BYTES: usize = 64;

/// Connections that are dialled or open.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<BTreeMap<u64, Connection>>,
    /// The last round trip of a heartbeat, and all of them, by peer that this node dialled.
    round_trips: Mutex<BTreeMap<NodeIx, (Duration, Latencies)>>,
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
    pub(super) fn dial(&self, engine: &Arc<Engine>, conn: ConnId, peer: NodeIx) {
        let wake = self.add(conn, Some(peer));
        let engine = Arc::clone(engine);
        let runtime = engine.runtime.clone();
        let span = peer_span(&engine.nodes[usize::from(peer.0)], conn.0);
        let live = async move {
            let address = &engine.addresses[usize::from(peer.0)];
            let settings = Settings::default();
            match worker_net::dial(address, &settings).await {
                Ok(stream) => {
                    engine.tell(Event::Conn(conn, ConnEvent::Dialed));
                    let endpoint: Arc<dyn Endpoint> = Arc::clone(&engine) as Arc<dyn Endpoint>;
                    worker_net::drive(stream, conn.0, endpoint, wake, &settings).await;
                }
                Err(error) => engine.connection_lost(conn, Loss::Unreachable, error.to_string()),
            }
        };
        runtime.spawn(live.instrument(span));
    }

    fn add(&self, conn: ConnId, dialled: Option<NodeIx>) -> Arc<Notify> {
        let connection = Connection { dialled, ..Connection::default() };
        let wake = Arc::clone(&connection.wake);
        lock(&self.open).insert(conn.0, connection);
        wake
    }

    pub(super) fn wake(&self, conn: ConnId) {
        if let Some(connection) = lock(&self.open).get(&conn.0) {
            connection.wake.notify_one();
        }
    }

    pub(super) fn close(&self, conn: ConnId) {
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

    fn round_trip(&self, conn: u64, took: Duration) {
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

impl Endpoint for Engine {
    fn frames(&self, conn: u64, frames: &mut Vec<Frame>) {
        let Some(engine) = self.me() else { return };
        engine.act(|node, now| {
            for frame in frames.drain(..) {
                node.handle(now, Event::Conn(ConnId(conn), ConnEvent::Frame(frame)));
            }
        });
    }

    fn transmit(&self, conn: u64, bytes_max: usize, out: &mut Vec<Frame>) -> Transmit {
        let Some(engine) = self.me() else { return Transmit::Close };
        // Not asked afterwards: what closes it may happen below, and its last word is pulled the next time.
        let closing = self.connections.is_closing(conn);
        let more = engine.act(|node, now| {
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
        self.connections.round_trip(conn, took);
    }

    fn closed(&self, conn: u64, cause: CloseCause, why: String) {
        let loss = match cause {
            CloseCause::Silent => Loss::Silent,
            CloseCause::Lost => Loss::Lost,
        };
        self.connection_lost(ConnId(conn), loss, why);
    }
}

impl Engine {
    fn connection_lost(&self, conn: ConnId, loss: Loss, why: String) {
        self.connections.remove(conn.0);
        if let Some(engine) = self.me() {
            engine.tell(Event::Conn(conn, ConnEvent::Closed { loss, why }));
        }
    }
}

/// Listens where the cluster file says this node is; a process alone does not listen.
pub(super) async fn listen(plan: &Plan, options: &Options) -> Result<Option<Listener>, RunError> {
    match options.addresses.get(usize::from(plan.me.0)) {
        Some(address) => Ok(Some(Listener::bind(address, Settings::default()).await?)),
        None => Ok(None),
    }
}

/// Accepts connections for as long as the engine lives.
pub(super) fn serve(engine: &Arc<Engine>, listener: Listener) {
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        loop {
            let incoming = listener.accept().await;
            let peer = incoming.peer();
            let conn = engine.act(|node, now| node.accept(now));
            let span = peer_span(&peer.to_string(), conn.0);
            span.in_scope(|| tracing::debug!("accepted a connection"));
            let wake = engine.connections.add(conn, None);
            let endpoint: Arc<dyn Endpoint> = Arc::clone(&engine) as Arc<dyn Endpoint>;
            let live = async move { incoming.drive(conn.0, endpoint, wake, &Settings::default()).await };
            tokio::spawn(live.instrument(span));
        }
    });
}
