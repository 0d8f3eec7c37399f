//! Who gets records that every task of a stage may get: whoever has least to do.
//!
//! A router names the links of a hop without a key in turn. Which one it is to be is decided when a commit is asked for, which is the last
//! moment at which it can be: behind it the tuples have numbers, and with a journal their link is durable with them. So a task that has
//! long to do with what it was given is passed over until it has less waiting than the others, and so is one whose node cannot be
//! reached, once that is known: at a node's start the others are about to be; what was given to it before stays its own.
//!
//! Limit: of a hop [`LOOKED_AT_MAX`] links are looked at for a chunk, from the one that the router names on.

use crate::config::{NodeConfig, TaskName};
use crate::ctx::Ctx;
use worker_proto::{LinkId, Seq};

const LOOKED_AT_MAX: usize = 16;

/// The hops of a task on which any link will do.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// The links of each, in the order of their numbers.
    hops: Vec<Vec<LinkId>>,
}

impl Demand {
    pub(crate) fn of(config: &NodeConfig, outputs: &[LinkId]) -> Self {
        let graph = &config.graph;
        let stage = |link: LinkId| TaskName::of(&graph.task(graph.link(link).to).name).stage;
        let mut hops: Vec<Vec<LinkId>> = Vec::new();
        for &link in outputs.iter().filter(|link| graph.keyless.contains(link)) {
            match hops.last_mut().filter(|hop| stage(hop[0]) == stage(link)) {
                Some(hop) => hop.push(link),
                None => hops.push(vec![link]),
            }
        }
        hops.retain(|hop| hop.len() > 1);
        Self { hops }
    }

    /// The link for what the router has given to this one; of several that have as little to do the first from there on.
    pub(super) fn choose(&self, ctx: &Ctx, named: LinkId) -> LinkId {
        let found = self.hops.iter().find_map(|hop| Some((hop, hop.binary_search(&named).ok()?)));
        let Some((hop, at)) = found else { return named };
        let (before, from) = hop.split_at(at);
        let in_turn = from.iter().chain(before).take(LOOKED_AT_MAX);
        in_turn.copied().min_by_key(|&link| Load::of(ctx, link)).unwrap_or(named)
    }
}

/// Whether a link's receiver has something to do, as far as that is known here; who wants nothing any more is not to be given to.
///
/// In memory a receiver on another node acknowledges what it has not done: what of that is finished counts, once anything is.
pub(super) fn is_busy(ctx: &Ctx, link: LinkId) -> bool {
    let outbox = ctx.outbox_ref(link);
    let unfinished = || outbox.finished() > Seq::ZERO && outbox.finished() < outbox.next_assigned().before();
    let Load { is_cancelled, is_unreachable: _, waiting, uncommitted } = Load::of(ctx, link);
    is_cancelled || waiting > 0 || uncommitted > 0 || (!ctx.is_local(link) && unfinished())
}

/// How much a link's receiver has to do; compared in the order of the fields.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    /// It wants nothing any more: what it is given is given to nobody.
    is_cancelled: bool,
    is_unreachable: bool,
    /// What waits for it, in bytes of cost.
    waiting: u64,
    /// Tuples that it has, taken or not, and has not committed, where that is known here.
    uncommitted: u64,
}

impl Load {
    fn of(ctx: &Ctx, link: LinkId) -> Self {
        let outbox = ctx.outbox_ref(link);
        let inbox = ctx.is_local(link).then(|| ctx.inbox_ref(link));
        Self {
            is_cancelled: outbox.is_cancelled(),
            is_unreachable: !outbox.is_open() && (outbox.was_open() || ctx.is_past_first_dial()),
            waiting: outbox.waiting_cost() + inbox.map_or(0, |inbox| inbox.queue_cost()),
            uncommitted: inbox.map_or(0, |inbox| inbox.received().since(inbox.committed_through())),
        }
    }
}
