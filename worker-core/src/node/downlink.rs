//! The receiving side of the connection from one peer: binds links, acknowledges, and hears the goodbye. Who is let in is
//! decided in [`admit`](super::admit).
//!
//! ```text
//!   Unbound ──Hello ok──▶ Bound(conn) ──lost, or replaced by a higher connection number──▶ Unbound
//! ```
//! Of one process the connection with the highest number owns all links of the pair; frames of any other connection count for
//! nothing. Another process of that name is let in only when the connection of the present one is gone. Their lives are told apart
//! and not put in order, for clocks go back: in memory mode one that was replaced is known and never let in again; with a journal the
//! epochs of its links say what is older.

use super::go_away::{heard, told, violation};
use crate::config::NodeIx;
use crate::ctx::Ctx;
use crate::event::{Action, ConnAction, ConnId, LinkAction, NodeError, Report};
use crate::inbox::Refusal;
use crate::stall::PeerCause;
use crate::time::Time;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use worker_proto::frame::{GoAway, GoAwayWhy, Open, Refused, RefusedWhy};
use worker_proto::{ConnNo, Epoch, Frame, Incarnation, JournalId, LinkId};

/// Answers that may wait beyond two a link.
const CONTROL_SPARE: usize = 16;

#[derive(Debug)]
pub(crate) struct Downlink {
    pub(super) peer: NodeIx,
    pub(super) links: Vec<LinkId>,
    pub(super) owner: Option<ConnId>,
    pub(super) life: Option<(Incarnation, ConnNo)>,
    /// When it was last let in, and when it last took over from a connection that was there.
    pub(super) let_in: Time,
    pub(super) took_over: Option<Time>,
    /// The present connection has shown that it has business here: its name is proved, or it has opened a link.
    pub(super) bound: bool,
    /// In memory mode: lives that another one has followed, the newest last.
    pub(super) replaced: VecDeque<Incarnation>,
    /// With a journal: the process that opened a link with its newest epoch.
    opened_by: BTreeMap<LinkId, (Epoch, JournalId, Incarnation)>,
    /// The present life of the peer has given this node tuples or ends.
    pub(super) heard: bool,
    /// Since when no connection has served the links, if none does.
    pub(super) down_since: Time,
    /// Why there is none.
    pub(super) cause: PeerCause,
    /// When the connection's `Welcome` left, until the first `Open` has come: a round trip.
    welcomed: Option<Time>,
    round_trip: Option<Duration>,
    /// The peer has said that all its links are finished.
    pub(super) bye: bool,
    pub(super) control: VecDeque<Frame>,
    /// `Open`s that wait until the sender's life is durable here.
    opens: BTreeMap<LinkId, Open>,
    acks_due: VecDeque<LinkId>,
    queued: Vec<bool>,
    first_link: u32,
    woken: bool,
    /// An end of a source was heard or tuples of one, so that a new life of it would repeat them.
    pub(super) source_heard: bool,
}

impl Downlink {
    pub(super) fn new(peer: NodeIx, links: Vec<LinkId>, now: Time) -> Self {
        let first_link = links.iter().map(|l| l.0).min().unwrap_or(0);
        let span = links.iter().map(|l| l.0).max().map_or(0, |last| last - first_link + 1);
        Self {
            peer,
            links,
            owner: None,
            down_since: now,
            cause: PeerCause::NotYet,
            life: None,
            let_in: now,
            took_over: None,
            bound: false,
            replaced: VecDeque::new(),
            opened_by: BTreeMap::new(),
            heard: false,
            welcomed: None,
            round_trip: None,
            bye: false,
            control: VecDeque::new(),
            opens: BTreeMap::new(),
            acks_due: VecDeque::new(),
            queued: vec![false; span as usize],
            first_link,
            woken: false,
            source_heard: false,
        }
    }

    /// Handles a frame of the connection that owns the links; an error ends the connection.
    pub(super) fn frame(&mut self, ctx: &mut Ctx, frame: Frame) -> Result<(), GoAway> {
        // A peer that asks and never reads the answers must not fill the memory.
        if self.control.len() + self.opens.len() > 2 * self.links.len() + CONTROL_SPARE {
            return Err(violation(&"answers are not being read"));
        }
        match frame {
            Frame::Open(open) => {
                if let Some(welcomed) = self.welcomed.take() {
                    self.round_trip = Some(ctx.now.since(welcomed));
                }
                self.open(ctx, open)
            }
            Frame::Batch(batch) => {
                let link = batch.link;
                self.hear(ctx, link)?;
                if ctx.draining {
                    return Ok(());
                }
                let now = ctx.now;
                let inbox = ctx.inbox(link);
                let was_empty = inbox.is_empty();
                inbox.accept(batch).map_err(|e| violation(&e))?;
                inbox.arrived_at(now);
                let records = inbox.poll_dropped();
                if records > 0 {
                    ctx.lost += records;
                    ctx.act(Action::Link(link, LinkAction::Lost { records }));
                }
                ctx.inbox_filled(link, was_empty);
                Ok(())
            }
            Frame::End(end) => {
                self.hear(ctx, end.link)?;
                if ctx.draining {
                    return Ok(());
                }
                let first = !ctx.inbox(end.link).has_ended();
                ctx.inbox(end.link).accept_end(end).map_err(|e| violation(&e))?;
                ctx.inbox_ended(end.link, first);
                Ok(())
            }
            Frame::Bye => {
                self.bye = true;
                self.control.push_back(Frame::Bye);
                self.wake(ctx);
                Ok(())
            }
            Frame::GoAway(go_away) => {
                self.goes_away(ctx, &go_away);
                Ok(())
            }
            Frame::Ping(_) | Frame::Pong(_) => Ok(()),
            Frame::Hello(_) | Frame::Welcome(_) | Frame::Opened(_) | Frame::Refused(_) | Frame::Ack(_) => {
                Err(violation(&"the dialling side sent a frame that is not its to send here"))
            }
        }
    }

    /// A peer says why it goes. Of one that is bound to nothing here that ends nothing.
    fn goes_away(&self, ctx: &mut Ctx, go_away: &GoAway) {
        let peer = ctx.node_name(self.peer).to_owned();
        match go_away.why {
            _ if !self.bound => {}
            GoAwayWhy::Failed => {
                ctx.halt(NodeError::Remote { peer, why: heard(go_away) });
            }
            GoAwayWhy::Fenced => {
                let why = told(ctx, self.peer, go_away);
                ctx.end_alone(NodeError::Peer { peer, why });
            }
            GoAwayWhy::Timeout => ctx.given_up(peer),
            GoAwayWhy::Superseded
            | GoAwayWhy::NameInUse
            | GoAwayWhy::Protocol
            | GoAwayWhy::WrongPeer
            | GoAwayWhy::UnknownNode
            | GoAwayWhy::Pipeline
            | GoAwayWhy::Placement
            | GoAwayWhy::Violation
            | GoAwayWhy::Leaving
            | GoAwayWhy::Busy => {}
        }
    }

    fn hear(&mut self, ctx: &Ctx, link: LinkId) -> Result<(), GoAway> {
        if self.links.binary_search(&link).is_err() {
            return Err(violation(&format!("link {link} does not lead from the dialling node to this one")));
        }
        self.heard = true;
        self.source_heard |= ctx.sender_is_source(link);
        Ok(())
    }

    /// Answers an `Open`; with a journal a life of the sender that is new here is made durable first.
    fn open(&mut self, ctx: &mut Ctx, open: Open) -> Result<(), GoAway> {
        if self.links.binary_search(&open.link).is_err() {
            let message = format!("link {} does not lead from the dialling node to this one", open.link);
            self.refuse(ctx, &open, RefusedWhy::UnknownLink, &message);
            return Ok(());
        }
        self.check_epoch(ctx, &open)?;
        if let Some(refusal) = self.same_epoch_of_another(ctx, &open) {
            self.refuse(ctx, &open, RefusedWhy::StaleEpoch, &refusal);
            return Ok(());
        }
        match ctx.inbox(open.link).needs_epoch(&open) {
            Ok(true) => {
                self.opens.insert(open.link, open.clone());
                ctx.lives_heard.push(open);
            }
            Ok(false) => self.bind(ctx, &open),
            Err(refusal) => self.turn_down(ctx, &open, &refusal),
        }
        Ok(())
    }

    /// Two processes that go on from copies of one state: each counts its lives on from the same number.
    fn same_epoch_of_another(&self, ctx: &Ctx, open: &Open) -> Option<String> {
        let (epoch, journal, process) = self.opened_by.get(&open.link)?;
        let (life, _) = self.life?;
        if (*epoch, *journal) != (open.epoch, open.journal)
            || *process == life
            || ctx.planted.is(crate::fault::Bug::CopyTakenForItself)
        {
            return None;
        }
        Some(format!(
            "another process (started {process}) has gone on from a copy of the same state; this one (started {life}) ends: use only one \
             of them, and remove the other copy"
        ))
    }

    /// A link is not opened; where it is this node that has forgotten, it is this node that ends.
    fn turn_down(&mut self, ctx: &mut Ctx, open: &Open, refusal: &Refusal) {
        if refusal.why == RefusedWhy::Position && ctx.inbox(open.link).is_behind(open) {
            let (link, peer) = (ctx.config.graph.link_name(open.link), ctx.node_name(self.peer).to_owned());
            let why = format!(
                "this node has acknowledged more of link {link} (through {}) than its state directory knows of (through {}): the state was \
                 removed, or is an older copy; put the newest one back, or start every node over with --fresh",
                open.first_unacked.before(),
                ctx.inbox(open.link).received()
            );
            return ctx.end_alone(NodeError::Peer { peer, why });
        }
        self.refuse(ctx, open, refusal.why, &refusal.message);
    }

    /// The life that the sender of `link` opened it with is durable here.
    pub(super) fn answer_open(&mut self, ctx: &mut Ctx, link: LinkId) {
        if self.opens.get(&link).is_some_and(|open| ctx.inbox(link).epoch() >= Some(open.epoch))
            && let Some(open) = self.opens.remove(&link)
        {
            self.bind(ctx, &open);
        }
    }

    fn bind(&mut self, ctx: &mut Ctx, open: &Open) {
        let (journal, now) = (ctx.receiver_journal(open.link), ctx.now);
        match ctx.inbox(open.link).open(open, journal) {
            Ok(opened) => {
                ctx.inbox(open.link).opened_at(now, self.round_trip);
                ctx.keep_credit(open.link);
                if let (true, Some((life, _))) = (ctx.journaled, self.life) {
                    self.opened_by.insert(open.link, (open.epoch, open.journal, life));
                }
                self.bound = true;
                self.control.push_back(Frame::Opened(opened));
                self.wake(ctx);
            }
            Err(refusal) => self.turn_down(ctx, open, &refusal),
        }
        ctx.inbox_changed(open.link);
    }

    /// The peer gets the class, and the log of this node the reason: it may be no business of the peer's.
    fn refuse(&mut self, ctx: &mut Ctx, open: &Open, why: RefusedWhy, reason: &str) {
        if why != RefusedWhy::Done {
            let peer = Some(ctx.node_name(self.peer).to_owned());
            let is_known = self.links.binary_search(&open.link).is_ok();
            let link = is_known.then(|| ctx.config.graph.link_name(open.link));
            let reason = format!("link {}: {reason}", link.unwrap_or_else(|| open.link.to_string()));
            ctx.act(Report::PeerRefused { peer, class: why.name(), why: reason });
        }
        let refused = Refused { link: open.link, epoch: open.epoch, why, message: String::new() };
        self.control.push_back(Frame::Refused(refused));
        self.wake(ctx);
    }

    /// The receiver of `link` wants nothing more.
    pub(super) fn cancel(&mut self, ctx: &mut Ctx, link: LinkId) {
        let epoch = ctx.inbox(link).epoch();
        if let (Some(epoch), true) = (epoch, self.owner.is_some()) {
            let message = String::new();
            self.control.push_back(Frame::Refused(Refused { link, epoch, why: RefusedWhy::Done, message }));
            self.wake(ctx);
        }
    }

    /// The inbox of a link may have an acknowledgement to write.
    pub(super) fn ack_ready(&mut self, ctx: &mut Ctx, link: LinkId) {
        let at = (link.0 - self.first_link) as usize;
        if self.owner.is_some()
            && ctx.inbox(link).wants_ack()
            && !std::mem::replace(&mut self.queued[at], true)
        {
            self.acks_due.push_back(link);
            self.wake(ctx);
        }
    }

    pub(super) fn poll_transmit(&mut self, ctx: &mut Ctx, data_waits: bool) -> Option<Frame> {
        if let Some(frame) = self.control.pop_front() {
            if matches!(frame, Frame::Welcome(_)) {
                self.welcomed = Some(ctx.now);
            }
            return Some(frame);
        }
        if ctx.planted.is(crate::fault::Bug::AckBehindData) && data_waits {
            self.woken = false;
            return None;
        }
        while let Some(link) = self.acks_due.pop_front() {
            self.queued[(link.0 - self.first_link) as usize] = false;
            let now = ctx.now;
            ctx.measure_credit(link);
            if let Some(ack) = ctx.inbox(link).poll_ack() {
                ctx.inbox(link).acked_at(now);
                return Some(Frame::Ack(ack));
            }
        }
        self.woken = false;
        None
    }

    /// The connection that owned the links is gone.
    pub(super) fn unbind(&mut self, ctx: &mut Ctx) {
        (self.owner, self.bound) = (None, false);
        (self.welcomed, self.round_trip) = (None, None);
        self.down_since = ctx.now;
        self.control.clear();
        self.opens.clear();
        self.acks_due.clear();
        self.queued.fill(false);
        self.woken = false;
        for i in 0..self.links.len() {
            ctx.inbox(self.links[i]).unbind();
            ctx.keep_credit(self.links[i]);
        }
    }

    /// Something waits to be written.
    pub(super) fn is_talking(&self) -> bool {
        self.owner.is_some() && !(self.control.is_empty() && self.acks_due.is_empty())
    }

    pub(super) fn wake(&mut self, ctx: &mut Ctx) {
        if let (Some(conn), false) = (self.owner, self.woken) {
            self.woken = true;
            ctx.act(Action::Conn(conn, ConnAction::Wake));
        }
    }
}
