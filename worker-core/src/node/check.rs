//! What always holds of a node.

use super::Node;
use crate::check::{Inconsistency, rule, same};
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::task::Task;

impl Node {
    /// Counts every sum again that the node keeps, and holds the ends of its links against its tasks and each other. To be
    /// called between two inputs; takes time in proportion to everything held.
    ///
    /// In builds with debug assertions the node calls it by itself, every time as many inputs have come as there were batches
    /// held when it was called before.
    ///
    /// # Errors
    /// [`Inconsistency`] names the first thing that is wrong: a bug of the core.
    pub fn check(&self) -> Result<(), Inconsistency> {
        let graph = &self.ctx.config.graph;
        for (link, (outbox, inbox)) in
            graph.links.iter().zip(self.ctx.outboxes.by_link().zip(&self.ctx.inboxes))
        {
            let name = || format!("{} -> {}", graph.task(link.from).name, graph.task(link.to).name);
            let local = outbox.zip(inbox.as_ref());
            (outbox.map_or(Ok(()), Outbox::check))
                .and_then(|()| inbox.iter().try_for_each(Inbox::check))
                .and_then(|()| local.map_or(Ok(()), |(outbox, inbox)| ends_agree(outbox, inbox)))
                .map_err(|wrong| wrong.of(name()))?;
        }
        // A node that has failed or is over follows nothing to its end any more.
        if self.over || self.ctx.is_halted() {
            return Ok(());
        }
        for task in self.tasks.iter().flatten() {
            let checked = task.check(&self.ctx).and_then(|()| task.check_inputs(&self.ctx));
            checked.map_err(|wrong| wrong.of(&*task.base.name))?;
        }
        self.check_shared().map_err(|wrong| wrong.of("node"))
    }

    /// What tasks and peers share.
    fn check_shared(&self) -> Result<(), Inconsistency> {
        let tasks = || self.tasks.iter().flatten();
        let running = tasks().filter_map(Task::runs_in_slot);
        self.ctx.slots.check(running, tasks().filter_map(Task::waits_for_slot))?;
        same("tasks that ask", self.ctx.asking, tasks().filter(|task| task.is_asking()).count())?;
        let asking = tasks().filter(|task| task.is_asking()).map(|task| task.base.id);
        self.ctx.alone.check(asking.chain(self.ctx.slots.holders()))?;
        let inboxes = self.ctx.inboxes.iter().flatten().map(Inbox::shared_credit).sum::<u64>();
        let outboxes = self.ctx.outboxes.iter().map(Outbox::shared_room).sum::<u64>();
        self.ctx.shared_credit.check(inboxes + outboxes)?;
        self.ctx.outboxes.check()?;
        self.ctx.rates.check(&self.ctx.timers)?;
        self.ctx.timers.check()?;
        self.ctx.tasks_due.check("tasks due")?;
        self.ctx.outboxes_due.check("outboxes due")?;
        self.ctx.inboxes_due.check("inboxes due")
    }

    /// Checks now and then, so that all checks together take time in proportion to the inputs.
    #[cfg(debug_assertions)]
    pub(super) fn check_in_turn(&mut self) {
        if self.ctx.planted.is_any() {
            return;
        }
        match self.check_after.checked_sub(1) {
            Some(left) => self.check_after = left,
            None => {
                if let Err(wrong) = self.check() {
                    panic!("the core contradicts itself, which is a bug of it: {wrong}");
                }
                let held = self.ctx.outboxes.iter().map(Outbox::held_batches).sum::<usize>();
                let queued = self.ctx.inboxes.iter().flatten().map(Inbox::queued_pieces).sum::<usize>();
                self.check_after = held + queued + self.tasks.len();
            }
        }
    }
}

/// What left one end of a link within the node is at the other, and what that acknowledged was there.
fn ends_agree(outbox: &Outbox, inbox: &Inbox) -> Result<(), Inconsistency> {
    let (Some(spent), Some(arrived)) = (outbox.spent(), inbox.arrived()) else { return Ok(()) };
    same("credit at both ends", spent, arrived)?;
    same("cursor and received", outbox.cursor(), inbox.received())?;
    let (through, acknowledged) = (outbox.through(), inbox.acknowledged());
    rule("acknowledged at both ends", through <= acknowledged, || {
        format!("{through}, {acknowledged} at the receiver")
    })
}

#[cfg(test)]
mod tests;
