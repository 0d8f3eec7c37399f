//! What links over long distances have of what all links of the node share.
//!
//! ```text
//!   receiving: own ──needs more──▶ grown ──needs less, not renewed──▶ own      connection lost: own, but for what is queued
//!   sending:   own ──all sent, room is what stops the task──▶ grown ──little held──▶ own
//!   a sender whose credit has grown and is not used: given up ──Opened──▶ own
//! ```

use super::uplink::{State, Uplink};
use crate::ctx::Ctx;
use crate::fault::Bug;
use crate::timers::WakeReason;
use std::time::Duration;
use worker_proto::LinkId;

/// How often a sender looks whether it uses what it has, while it has more than each link has.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Ctx {
    /// Credit of a link from another node is about to be announced: it may be known anew how much it needs.
    pub(super) fn measure_credit(&mut self, link: LinkId) {
        let now = self.now;
        if let Some(need) = self.inbox(link).measure(now) {
            let own = self.inbox(link).shared_credit();
            let fair = match self.planted.is(Bug::SharedCreditUnlimited) {
                true => u64::MAX,
                false => self.shared_credit.fair(own),
            };
            let inbox = self.inbox(link);
            inbox.share(need.min(fair));
            let has = inbox.shared_credit();
            self.shared_credit.change(own, has);
        }
    }

    /// A link from another node has given something to its task, or lost its connection.
    pub(super) fn keep_credit(&mut self, link: LinkId) {
        let inbox = self.inbox(link);
        let before = inbox.shared_credit();
        if before > 0 {
            inbox.keep_shared();
            let has = inbox.shared_credit();
            self.shared_credit.change(before, has);
        }
    }

    /// An acknowledgement has come on a link to another node, and is not counted yet: who has sent everything, may send more and has no
    /// room for it needs more room.
    pub(super) fn measure_room(&mut self, link: LinkId) {
        let outbox = self.outbox_ref(link);
        let Some(need) = outbox.room_needed() else { return };
        let own = outbox.shared_room();
        let fair = self.shared_credit.fair(own);
        let mut outbox = self.outbox(link);
        outbox.share_room(need.min(fair).max(own));
        let has = outbox.shared_room();
        drop(outbox);
        self.shared_credit.change(own, has);
    }

    /// Whether a link to another node has more credit or room than each link has; gives back what it does not use.
    pub(super) fn look_at(&mut self, link: LinkId) -> Look {
        let own = self.config.limits.credit_bytes;
        let mut outbox = self.outbox(link);
        let before = outbox.shared_room();
        outbox.keep_room();
        let has = outbox.shared_room();
        let gives_up = outbox.gives_up_credit(own);
        let has_more = has > 0 || outbox.has_more_credit(own);
        drop(outbox);
        self.shared_credit.change(before, has);
        match gives_up && !self.planted.is(Bug::SharedCreditKept) {
            true => Look::GivesUp,
            false if has_more => Look::HasMore,
            false => Look::Own,
        }
    }

    /// The links to a peer are looked at in a while.
    pub(super) fn look_later(&mut self, peer: crate::config::NodeIx) {
        if self.timers.at(WakeReason::Credit(peer)).is_none() {
            self.timers.set(WakeReason::Credit(peer), self.now + LOOK_EVERY);
        }
    }
}

impl Uplink {
    /// Gives back what credit and room the links have and do not use.
    pub(super) fn look_at_credit(&mut self, ctx: &mut Ctx) {
        let mut has_more = false;
        for i in 0..self.links.len() {
            let link = self.links[i];
            let look = ctx.look_at(link);
            if look == Look::GivesUp && matches!(self.state, State::Up(_)) {
                if !ctx.planted.is(Bug::SentWhileGivenUp) {
                    ctx.outbox(link).give_up_credit();
                }
                self.open(ctx, link);
                self.wake(ctx);
            }
            has_more |= look != Look::Own;
        }
        if has_more {
            ctx.look_later(self.peer);
        }
    }
}

/// What a look at a link has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It has what each link has.
    Own,
    /// It has more.
    HasMore,
    /// It has more credit, and has not used it: it is to be opened again.
    GivesUp,
}
