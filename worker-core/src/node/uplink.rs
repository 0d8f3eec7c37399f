//! The sending side of the connection to one peer: dials, greets, binds links, and says goodbye.
//!
//! ```text
//!   Waiting ──due──▶ Dialing ──Dialed──▶ Greeting ──Welcome──▶ Up ──all links finished──▶ Farewell ──Bye──▶ Done
//!      ▲                │                   │                   │                          │
//!      └──── backoff ◀──┴───────────────────┴───────────────────┴──────────────────────────┘  connection lost
//! ```
//! What is sent is decided when the connection asks ([`Uplink::poll_transmit`]): control first, then one frame of each
//! link that has something, in turn ([`Turns`]), a link's retries before its fresh tuples.

use super::go_away::{self, lost_state, violation};
use super::kept::{Kept, Known};
use super::turns::Turns;
use crate::backoff::Backoff;
use crate::config::NodeIx;
use crate::ctx::Ctx;
use crate::event::{Action, ConnAction, ConnId, LinkAction, Loss, NodeError, Report};
use crate::fault::Bug;
use crate::outbox::{PeerError, Standing};
use crate::recovery::PeerState;
use crate::stall::PeerCause;
use crate::task::ORDER_IS_LOST;
use crate::time::Time;
use crate::timers::WakeReason;
use crate::words::printable;
use std::collections::VecDeque;
use worker_proto::frame::{
    Ack, BatchFrame, End, GoAway, GoAwayWhy, Hello, Open, Opened, Refused, RefusedWhy, Welcome,
};
use worker_proto::limits::PROTOCOL;
use worker_proto::{ConnNo, Frame, Incarnation, LinkId};

#[derive(Debug)]
pub(crate) struct Uplink {
    pub(super) peer: NodeIx,
    pub(super) links: Vec<LinkId>,
    /// One of them, by its place, that was not finished when it was looked at last.
    unfinished: usize,
    pub(super) state: State,
    pub(super) conn_no: u64,
    backoff: Backoff,
    receiver: Option<Incarnation>,
    control: VecDeque<Frame>,
    /// Links that have something to send.
    turns: Turns,
    /// The connection was told to come for more.
    woken: bool,
    /// Since when every attempt has found another process under this node's name.
    pub(super) name_in_use_since: Option<Time>,
    /// This attempt has.
    pub(super) name_in_use: bool,
    /// The peer has agreed to this node's pipeline in this life: another process at its place is a foreign one.
    pub(super) agreed: bool,
    kept: Kept,
    /// The peer said that it leaves; after the goodbyes its connection is not missed.
    pub(super) peer_left: bool,
    /// Why the peer said it closes the connection.
    pub(super) said: Option<String>,
    pub(super) down_since: Time,
    pub(super) last_error: String,
    pub(super) cause: PeerCause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Dialing(ConnId),
    Greeting(ConnId),
    Up(ConnId),
    Farewell(ConnId),
    Done,
}

impl Uplink {
    pub(super) fn new(peer: NodeIx, links: Vec<LinkId>, ctx: &Ctx) -> Self {
        let redial = ctx.config.redial;
        Self {
            peer,
            turns: Turns::new(&links),
            links,
            unfinished: 0,
            state: State::Waiting,
            conn_no: 0,
            backoff: Backoff::new(redial.initial, redial.max),
            receiver: None,
            control: VecDeque::new(),
            woken: false,
            name_in_use_since: None,
            name_in_use: false,
            agreed: false,
            kept: Kept::new(peer),
            peer_left: false,
            said: None,
            down_since: ctx.now,
            last_error: "not connected yet".into(),
            cause: PeerCause::NotYet,
        }
    }

    pub(super) fn dial(&mut self, ctx: &mut Ctx, conn: ConnId) {
        self.state = State::Dialing(conn);
        self.conn_no += 1;
        ctx.act(Action::Conn(conn, ConnAction::Dial { peer: self.peer }));
    }

    /// The peer was never reached yet, and may be in a moment.
    pub(super) fn is_first_contact(&self) -> bool {
        self.receiver.is_none() && matches!(self.state, State::Dialing(_) | State::Greeting(_))
    }

    /// The peer has just dialled this node, so it need not be waited for.
    pub(super) fn peer_is_up(&mut self, ctx: &mut Ctx) {
        self.agreed = true;
        if self.state == State::Waiting {
            ctx.timers.set(WakeReason::Redial(self.peer), ctx.now);
        }
    }

    pub(super) fn dialed(&mut self, ctx: &mut Ctx) {
        let State::Dialing(conn) = self.state else { return };
        self.state = State::Greeting(conn);
        self.said = None;
        let config = &ctx.config;
        self.control.push_back(Frame::Hello(Hello {
            protocol: PROTOCOL,
            cluster: config.cluster.clone(),
            node: ctx.node_name(config.me).to_owned(),
            to: ctx.node_name(self.peer).to_owned(),
            incarnation: config.incarnation,
            conn_no: ConnNo(self.conn_no),
            pipeline: config.pipeline,
            placement: config.placement,
        }));
        self.wake(ctx);
    }

    /// The connection is gone, or was never made.
    pub(super) fn closed(&mut self, ctx: &mut Ctx, loss: Loss, why: String) {
        if !std::mem::take(&mut self.name_in_use) {
            self.name_in_use_since = None;
        }
        let said = self.said.take();
        let was_up = matches!(self.state, State::Up(_) | State::Farewell(_));
        let cause = match (loss, &said) {
            // One that took the connection and ends it with a word has refused nothing.
            (_, Some(_)) if !was_up => PeerCause::Refused,
            // Where nothing answers, one that has fallen silent is silent still.
            (Loss::NoAnswer, _) if self.cause == PeerCause::Silent => PeerCause::Silent,
            (loss, _) => PeerCause::of(loss),
        };
        let why = said.unwrap_or(why);
        if self.state == State::Done && self.peer_left {
            return;
        }
        let name = ctx.node_name(self.peer).to_owned();
        if was_up || self.backoff.failed() == 0 {
            ctx.act(Report::PeerDown { peer: name, why: why.clone() });
        }
        if was_up {
            self.down_since = ctx.now;
        }
        self.state = State::Waiting;
        (self.cause, self.last_error) = (cause, why);
        self.control.clear();
        self.kept.forget_answers();
        self.turns.clear();
        self.woken = false;
        for i in 0..self.links.len() {
            let link = self.links[i];
            if ctx.outbox_ref(link).is_open() {
                // Who waited for room with a receiver that was slow may store for one that is gone.
                ctx.sender_changed(link);
            }
            ctx.outbox(link).unbind();
        }
        let wait = self.backoff.fail(&mut ctx.rng);
        ctx.timers.set(WakeReason::Redial(self.peer), ctx.now + wait);
    }

    /// Handles a frame of the accepting side; an error ends the connection.
    pub(super) fn frame(&mut self, ctx: &mut Ctx, frame: Frame) -> Result<(), GoAway> {
        match frame {
            Frame::Welcome(welcome) => self.welcome(ctx, &welcome),
            Frame::Opened(opened) => self.opened(ctx, &opened),
            Frame::Ack(ack) => self.ack(ctx, ack),
            Frame::Refused(refused) => self.refused(ctx, &refused),
            Frame::Bye => {
                if matches!(self.state, State::Farewell(_)) {
                    self.state = State::Done;
                }
                Ok(())
            }
            Frame::GoAway(go_away) => {
                self.go_away(ctx, &go_away);
                Ok(())
            }
            Frame::Ping(_) | Frame::Pong(_) => Ok(()),
            Frame::Hello(_) | Frame::Open(_) | Frame::Batch(_) | Frame::End(_) => {
                Err(violation(&"the accepting side sent a frame of the dialling side"))
            }
        }
    }

    fn welcome(&mut self, ctx: &mut Ctx, welcome: &Welcome) -> Result<(), GoAway> {
        let State::Greeting(conn) = self.state else {
            return Err(violation(&"a second Welcome"));
        };
        let name = ctx.node_name(self.peer).to_owned();
        if welcome.node != name {
            let message = format!("dialled node {name}, but node {} answered", printable(&welcome.node));
            return Err(GoAway { why: GoAwayWhy::WrongPeer, message });
        }
        self.state = State::Up(conn);
        self.peer_left = false;
        self.agreed = true;
        ctx.left = None;
        self.backoff.reset();
        self.name_in_use_since = None;
        let before = self.receiver.replace(welcome.incarnation);
        if before.is_some_and(|b| b != welcome.incarnation) {
            self.receiver_restarted(ctx, name.clone());
        }
        ctx.act(Report::PeerUp { peer: name });
        for i in 0..self.links.len() {
            let link = self.links[i];
            let outbox = ctx.outbox_ref(link);
            if !outbox.is_finished() && !outbox.is_cancelled() {
                self.open(ctx, link);
            }
        }
        self.check_finished(ctx);
        self.wake(ctx);
        Ok(())
    }

    pub(super) fn open(&mut self, ctx: &mut Ctx, link: LinkId) {
        let (epoch, journal) = ctx.sender_life(link);
        let outbox = ctx.outbox_ref(link);
        let (first_unacked, next) = (outbox.first_unacked(), outbox.opening_next());
        self.control.push_back(Frame::Open(Open { link, epoch, journal, first_unacked, next }));
    }

    fn opened(&mut self, ctx: &mut Ctx, opened: &Opened) -> Result<(), GoAway> {
        self.own(opened.link)?;
        if opened.epoch != ctx.sender_life(opened.link).0 || ctx.outbox_ref(opened.link).is_cancelled() {
            return Ok(());
        }
        if !ctx.journaled || ctx.planted.is(Bug::ReceiversUnknown) {
            return self.go_on(ctx, opened);
        }
        match self.kept.heard(ctx, opened) {
            Known::Same => self.go_on(ctx, opened),
            Known::New => Ok(()),
            Known::Other(known) => {
                let what = format!("its journal is {:016x}, and was {:016x}", opened.journal.0, known.0);
                Err(lost_state(ctx, opened.link, &what))
            }
        }
    }

    /// Sends on where the receiver stands.
    fn go_on(&mut self, ctx: &mut Ctx, opened: &Opened) -> Result<(), GoAway> {
        let standing = Standing {
            committed: opened.committed,
            received: opened.received,
            finished: opened.finished,
            credit: opened.credit,
        };
        let open = ctx.outbox(opened.link).open(standing);
        match open {
            Ok(()) => {}
            Err(error @ PeerError::Behind { .. }) if ctx.journaled => {
                return Err(lost_state(ctx, opened.link, &error.to_string()));
            }
            Err(error) => return Err(violation(&error)),
        }
        ctx.outbox_changed(opened.link);
        ctx.sender_changed(opened.link);
        Ok(())
    }

    /// What an earlier life has kept of the peer.
    pub(super) fn remember(&mut self, state: &PeerState) {
        self.kept.remember(state);
    }

    /// What was to be kept of the peer is durable; an error ends the connection.
    pub(super) fn kept(&mut self, ctx: &mut Ctx, version: u64) -> Result<(), GoAway> {
        for opened in self.kept.durable(ctx, version) {
            if !ctx.outbox_ref(opened.link).is_cancelled() {
                self.go_on(ctx, &opened)?;
            }
        }
        self.check_finished(ctx);
        Ok(())
    }

    fn receiver_restarted(&mut self, ctx: &mut Ctx, peer: String) {
        ctx.act(Report::PeerRestarted { peer });
        if ctx.journaled {
            return;
        }
        if self.links.iter().any(|&link| ctx.is_in_order(link) && ctx.outbox_ref(link).was_sent()) {
            let peer = ctx.node_name(self.peer).to_owned();
            ctx.halt(NodeError::Peer { peer, why: ORDER_IS_LOST.into() });
        }
        for i in 0..self.links.len() {
            let link = self.links[i];
            let records = ctx.outbox(link).receiver_restarted();
            if records > 0 {
                ctx.lost += records;
                ctx.act(Action::Link(link, LinkAction::Lost { records }));
            }
        }
    }

    fn ack(&mut self, ctx: &mut Ctx, ack: Ack) -> Result<(), GoAway> {
        self.own(ack.link)?;
        if ack.epoch != ctx.sender_life(ack.link).0 || !ctx.outbox_ref(ack.link).is_open() {
            return Ok(());
        }
        let (now, own) = (ctx.now, ctx.config.limits.credit_bytes);
        ctx.measure_room(ack.link);
        let mut outbox = ctx.outbox(ack.link);
        outbox.acked(ack.through, ack.finished, ack.credit).map_err(|e| violation(&e))?;
        outbox.acked_at(now);
        let has_more = outbox.has_more_credit(own) || outbox.shared_room() > 0;
        drop(outbox);
        if has_more {
            ctx.look_later(self.peer);
        }
        ctx.outbox_changed(ack.link);
        ctx.sender_changed(ack.link);
        Ok(())
    }

    fn refused(&mut self, ctx: &mut Ctx, refused: &Refused) -> Result<(), GoAway> {
        self.own(refused.link)?;
        match refused.why {
            RefusedWhy::Done => {
                ctx.outbox(refused.link).cancel();
                ctx.outbox_changed(refused.link);
                ctx.sender_changed(refused.link);
                Ok(())
            }
            RefusedWhy::NotReady => {
                let message = go_away::refused(refused.why).to_owned();
                Err(GoAway { why: GoAwayWhy::Timeout, message })
            }
            RefusedWhy::StaleEpoch
            | RefusedWhy::UnknownJournal
            | RefusedWhy::Position
            | RefusedWhy::UnknownLink => {
                let link = ctx.config.graph.link_name(refused.link);
                let peer = ctx.node_name(self.peer).to_owned();
                let why = format!(
                    "refuses link {link}: {}; the log of node {peer} says more",
                    go_away::refused(refused.why)
                );
                ctx.end_alone(NodeError::Peer { peer, why });
                Ok(())
            }
        }
    }

    fn own(&self, link: LinkId) -> Result<(), GoAway> {
        if self.links.binary_search(&link).is_ok() {
            return Ok(());
        }
        Err(violation(&format!("link {link} does not lead from this node to its peer")))
    }

    /// A link may have something to send now.
    pub(super) fn link_ready(&mut self, ctx: &mut Ctx, link: LinkId) {
        if matches!(self.state, State::Up(_)) {
            if ctx.outbox_ref(link).is_sendable() && self.turns.ready(link) {
                self.wake(ctx);
            }
            self.check_finished(ctx);
        }
    }

    fn check_finished(&mut self, ctx: &mut Ctx) {
        let State::Up(conn) = self.state else { return };
        if self.all_finished(ctx) && (!ctx.journaled || self.kept.is_finished(ctx)) {
            self.state = State::Farewell(conn);
            self.control.push_back(Frame::Bye);
            self.wake(ctx);
        }
    }

    /// Most of the time one look at one link says that not all are.
    fn all_finished(&mut self, ctx: &Ctx) -> bool {
        let mut from_there = (self.unfinished..self.links.len()).chain(0..self.unfinished);
        let unfinished = from_there.find(|&at| !ctx.outbox_ref(self.links[at]).is_finished());
        self.unfinished = unfinished.unwrap_or(0);
        unfinished.is_none()
    }

    pub(super) fn wake(&mut self, ctx: &mut Ctx) {
        if let (Some(conn), false) = (self.conn(), self.woken) {
            self.woken = true;
            ctx.act(Action::Conn(conn, ConnAction::Wake));
        }
    }

    pub(super) fn poll_transmit(&mut self, ctx: &mut Ctx) -> Option<Frame> {
        if let Some(frame) = self.control.pop_front() {
            return Some(frame);
        }
        while let Some(link) = self.turns.next() {
            let ((epoch, _), now) = (ctx.sender_life(link), ctx.now);
            let mut outbox = ctx.outbox(link);
            let frame = match outbox.pull_frame() {
                Some(pulled) => {
                    outbox.sent_at(now);
                    let (first_seq, batch) = (pulled.first_seq, pulled.batch);
                    Some(Frame::Batch(BatchFrame { link, epoch, first_seq, batch }))
                }
                None => outbox.pull_end().map(|seq| Frame::End(End { link, epoch, seq })),
            };
            drop(outbox);
            self.turns.took(link, frame.is_some());
            ctx.drain_requests(link);
            if frame.is_some() {
                return frame;
            }
        }
        self.woken = false;
        None
    }

    /// The peer has let this node in.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_) | State::Farewell(_))
    }

    pub(super) fn conn(&self) -> Option<ConnId> {
        match self.state {
            State::Greeting(conn) | State::Up(conn) | State::Farewell(conn) => Some(conn),
            State::Waiting | State::Dialing(_) | State::Done => None,
        }
    }

    /// Whether tuples wait for the connection to come for them.
    pub(super) fn has_data(&self) -> bool {
        !self.turns.is_empty()
    }

    pub(super) fn failed_attempts(&self) -> u32 {
        self.backoff.failed()
    }

    pub(super) fn give_up(&mut self) {
        self.state = State::Done;
    }
}
