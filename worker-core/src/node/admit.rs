//! Who is let in as which node, and which of its connections counts.
//!
//! What a peer counts up may grow by what restarts and redials can explain: a number that jumps would make the real node, which
//! counts on from its own, an old one for ever.

use super::downlink::Downlink;
use super::go_away::violation;
use crate::config::NodeIx;
use crate::ctx::Ctx;
use crate::event::{ConnId, Identity, NodeError, Report};
use crate::fault::Bug;
use crate::task::ORDER_IS_LOST;
use crate::time::Time;
use std::time::Duration;
use worker_proto::frame::{GoAway, GoAwayWhy, Hello, Open, Welcome};
use worker_proto::limits::PROTOCOL;
use worker_proto::{Epoch, Frame, Incarnation, LinkId, Seq};

/// How many lives of a peer are known as replaced; one more is forgotten, the oldest first.
const REPLACED_MAX: usize = 1024;

/// How often a node may take over from a connection of its own that is still there.
const TAKEOVER_EVERY: Duration = Duration::from_secs(1);

/// By how much the number of a connection may be beyond the last one of its process: so many at once, and so many a second since.
/// Redialling makes two a second at most, on average.
const DIALS_SPARE: u64 = 4096;
const DIALS_PER_SECOND: u64 = 64;

/// The highest number of the first connection that is seen of a process: it may have dialled for years.
const FIRST_DIAL_MAX: u64 = 1 << 32;

/// By how much an epoch may be beyond the last one that is known: a process that is restarted ten times a second for a day.
const EPOCHS_AT_ONCE: u64 = 1 << 20;

impl Downlink {
    /// Decides on a `Hello`; gives the connection that it replaces.
    pub(super) fn hello(
        &mut self,
        ctx: &mut Ctx,
        conn: ConnId,
        (hello, identity): (&Hello, Identity),
    ) -> Result<Option<ConnId>, GoAway> {
        let life = (hello.incarnation, hello.conn_no);
        let mut replaced = None;
        if self.replaced.contains(&hello.incarnation)
            && !ctx.planted.is(Bug::StaleOpenTakesLink)
            && !ctx.planted.is(Bug::ReplacedLifeReturns)
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
            let is_behind = match ctx.planted.is(Bug::LivesOrderedByClock) {
                true => life < (incarnation, number),
                false => hello.incarnation == incarnation && hello.conn_no < number,
            };
            if is_behind && !ctx.planted.is(Bug::StaleOpenTakesLink) {
                let message =
                    format!("connection {} of that process was replaced by {number}", hello.conn_no);
                return Err(GoAway { why: GoAwayWhy::Superseded, message });
            }
            self.check_number(ctx.now, hello)?;
            self.check_takeover(ctx)?;
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
            self.took_over = replaced.map(|_| ctx.now).or(self.took_over);
        } else {
            self.check_number(ctx.now, hello)?;
        }
        self.unbind(ctx);
        ctx.left = None;
        self.life = Some(life);
        self.owner = Some(conn);
        self.let_in = ctx.now;
        self.bound = identity != Identity::Claimed;
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

    /// One process counts its connections.
    fn check_number(&self, now: Time, hello: &Hello) -> Result<(), GoAway> {
        let known = self.life.filter(|(incarnation, _)| *incarnation == hello.incarnation);
        let highest = known.map_or(FIRST_DIAL_MAX, |(_, last)| {
            let since = now.since(self.let_in).as_secs();
            last.0.saturating_add(DIALS_SPARE).saturating_add(since.saturating_mul(DIALS_PER_SECOND))
        });
        if hello.conn_no.0 <= highest {
            return Ok(());
        }
        Err(violation(&format!("its connection {} is none that redialling explains", hello.conn_no)))
    }

    /// A connection that is there may be replaced, but not all the time.
    fn check_takeover(&self, ctx: &Ctx) -> Result<(), GoAway> {
        let too_soon = self.took_over.is_some_and(|last| ctx.now.since(last) < TAKEOVER_EVERY);
        if self.owner.is_none() || !too_soon {
            return Ok(());
        }
        let message = format!("a connection of it has taken over less than {TAKEOVER_EVERY:?} ago");
        Err(GoAway { why: GoAwayWhy::Busy, message })
    }

    /// In memory a task's life is its process's; with a journal it grows by one at each start.
    pub(super) fn check_epoch(&self, ctx: &mut Ctx, open: &Open) -> Result<(), GoAway> {
        let Epoch(epoch) = open.epoch;
        let known = ctx.inbox(open.link).epoch().map_or(0, |Epoch(known)| known);
        let is_explained = match self.life {
            Some((Incarnation(life), _)) if !ctx.journaled => epoch == life,
            Some(_) | None => epoch <= known.saturating_add(EPOCHS_AT_ONCE),
        };
        if is_explained || ctx.planted.is(Bug::StaleOpenTakesLink) {
            return Ok(());
        }
        Err(violation(&format!("link {}: epoch {epoch} is none that a restart explains", open.link)))
    }
}

/// Checks of a `Hello` that need no history; an error turns the dialling node away.
pub(super) fn check_hello(ctx: &Ctx, hello: &Hello, identity: Identity) -> Result<NodeIx, GoAway> {
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
    if let Identity::Proved(node) = identity
        && ctx.node_name(node) != hello.node
    {
        let proved = ctx.node_name(node);
        let message = format!("its certificate is of node {proved}, and it speaks as node {}", hello.node);
        return turn_away(GoAwayWhy::UnknownNode, message);
    }
    match config.nodes.iter().position(|n| *n == hello.node) {
        Some(at) if hello.node != me => Ok(NodeIx(u16::try_from(at).unwrap_or(u16::MAX))),
        Some(_) | None => {
            let message = format!("node {me} expects no connection from a node named {}", hello.node);
            turn_away(GoAwayWhy::UnknownNode, message)
        }
    }
}
