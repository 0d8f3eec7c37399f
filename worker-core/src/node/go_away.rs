//! What a peer is told before its connection is closed, and what comes of what it tells.

use super::uplink::Uplink;
use crate::config::NodeIx;
use crate::ctx::Ctx;
use crate::event::NodeError;
use crate::words::printable;
use std::time::Duration;
use worker_proto::LinkId;
use worker_proto::frame::{GoAway, GoAwayWhy, RefusedWhy};
use worker_proto::limits::PROTOCOL;

/// For how long another process may hold this node's name before this one gives up: longer than a dead one is noticed.
const NAME_IN_USE_MAX: Duration = Duration::from_secs(15);

/// By how much a connection's number grows where one before it is said to be too low.
const SUPERSEDED_STEP: u64 = 1000;

/// The receiver is not who this node sent to before: it is told, and ends.
pub(super) fn lost_state(ctx: &Ctx, link: LinkId, what: &str) -> GoAway {
    let (link, me) = (ctx.config.graph.link_name(link), ctx.node_name(ctx.config.me));
    let message = format!(
        "this node's state is not the one that node {me} sent link {link} to ({what}): it was removed, or is an older copy; put the newest \
         one back, or start every node over with --fresh"
    );
    GoAway { why: GoAwayWhy::Fenced, message }
}

/// It broke a rule of the protocol.
pub(super) fn violation(rule: &dyn std::fmt::Display) -> GoAway {
    GoAway { why: GoAwayWhy::Violation, message: rule.to_string() }
}

/// What of a last word is written: who is not bound to anything gets the class alone, and so does everybody but of a failure, which all
/// nodes of a pipeline share. The reason is for the log here.
pub(super) fn said(last_word: GoAway, bound: bool) -> GoAway {
    let message = if bound && last_word.why == GoAwayWhy::Failed { last_word.message } else { String::new() };
    GoAway { why: last_word.why, message }
}

/// Why a peer says that the pipeline has failed.
pub(super) fn heard(go_away: &GoAway) -> String {
    if go_away.message.is_empty() {
        return "the pipeline has failed there; its log says why".to_owned();
    }
    printable(&go_away.message)
}

/// What the class that a peer has given means here.
pub(super) fn told(ctx: &Ctx, peer: NodeIx, go_away: &GoAway) -> String {
    let (me, peer) = (ctx.node_name(ctx.config.me), ctx.node_name(peer));
    let its_log = format!("; the log of node {peer} says more");
    match go_away.why {
        GoAwayWhy::Superseded => "a newer connection of this node took over".to_owned(),
        GoAwayWhy::NameInUse => {
            format!("another living process is node {me}; this one is not let in beside it: stop one of them")
        }
        GoAwayWhy::Protocol => {
            format!(
                "node {peer} does not speak protocol {PROTOCOL}: run the same version of worker on both{its_log}"
            )
        }
        GoAwayWhy::WrongPeer => format!(
            "at that address is not node {peer} of pipeline {}: check the addresses in the cluster file{its_log}",
            ctx.config.cluster
        ),
        GoAwayWhy::UnknownNode => format!(
            "node {peer} expects no connection from a node named {me}: use the same cluster file on both{its_log}"
        ),
        GoAwayWhy::Pipeline => format!(
            "the pipeline files differ: fingerprint {:016x} on node {me}, another on node {peer}: use the same file on both{its_log}",
            ctx.config.pipeline.0
        ),
        GoAwayWhy::Placement => format!(
            "the placements differ: fingerprint {:016x} on node {me}, another on node {peer}: use the same cluster file on both{its_log}",
            ctx.config.placement.0
        ),
        GoAwayWhy::Violation => {
            format!("node {peer} says that this node broke a rule of the protocol{its_log}")
        }
        GoAwayWhy::Timeout => format!("node {peer} heard nothing of this node for too long"),
        GoAwayWhy::Leaving => format!("node {peer} is shutting down"),
        GoAwayWhy::Failed => heard(go_away),
        GoAwayWhy::Fenced => format!(
            "this process is not node {me} any more, or its state is not the one that node {peer} knows: another process has taken its \
             place, or the state was removed or is an older copy; put the newest one back, or start every node over with --fresh{its_log}"
        ),
        GoAwayWhy::Busy => format!("node {peer} takes no more connections of this node for now"),
    }
}

/// What the class that a link is refused with means here.
pub(super) fn refused(why: RefusedWhy) -> &'static str {
    match why {
        RefusedWhy::StaleEpoch => {
            "another process has gone on with the sending task, or with a copy of its state: use only one of them, and remove the other copy"
        }
        RefusedWhy::UnknownJournal => {
            "the sending task has another journal than the one its tuples came from until now: put its state directory back, or start \
             every node over with --fresh"
        }
        RefusedWhy::Position => {
            "positions contradict each other: the state of this node is an older copy, or was gone on with elsewhere; put the newest one \
             back and stop what else uses it, or start every node over with --fresh"
        }
        RefusedWhy::UnknownLink => "it does not lead from here to there: use the same files on both nodes",
        RefusedWhy::NotReady => "the receiver is not ready yet",
        RefusedWhy::Done => "the receiving task wants nothing more",
    }
}

impl Uplink {
    /// What comes of it that the accepting side closes the connection.
    pub(super) fn go_away(&mut self, ctx: &mut Ctx, go_away: &GoAway) {
        let peer = ctx.node_name(self.peer).to_owned();
        let why = told(ctx, self.peer, go_away);
        self.said = Some(format!("node {peer} closed the connection: {why}"));
        match go_away.why {
            // Another process is at its place for now; the one that agreed may come back.
            GoAwayWhy::Protocol
            | GoAwayWhy::WrongPeer
            | GoAwayWhy::UnknownNode
            | GoAwayWhy::Pipeline
            | GoAwayWhy::Placement
                if self.agreed => {}
            GoAwayWhy::Protocol
            | GoAwayWhy::WrongPeer
            | GoAwayWhy::UnknownNode
            | GoAwayWhy::Pipeline
            | GoAwayWhy::Placement => ctx.halt(NodeError::Peer { peer, why }),
            GoAwayWhy::Failed => ctx.halt(NodeError::Remote { peer, why }),
            GoAwayWhy::NameInUse => {
                self.name_in_use = true;
                let since = *self.name_in_use_since.get_or_insert(ctx.now);
                if ctx.now.since(since) > NAME_IN_USE_MAX {
                    ctx.end_alone(NodeError::Peer { peer, why });
                }
            }
            GoAwayWhy::Fenced => ctx.end_alone(NodeError::Peer { peer, why }),
            GoAwayWhy::Leaving => self.peer_left = true,
            GoAwayWhy::Timeout => ctx.given_up(peer),
            // Somebody has spoken as this process and counted on: it counts past him, as far as redialling explains.
            GoAwayWhy::Superseded if !self.is_up() => self.conn_no += SUPERSEDED_STEP,
            GoAwayWhy::Superseded | GoAwayWhy::Violation | GoAwayWhy::Busy => {}
        }
    }
}
