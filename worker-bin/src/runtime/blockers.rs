//! What is in the way of tasks, as those see it who work for them: the node is told when it changes.

use super::cell::Tell;
use crate::child::Idle;
use crate::mutex::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use worker_core::Time;
use worker_core::config::TaskId;
use worker_core::event::{Blocker, Event, TaskEvent};

/// Who sees something in a task's way; of what several see, the first here counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Observer {
    /// Who puts away what the task's program prints, or writes what the task gives.
    Output,
    /// Who watches its program.
    Child,
    /// Who puts aside what its destinations do not take.
    Spill,
    /// Who keeps its dead letters, in memory mode.
    DeadLetters,
}

/// What each sees now.
#[derive(Debug, Default)]
pub struct Blockers(Mutex<BTreeMap<TaskId, BTreeMap<Observer, Blocker>>>);

impl Blockers {
    /// `observer` sees this in a task's way; `None`: nothing any more.
    pub(super) fn blocked(&self, to: &dyn Tell, task: TaskId, observer: Observer, by: Option<Blocker>) {
        self.note(task, observer, by, |by| to.tell(Event::Task(task, TaskEvent::Blocked { by })));
    }

    /// Notes what `observer` sees, and calls `tell` with what counts now, if that has changed. What it tells is in the order of
    /// the changes: `tell` is called under the lock.
    fn note(
        &self,
        task: TaskId,
        observer: Observer,
        by: Option<Blocker>,
        tell: impl FnOnce(Option<Blocker>),
    ) {
        let mut all = lock(&self.0);
        let seen = all.entry(task).or_default();
        let before = seen.values().next().cloned();
        match by {
            Some(by) => seen.insert(observer, by),
            None => seen.remove(&observer),
        };
        let now = seen.values().next().cloned();
        if now != before {
            tell(now);
        }
    }
}

/// What it means for a task that its program has been idle.
pub(super) fn blocker(idle: Idle, now: Time) -> Blocker {
    match idle {
        Idle::Hung { idle_for, unread_bytes, closed } => {
            Blocker::ChildHung { since: ago(now, idle_for), unread_bytes, closed }
        }
        Idle::Stopped { pid, by } => Blocker::ChildStopped { since: now, pid, by: by.to_string() },
        Idle::Buffering { idle_for, fed_bytes } => {
            Blocker::ChildBuffers { since: ago(now, idle_for), fed_bytes }
        }
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
        let (blockers, mut told) = (Blockers::default(), Vec::new());
        let task = TaskId(3);
        let full = Blocker::DiskFull { since: Time::ZERO, what: "full".into() };
        let rests = Blocker::ChildBuffers { since: Time::ZERO, fed_bytes: 7 };
        for (observer, by) in [
            (Observer::Child, None),
            (Observer::Spill, Some(full.clone())),
            (Observer::Child, Some(rests.clone())),
            (Observer::Spill, None),
            (Observer::Output, Some(full.clone())),
            (Observer::Output, Some(full.clone())),
            (Observer::Output, None),
            (Observer::Child, None),
        ] {
            blockers.note(task, observer, by, |now| told.push(now));
        }
        assert_eq!(told, [Some(full.clone()), Some(rests.clone()), Some(full), Some(rests), None]);
    }

    #[test]
    fn a_rest_that_began_before_the_node_began_with_it() {
        assert_eq!(ago(Time::from_micros(5), Duration::from_micros(3)), Time::from_micros(2));
        assert_eq!(ago(Time::from_micros(5), Duration::from_secs(3)), Time::ZERO);
    }
}
