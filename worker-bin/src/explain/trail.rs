//! What a task or a link was at the samples of the last seconds: rates, shares, and since when nothing has moved.

use super::model::{Task, Wait};
use super::rate::Rate;
use super::reasons::WaitKind;
use super::table::Side;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use worker_core::Time;
use worker_core::status::{LinkCounters, TaskCounters};

/// Over how long rates and shares are taken.
pub(super) const RATE_WINDOW: Duration = Duration::from_secs(5);

/// When looks are further apart than this the node rested in between.
const REST_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct TaskTrail {
    done: Rate,
    out: Rate,
    /// What its time had gone to at the samples of the window.
    samples: VecDeque<(Time, Spent)>,
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

/// What a task's time went to since its start, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent {
    pub(super) busy_s: f64,
    pub(super) blocked_s: BTreeMap<WaitKind, f64>,
    pub(super) backlog_s: f64,
    pub(super) undelivered_s: f64,
}

#[derive(Debug)]
pub(super) struct LinkTrail {
    acknowledged: Rate,
    moved: (u64, Time),
}

impl Default for TaskTrail {
    fn default() -> Self {
        let (done, out) = (Rate::over(RATE_WINDOW), Rate::over(RATE_WINDOW));
        let (samples, moved, spent) = (VecDeque::new(), (0, Time::ZERO), Spent::default());
        Self { done, out, samples, moved, spent, before: Seen::default() }
    }
}

impl Default for LinkTrail {
    fn default() -> Self {
        Self { acknowledged: Rate::over(RATE_WINDOW), moved: (0, Time::ZERO) }
    }
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
        self.done.note(now, records_done);
        self.out.note(now, counters.records_out);
        self.samples.push_back((now, self.spent.clone()));
        while self.samples.len() > 2 && now.since(self.samples[1].0) >= RATE_WINDOW {
            self.samples.pop_front();
        }
    }

    pub(super) fn spent(&self) -> &Spent {
        &self.spent
    }

    /// Rates and shares over the last seconds; the rest of the task is left as it is by default.
    pub(super) fn rates(&self, is_over: bool) -> Task {
        let mut task = Task::default();
        let (Some((since, first)), Some((now, _))) = (self.samples.front(), self.samples.back()) else {
            return task;
        };
        if now <= since {
            return task;
        }
        let seconds = now.since(*since).as_secs_f64();
        let share = |since: f64, until: f64| ((until - since) / seconds).clamp(0.0, 1.0);
        task.in_per_s = self.done.per_s(*now, is_over);
        task.out_per_s = self.out.per_s(*now, is_over);
        task.busy = share(first.busy_s, self.spent.busy_s);
        task.backlog = share(first.backlog_s, self.spent.backlog_s);
        task.undelivered = share(first.undelivered_s, self.spent.undelivered_s);
        let before = |kind| first.blocked_s.get(kind).copied().unwrap_or(0.0);
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
        self.acknowledged.note(now, counters.acknowledged_records);
    }

    /// How long nothing was acknowledged while tuples were held.
    pub(super) fn unmoved(&self, now: Time) -> Duration {
        now.since(self.moved.1)
    }

    /// Tuples acknowledged a second, over the last seconds.
    pub(super) fn per_s(&self, now: Time) -> f64 {
        self.acknowledged.per_s(now, false)
    }
}
