//! What always holds of a task's links and commits.

use super::{Base, Life};
use crate::check::{Inconsistency, rule, same};
use crate::ctx::Ctx;
use crate::event::InputDone;
use crate::inbox::{Inbox, Piece};
use std::collections::VecDeque;
use worker_proto::{Epoch, Seq};

impl Base {
    /// Counts again what waits to be durable.
    pub(in crate::task) fn check_pending(&self, ctx: &Ctx) -> Result<(), Inconsistency> {
        same("pending_cost", self.pending_cost, self.pending.iter().map(|p| p.cost).sum())?;
        let ids = self.pending.iter().rev().map(|p| p.commit.id.0);
        let in_order = ids.zip((0..=self.commits).rev()).all(|(id, expected)| id == expected);
        rule("numbers of commits", in_order, || {
            format!("{} commits, {:?} wait", self.commits, self.pending)
        })?;
        let blocked = self.pending.front().is_none_or(|first| !first.durable);
        rule("commits take effect", blocked, || format!("{:?} is durable", self.pending.front()))?;
        let ends = self.pending.iter().any(|p| p.commit.ended);
        same("life", self.life == Life::Ending, ends)?;
        self.outputs.iter().try_for_each(|&link| {
            let outbox = ctx.outbox_ref(link);
            let outputs = self.pending.iter().flat_map(|p| &p.commit.outputs);
            if outbox.drops() {
                return Ok(());
            }
            let mut next = outbox.next_seq();
            let is_held_back = |link| !ctx.goes_on_appended(link);
            for (first, chunk) in outputs.filter(|(_, chunk)| chunk.link == link && is_held_back(link)) {
                same("numbers of outputs", *first, next)?;
                next = first.plus(chunk.body.records());
            }
            same("numbers assigned", outbox.next_assigned(), next)
        })
    }

    /// Holds the turns of the inputs and their ends against the inboxes.
    pub(in crate::task) fn check_inputs(&self, ctx: &Ctx) -> Result<(), Inconsistency> {
        let inboxes = || self.inputs.iter().map(|&link| (link, ctx.inbox_ref(link)));
        same("ends", self.ends, inboxes().filter(|(_, inbox)| inbox.has_ended()).count())?;
        for (link, inbox) in inboxes() {
            let turns = self.ring.iter().filter(|&&turn| turn == link).count();
            // Who has ended takes nothing more.
            let most = usize::from(!inbox.is_empty());
            let fits = if self.life == Life::Running { turns == most } else { turns <= most };
            rule("turns of inputs", fits, || {
                format!("{turns} of link {link} with {} bytes", inbox.queue_cost())
            })?;
        }
        self.finish.check()
    }

    /// How far an input is committed, or will be once what waits is durable.
    pub(in crate::task) fn reached<'a>(&self, inbox: &'a Inbox, ctx: &Ctx) -> Reached<'a> {
        let heads = self.heads.open(inbox.link());
        let mut boundaries: VecDeque<Seq> = self.order.open(inbox.link()).chain(heads).collect();
        boundaries.make_contiguous().sort_unstable();
        let mut reached =
            Reached { inbox, goes_on: ctx.journaled, through: inbox.committed_through(), boundaries };
        for input in self.pending.iter().flat_map(|p| &p.commit.inputs) {
            if input.link == inbox.link() && reached.counts(input.epoch) {
                reached.through = reached.through.max(input.through);
            }
        }
        reached
    }
}

/// Follows an input from what is committed to what is queued, and finds what is missing between.
#[derive(Debug)]
pub(in crate::task) struct Reached<'a> {
    inbox: &'a Inbox,
    /// Positions go on through all lives of the sender.
    goes_on: bool,
    through: Seq,
    /// Taken by the task, and not asked to be committed.
    boundaries: VecDeque<Seq>,
}

impl Reached<'_> {
    /// The task has taken these tuples, and not asked to commit them.
    pub(in crate::task) fn piece(&mut self, piece: &Piece) -> Result<(), Inconsistency> {
        if piece.link == self.inbox.link() && self.counts(piece.epoch) {
            self.behind_boundaries();
            let follows = piece.first_seq == self.through.next();
            rule("taken is not committed", follows, || {
                format!("{piece:?} is taken, {} was reached", self.through)
            })?;
            self.through = piece.last_seq();
        }
        Ok(())
    }

    /// The task has taken everything through there, and not asked to commit it.
    pub(in crate::task) fn position(&mut self, input: &InputDone) -> Result<(), Inconsistency> {
        if input.link == self.inbox.link() && self.counts(input.epoch) {
            let follows = input.through >= self.through;
            rule("taken is not committed", follows, || {
                format!("{input:?} is taken, {} was reached", self.through)
            })?;
            self.through = input.through;
        }
        Ok(())
    }

    /// What is queued comes next.
    pub(in crate::task) fn queue(&mut self) -> Result<(), Inconsistency> {
        self.behind_boundaries();
        let has_sender = self.inbox.epoch().is_some();
        if has_sender {
            same("queued behind what is taken", self.inbox.next_queued(), self.through.next())
        } else {
            Ok(())
        }
    }

    fn behind_boundaries(&mut self) {
        while self.boundaries.front().is_some_and(|&boundary| boundary <= self.through.next()) {
            self.through = self.boundaries.pop_front().unwrap_or_default().max(self.through);
        }
    }

    fn counts(&self, epoch: Epoch) -> bool {
        self.goes_on || self.inbox.epoch() == Some(epoch)
    }
}
