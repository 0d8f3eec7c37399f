//! How fast stages may take records, and sources give them: a bucket of tokens for each, shared by its tasks.
//!
//! ```text
//!   full ──a task takes──▶ filling ──what is due in 10 ms, or a burst, is there──▶ (who waits is woken, in turn) ──▶ …
//! ```
//! A record always passes where anything may: one that is larger than what is there leaves a debt, which is waited for. Nothing is
//! timed while nobody would take anything, and the node's clock stands while its process is stopped.

use crate::check::{Inconsistency, rule, same};
use crate::config::{Graph, Measure, NodeIx, Rate, TaskId};
use crate::event::Amount;
use crate::stages::numbered;
use crate::time::Time;
use crate::timers::{Timers, WakeReason};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is due within this time is taken together, so that a high rate costs no wake-up for each record.
const TOGETHER: Duration = Duration::from_millis(10);

/// What a task may take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// Its stage has no rate.
    Unlimited,
    /// So much.
    Now(Amount),
    /// Nothing before then, when the stage whose first task here is this one is woken.
    Later { stage: TaskId, until: Time },
}

impl Allowance {
    pub(crate) fn amount(self) -> Option<Amount> {
        match self {
            Self::Now(amount) => Some(amount),
            Self::Unlimited | Self::Later { .. } => None,
        }
    }

    /// These limits and its own, for cost and records; `None`: nothing may be taken.
    pub(crate) fn within(self, cost_max: u64, records_max: u64) -> Option<(u64, u64)> {
        match self {
            Self::Unlimited => Some((cost_max, records_max)),
            Self::Now(Amount { count, of: Measure::Records }) => Some((cost_max, records_max.min(count))),
            Self::Now(Amount { count, of: Measure::Bytes }) => Some((cost_max.min(count), records_max)),
            Self::Later { .. } => None,
        }
    }
}

/// The rates of a node's stages.
#[derive(Debug)]
pub(crate) struct Rates {
    /// For each task of the graph the place of its gate.
    of: Vec<Option<usize>>,
    gates: Vec<Gate>,
}

/// What the tasks of one stage pass, in turns.
#[derive(Debug)]
struct Gate {
    /// The first of its tasks on this node, which stands for it.
    stage: TaskId,
    bucket: Bucket,
    /// Who would take something, by the number of the turn it had last.
    waiting: BTreeSet<(u64, TaskId)>,
    /// The last turn of each task here.
    turns: BTreeMap<TaskId, u64>,
    turn: u64,
}

impl Rates {
    pub(crate) fn new(graph: &Graph, me: NodeIx, now: Time) -> Self {
        let mut rates = Self { of: vec![None; graph.tasks.len()], gates: Vec::new() };
        if graph.rates.is_empty() {
            return rates;
        }
        let stages = numbered(graph);
        for (name, rate) in &graph.rates {
            let is_of =
                |spec: &crate::config::TaskSpec| crate::config::TaskName::of(&spec.name).is_task_of(name);
            let all: Vec<usize> = (0..stages.len()).filter(|&at| is_of(&graph.tasks[at])).collect();
            let here = all.iter().filter(|&&at| graph.tasks[at].node == me);
            let id = |&at: &usize| TaskId(u32::try_from(at).expect("fewer than 2³² tasks"));
            let turns: BTreeMap<TaskId, u64> = here.map(|at| (id(at), 0)).collect();
            let Some(&stage) = turns.keys().next() else { continue };
            for task in turns.keys() {
                rates.of[task.0 as usize] = Some(rates.gates.len());
            }
            let bucket = Bucket::new(*rate, (turns.len(), all.len()), now);
            rates.gates.push(Gate { stage, bucket, waiting: BTreeSet::new(), turns, turn: 0 });
        }
        rates
    }

    pub(crate) fn is_limited(&self, task: TaskId) -> bool {
        self.of[task.0 as usize].is_some()
    }

    /// What a task that would take something may take; where that is nothing, it waits from now on.
    pub(crate) fn allowance(&mut self, task: TaskId, now: Time) -> Allowance {
        let Some(gate) = self.gate(task) else { return Allowance::Unlimited };
        gate.bucket.fill(now);
        let turn = (gate.turns.get(&task).copied().unwrap_or_default(), task);
        let is_first = gate.waiting.first().is_none_or(|&first| first >= turn);
        match gate.bucket.there() {
            Some(count) if is_first => {
                gate.waiting.remove(&turn);
                Allowance::Now(Amount { count, of: gate.bucket.rate.of })
            }
            Some(_) | None => {
                gate.waiting.insert(turn);
                Allowance::Later { stage: gate.stage, until: gate.bucket.ready() }
            }
        }
    }

    /// A task took so much.
    pub(crate) fn took(&mut self, task: TaskId, records: u64, bytes: u64) {
        let Some(gate) = self.gate(task) else { return };
        gate.bucket.spend(match gate.bucket.rate.of {
            Measure::Records => records,
            Measure::Bytes => bytes,
        });
        gate.turn += 1;
        let before = gate.turns.insert(task, gate.turn).unwrap_or_default();
        // A source may give its last record unasked.
        if gate.waiting.remove(&(before, task)) {
            gate.waiting.insert((gate.turn, task));
        }
    }

    /// More is there for the stage that this task stands for: gives who waited for that, in turn. Who takes nothing then waits no
    /// more.
    pub(crate) fn due(&mut self, stage: TaskId) -> Vec<TaskId> {
        let Some(gate) = self.gate(stage) else { return Vec::new() };
        std::mem::take(&mut gate.waiting).into_iter().map(|(_, task)| task).collect()
    }

    /// The rate that a task waits for, and until when.
    pub(crate) fn waits(&self, task: TaskId) -> Option<(Rate, Time)> {
        let gate = &self.gates[self.of[task.0 as usize]?];
        let turn = (gate.turns.get(&task).copied().unwrap_or_default(), task);
        gate.waiting.contains(&turn).then(|| (gate.bucket.rate, gate.bucket.ready()))
    }

    fn gate(&mut self, task: TaskId) -> Option<&mut Gate> {
        self.of[task.0 as usize].map(|at| &mut self.gates[at])
    }

    /// Who waits is woken, and nobody is where nobody waits; no more is there than a burst.
    pub(crate) fn check(&self, timers: &Timers) -> Result<(), Inconsistency> {
        self.gates.iter().try_for_each(|gate| {
            let is_timed = timers.at(WakeReason::Rate(gate.stage)).is_some();
            rule("who waits for a rate is woken", is_timed || gate.waiting.is_empty(), || {
                format!("{:?} wait", gate.waiting)
            })?;
            let known = gate.waiting.iter().filter(|(turn, task)| gate.turns.get(task) == Some(turn));
            same("who waits for a rate", gate.waiting.len(), known.count())?;
            gate.bucket.check()
        })
    }
}

/// What may be taken now. The arithmetic is exact: no rate drifts, however it is taken.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// What one record or byte counts.
    one: i128,
    /// What comes in a microsecond.
    gain: i128,
    /// The most there is.
    full: i128,
    /// From here on something may be taken.
    enough: i128,
    /// Below zero: a debt.
    level: i128,
    at: Time,
}

impl Bucket {
    /// Of a rate that counts for all tasks of a stage, what so many of them have.
    fn new(rate: Rate, (here, all): (usize, usize), now: Time) -> Self {
        let (here, all) = (here as i128, all.max(1) as i128);
        let per = i128::try_from(rate.per.as_micros()).unwrap_or(i128::MAX).clamp(1, i128::from(u64::MAX));
        let one = per.saturating_mul(all);
        let gain = i128::from(rate.amount).saturating_mul(here);
        let together = gain.saturating_mul(i128::try_from(TOGETHER.as_micros()).unwrap_or(1));
        let burst = i128::from(rate.burst).saturating_mul(per).saturating_mul(here);
        // A wake-up that comes a little late must cost nothing.
        let full = burst.max(together.saturating_mul(2)).max(one);
        let enough = together.clamp(one, full);
        Self { rate, one, gain: gain.max(1), full, enough, level: full, at: now }
    }

    fn fill(&mut self, now: Time) {
        let passed = i128::from(now.as_micros().saturating_sub(self.at.as_micros()));
        self.level = self.level.saturating_add(passed.saturating_mul(self.gain)).min(self.full);
        self.at = self.at.max(now);
    }

    /// How many may be taken, if enough may.
    fn there(&self) -> Option<u64> {
        let count = u64::try_from(self.level / self.one).unwrap_or(u64::MAX);
        (self.level >= self.enough).then_some(count)
    }

    fn spend(&mut self, count: u64) {
        self.level = self.level.saturating_sub(self.one.saturating_mul(i128::from(count)));
    }

    /// When enough is there.
    fn ready(&self) -> Time {
        let missing = self.enough.saturating_sub(self.level).max(0);
        let micros = missing / self.gain + i128::from(missing % self.gain != 0);
        self.at + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn check(&self) -> Result<(), Inconsistency> {
        rule("what a rate lets through", self.level <= self.full, || format!("{self:?}"))
    }
}

#[cfg(test)]
mod tests;
