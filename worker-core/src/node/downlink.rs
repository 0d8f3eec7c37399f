//! The receiving side of the connection from one peer: greets, binds links, acknowledges, and hears the goodbye.
//!
//! ```text
//!   Unbound ──Hello ok──▶ Bound(conn) ──lost, or replaced by a higher connection number──▶ Unbound
//! ```
//! Of one process the connection with the highest number owns all links of the pair; frames of any other connection count for
//! nothing. Another process of that name is let in only when the connection of the present one is gone. Their lives are told apart
//! and not put in order, for clocks go back: in memory mode one that was replaced is known and never let in again; with a journal the
//! epochs of its links say what is older.

use super::go_away::violation;
use crate::config::NodeIx;
use crate::ctx::Ctx;
use crate::event::{Action, ConnAction, ConnId, LinkAction, NodeError, Report};
use crate::inbox::Refusal;
use crate::stall::PeerCause;
use crate::task::ORDER_IS_LOST;
use crate::time::Time;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use worker_proto::frame::{GoAway, GoAwayWhy, Hello, Open, Refused, RefusedWhy, Welcome};
use worker_proto::limits::PROTOCOL;
use worker_proto::{ConnNo, Epoch, Frame, Incarnation, JournalId, LinkId, Seq};

/// How many lives of a peer are known as replaced; one more is forgotten, the oldest first.
const REPLACED_MAX: usize = 1024;

/// Answers that may wait beyond two a link.
const CONTROL_SPARE: usize = 16;

#[derive(Debug)]
pub(crate) struct Downlink {
    pub(super) peer: NodeIx,
    pub(super) links: Vec<LinkId>,
    pub(super) owner: Option<ConnId>,
    life: Option<(Incarnation, ConnNo)>,
    /// In memory mode: lives that another one has followed, the newest last.
    replaced: VecDeque<Incarnation>,
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
    control: VecDeque<Frame>,
    /// `Open`s that wait until the sender's life is durable here.
    opens: BTreeMap<LinkId, Open>,
    acks_due: VecDeque<LinkId>,
    queued: Vec<bool>,
    first_link: u32,
    woken: bool,
    /// An end of a source was heard or tuples of one, so that a new life of it would repeat them.
    source_heard: bool,
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

    /// Decides on a `Hello`; gives the connection that it replaces.
    pub(super) fn hello(
        &mut self,
        ctx: &mut Ctx,
        conn: ConnId,
        hello: &Hello,
    ) -> Result<Option<ConnId>, GoAway> {
        let life = (hello.incarnation, hello.conn_no);
        let mut replaced = None;
        if self.replaced.contains(&hello.incarnation)
            && !ctx.planted.is(crate::fault::Bug::StaleOpenTakesLink)
            && !ctx.planted.is(crate::fault::Bug::ReplacedLifeReturns)
        {
            let message = format!(
                "this process (started {}) is not node {} any more: another one has taken its place, so this one ends",
                hello.incarnation, hello.node
            );
            return Err(GoAway { why: GoAwayWhy::Fenced, message });
        }
        if let Some((incarnation, number)) = self.life {
            if self.owner.is_some() && hello.incarnation != incarnation {
                let message = format!(
                    "another living process is node {} (started {incarnation}); this one started {}: stop one of them",
                    hello.node, hello.incarnation
                );
                return Err(GoAway { why: GoAwayWhy::NameInUse, message });
            }
            let is_behind = match ctx.planted.is(crate::fault::Bug::LivesOrderedByClock) {
                true => life < (incarnation, number),
                false => hello.incarnation == incarnation && hello.conn_no < number,
            };
            if is_behind && !ctx.planted.is(crate::fault::Bug::StaleOpenTakesLink) {
                let message =
                    format!("connection {} of that process was replaced by {number}", hello.conn_no);
                return Err(GoAway { why: GoAwayWhy::Superseded, message });
            }
            if hello.incarnation != incarnation {
                self.restarted(ctx)?;
                if !ctx.journaled {
                    self.replaced.push_back(incarnation);
                    if self.replaced.len() > REPLACED_MAX {
                        self.replaced.pop_front();
                    }
                }
            }
            replaced = self.owner.filter(|&o| o != conn);
        }
        self.unbind(ctx);
        ctx.left = None;
        self.life = Some(life);
        self.owner = Some(conn);
        self.bye = false;
        let node = ctx.node_name(ctx.config.me).to_owned();
        self.control.push_back(Frame::Welcome(Welcome { node, incarnation: ctx.config.incarnation }));
        self.wake(ctx);
        Ok(replaced)
    }

    /// A new process has the peer's name. Sources cannot go on where the old one stopped: memory mode keeps no position.
    fn restarted(&mut self, ctx: &mut Ctx) -> Result<(), GoAway> {
        let peer = ctx.node_name(self.peer).to_owned();
        if self.source_heard && !ctx.journaled {
            let why = "its process, which ran a source, was restarted; without a journal its input would be repeated";
            if !self.bye {
                ctx.halt(NodeError::Peer { peer, why: why.into() });
            }
            return Err(GoAway { why: GoAwayWhy::Failed, message: format!("source node restarted: {why}") });
        }
        let in_order = |link: LinkId| ctx.is_in_order(link) && ctx.inbox_ref(link).received() > Seq::ZERO;
        if !ctx.journaled && !self.bye && self.links.iter().any(|&link| in_order(link)) {
            ctx.halt(NodeError::Peer { peer, why: ORDER_IS_LOST.into() });
            let message = format!("node restarted: {ORDER_IS_LOST}");
            return Err(GoAway { why: GoAwayWhy::Failed, message });
        }
        self.heard = false;
        ctx.act(Report::PeerRestarted { peer });
        Ok(())
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
                self.open(ctx, open);
                Ok(())
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
                if go_away.why == GoAwayWhy::Failed {
                    let peer = ctx.node_name(self.peer).to_owned();
                    ctx.halt(NodeError::Remote { peer, why: go_away.message });
                } else if go_away.why == GoAwayWhy::Fenced {
                    let peer = ctx.node_name(self.peer).to_owned();
                    ctx.end_alone(NodeError::Peer { peer, why: go_away.message });
                } else if go_away.why == GoAwayWhy::Timeout {
                    ctx.given_up(ctx.node_name(self.peer).to_owned());
                }
                Ok(())
            }
            Frame::Ping(_) | Frame::Pong(_) => Ok(()),
            Frame::Hello(_) | Frame::Welcome(_) | Frame::Opened(_) | Frame::Refused(_) | Frame::Ack(_) => {
                Err(violation(&"the dialling side sent a frame that is not its to send here"))
            }
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
    fn open(&mut self, ctx: &mut Ctx, open: Open) {
        if self.links.binary_search(&open.link).is_err() {
            let message = format!("link {} does not lead from the dialling node to this one", open.link);
            return self.refuse(ctx, &open, RefusedWhy::UnknownLink, message);
        }
        if let Some(refusal) = self.same_epoch_of_another(ctx, &open) {
            return self.refuse(ctx, &open, RefusedWhy::StaleEpoch, refusal);
        }
        match ctx.inbox(open.link).needs_epoch(&open) {
            Ok(true) => {
                self.opens.insert(open.link, open.clone());
                ctx.lives_heard.push(open);
            }
            Ok(false) => self.bind(ctx, &open),
            Err(refusal) => self.turn_down(ctx, &open, refusal),
        }
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
    fn turn_down(&mut self, ctx: &mut Ctx, open: &Open, refusal: Refusal) {
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
        if refusal.why != RefusedWhy::Done {
            let (peer, why) = (ctx.node_name(self.peer).to_owned(), refusal.message.clone());
            ctx.act(Report::PeerRefused { peer, why });
        }
        self.refuse(ctx, open, refusal.why, refusal.message);
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
                self.control.push_back(Frame::Opened(opened));
                self.wake(ctx);
            }
            Err(refusal) => self.turn_down(ctx, open, refusal),
        }
        ctx.inbox_changed(open.link);
    }

    fn refuse(&mut self, ctx: &mut Ctx, open: &Open, why: RefusedWhy, message: String) {
        let refused = Refused { link: open.link, epoch: open.epoch, why, message };
        self.control.push_back(Frame::Refused(refused));
        self.wake(ctx);
    }

    /// The receiver of `link` wants nothing more.
    pub(super) fn cancel(&mut self, ctx: &mut Ctx, link: LinkId) {
        let epoch = ctx.inbox(link).epoch();
        if let (Some(epoch), true) = (epoch, self.owner.is_some()) {
            let message = "the receiving task is done".to_owned();
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
        self.owner = None;
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

    fn wake(&mut self, ctx: &mut Ctx) {
        if let (Some(conn), false) = (self.owner, self.woken) {
            self.woken = true;
            ctx.act(Action::Conn(conn, ConnAction::Wake));
        }
    }
}

/// Checks of a `Hello` that need no history; an error turns the dialling node away.
pub(super) fn check_hello(ctx: &Ctx, hello: &Hello) -> Result<NodeIx, GoAway> {
    let config = &ctx.config;
    let me = ctx.node_name(config.me);
    let turn_away = |why, message| Err(GoAway { why, message });
    if hello.protocol != PROTOCOL {
        let message = format!(
            "node {me} speaks protocol {PROTOCOL}, node {} speaks {}: run the same version of worker on both",
            hello.node, hello.protocol
        );
        return turn_away(GoAwayWhy::Protocol, message);
    }
    if hello.cluster != config.cluster || hello.to != me {
        let message = format!(
            "this is node {me} of pipeline {}; node {} wants node {} of pipeline {}: check the addresses in the cluster file",
            config.cluster, hello.node, hello.to, hello.cluster
        );
        return turn_away(GoAwayWhy::WrongPeer, message);
    }
    if hello.pipeline != config.pipeline {
        let message = format!(
            "the pipeline files differ: fingerprint {:016x} on node {me}, {:016x} on node {}: use the same file on both",
            config.pipeline.0, hello.pipeline.0, hello.node
        );
        return turn_away(GoAwayWhy::Pipeline, message);
    }
    if hello.placement != config.placement {
        let message = format!(
            "the placements differ: fingerprint {:016x} on node {me}, {:016x} on node {}: use the same cluster file on both",
            config.placement.0, hello.placement.0, hello.node
        );
        return turn_away(GoAwayWhy::Placement, message);
    }
    match config.nodes.iter().position(|n| *n == hello.node) {
        Some(at) if hello.node != me => Ok(NodeIx(u16::try_from(at).unwrap_or(u16::MAX))),
        Some(_) | None => {
            let message = format!("node {me} expects no connection from a node named {}", hello.node);
            turn_away(GoAwayWhy::UnknownNode, message)
        }
    }
}
