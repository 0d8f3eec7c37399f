//! From samples of a node to snapshots: names, rates, how long nothing has moved, and when stalls begin and end.

use super::chain;
use super::context::Context;
use super::history::{History, Point};
use super::model::{
    Drain, End, InLink, Link, Memory, OwnStop, Peer, RunState, SCHEMA, Slots, Snapshot, StageKind, Task,
};
use super::outline::{Followed, Outline, Sample};
use super::past::PastStalls;
use super::peer;
use super::rate::{Rate, per_s};
use super::standing::{StallChange, Stalls};
use super::table::Scope;
use super::trail::{LinkTrail, RATE_WINDOW, TaskTrail};
use std::collections::BTreeMap;
use std::time::Duration;
use worker_core::Time;
use worker_core::config::{NodeIx, TaskId, TaskKind, TaskName};
use worker_core::stall::Stall;
use worker_core::status::{LinkStatus, Status, TaskStatus};

/// How often a point of the history is made.
const SECOND: Duration = Duration::from_secs(1);

/// Over how long it is seen how fast the input gets through, to tell how much longer it takes.
const LEFT_WINDOW: Duration = Duration::from_secs(30);

/// The shortest rest of a run that gets a point of its own.
const REST_MIN: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Sampler {
    outline: Outline,
    tasks: BTreeMap<TaskId, TaskTrail>,
    links: Vec<LinkTrail>,
    through: Rate,
    through_lately: Rate,
    /// The most input that was ever through: what is through stays so, whatever comes behind it.
    through_most: u64,
    history: History,
    second: Option<(Time, Totals)>,
    stalls: Stalls,
    last: Option<Time>,
    latest: Option<Snapshot>,
    /// Input that earlier lives have read, in bytes, as far as the first look can tell.
    read_before: Option<u64>,
    /// The node decides nothing any more: what waited when it was left waits to the end of the run.
    left: bool,
}

/// Records in and out of each stage.
type Totals = BTreeMap<String, (u64, u64)>;

impl Sampler {
    /// Watches a node from its start.
    #[must_use]
    pub fn new(outline: Outline) -> Self {
        let links = outline.graph.links.iter().map(|_| LinkTrail::default()).collect();
        Self {
            outline,
            tasks: BTreeMap::new(),
            links,
            through: Rate::over(RATE_WINDOW),
            through_lately: Rate::over(LEFT_WINDOW),
            through_most: 0,
            history: History::default(),
            second: None,
            stalls: Stalls::default(),
            last: None,
            latest: None,
            read_before: None,
            left: false,
        }
    }

    /// What does not change.
    #[must_use]
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// What the run did over time.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The stalls there were, with those that go on.
    #[must_use]
    pub fn stalls(&self) -> PastStalls {
        self.stalls.all(self.last)
    }

    #[must_use]
    pub fn latest(&self) -> Option<&Snapshot> {
        self.latest.as_ref()
    }

    /// Stalls that go on, and all that ever began.
    #[must_use]
    pub fn stall_counts(&self) -> (u64, u64) {
        self.stalls.counts()
    }

    /// Takes a sample at `now`, which is `at_ms` milliseconds after 1970; gives the stalls that began or are over.
    pub fn observe(&mut self, now: Time, at_ms: u64, sample: &Sample) -> Vec<StallChange> {
        if self.latest.as_ref().is_some_and(|latest| latest.end.is_some()) {
            return Vec::new();
        }
        let elapsed = self.last.map_or(Duration::ZERO, |last| now.since(last));
        self.last = Some(now);
        self.follow_links(now, &sample.status);
        let tasks = self.follow_tasks(now, elapsed, sample);
        let links = sample.status.links.iter().map(|l| self.link(now, l)).collect();
        // Only a source that has given something in an earlier life has a beginning that is not this one's.
        let goes_on = sample.status.tasks.iter().any(|task| task.before.records_out > 0);
        self.read_before.get_or_insert(if goes_on { sample.read_bytes } else { 0 });
        self.through_most = self.through_most.max(sample.through_bytes);
        self.through.note(now, self.through_most);
        self.through_lately.note(now, self.through_most);
        let mut snapshot = self.snapshot(now, at_ms, sample);
        (snapshot.tasks, snapshot.links) = (tasks, links);
        snapshot.held_records = snapshot.on_their_way();
        if let Some(latest) = self.latest.take().filter(|_| self.left) {
            for (task, before) in snapshot.tasks.iter_mut().zip(latest.tasks) {
                (task.waits, task.stalled) = (before.waits, before.stalled);
            }
            self.remember(now, &snapshot, SECOND);
            self.latest = Some(snapshot);
            return Vec::new();
        }
        self.stalls.last_through_attempts(&mut snapshot);
        chain::mark_stalls(&mut snapshot);
        // What does not move has no end that could be told.
        let stays = |task: &Task| task.paused || task.waits.iter().any(|wait| wait.stalled);
        snapshot.left_s = snapshot.left_s.filter(|_| !snapshot.tasks.iter().any(stays));
        self.remember(now, &snapshot, SECOND);
        let changes = self.stalls.compare(now, &snapshot);
        self.latest = Some(snapshot);
        changes
    }

    /// The node decides nothing any more. What is ended from here on is ended by the run's end: no stall is over by that, and nothing
    /// begins to wait.
    pub fn leave(&mut self) {
        self.left = true;
    }

    /// Counts again what is done, after the last sample and what was under way at it: a run that fails ends in the middle of it.
    pub fn recount(&mut self, status: &Status, followed: &BTreeMap<TaskId, Followed>) {
        let Some(mut latest) = self.latest.take() else { return };
        for status in &status.tasks {
            let name = self.task_name(status.task);
            if let Some(task) = latest.tasks.iter_mut().find(|task| task.name == name) {
                task.counters = status.counters;
                task.done_records = self.done_records(status);
                (task.queued_records, task.undone_records) = (status.queued_records, status.undone_records);
                task.unsent_records = status.unsent_records;
                task.lags(followed.get(&status.task));
            }
        }
        for status in &status.links {
            let spec = self.outline.graph.link(status.link);
            let (from, to) = (self.task_name(spec.from), self.task_name(spec.to));
            if let Some(link) = latest.links.iter_mut().find(|link| link.from == from && link.to == to) {
                link.counters = status.counters;
            }
        }
        latest.inbound = status.inbound.iter().map(|link| self.in_link(link)).collect();
        latest.held_records = latest.on_their_way();
        self.latest = Some(latest);
    }

    /// The run is over: the last snapshot says so from now on.
    pub fn ended(&mut self, state: RunState, end: End) {
        let Some(mut latest) = self.latest.take() else { return };
        if let Some(last) = self.last {
            self.remember(last, &latest, REST_MIN);
        }
        latest.state = state;
        latest.left_s = None;
        latest.through_bytes_per_s = 0.0;
        for task in &mut latest.tasks {
            (task.in_per_s, task.out_per_s) = (0.0, 0.0);
        }
        latest.links.iter_mut().for_each(|link| link.per_s = 0.0);
        latest.end = Some(end);
        self.latest = Some(latest);
    }

    fn snapshot(&self, now: Time, at_ms: u64, sample: &Sample) -> Snapshot {
        let (outline, status) = (&self.outline, &sample.status);
        let ends = status.draining || status.finishing;
        let state = if ends { RunState::Draining } else { RunState::Running };
        Snapshot {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pipeline: outline.pipeline.clone(),
            delivery: outline.delivery.clone(),
            node: self.node(outline.me),
            nodes: outline.nodes.clone(),
            pid: std::process::id(),
            at_ms,
            started_ms: outline.started_ms,
            uptime_s: now.since(Time::ZERO).as_secs_f64(),
            state,
            end: None,
            stall_after_s: outline.stall_after.as_secs_f64(),
            containment: outline.containment.to_owned(),
            read_bytes: sample.read_bytes,
            read_bytes_before: self.read_before.unwrap_or(0),
            through_bytes: self.through_most,
            through_bytes_per_s: self.through.per_s(now, false),
            total_bytes: sample.total_bytes,
            left_s: self.left_s(now, sample),
            stages: outline.stages.clone(),
            tasks: Vec::new(),
            links: Vec::new(),
            inbound: status.inbound.iter().map(|l| self.in_link(l)).collect(),
            peers: self.peers(now, sample),
            upstreams: status.upstreams.iter().map(|u| (self.node(u.peer), u.up)).collect(),
            memory: Memory {
                held_bytes: status.held_bytes,
                spilled_bytes: status.spilled_bytes,
                resident_bytes: sample.resident_bytes.0,
                resident_peak_bytes: sample.resident_bytes.1,
            },
            held_records: 0,
            lost_records: status.lost_records,
            slots: Slots { used: status.slots.0 as u64, total: status.slots.1 as u64 },
            admin: outline.admin.clone(),
            drain: match (status.finishing && !status.draining, status.drained) {
                (false, _) => None,
                (true, false) => Some(Drain::UnderWay),
                (true, true) => Some(Drain::Done),
            },
            own_stop: status.stopped.map(|(lasted, at)| OwnStop {
                lasted_s: lasted.as_secs_f64(),
                ago_s: now.since(at).as_secs_f64(),
            }),
        }
    }

    /// How much longer it takes, where something gets through and an end is known.
    fn left_s(&self, now: Time, sample: &Sample) -> Option<f64> {
        let left = sample.total_bytes?.checked_sub(self.through_most).filter(|left| *left > 0)?;
        let rate = self.through_lately.per_s(now, false);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        (rate >= 1.0).then(|| left as f64 / rate)
    }

    fn node(&self, node: NodeIx) -> String {
        self.outline.nodes[usize::from(node.0)].clone()
    }

    fn task_name(&self, task: TaskId) -> &str {
        &self.outline.graph.task(task).name
    }

    fn follow_links(&mut self, now: Time, status: &Status) {
        for link in &status.links {
            self.links[link.link.0 as usize].follow(now, &link.counters);
        }
    }

    fn follow_tasks(&mut self, now: Time, elapsed: Duration, sample: &Sample) -> Vec<Task> {
        let mut stalls: BTreeMap<TaskId, &Stall> = sample.stalls.iter().map(|s| (s.task, s)).collect();
        let mut queued: BTreeMap<TaskId, u64> = BTreeMap::new();
        for link in &sample.status.inbound {
            let to = self.outline.graph.link(link.link).to;
            *queued.entry(to).or_default() += link.counters.queued_records;
        }
        let mut tasks = Vec::new();
        for status in &sample.status.tasks {
            let stall = stalls.remove(&status.task);
            let mut trail = self.tasks.remove(&status.task).unwrap_or_default();
            let queued = queued.get(&status.task).copied().unwrap_or(0);
            let held = status.queued_records.saturating_sub(queued + status.unsent_records);
            let unmoved = trail.unmoved(now, &status.counters, held, stall.is_none());
            let is_stream = matches!(self.outline.graph.task(status.task).kind, TaskKind::Stream(_));
            let followed = sample.followed.get(&status.task);
            let around =
                Context { outline: &self.outline, now, links: &sample.status.links, is_stream, followed };
            let waits: Vec<_> = stall
                .into_iter()
                .flat_map(|stall| &stall.reasons)
                .map(|reason| {
                    let mut wait = around.wait(reason, unmoved);
                    if let Some(link) = reason.link().filter(|_| wait.why.kind().row().scope == Scope::Link) {
                        let unmoved = self.links[link.0 as usize].unmoved(now);
                        wait = around.wait(reason, unmoved);
                    }
                    wait
                })
                .collect();
            trail.spend(elapsed, &waits, queued > 0);
            trail.add(now, self.done_records(status), &status.counters);
            let mut task = self.task(status, &trail, unmoved);
            task.waits = waits;
            task.lags(followed);
            tasks.push(task);
            self.tasks.insert(status.task, trail);
        }
        tasks
    }

    /// What rates are of. Only its program knows what a stream is done with: it is what that has read, in a sink, too.
    fn done_records(&self, status: &TaskStatus) -> u64 {
        match self.outline.graph.task(status.task).kind {
            TaskKind::Stream(_) => status.counters.records_in.saturating_sub(status.again_records),
            TaskKind::Source | TaskKind::Batch(_) | TaskKind::Records(_) | TaskKind::Sink => {
                status.done_records
            }
        }
    }

    fn task(&self, status: &TaskStatus, trail: &TaskTrail, unmoved: Duration) -> Task {
        let (name, stage) = names(self.task_name(status.task));
        let spent = trail.spent();
        Task {
            name,
            stage,
            counters: status.counters,
            records_in_before: status.before.records_in,
            records_out_before: status.before.records_out,
            queued_records: status.queued_records,
            unsent_records: status.unsent_records,
            undone_records: status.undone_records,
            done_records: self.done_records(status),
            busy_s: spent.busy_s.max(status.busy.as_secs_f64()),
            blocked_s: spent.blocked_s.clone(),
            backlog_s: spent.backlog_s,
            undelivered_s: spent.undelivered_s,
            unmoved_s: unmoved.as_secs_f64(),
            paused: status.paused,
            ended: status.ended,
            done: status.done,
            ..trail.rates(status.done)
        }
    }

    fn link(&self, now: Time, status: &LinkStatus) -> Link {
        let spec = self.outline.graph.link(status.link);
        let trail = &self.links[status.link.0 as usize];
        Link {
            from: self.task_name(spec.from).to_owned(),
            to: self.task_name(spec.to).to_owned(),
            to_node: self.node(self.outline.graph.task(spec.to).node),
            counters: status.counters,
            memory_limit_bytes: self.outline.limits.outbox_bytes,
            spill_limit_bytes: self.outline.limits.spill_bytes,
            per_s: trail.per_s(now),
            unmoved_s: trail.unmoved(now).as_secs_f64(),
        }
    }

    fn in_link(&self, status: &worker_core::status::InboundStatus) -> InLink {
        let spec = self.outline.graph.link(status.link);
        InLink {
            from: self.task_name(spec.from).to_owned(),
            from_node: self.node(self.outline.graph.task(spec.from).node),
            to: self.task_name(spec.to).to_owned(),
            counters: status.counters,
            ended: status.ended,
        }
    }

    fn peers(&self, now: Time, sample: &Sample) -> Vec<Peer> {
        let peer = |p: &worker_core::status::PeerStatus| Peer {
            node: self.node(p.peer),
            up: p.up,
            failed_attempts: p.failed_attempts,
            cause: (!p.up).then(|| peer::words(p.cause).name.to_owned()),
            cause_text: (!p.up).then(|| peer::words(p.cause).state.to_owned()),
            last_error: (!p.up).then(|| p.last_error.clone()),
            down_s: (!p.up).then(|| now.since(p.down_since).as_secs_f64()),
            round_trip_ms: sample.round_trips.get(&p.peer).map(|d| d.as_secs_f64() * 1000.0),
        };
        sample.status.peers.iter().map(peer).collect()
    }

    /// Adds a point to the history when `least` has passed since the last one.
    fn remember(&mut self, now: Time, snapshot: &Snapshot, least: Duration) {
        let mut totals: Totals = BTreeMap::new();
        for task in &snapshot.tasks {
            let total = totals.entry(task.stage.clone()).or_default();
            total.0 += task.done_records;
            total.1 += task.counters.records_out;
        }
        let Some((since, before)) = &self.second else {
            self.second = Some((now, totals));
            return;
        };
        let seconds = now.since(*since).as_secs_f64();
        if now.since(*since) < least {
            return;
        }
        let mut points = BTreeMap::new();
        for (stage, total) in &totals {
            let (before_in, before_out) = before.get(stage).copied().unwrap_or_default();
            let mut point = stage_now(snapshot, stage);
            point.at_s = now.since(Time::ZERO).as_secs_f64();
            point.in_per_s = per_s(before_in, total.0, seconds);
            point.out_per_s = per_s(before_out, total.1, seconds);
            points.insert(stage.clone(), point);
        }
        self.history.push(points);
        self.second = Some((now, totals));
    }
}

/// A task's name and its stage's.
fn names(name: &str) -> (String, String) {
    (name.to_owned(), TaskName::of(name).stage.to_owned())
}

fn stage_now(snapshot: &Snapshot, stage: &str) -> Point {
    let tasks: Vec<_> = snapshot.tasks.iter().filter(|task| task.stage == stage).collect();
    let links = snapshot.links.iter().filter(|link| names(&link.from).1 == stage);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let count = tasks.len().max(1) as f64;
    Point {
        queued_records: tasks.iter().map(|task| task.queued_records).sum(),
        held_records: links.map(|link| link.counters.held_records).sum(),
        busy: tasks.iter().map(|task| task.busy).sum::<f64>() / count,
        stalled: tasks.iter().any(|task| task.stalled),
        ..Point::default()
    }
}

/// What kind of stage a task of the core is.
#[must_use]
pub fn kind_of(kind: &worker_core::config::TaskKind) -> StageKind {
    use worker_core::config::TaskKind;
    match kind {
        TaskKind::Source => StageKind::Source,
        TaskKind::Batch(_) => StageKind::Batch,
        TaskKind::Stream(_) => StageKind::Stream,
        TaskKind::Records(_) => StageKind::Records,
        TaskKind::Sink => StageKind::Sink,
    }
}

#[cfg(test)]
mod tests;
