//! Watching the node: a sample now and then, the log lines of stalls, and what the admin address, progress and report show.

use super::cell::{Cell, Tell as _};
use super::finished;
use super::link::Connections;
use super::measure::{InputRead, TaskMeasure};
use super::process::{resident_bytes, unix_ms};
use crate::explain::{End, Stage, StageKind, kind_of};
use crate::explain::{
    Explanation, Followed, History, Outline, PastStalls, RunState, Sample, Sampler, Snapshot, StallChange,
    explain, words,
};
use crate::io::buffers;
use crate::io::sink::Moved;
use crate::mutex::lock;
use crate::pipeline::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use worker_core::Time;
use worker_core::config::{Graph, TaskId, TaskName};
use worker_core::event::{Blocker, Event, TaskEvent};
use worker_core::stall::{Reason, Stall};
use worker_core::status::Status;

/// How often the node is looked at while something happens.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// How often the process's memory is looked at.
const MEMORY_EVERY: Duration = Duration::from_secs(1);

/// After so long without anything taken of a write it counts as resting.
const WRITE_RESTS_AFTER: Duration = Duration::from_secs(2);

/// How long the end of a run waits for those who watch it to hear of it.
const TELL_AT_MOST: Duration = Duration::from_secs(1);

/// How long the last word to those who watch takes at most from their connection to its socket.
const LAST_WORD: Duration = Duration::from_millis(100);

/// After so long without anything happening or waiting the node is not looked at until something happens.
const REST_AFTER: Duration = Duration::from_secs(5);

/// The node's observer, and who waits for news of it.
#[derive(Debug)]
pub(super) struct Watch {
    cell: Arc<Cell>,
    connections: Arc<Connections>,
    /// What is taken of each sink's writes.
    sinks: Vec<(TaskId, Moved)>,
    input: InputRead,
    measures: Vec<Arc<TaskMeasure>>,
    graph: Graph,
    observer: Mutex<Sampler>,
    looked: Mutex<Looked>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Looked {
    memory: Option<(Instant, (u64, u64))>,
    /// What was counted when something last moved, and when that was.
    moved: Option<(u64, Instant)>,
    /// What was taken of each sink's writes, and since when it has been that.
    writes: BTreeMap<TaskId, (u64, Time)>,
}

impl Watch {
    pub(super) fn new(
        outline: Outline,
        cell: Arc<Cell>,
        connections: Arc<Connections>,
        sinks: Vec<(TaskId, Moved)>,
        input: InputRead,
        measures: Vec<Arc<TaskMeasure>>,
    ) -> Self {
        Self {
            graph: outline.graph.clone(),
            cell,
            connections,
            sinks,
            input,
            measures,
            observer: Mutex::new(Sampler::new(outline)),
            looked: Mutex::default(),
            news: watch::Sender::new(0),
        }
    }

    /// Looks at the node until the run is over.
    pub(super) fn start(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SAMPLE_EVERY).await;
                let Some(watch) = weak.upgrade() else { return };
                watch.cell.activity.rests();
                watch.look();
                if watch.may_rest() {
                    let alone = watch.with_outline(|outline| outline.nodes.len() == 1);
                    watch.cell.rest(alone).await;
                } else {
                    watch.cell.activity.goes_on();
                }
            }
        });
    }

    /// Nothing has moved for a while, and nothing is in the way of anything.
    fn may_rest(&self) -> bool {
        let observer = lock(&self.observer);
        let Some(latest) = observer.latest() else { return false };
        let moved = latest.moved_records();
        let mut looked = lock(&self.looked);
        let now = Instant::now();
        let since = match looked.moved {
            Some((before, since)) if before == moved => since,
            Some(_) | None => {
                looked.moved = Some((moved, now));
                now
            }
        };
        let idle = latest.is_idle() && now.duration_since(since) >= REST_AFTER;
        if idle {
            buffers::release();
        }
        // How old it is that a source is behind grows by itself.
        idle && latest.tasks.iter().all(|task| task.lag_bytes.unwrap_or(0) == 0)
    }

    /// Waits while nothing happens, and nobody looks.
    pub(super) async fn until_it_goes_on(&self) {
        self.cell.activity.stirred().await;
    }

    pub(super) fn with_outline<R>(&self, f: impl FnOnce(&Outline) -> R) -> R {
        f(lock(&self.observer).outline())
    }

    pub(super) fn history(&self) -> History {
        lock(&self.observer).history().clone()
    }

    /// The stalls there were.
    pub(super) fn stalls(&self) -> PastStalls {
        lock(&self.observer).stalls()
    }

    /// Grows with every look.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Counts what was done since the last look, and nothing else.
    pub(super) fn recount(&self) {
        let status = self.cell.status();
        lock(&self.observer).recount(&status, &self.followed());
    }

    /// Sources that follow files, and how far they are behind.
    fn followed(&self) -> BTreeMap<TaskId, Followed> {
        let measures = (0_u32..).map(TaskId).zip(&self.measures);
        measures.filter_map(|(task, measure)| Some((task, measure.followed()?))).collect()
    }

    /// The node decides nothing any more.
    pub(super) fn leave(&self) {
        lock(&self.observer).leave();
    }

    /// The run is over.
    pub(super) fn ended(&self, state: RunState, why: Option<String>) {
        lock(&self.observer).ended(state, End { at_ms: unix_ms(), why });
        self.news.send_modify(|looks| *looks += 1);
    }

    /// Stalls that go on, and all that ever began.
    pub(super) fn stall_counts(&self) -> (u64, u64) {
        lock(&self.observer).stall_counts()
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.observer).latest().is_some_and(|latest| latest.end.is_some())
    }

    /// Resolves when nobody waits for news any more, or soon: whoever reads slowly does not hold the end up.
    pub(super) async fn all_told(&self) {
        if self.news.receiver_count() > 0 {
            tokio::time::timeout(TELL_AT_MOST, self.news.closed()).await.ok();
            // They have taken the last word; it may still have to reach their sockets, and the process ends next.
            tokio::time::sleep(LAST_WORD).await;
        }
    }

    /// As of the last look.
    pub(super) fn latest(&self) -> Option<Snapshot> {
        lock(&self.observer).latest().cloned()
    }

    /// Samples the node, logs stalls that began or are over, and tells who waits for news.
    pub(super) fn look(&self) {
        let now = self.cell.now();
        let (status, stalls) = self.watch_writes(now);
        let (read_bytes, total_bytes) = (self.input.done_bytes(), self.input.total_bytes());
        let round_trips = self.connections.round_trips();
        let through_bytes = finished::through(read_bytes, total_bytes, &self.graph, &status);
        let resident_bytes = self.resident();
        let sample = Sample {
            status,
            stalls,
            read_bytes,
            through_bytes,
            total_bytes,
            round_trips,
            resident_bytes,
            followed: self.followed(),
        };
        let (changes, goes_on) = {
            let mut observer = lock(&self.observer);
            let changes = observer.observe(now, unix_ms(), &sample);
            (changes, observer.latest().is_some_and(|latest| latest.state == RunState::Running))
        };
        changes.iter().for_each(|change| tell(change, goes_on));
        self.news.send_modify(|looks| *looks += 1);
    }

    /// The node now; after the run, as it was at its end.
    pub(super) fn snapshot(&self) -> Snapshot {
        let fresh = lock(&self.observer).latest().cloned();
        match fresh {
            Some(latest) if latest.end.is_some() || unix_ms().saturating_sub(latest.at_ms) < 200 => latest,
            Some(_) | None => {
                self.look();
                self.latest().unwrap_or_else(|| unreachable!("a look makes a snapshot"))
            }
        }
    }

    /// Why work of this node waits, as of the last look.
    pub(super) fn explanation(&self) -> Explanation {
        self.latest().map_or_else(Explanation::default, |latest| explain(&[latest]))
    }

    /// Counters and reasons, after the node was told which sinks write and nothing of it is taken.
    fn watch_writes(&self, now: Time) -> (Status, Vec<Stall>) {
        let found = self.cell.status_and_stalls();
        let mut told = false;
        for (task, moved) in &self.sinks {
            let (task, moved) = (*task, moved.bytes());
            let reason =
                found.1.iter().find(|stall| stall.task == task).and_then(|stall| stall.reasons.first());
            let mut looked = lock(&self.looked);
            let known = looked.writes.entry(task).or_insert((moved, now));
            if known.0 != moved
                || !matches!(
                    reason,
                    Some(Reason::Writing { .. } | Reason::Blocked(Blocker::WriteHung { .. }))
                )
            {
                *known = (moved, now);
            }
            let since = known.1;
            drop(looked);
            let rests = now.since(since) >= WRITE_RESTS_AFTER;
            let by = match reason {
                Some(Reason::Writing { .. }) if rests => Some(Blocker::WriteHung { since }),
                Some(Reason::Blocked(Blocker::WriteHung { .. })) if !rests => None,
                Some(_) | None => continue,
            };
            told = true;
            self.cell.tell(Event::Task(task, TaskEvent::Blocked { by }));
        }
        if told { self.cell.status_and_stalls() } else { found }
    }

    fn resident(&self) -> (u64, u64) {
        let mut looked = lock(&self.looked);
        match looked.memory {
            Some((at, bytes)) if at.elapsed() < MEMORY_EVERY => bytes,
            Some(_) | None => {
                let bytes = resident_bytes();
                looked.memory = Some((Instant::now(), bytes));
                bytes
            }
        }
    }
}

/// `goes_on`: the run does; what is over when it stops does not go on because of that.
fn tell(change: &StallChange, goes_on: bool) {
    let (root, tasks) = (change.root.as_str(), change.tasks);
    let chain = words::chain(&change.chain);
    match change.lasted {
        None => tracing::warn!(root, tasks, "stall: {chain}"),
        Some(lasted) => {
            let lasted = words::duration(lasted.as_secs_f64());
            let what = if goes_on { "goes on" } else { "is stopped" };
            tracing::warn!(root, "stall over after {lasted}: {} {what}", change.chain.task);
        }
    }
}

/// What the node's snapshots have in common.
pub(super) fn outline(
    plan: &Plan,
    pipeline: &str,
    delivery: &str,
    (stall_after, containment): (Duration, &'static str),
    admin: Option<String>,
) -> Outline {
    Outline {
        pipeline: pipeline.to_owned(),
        delivery: delivery.to_owned(),
        nodes: plan.nodes.clone(),
        admins: plan.admins.clone(),
        me: plan.me,
        graph: plan.graph.clone(),
        stages: stages(plan),
        limits: plan.limits,
        started_ms: unix_ms(),
        stall_after,
        containment,
        admin,
    }
}

/// Sources, stages and sinks, in the order of their tasks.
fn stages(plan: &Plan) -> Vec<Stage> {
    let stage_of = |name: &str| TaskName::of(name).stage.to_owned();
    let links = plan.graph.links.iter();
    let read: BTreeSet<String> = links.map(|link| stage_of(&plan.graph.task(link.from).name)).collect();
    let mut stages: Vec<Stage> = Vec::new();
    for task in &plan.graph.tasks {
        let (name, node) = (stage_of(&task.name), &plan.nodes[usize::from(task.node.0)]);
        let known = stages.iter().position(|stage| stage.name == name);
        let at = known.unwrap_or_else(|| {
            let (from, nodes) = (Vec::new(), Vec::new());
            // A program that nobody reads from is a sink, however it runs.
            let kind = if read.contains(&name) { kind_of(&task.kind) } else { StageKind::Sink };
            let rate = plan.graph.rates.get(&name).map(words::rate_of);
            stages.push(Stage { name, kind, from, partitions: 0, nodes, rate });
            stages.len() - 1
        });
        stages[at].partitions += 1;
        if !stages[at].nodes.contains(node) {
            stages[at].nodes.push(node.clone());
        }
    }
    let hops: BTreeSet<(String, String)> = plan
        .graph
        .links
        .iter()
        .map(|link| (stage_of(&plan.graph.task(link.to).name), stage_of(&plan.graph.task(link.from).name)))
        .collect();
    for (to, from) in hops {
        if let Some(stage) = stages.iter_mut().find(|stage| stage.name == to) {
            stage.from.push(from);
        }
    }
    stages
}
