//! Which connection serves what, from its first byte to its last.

use super::Node;
use super::admit::check_hello;
use super::go_away::{said, violation};
use super::uplink::State;
use crate::config::NodeIx;
use crate::ctx::{Ctx, HowLeft, Left};
use crate::event::{Action, ConnAction, ConnEvent, ConnId, Identity, Loss, NodeError, Report};
use crate::fault::Bug;
use crate::stall::PeerCause;
use crate::words::printable;
use std::collections::BTreeMap;
use std::time::Duration;
use worker_proto::Frame;
use worker_proto::frame::{GoAway, Hello};

/// For how long nobody may listen before a process that was given up takes it that the others have gone on without it.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(15);

/// The same where no peer has said so, but this process knows that it was stopped: who died meanwhile may be started again.
const ALONE_AFTER: Duration = Duration::from_secs(60);

/// A process that was stopped for so long was given up by every peer that lived.
const STOPPED_MIN: Duration = Duration::from_secs(10);

/// Within this time a connection that the stop has cost is seen to be gone.
const OUTLIVED_AFTER: Duration = Duration::from_secs(15);

/// ```text
///   Dialed(peer) ──────────────────────────────▶ Closing        (uplink: from the dial on)
///   Unknown ──Hello ok──▶ From(peer) ──────────▶ Closing        (downlink)
/// ```
#[derive(Debug)]
enum Role {
    /// We dialled it.
    To(NodeIx),
    /// It was accepted and has not said who it is.
    Unknown(Identity),
    /// A peer dialled us.
    From(NodeIx),
    /// A last frame is to be written, then it is closed.
    Closing(Option<GoAway>),
}

#[derive(Debug, Default)]
pub(super) struct Conns {
    roles: BTreeMap<ConnId, Role>,
    last: u64,
}

impl Conns {
    fn add(&mut self, role: Role) -> ConnId {
        self.last += 1;
        self.roles.insert(ConnId(self.last), role);
        ConnId(self.last)
    }

    pub(super) fn dial(&mut self, peer: NodeIx) -> ConnId {
        self.add(Role::To(peer))
    }

    pub(super) fn accept(&mut self, identity: Identity) -> ConnId {
        self.add(Role::Unknown(identity))
    }

    pub(super) fn remove(&mut self, conn: ConnId) {
        self.roles.remove(&conn);
    }
}

impl Ctx {
    /// A peer says that it heard nothing of this process for too long.
    pub(super) fn given_up(&mut self, peer: String) {
        self.left = Some(Left { how: HowLeft::GivenUp(peer), since: self.now });
    }

    /// A connection is gone that was there. Where it has outlived a stop, so has its peer.
    fn outlived(&mut self) {
        let is_old = |left: &Left| {
            matches!(left.how, HowLeft::Stopped(_)) && self.now.since(left.since) > OUTLIVED_AFTER
        };
        if self.left.as_ref().is_some_and(is_old) {
            self.left = None;
        }
    }
}

impl Node {
    pub(super) fn conn_event(&mut self, conn: ConnId, event: ConnEvent) {
        match event {
            ConnEvent::Dialed => self.dialed(conn),
            ConnEvent::Frame(frame) => self.frame(conn, frame),
            ConnEvent::Closed { loss, why } => self.closed(conn, loss, &why),
        }
    }

    fn dialed(&mut self, conn: ConnId) {
        if let Some(Role::To(peer)) = self.conns.roles.get(&conn)
            && let Some(uplink) = self.uplinks.get_mut(peer)
        {
            uplink.dialed(&mut self.ctx);
        }
    }

    fn frame(&mut self, conn: ConnId, frame: Frame) {
        let result = match self.conns.roles.get(&conn) {
            Some(Role::To(peer)) => match self.uplinks.get_mut(peer) {
                Some(uplink) if uplink.conn() == Some(conn) => uplink.frame(&mut self.ctx, frame),
                // After the goodbyes only this counts: that the peer leaves, so that it is not dialled again.
                Some(uplink) if uplink.state == State::Done && matches!(frame, Frame::GoAway(_)) => {
                    uplink.frame(&mut self.ctx, frame)
                }
                Some(_) | None => Ok(()),
            },
            Some(Role::Unknown(identity)) => {
                let identity = *identity;
                self.first_frame(conn, identity, frame)
            }
            Some(Role::From(peer)) => match self.downlinks.get_mut(peer) {
                Some(downlink)
                    if downlink.owner == Some(conn) || self.ctx.planted.is(Bug::StaleOpenTakesLink) =>
                {
                    downlink.frame(&mut self.ctx, frame)
                }
                Some(_) | None => Ok(()),
            },
            Some(Role::Closing(_)) | None => Ok(()),
        };
        if let Err(go_away) = result {
            if let Some(Role::To(peer) | Role::From(peer)) = self.conns.roles.get(&conn) {
                let peer = Some(self.ctx.node_name(*peer).to_owned());
                let (class, why) = (go_away.why.name(), go_away.message.clone());
                self.ctx.act(Report::PeerRefused { peer, class, why });
            }
            self.close(conn, Some(go_away));
        }
    }

    fn first_frame(&mut self, conn: ConnId, identity: Identity, frame: Frame) -> Result<(), GoAway> {
        let peer_and_replaced = match frame {
            Frame::Hello(hello) => self.hello(conn, &hello, identity),
            Frame::Welcome(_)
            | Frame::Open(_)
            | Frame::Opened(_)
            | Frame::Refused(_)
            | Frame::Batch(_)
            | Frame::Ack(_)
            | Frame::End(_)
            | Frame::Bye
            | Frame::Ping(_)
            | Frame::Pong(_)
            | Frame::GoAway(_) => Err((None, violation(&"the first frame must be Hello"))),
        };
        let (peer, replaced) = peer_and_replaced.map_err(|(peer, go_away)| {
            let (class, why) = (go_away.why.name(), printable(&go_away.message));
            self.ctx.act(Report::PeerRefused { peer, class, why });
            go_away
        })?;
        self.conns.roles.insert(conn, Role::From(peer));
        if let Some(uplink) = self.uplinks.get_mut(&peer) {
            uplink.peer_is_up(&mut self.ctx);
        }
        if let Some(old) = replaced {
            let why = worker_proto::frame::GoAwayWhy::Superseded;
            self.close(old, Some(GoAway { why, message: "a newer connection took over".into() }));
        }
        Ok(())
    }

    /// Gives the peer and the connection that this one replaces; or, where it is turned away, the peer as far as it is known.
    fn hello(
        &mut self,
        conn: ConnId,
        hello: &Hello,
        identity: Identity,
    ) -> Result<(NodeIx, Option<ConnId>), (Option<String>, GoAway)> {
        let proved = match identity {
            Identity::Claimed => None,
            Identity::Proved(node) => Some(self.ctx.node_name(node).to_owned()),
        };
        let peer = check_hello(&self.ctx, hello, identity).map_err(|go_away| (proved, go_away))?;
        let name = Some(self.ctx.node_name(peer).to_owned());
        let Some(downlink) = self.downlinks.get_mut(&peer) else {
            return Err((name, violation(&"no link leads from the dialling node to this one")));
        };
        let replaced = downlink.hello(&mut self.ctx, conn, (hello, identity));
        replaced.map(|replaced| (peer, replaced)).map_err(|go_away| (name, go_away))
    }

    pub(super) fn peer_kept(&mut self, peer: NodeIx, version: u64) {
        let Some(uplink) = self.uplinks.get_mut(&peer) else { return };
        if let Err(go_away) = uplink.kept(&mut self.ctx, version)
            && let Some(conn) = uplink.conn()
        {
            self.close(conn, Some(go_away));
        }
    }

    /// Writes a last word, if there is one, and closes.
    pub(super) fn close(&mut self, conn: ConnId, last_word: Option<GoAway>) {
        let why = last_word.as_ref().map_or_else(|| "closed".to_owned(), |g| g.message.clone());
        let bound = self.is_bound(conn);
        let last_word = last_word.map(|last_word| said(last_word, bound));
        match self.conns.roles.insert(conn, Role::Closing(last_word)) {
            Some(Role::To(peer)) => self.lost_uplink(peer, conn, Loss::Lost, &why),
            Some(Role::From(peer)) => self.lost_downlink(peer, conn, Loss::Lost, &why),
            Some(Role::Unknown(_) | Role::Closing(_)) | None => {}
        }
        self.ctx.act(Action::Conn(conn, ConnAction::Wake));
        self.ctx.act(Action::Conn(conn, ConnAction::Close));
    }

    /// Whether who is there has business with this node: it was let in where it was dialled, or is bound as one who dialled.
    fn is_bound(&self, conn: ConnId) -> bool {
        match self.conns.roles.get(&conn) {
            Some(Role::To(peer)) => self.uplinks.get(peer).is_some_and(super::uplink::Uplink::is_up),
            Some(Role::From(peer)) => {
                self.downlinks.get(peer).is_some_and(|down| down.owner == Some(conn) && down.bound)
            }
            Some(Role::Unknown(_) | Role::Closing(_)) | None => false,
        }
    }

    fn closed(&mut self, conn: ConnId, loss: Loss, why: &str) {
        match self.conns.roles.remove(&conn) {
            Some(Role::To(peer)) => self.lost_uplink(peer, conn, loss, why),
            Some(Role::From(peer)) => self.lost_downlink(peer, conn, loss, why),
            Some(Role::Unknown(_) | Role::Closing(_)) | None => {}
        }
    }

    fn lost_uplink(&mut self, peer: NodeIx, conn: ConnId, loss: Loss, why: &str) {
        if self.over {
            return;
        }
        if let Some(uplink) = self.uplinks.get_mut(&peer)
            && uplink.conn().is_none_or(|c| c == conn)
        {
            if matches!(uplink.state, State::Up(_) | State::Farewell(_)) {
                self.ctx.outlived();
            }
            uplink.closed(&mut self.ctx, loss, why.to_owned());
            if loss == Loss::NobodyListens {
                self.ends_as_left_behind(peer);
            }
        }
    }

    /// This process was stopped, and finds what the others did meanwhile.
    pub(super) fn was_stopped(&mut self, lasted: Duration) {
        self.ctx.stopped = Some((lasted, self.ctx.now));
        if lasted >= STOPPED_MIN && self.ctx.left.is_none() {
            self.ctx.left = Some(Left { how: HowLeft::Stopped(lasted), since: self.ctx.now });
        }
    }

    /// A process that was stopped for so long that its peers have given it up, and that finds nobody after that, is the one that was
    /// replaced: the others have gone on without it, and finished.
    fn ends_as_left_behind(&mut self, peer: NodeIx) {
        let Some(Left { how, since }) = self.ctx.left.clone() else { return };
        let is_alone = self.downlinks.values().all(|d| d.owner.is_none())
            && self.uplinks.values().all(|u| u.conn().is_none() && u.state != State::Done);
        let alone = self.ctx.now.since(since);
        let (peer, what, patience) = match how {
            HowLeft::GivenUp(peer) => {
                (peer, "heard nothing of this process for too long".to_owned(), LEFT_BEHIND_AFTER)
            }
            HowLeft::Stopped(lasted) => {
                let what =
                    format!("is gone since this process was itself stopped for {} s", lasted.as_secs());
                (self.ctx.node_name(peer).to_owned(), what, ALONE_AFTER)
            }
        };
        if is_alone && alone > patience {
            let why = format!(
                "{what}, and since {} s nobody listens where the other nodes were: they have finished, or stopped, without it, so it ends; \
                 start it again if the pipeline is not done",
                alone.as_secs()
            );
            self.ctx.end_alone(NodeError::Peer { peer, why });
        }
    }

    fn lost_downlink(&mut self, peer: NodeIx, conn: ConnId, loss: Loss, why: &str) {
        if let Some(downlink) = self.downlinks.get_mut(&peer)
            && downlink.owner == Some(conn)
        {
            self.ctx.outlived();
            downlink.unbind(&mut self.ctx);
            downlink.cause = PeerCause::of(loss);
            if !downlink.bye && !self.over {
                let why = format!("its connection to this node is gone ({why}); it has to dial again");
                let peer = self.ctx.node_name(peer).to_owned();
                self.ctx.act(Report::PeerDown { peer, why });
            }
        }
    }

    /// Says the same last word on every connection.
    pub(super) fn close_all(&mut self, last_word: &GoAway) {
        let open: Vec<_> = self.conns.roles.keys().copied().collect();
        for conn in open {
            if !matches!(self.conns.roles.get(&conn), Some(Role::Closing(_))) {
                self.close(conn, Some(last_word.clone()));
            }
        }
    }

    pub(super) fn transmit(&mut self, conn: ConnId) -> Option<Frame> {
        match self.conns.roles.get_mut(&conn)? {
            Role::To(peer) => {
                let uplink = self.uplinks.get_mut(peer)?;
                if uplink.conn() == Some(conn) { uplink.poll_transmit(&mut self.ctx) } else { None }
            }
            Role::From(peer) => {
                let data_waits = self.uplinks.get(peer).is_some_and(super::uplink::Uplink::has_data);
                let downlink = self.downlinks.get_mut(peer)?;
                if downlink.owner == Some(conn) {
                    downlink.poll_transmit(&mut self.ctx, data_waits)
                } else {
                    None
                }
            }
            Role::Unknown(_) => None,
            Role::Closing(last_word) => last_word.take().map(Frame::GoAway),
        }
    }
}
