//! What a task or a link was at the samples of the last seconds: rates, shares, and since when nothing has moved.

use super::model::{Task, Wait};
use super::reasons::WaitKind;
use super::table::Side;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use worker_core::Time;
use worker_core::status::{LinkCounters, TaskCounters};

/// Over how long rates are taken.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// When looks are further apart than this the node rested in between.
const REST_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct TaskTrail {
    samples: VecDeque<TaskMoment>,
    /// What it had moved in all, and when that last changed.
    moved: (u64, Time),
    spent: Spent,
    before: Seen,
}

/// What a task was seen to do at a sample.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The nearest cause that it waits for.
    nearest: Option<WaitKind>,
    /// Records wait to be taken.
    backlog: bool,
    /// What it gave is not taken.
    undelivered: bool,
}

/// How long a receiver takes nothing before what is held for it counts as a queue, in seconds.
const UNDELIVERED_S: f64 = 1.0;

/// A task at one sample.
#[derive(Debug)]
struct TaskMoment {
    at: Time,
    records_done: u64,
    records_out: u64,
    spent: Spent,
}

/// What a task's time went to since its start, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent {
    pub(super) busy_s: f64,
    pub(super) blocked_s: BTreeMap<WaitKind, f64>,
    pub(super) backlog_s: f64,
    pub(super) undelivered_s: f64,
}

#[derive(Debug, Default)]
pub(super) struct LinkTrail {
    /// When how much was acknowledged.
    samples: VecDeque<(Time, u64)>,
    moved: (u64, Time),
}

impl TaskTrail {
    /// How long nothing was done with what it took, and nothing given; a task that has `nothing_to_do` begins anew. To take
    /// more of what then lies there (`held_records`) is no progress.
    pub(super) fn unmoved(
        &mut self,
        now: Time,
        counters: &TaskCounters,
        held_records: u64,
        nothing_to_do: bool,
    ) -> Duration {
        let done = counters.records_in.saturating_sub(held_records);
        let moved = done + counters.records_out + counters.dead_records;
        if self.moved.0 != moved || nothing_to_do {
            self.moved = (moved, now);
        }
        now.since(self.moved.1)
    }

    /// What the time since the last sample went to. After a rest, in which nothing happened, it went to what was seen before it.
    pub(super) fn spend(&mut self, elapsed: Duration, waits: &[Wait], backlog: bool) {
        let is_held =
            |wait: &Wait| wait.why.kind().row().side == Side::Receiver && wait.for_s >= UNDELIVERED_S;
        let nearest = waits.first().map(|wait| wait.why.kind());
        let seen = Seen { nearest, backlog, undelivered: waits.iter().any(is_held) };
        let before = std::mem::replace(&mut self.before, seen);
        let seen = if elapsed > REST_MAX { before } else { seen };
        let (spent, seconds) = (&mut self.spent, elapsed.as_secs_f64());
        if let Some(kind) = seen.nearest {
            *spent.blocked_s.entry(kind).or_default() += seconds;
            spent.busy_s += if kind.row().side == Side::Work { seconds } else { 0.0 };
        }
        let has_queue = seen.backlog || seen.nearest == Some(WaitKind::NoSlot);
        spent.backlog_s += if has_queue { seconds } else { 0.0 };
        spent.undelivered_s += if seen.undelivered { seconds } else { 0.0 };
    }

    /// A sample, behind what its time went to.
    pub(super) fn add(&mut self, now: Time, records_done: u64, counters: &TaskCounters) {
        let records_out = counters.records_out;
        self.samples.push_back(TaskMoment { at: now, records_done, records_out, spent: self.spent.clone() });
        while self.samples.len() > 2 && now.since(self.samples[1].at) >= RATE_WINDOW {
            self.samples.pop_front();
        }
    }

    pub(super) fn spent(&self) -> &Spent {
        &self.spent
    }

    /// Rates and shares over the last seconds; the rest of the task is left as it is by default.
    pub(super) fn rates(&self) -> Task {
        let mut task = Task::default();
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return task };
        if last.at <= first.at {
            return task;
        }
        let seconds = last.at.since(first.at).as_secs_f64();
        let share = |since: f64, until: f64| ((until - since) / seconds).clamp(0.0, 1.0);
        task.in_per_s = per_s(first.records_done, last.records_done, seconds);
        task.out_per_s = per_s(first.records_out, last.records_out, seconds);
        task.busy = share(first.spent.busy_s, self.spent.busy_s);
        task.backlog = share(first.spent.backlog_s, self.spent.backlog_s);
        task.undelivered = share(first.spent.undelivered_s, self.spent.undelivered_s);
        let before = |kind| first.spent.blocked_s.get(kind).copied().unwrap_or(0.0);
        let shares = self.spent.blocked_s.iter().map(|(kind, s)| (*kind, share(before(kind), *s)));
        task.blocked = shares.filter(|(_, share)| *share > 0.0).collect();
        task
    }
}

impl LinkTrail {
    pub(super) fn follow(&mut self, now: Time, counters: &LinkCounters) {
        if counters.held_records == 0 || self.moved.0 != counters.acknowledged_records {
            self.moved = (counters.acknowledged_records, now);
        }
        self.samples.push_back((now, counters.acknowledged_records));
        while self.samples.len() > 2 && now.since(self.samples[1].0) >= RATE_WINDOW {
            self.samples.pop_front();
        }
    }

    /// How long nothing was acknowledged while tuples were held.
    pub(super) fn unmoved(&self, now: Time) -> Duration {
        now.since(self.moved.1)
    }

    /// Tuples acknowledged a second, over the last seconds.
    pub(super) fn per_s(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) if last.0 > first.0 => {
                per_s(first.1, last.1, last.0.since(first.0).as_secs_f64())
            }
            _ => 0.0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(super) fn per_s(before: u64, after: u64, seconds: f64) -> f64 {
    after.saturating_sub(before) as f64 / seconds
}
