//! What a peer is told before its connection is closed.

use crate::ctx::Ctx;
use worker_proto::LinkId;
use worker_proto::frame::{GoAway, GoAwayWhy};

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
