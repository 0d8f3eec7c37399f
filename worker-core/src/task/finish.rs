//! Which inputs are finished once which outputs are acknowledged.

use crate::check::{Inconsistency, rule};
use crate::event::InputDone;
use std::collections::VecDeque;
use worker_proto::{LinkId, Seq};

/// Commits whose effects are not all acknowledged downstream yet, in order.
///
/// Bounded: past [`STEPS_MAX`] neighbours are merged, which only makes `finished` advance in larger steps.
#[derive(Debug, Default)]
pub(super) struct FinishTracker {
    steps: VecDeque<Step>,
}

/// How many commits are told apart.
const STEPS_MAX: usize = 4096;

/// One commit: its inputs are finished when every output position is acknowledged.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) inputs: Vec<InputDone>,
    pub(super) needs: Vec<(LinkId, Seq)>,
    /// The task's end: needs every output link finished instead.
    pub(super) ended: bool,
}

impl FinishTracker {
    pub(super) fn push(&mut self, step: Step) {
        if self.steps.len() >= STEPS_MAX
            && !step.ended
            && let Some(last) = self.steps.back_mut()
        {
            last.merge(step);
            return;
        }
        self.steps.push_back(step);
    }

    /// Tuples of a link that were never sent were taken out: those behind them have other numbers now.
    pub(super) fn taken_out(&mut self, link: LinkId, (behind, records): (Seq, u64)) {
        let needs = self.steps.iter_mut().flat_map(|step| &mut step.needs);
        needs.filter(|need| need.0 == link).for_each(|need| moved_up(&mut need.1, behind, records));
    }

    pub(super) fn front(&self) -> Option<&Step> {
        self.steps.front()
    }

    /// What always holds of it; takes time in proportion to the commits.
    pub(super) fn check(&self) -> Result<(), Inconsistency> {
        rule("commits told apart", self.steps.len() <= STEPS_MAX + 1, || format!("{}", self.steps.len()))?;
        let ends_last = self.steps.iter().rev().skip(1).all(|step| !step.ended);
        rule("nothing behind the end", ends_last, || format!("{:?}", self.steps))
    }

    pub(super) fn pop(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }
}

/// Where a position is, now that so many tuples `behind` there are none.
pub(super) fn moved_up(at: &mut Seq, behind: Seq, records: u64) {
    if *at > behind {
        *at = behind.max(Seq(at.0.saturating_sub(records)));
    }
}

impl Step {
    fn merge(&mut self, later: Step) {
        for input in later.inputs {
            match self.inputs.iter_mut().find(|i| i.link == input.link && i.epoch == input.epoch) {
                Some(mine) => *mine = input,
                None => self.inputs.push(input),
            }
        }
        for (link, seq) in later.needs {
            match self.needs.iter_mut().find(|n| n.0 == link) {
                Some(mine) => mine.1 = seq,
                None => self.needs.push((link, seq)),
            }
        }
    }
}
