//! What limits the throughput over a window of time: over the last seconds, or over a whole run.
//!
//! Queues are asked first. A task before which records wait, or that waits for a slot itself, has more work than it does; of such
//! tasks it is the one that spends its time with that work or with waits of its own, and not with waiting for those who take
//! what it gives: behind it nothing queues up. Where no queue lasts it is who is busy for most of the time, and where nobody is,
//! the source. Stalls have no part of their own in this: a task that is stalled for most of the window is what limits it, and
//! over the last seconds comes out what the report of a run says that was so throughout.

use super::model::{Snapshot, Stage, StageKind, Task};
use super::reasons::WaitKind;
use super::table::Side;
use super::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From which share of the window on something counts as lasting.
const LASTS: f64 = 0.5;

/// Shares that are nearer to each other tell of no difference: waits are sampled, and a run begins with starts of programs.
const NEAR: f64 = 0.05;

/// Of two branches that both have a queue for so much the same time, shares do not tell which of them takes longer.
const BRANCHES_NEAR: f64 = 0.2;

/// Who is busy for more of the time may be what limits, though the rate of those before it is reached: queues take what it does not.
const BUSY_ALL_THE_TIME: f64 = 0.9;

/// A run that was shorter is mostly starts of programs, and nothing is said to have limited it.
const RUN_MIN_S: f64 = 1.0;

/// What limits the throughput.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// A stage, source or sink.
    pub stage: String,
    /// Which of these.
    #[serde(default)]
    pub stage_kind: Option<StageKind>,
    /// The one task of it that does, where the others have little to do.
    #[serde(default)]
    pub task: Option<String>,
    /// What it is busy with, or waits for.
    pub kind: WaitKind,
    /// How much of the time, from 0 to 1.
    pub busy: f64,
    /// The stages that have the slots, where it waits for one; who has them longest stands first.
    #[serde(default)]
    pub held_by: Vec<String>,
    /// Stages of other branches that have queues of their own which last: that branch ends no sooner.
    #[serde(default)]
    pub beside: Vec<String>,
    /// It is not what a chain of the same explanation ends at.
    #[serde(default)]
    pub elsewhere: bool,
    /// Its rate, where that is what limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// All of that in words.
    #[serde(default)]
    pub text: String,
}

/// What each task spent a window of time with.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    loads: Vec<Load<'a>>,
    /// All sources, stages and sinks.
    graph: &'a [Stage],
}

/// What a task, or the mean task of a stage, spent a window of time with, in shares of it.
#[derive(Clone, Debug)]
struct Load<'a> {
    stage: &'a str,
    kind: StageKind,
    task: Option<&'a str>,
    busy: f64,
    waits: BTreeMap<WaitKind, f64>,
    /// In which records waited for it, or it for a slot.
    backlog: f64,
    /// In which a receiver took nothing of what the task held for it.
    undelivered: f64,
    /// Records done and given on, all or a second.
    moved: f64,
    /// Records done a second, of all its tasks.
    done_per_s: f64,
    /// Records that it has taken and not done, at the end of the window.
    undone: f64,
}

impl<'a> Window<'a> {
    /// The last seconds of one node or several. What is done has no part in it.
    pub(crate) fn recent(snapshots: &'a [Snapshot]) -> Self {
        let load = |task: &'a Task, kind| Load {
            busy: task.busy,
            waits: task.blocked.clone(),
            backlog: task.backlog,
            undelivered: task.undelivered,
            moved: task.in_per_s + task.out_per_s,
            done_per_s: task.in_per_s,
            ..Load::of(task, kind)
        };
        let of_node = |node: &'a Snapshot| {
            let tasks = node.tasks.iter().filter(|task| !task.done);
            tasks.filter_map(move |task| Some(load(task, kind_of(node, task)?)))
        };
        let graph = snapshots.first().map_or(&[][..], |snapshot| &snapshot.stages);
        Self { loads: snapshots.iter().flat_map(of_node).collect(), graph }
    }

    /// All of a run, as its last snapshot tells it.
    pub(crate) fn whole(last: &'a Snapshot) -> Self {
        let lasted_s = last.uptime_s;
        if lasted_s < RUN_MIN_S {
            return Self { loads: Vec::new(), graph: &[] };
        }
        #[expect(clippy::cast_precision_loss, reason = "only compared with others")]
        let load = |task: &'a Task, kind| {
            let mut load = Load {
                waits: task.blocked_s.iter().map(|(kind, seconds)| (*kind, seconds / lasted_s)).collect(),
                backlog: task.backlog_s / lasted_s,
                undelivered: task.undelivered_s / lasted_s,
                moved: (task.done_records + task.counters.records_out) as f64,
                done_per_s: task.done_records.saturating_sub(task.records_in_before) as f64 / lasted_s,
                ..Load::of(task, kind)
            };
            // A program that hangs is running, too.
            load.busy = (task.busy_s / lasted_s).min(1.0 - load.waits_here()).max(0.0);
            load
        };
        let tasks = last.tasks.iter();
        Self {
            loads: tasks.filter_map(|task| Some(load(task, kind_of(last, task)?))).collect(),
            graph: &last.stages,
        }
    }

    /// What limits the throughput, if something does.
    pub(crate) fn limit(&self) -> Option<Limit> {
        let stages = self.stages();
        let queues = stages.iter().chain(&self.loads).any(|load| load.backlog.max(load.undelivered) >= LASTS);
        if !queues && self.loads.iter().all(|load| load.moved <= 0.0) {
            return None;
        }
        // One task with all the work has a stage that idles.
        let alone = self
            .loads
            .iter()
            .filter(|load| stages.iter().any(|stage| stage.stage == load.stage && stage.own() < LASTS));
        let tasks = alone.cloned();
        let mut loaded: Vec<_> =
            stages.iter().cloned().chain(tasks).filter(|load| load.own() >= LASTS).collect();
        // That the user pauses something is his own doing: it is said where nothing else limits.
        if loaded.iter().any(|load| !load.is_paused()) {
            loaded.retain(|load| !load.is_paused());
        }
        let idle =
            || stages.iter().filter(|load| load.kind == StageKind::Source && load.lack_of_input().1 >= LASTS);
        match most_loaded(&loaded) {
            Some(load) => {
                let load = self.longest_branch(load, &loaded);
                let load = self.reached_rate(load, &loaded).unwrap_or(load);
                let mut limit = self.named(load);
                limit.beside = self.beside(load, &loaded);
                limit.text = words::limit(&limit);
                Some(limit)
            }
            None if queues => None,
            None => idle().max_by(|a, b| a.moved.total_cmp(&b.moved)).map(|source| self.named(source)),
        }
    }

    /// Of branches side by side that all have queues, nothing but how long each needs for what it has tells which one is waited for
    /// in the end.
    fn longest_branch<'l>(&self, most: &'l Load<'a>, loaded: &'l [Load<'a>]) -> &'l Load<'a> {
        let beside = |load: &&Load<'_>| {
            load.backlog >= LASTS
                && load.rank() >= most.rank() - BRANCHES_NEAR
                && !self.leads_to(load.stage, most.stage)
                && !self.leads_to(most.stage, load.stage)
        };
        if most.backlog < LASTS {
            return most;
        }
        // Of those that would need for ever, the one with the most before it.
        let takes = |a: &&Load<'_>, b: &&Load<'_>| {
            a.left_s().total_cmp(&b.left_s()).then(a.undone.total_cmp(&b.undone))
        };
        let longest = loaded.iter().filter(beside).max_by(takes);
        longest.filter(|load| takes(load, &most).is_gt()).unwrap_or(most)
    }

    /// A rate that is reached before a stage that is not busy all the time: its queue comes and goes with what the rate lets through. It
    /// is none for another input that waits for that stage.
    fn reached_rate<'l>(&self, most: &Load<'a>, loaded: &'l [Load<'a>]) -> Option<&'l Load<'a>> {
        let before = |load: &&Load<'_>| load.stage != most.stage && self.leads_to(load.stage, most.stage);
        let waits = |load: &Load<'_>| load.on(Side::Receiver).map(|(_, share)| share).sum::<f64>() >= LASTS;
        if most.own() >= BUSY_ALL_THE_TIME || self.loads.iter().filter(before).any(waits) {
            return None;
        }
        let reached = |load: &&Load<'_>| before(load) && load.share(WaitKind::RateLimited) >= LASTS;
        most_by(loaded.iter().filter(reached), |load| load.share(WaitKind::RateLimited))
    }

    /// Who else has a queue that lasts, and spends its time with that, neither before nor behind what limits.
    fn beside(&self, limit: &Load<'_>, loaded: &[Load<'_>]) -> Vec<String> {
        let apart = |load: &&Load<'_>| {
            load.backlog >= LASTS
                && load.task.is_none()
                && !self.leads_to(load.stage, limit.stage)
                && !self.leads_to(limit.stage, load.stage)
        };
        let loaded = loaded.iter().filter(|_| limit.backlog >= LASTS && limit.kind != StageKind::Source);
        // Who waits for the slots that others hold is told of with them.
        let apart = loaded.filter(apart).filter(|load| load.mostly().0 != WaitKind::NoSlot);
        apart.map(|load| load.stage.to_owned()).collect()
    }

    /// Whether what `from` gives comes to `to` in the end.
    fn leads_to(&self, from: &str, to: &str) -> bool {
        let stage = self.graph.iter().find(|stage| stage.name == to);
        from == to || stage.is_some_and(|stage| stage.from.iter().any(|before| self.leads_to(from, before)))
    }

    /// The mean task of each stage, in the order of their tasks.
    fn stages(&self) -> Vec<Load<'a>> {
        let mut stages: Vec<(Load<'a>, f64)> = Vec::new();
        for load in &self.loads {
            match stages.iter_mut().find(|(stage, _)| stage.stage == load.stage) {
                Some((stage, count)) => {
                    stage.add(load);
                    *count += 1.0;
                }
                None => stages.push((Load { task: None, ..load.clone() }, 1.0)),
            }
        }
        stages.into_iter().map(|(stage, count)| stage.divided(count)).collect()
    }

    fn named(&self, load: &Load<'a>) -> Limit {
        let (kind, busy) = load.mostly();
        let mut limit = Limit {
            stage: load.stage.to_owned(),
            stage_kind: Some(load.kind),
            task: load.task.map(str::to_owned),
            kind,
            busy,
            held_by: if kind == WaitKind::NoSlot { self.slot_holders() } else { Vec::new() },
            beside: Vec::new(),
            elsewhere: false,
            rate: self.rate_of(load.stage).filter(|_| kind == WaitKind::RateLimited),
            text: String::new(),
        };
        limit.text = words::limit(&limit);
        limit
    }

    fn rate_of(&self, name: &str) -> Option<String> {
        self.graph.iter().find(|stage| stage.name == name)?.rate.clone()
    }

    /// The stages whose programs need slots, by how long they had them.
    fn slot_holders(&self) -> Vec<String> {
        let mut had: BTreeMap<&str, f64> = BTreeMap::new();
        for load in self.loads.iter().filter(|load| load.kind == StageKind::Batch && load.busy >= NEAR) {
            *had.entry(load.stage).or_default() += load.busy;
        }
        let mut had: Vec<_> = had.into_iter().collect();
        had.sort_by(|a, b| b.1.total_cmp(&a.1));
        had.into_iter().map(|(stage, _)| stage.to_owned()).collect()
    }
}

/// Whoever has slots keeps busy with them: if others with a queue wait for one for most of the time, that is the limit.
fn most_loaded<'l, 'a>(loaded: &'l [Load<'a>]) -> Option<&'l Load<'a>> {
    let most = most_by(loaded.iter(), Load::rank)?;
    let waits = |load: &&Load<'_>| load.backlog >= LASTS && load.share(WaitKind::NoSlot) >= LASTS;
    let waiting = most_by(loaded.iter().filter(waits), |load| load.share(WaitKind::NoSlot));
    waiting.filter(|_| most.kind == StageKind::Batch).or(Some(most))
}

/// The one with the largest value; of several that are about as large, the last in the pipeline.
fn most_by<'l, 'a: 'l>(
    loads: impl Iterator<Item = &'l Load<'a>> + Clone,
    value: impl Fn(&Load<'a>) -> f64,
) -> Option<&'l Load<'a>> {
    let largest = loads.clone().map(&value).max_by(f64::total_cmp)?;
    loads.filter(|load| value(load) >= largest - NEAR).last()
}

impl<'a> Load<'a> {
    fn of(task: &'a Task, kind: StageKind) -> Self {
        Self {
            stage: &task.stage,
            kind,
            task: Some(&task.name),
            busy: 0.0,
            waits: BTreeMap::new(),
            backlog: 0.0,
            undelivered: 0.0,
            moved: 0.0,
            done_per_s: 0.0,
            #[expect(clippy::cast_precision_loss, reason = "only compared with others")]
            undone: task.undone_records as f64,
        }
    }

    fn add(&mut self, other: &Load<'_>) {
        self.busy += other.busy;
        self.backlog += other.backlog;
        self.undelivered += other.undelivered;
        self.moved += other.moved;
        self.done_per_s += other.done_per_s;
        self.undone += other.undone;
        for (kind, share) in &other.waits {
            *self.waits.entry(*kind).or_default() += share;
        }
    }

    fn divided(mut self, count: f64) -> Self {
        self.busy /= count;
        self.backlog /= count;
        self.undelivered /= count;
        self.waits.values_mut().for_each(|share| *share /= count);
        self
    }

    fn share(&self, kind: WaitKind) -> f64 {
        self.waits.get(&kind).copied().unwrap_or(0.0)
    }

    /// Waits on this side, with their shares.
    fn on(&self, side: Side) -> impl Iterator<Item = (WaitKind, f64)> {
        self.waits
            .iter()
            .map(|(kind, share)| (*kind, *share))
            .filter(move |(kind, _)| kind.row().side == side)
    }

    /// With its work and with waits of its own.
    fn own(&self) -> f64 {
        (self.busy + self.waits_here()).min(1.0)
    }

    fn waits_here(&self) -> f64 {
        self.on(Side::Here).map(|(_, share)| share).sum()
    }

    /// That it gets nothing, called as it mostly was.
    fn lack_of_input(&self) -> (WaitKind, f64) {
        let shares = self.waits.iter().filter(|(kind, _)| kind.is_lack_of_input());
        let most = shares.clone().max_by(|a, b| a.1.total_cmp(b.1));
        (most.map_or(WaitKind::SourceIdle, |(kind, _)| *kind), shares.map(|(_, share)| share).sum())
    }

    fn is_paused(&self) -> bool {
        self.mostly().0 == WaitKind::Paused
    }

    /// How long it needs for what it has, in seconds.
    fn left_s(&self) -> f64 {
        if self.undone > 0.0 { self.undone / self.done_per_s } else { 0.0 }
    }

    /// Who has a queue goes before who has none, and a queue that is always there before one that comes and goes.
    fn rank(&self) -> f64 {
        if self.backlog >= LASTS { 1.0 + self.own().min(self.backlog) } else { self.own() }
    }

    /// What most of its own time went to; of a source that has none, that it gets nothing.
    fn mostly(&self) -> (WaitKind, f64) {
        let longest = |side| self.on(side).max_by(|a, b| a.1.total_cmp(&b.1));
        match longest(Side::Here) {
            _ if self.own() < LASTS => self.lack_of_input(),
            Some((kind, share)) if share + NEAR > self.busy => (kind, share),
            Some(_) | None => {
                let usual =
                    if self.kind == StageKind::Sink { WaitKind::Writing } else { WaitKind::ChildBusy };
                (longest(Side::Work).map_or(usual, |(kind, _)| kind), self.busy)
            }
        }
    }
}

fn kind_of(node: &Snapshot, task: &Task) -> Option<StageKind> {
    node.stages.iter().find(|stage| stage.name == task.stage).map(|stage| stage.kind)
}

#[cfg(test)]
mod tests;
