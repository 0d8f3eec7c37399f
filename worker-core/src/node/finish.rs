//! No new input: all that was taken is delivered, and then the node ends.
//!
//! In memory the end of the sources is the end of the input, and all else follows from that. With a journal it is none: the next life
//! reads on. There the node looks when nothing is under way any more. Windows are cut then, as their time might cut them; a program whose
//! input has no end but the real one keeps what it was given for the next life.

use super::Node;
use crate::task::TaskMachine;

impl Node {
    pub(super) fn finish(&mut self) {
        self.ctx.finishing = true;
        for task in self.tasks.iter_mut().flatten() {
            task.base.paused = None;
            if let TaskMachine::Source(source) = &mut task.kind {
                source.stop(&task.base, &mut self.ctx);
            }
        }
        self.change_all();
    }

    /// With a journal: whether nothing that was taken is under way here, and no source takes more.
    pub(super) fn is_emptied(&self) -> bool {
        let is_asked = self.ctx.finishing && self.ctx.journaled && !self.ctx.draining;
        let is_sent = || {
            let mut outboxes = self.ctx.outboxes.iter();
            outboxes.all(|o| o.is_settled() && o.ended().is_none_or(|end| o.through() >= end))
        };
        is_asked
            && !self.over
            && self.tasks.iter().flatten().all(crate::task::Task::is_emptied)
            && is_sent()
            && self.downlinks.values().all(|d| !d.is_talking())
    }

    /// Does what is left to be done of an emptied node; says whether that was anything.
    pub(super) fn goes_on_to_its_end(&mut self) -> bool {
        let mut cut = false;
        for task in self.tasks.iter_mut().flatten() {
            if let TaskMachine::Stream(stream) = &mut task.kind {
                cut |= stream.cut(&mut task.base, &mut self.ctx);
            }
        }
        if cut {
            return true;
        }
        let is_alone = self.uplinks.is_empty() && self.downlinks.is_empty();
        if is_alone {
            self.drain();
        }
        is_alone
    }
}
