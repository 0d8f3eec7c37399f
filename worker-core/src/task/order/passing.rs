//! The ends of chunks on their way through a task with neighbours.

use super::Boundary;
use crate::ctx::Ctx;
use crate::task::Base;
use std::collections::VecDeque;

/// Ends of chunks that wait for records before them of which it is not known yet whether they are dead letters.
#[derive(Debug, Default)]
pub(in crate::task) struct Passing {
    /// Each with how many such records are before it.
    held: VecDeque<(Boundary, usize)>,
}

impl Passing {
    /// All of a chunk is committed but `undecided` records: its end goes on, behind those.
    pub(in crate::task) fn end_chunk(
        &mut self,
        base: &mut Base,
        ctx: &mut Ctx,
        boundary: Boundary,
        undecided: usize,
    ) {
        if undecided == 0 {
            base.pass_boundary(ctx, boundary);
        } else {
            self.held.push_back((boundary, undecided));
        }
    }

    /// So many of the undecided records are decided: the ends before the next one go on.
    pub(in crate::task) fn decided(&mut self, base: &mut Base, ctx: &mut Ctx, count: usize) {
        while self.held.front().is_some_and(|(_, before)| *before <= count)
            && let Some((boundary, _)) = self.held.pop_front()
        {
            base.pass_boundary(ctx, boundary);
        }
    }

    /// Nobody takes the output any more.
    pub(in crate::task) fn forget(&mut self) {
        self.held.clear();
    }
}
