//! What is in the way of tasks, as those see it who work for them: the node is told when it changes.

use super::engine::{Engine, lock};
use crate::child::Rest;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use worker_core::Time;
use worker_core::config::TaskId;
use worker_core::event::{Event, Hindrance};

/// Who sees something in a task's way; of what several see, the first here counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seer {
    /// Who puts away what the task's program prints, or writes what the task gives.
    Output,
    /// Who watches its program.
    Child,
    /// Who puts aside what its destinations do not take.
    Spill,
}

/// What each sees now.
#[derive(Debug, Default)]
pub(super) struct Hindrances(Mutex<BTreeMap<TaskId, BTreeMap<Seer, Hindrance>>>);

impl Hindrances {
    /// Notes what `seer` sees, and calls `tell` with what counts now, if that has changed. What it tells is in the order of
    /// the changes: `tell` is called under the lock.
    fn note(&self, task: TaskId, seer: Seer, by: Option<Hindrance>, tell: impl FnOnce(Option<Hindrance>)) {
        let mut all = lock(&self.0);
        let seen = all.entry(task).or_default();
        let before = seen.values().next().cloned();
        match by {
            Some(by) => seen.insert(seer, by),
            None => seen.remove(&seer),
        };
        let now = seen.values().next().cloned();
        if now != before {
            tell(now);
        }
    }
}

impl Engine {
    /// `seer` sees this in a task's way; `None`: nothing any more.
    pub(super) fn hindered(self: &Arc<Self>, task: TaskId, seer: Seer, by: Option<Hindrance>) {
        self.hindrances.note(task, seer, by, |by| self.tell(Event::Hindered { task, by }));
    }

    /// A task's program rests, or goes on.
    pub(super) fn program_rests(self: &Arc<Self>, task: TaskId, rest: Option<Rest>) {
        let by = rest.map(|rest| match rest {
            Rest::Hangs { rested, unread_bytes, closed } => {
                Hindrance::ChildRests { since: ago(self.now(), rested), unread_bytes, closed }
            }
            Rest::Buffers { rested, fed_bytes } => {
                Hindrance::ChildBuffers { since: ago(self.now(), rested), fed_bytes }
            }
        });
        self.hindered(task, Seer::Child, by);
    }

    /// What a task gives finds no room on a disk, for this reason; `None`: it has room again.
    pub(super) fn output_waits_for_room(self: &Arc<Self>, task: TaskId, why: Option<String>) {
        let by = why.map(|what| Hindrance::DiskFull { since: self.now(), what });
        self.hindered(task, Seer::Output, by);
    }
}

fn ago(now: Time, past: Duration) -> Time {
    let past = u64::try_from(past.as_micros()).unwrap_or(u64::MAX);
    Time::from_micros(now.as_micros().saturating_sub(past))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_several_see_one_counts_and_only_changes_are_told() {
        let (hindrances, mut told) = (Hindrances::default(), Vec::new());
        let task = TaskId(3);
        let full = Hindrance::DiskFull { since: Time::ZERO, what: "full".into() };
        let rests = Hindrance::ChildBuffers { since: Time::ZERO, fed_bytes: 7 };
        for (seer, by) in [
            (Seer::Child, None),
            (Seer::Spill, Some(full.clone())),
            (Seer::Child, Some(rests.clone())),
            (Seer::Spill, None),
            (Seer::Output, Some(full.clone())),
            (Seer::Output, Some(full.clone())),
            (Seer::Output, None),
            (Seer::Child, None),
        ] {
            hindrances.note(task, seer, by, |now| told.push(now));
        }
        assert_eq!(told, [Some(full.clone()), Some(rests.clone()), Some(full), Some(rests), None]);
    }

    #[test]
    fn a_rest_that_began_before_the_node_began_with_it() {
        assert_eq!(ago(Time::from_micros(5), Duration::from_micros(3)), Time::from_micros(2));
        assert_eq!(ago(Time::from_micros(5), Duration::from_secs(3)), Time::ZERO);
    }
}
