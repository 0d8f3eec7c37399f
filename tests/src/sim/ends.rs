//! Ends that are programs and pipes: what they have printed and nobody has, and readers that leave.

use super::check::{Check, Checked, require};
use super::plan::SPILL_OF_ALL;
use super::world::World;
use std::collections::BTreeMap;
use std::ops::Range;
use worker_core::config::TaskId;
use worker_core::event::{Event, NodeEvent, Report};

/// What programs that are sources have printed, in all their lives.
#[derive(Debug, Default)]
pub(super) struct Printed {
    /// By task: how many records.
    printed: BTreeMap<TaskId, u64>,
    /// By task: which of them were on their way into a journal when a process died.
    lost: BTreeMap<TaskId, Vec<Range<u64>>>,
}

impl Printed {
    /// Where the program of a source goes on; `committed` is how far its journal is.
    pub(super) fn goes_on(&mut self, task: TaskId, committed: u64) -> u64 {
        let printed = *self.printed.entry(task).or_insert(committed);
        if printed > committed {
            let lost = self.lost.entry(task).or_default();
            if lost.last().is_none_or(|last| *last != (committed..printed)) {
                lost.push(committed..printed);
            }
        }
        printed.max(committed)
    }

    /// Whether a record of a source was printed and never came into a journal.
    pub(super) fn is_lost(&self, task: TaskId, number: u64) -> bool {
        self.lost.get(&task).into_iter().flatten().any(|lost| lost.contains(&number))
    }
}

impl World {
    /// A process is gone, and with it the programs that its sources read. In good order nothing of what they said is lost.
    pub(super) fn programs_end(&mut self, node: usize, in_good_order: bool) -> Checked {
        let read: Vec<(TaskId, u64, bool)> = self.nodes[node].driver.programs_read().collect();
        for (task, read, has_more) in read {
            // What fits neither into memory nor into the spill has nowhere to go: its program is killed.
            let fits = self.plan.limits.spill_bytes >= SPILL_OF_ALL;
            let lost = in_good_order && has_more && fits && !self.stops_early(task) && !self.has_failed();
            require(!lost, Check::LastWords, || {
                format!("node {node} stopped and left {task:?}'s program with something to say")
            })?;
            let printed = self.printed.printed.entry(task).or_default();
            *printed = (*printed).max(read);
            let printed = *printed;
            if in_good_order && self.plan.is_journaled() && fits {
                let journal = self.disks[self.nodes[node].home].task(task)?;
                let (committed, ended) = (journal.committed_position(), journal.has_ended());
                let lost_before = |number| self.printed.is_lost(task, number);
                let kept = (committed..printed).all(lost_before);
                require(kept || ended, Check::LastWords, || {
                    format!(
                        "node {node} stopped: {task:?}'s program has printed {printed}, {committed} are kept"
                    )
                })?;
            }
        }
        Ok(())
    }

    /// What the worker does of itself when its core reports something.
    pub(super) fn reported(&mut self, node: usize, report: &Report) {
        let process = &mut self.nodes[node];
        match report {
            Report::ReaderGone { .. } if self.plan.is_journaled() => {
                process.draining = true;
                process.inputs.push_back(Event::Node(NodeEvent::Drain));
            }
            Report::PeerGone { .. } => process.gave_up = true,
            Report::PeerUp { .. }
            | Report::PeerDown { .. }
            | Report::PeerRefused { .. }
            | Report::PeerRestarted { .. }
            | Report::ReaderGone { .. }
            | Report::BatchFailed { .. } => {}
        }
    }
}
