//! When to wake next, and why.

use crate::check::{Inconsistency, rule, same};
use crate::config::{NodeIx, TaskId};
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// What a wake-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WakeReason {
    /// A batch waited long enough for more records.
    Linger(TaskId),
    /// A failed batch is tried again.
    Retry(TaskId),
    /// A stream's window ends.
    Window(TaskId),
    /// A records program is to hear that time has passed.
    Tick(TaskId),
    /// The stage of this task may take more, by its rate.
    Rate(TaskId),
    /// A task has waited long enough for what would say whose fault its held back records are.
    Verdict(TaskId),
    /// A peer is dialled again.
    Redial(NodeIx),
    /// Links to a peer may have more credit, or room, than they use.
    Credit(NodeIx),
    /// A node that is done has waited long enough for its peers' goodbyes.
    Goodbye,
}

/// At most one pending wake-up a reason.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Time, WakeReason)>,
    set: BTreeMap<WakeReason, Time>,
}

impl Timers {
    pub(crate) fn set(&mut self, reason: WakeReason, at: Time) {
        if let Some(old) = self.set.insert(reason, at) {
            self.queue.remove(&(old, reason));
        }
        self.queue.insert((at, reason));
    }

    pub(crate) fn clear(&mut self, reason: WakeReason) {
        if let Some(old) = self.set.remove(&reason) {
            self.queue.remove(&(old, reason));
        }
    }

    pub(crate) fn at(&self, reason: WakeReason) -> Option<Time> {
        self.set.get(&reason).copied()
    }

    pub(crate) fn next(&self) -> Option<(Time, WakeReason)> {
        self.queue.first().copied()
    }

    /// Holds the queue against what is set.
    pub(crate) fn check(&self) -> Result<(), Inconsistency> {
        same("timers", self.queue.len(), self.set.len())?;
        let missing = self.set.iter().find(|(reason, at)| !self.queue.contains(&(**at, **reason)));
        rule("timers", missing.is_none(), || format!("{missing:?} is not queued"))
    }

    /// Takes one reason that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<WakeReason> {
        let (at, reason) = self.next()?;
        if at > now {
            return None;
        }
        self.clear(reason);
        Some(reason)
    }
}
