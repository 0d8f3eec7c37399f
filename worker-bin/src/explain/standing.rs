//! Stalls as they begin, go on, and are over.

use super::chain::{Chain, also_held, explain};
use super::model::{RunState, Snapshot, Wait};
use super::past::{PastStall, PastStalls};
use super::reasons::{WaitKind, Why};
use super::table::Scope;
use super::words;
use std::collections::BTreeMap;
use std::time::Duration;
use worker_core::Time;

/// A stall that has begun or is over.
#[derive(Clone, Debug, PartialEq)]
pub struct StallChange {
    /// The root of the chain, which names the stall.
    pub root: String,
    /// The chain that says most; as it was last seen, when it is over.
    pub chain: Chain,
    /// How many tasks wait for that root.
    pub tasks: usize,
    /// How long it lasted; `None` when it begins.
    pub lasted: Option<Duration>,
}

/// Those that go on, by their roots, and those that were.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    standing: BTreeMap<String, Standing>,
    begun: u64,
    past: PastStalls,
}

/// A stall that goes on.
#[derive(Debug)]
struct Standing {
    since: Time,
    chain: Chain,
    /// The most tasks that waited for its root.
    tasks: usize,
    /// What the task at its root had done when it was last seen.
    moved: u64,
}

/// What the task at a chain's root has done, if that task is of this node.
fn moved(chain: &Chain, snapshot: &Snapshot) -> Option<u64> {
    let root = chain.steps.last()?;
    let task = snapshot.tasks.iter().find(|task| task.name == root.task && !task.done)?;
    Some(task.counters.records_in + task.counters.records_out + task.counters.dead_records)
}

impl Standing {
    /// The run is to end, and the task at its root does nothing: what it is told or spared then is no end of the stall.
    fn lasts_through_the_stop(&self, snapshot: &Snapshot) -> bool {
        snapshot.state == RunState::Draining && moved(&self.chain, snapshot) == Some(self.moved)
    }

    /// What failed is in its program again, and nothing of it has moved: that is no end of the stall.
    fn is_tried_again(&self, snapshot: &Snapshot) -> bool {
        let is_retry = |kind| matches!(kind, WaitKind::Backoff | WaitKind::Restarting);
        let Some(root) = self.chain.steps.last().filter(|step| is_retry(step.wait.why.kind())) else {
            return false;
        };
        let task = snapshot.tasks.iter().find(|task| task.name == root.task);
        task.is_some_and(|task| !task.waits.is_empty() && task.unmoved_s >= root.wait.for_s)
    }

    fn as_past(&self, root: &str, until: Time) -> PastStall {
        PastStall {
            root: root.to_owned(),
            chain: self.chain.clone(),
            tasks: self.tasks,
            began_s: self.since.since(Time::ZERO).as_secs_f64(),
            lasted_s: until.since(self.since).as_secs_f64(),
            goes_on: false,
        }
    }
}

impl Wait {
    /// The wait for another attempt, while that runs.
    fn tried_now(&self) -> Wait {
        let mut wait = self.clone();
        if let Why::Backoff { next_in_s, .. } | Why::Restarting { next_in_s, .. } = &mut wait.why {
            *next_in_s = 0.0;
        }
        wait
    }
}

impl Stalls {
    /// The stalls there were, with those that go on, which were seen last at `last`.
    pub(super) fn all(&self, last: Option<Time>) -> PastStalls {
        let mut all = self.past.clone();
        for (root, standing) in &self.standing {
            let until = last.unwrap_or(standing.since);
            all.push(PastStall { goes_on: true, ..standing.as_past(root, until) });
        }
        all
    }

    /// Stalls that go on, and all that ever began.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.standing.len() as u64, self.begun)
    }

    /// What failed waits on, whatever its program does in the attempt that runs now, until something of it has moved: so says who stalls
    /// whoever asks in that moment, too.
    pub(super) fn last_through_attempts(&self, snapshot: &mut Snapshot) {
        for standing in self.standing.values() {
            let Some(root) = standing.chain.steps.last().filter(|_| standing.is_tried_again(snapshot)) else {
                continue;
            };
            let stall_after_s = snapshot.stall_after_s;
            let Some(task) = snapshot.tasks.iter_mut().find(|task| task.name == root.task) else { continue };
            let in_the_way =
                |wait: &Wait| wait.why.kind().row().class.is_in_the_way() && wait.for_s >= stall_after_s;
            if task.waits.iter().any(in_the_way) {
                continue;
            }
            let waits_again = task.waits.iter().find(|wait| wait.why.kind() == root.wait.why.kind()).cloned();
            let mut wait = waits_again.unwrap_or_else(|| root.wait.tried_now());
            wait.for_s = task.unmoved_s;
            wait.text = words::wait(&wait);
            task.waits.retain(|wait| wait.why.kind().row().scope != Scope::Task);
            task.waits.insert(0, wait);
        }
    }

    /// Compares the stalls with those of the sample before.
    pub(super) fn compare(&mut self, now: Time, snapshot: &Snapshot) -> Vec<StallChange> {
        let explanation = explain(std::slice::from_ref(snapshot));
        let mut standing: BTreeMap<String, (Chain, usize)> = BTreeMap::new();
        for group in explanation.groups() {
            if let Some(first) = group.iter().find(|chain| chain.stalled) {
                standing.insert(first.root.clone(), ((*first).clone(), 1 + also_held(&group).len()));
            }
        }
        let mut changes = Vec::new();
        let gone = self.standing.iter().filter(|(root, _)| !standing.contains_key(*root));
        let over: Vec<_> = gone
            .filter(|(_, stall)| !stall.is_tried_again(snapshot) && !stall.lasts_through_the_stop(snapshot))
            .map(|(root, _)| root.clone())
            .collect();
        for root in over {
            if let Some(standing) = self.standing.remove(&root) {
                self.past.push(standing.as_past(&root, now));
                let Standing { since, chain, .. } = standing;
                let lasted = Some(now.since(since));
                changes.push(StallChange { root, chain, tasks: 0, lasted });
            }
        }
        for (root, (chain, tasks)) in standing {
            let moved = moved(&chain, snapshot).unwrap_or(0);
            match self.standing.get_mut(&root) {
                Some(known) => {
                    (known.chain, known.moved) = (chain, moved);
                    known.tasks = known.tasks.max(tasks);
                }
                None => {
                    let began = Duration::try_from_secs_f64(chain.for_s).unwrap_or_default();
                    let since = Time::from_micros(
                        now.as_micros().saturating_sub(u64::try_from(began.as_micros()).unwrap_or(0)),
                    );
                    self.begun += 1;
                    self.standing
                        .insert(root.clone(), Standing { since, chain: chain.clone(), tasks, moved });
                    changes.push(StallChange { root, chain, tasks, lasted: None });
                }
            }
        }
        changes
    }
}
