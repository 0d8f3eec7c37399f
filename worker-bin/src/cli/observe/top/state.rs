//! What is known of all nodes: the last each said, when that was, and what it did lately.

use crate::explain::{Explanation, RunState, Side, Snapshot, Task, WaitClass, WaitKind, explain};
use std::collections::{BTreeMap, VecDeque};

/// How many rates of a stage are kept to be drawn.
const RATES_MAX: usize = 120;

/// Over how many answers the time of waiting is taken.
const BLOCKED_ANSWERS: usize = 10;

#[derive(Debug)]
pub(super) struct Answer {
    /// The name it is asked by; empty for a note on the nodes as a whole.
    pub(super) node: String,
    pub(super) said: Said,
}

/// What was heard of a node.
#[derive(Debug)]
pub(super) enum Said {
    Now(Box<Snapshot>),
    /// Its state when it ended.
    Last(Box<Snapshot>),
    /// It did not answer, because of this.
    Nothing(String),
    /// What is to be said of nodes that cannot be asked.
    Note(String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// By the name they are asked by.
    nodes: BTreeMap<String, Known>,
    pub(super) notes: Vec<String>,
    trails: BTreeMap<String, Trail>,
    /// Why work waits, by those that answer.
    pub(super) explanation: Explanation,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The last it said.
    pub(super) snapshot: Option<Snapshot>,
    /// When that was, in seconds since the view began.
    pub(super) heard_s: f64,
    /// Why it does not answer, and since when.
    pub(super) silent: Option<(f64, String)>,
}

/// What a stage did lately.
#[derive(Clone, Debug, Default)]
struct Trail {
    /// Records a second, all nodes together.
    rates: VecDeque<f64>,
    /// When the last rate was noted.
    noted_s: f64,
    /// By node, at each of its last answers.
    blocked: BTreeMap<String, VecDeque<Blocked>>,
}

/// How long a node's tasks of a stage had waited.
#[derive(Clone, Debug, Default)]
struct Blocked {
    /// When, in seconds since the node's run began.
    uptime_s: f64,
    tasks: f64,
    /// For how long, all together, by what they waited for.
    seconds: BTreeMap<WaitKind, f64>,
}

impl State {
    pub(super) fn hear(&mut self, answer: Answer, now_s: f64) {
        let Answer { node, said } = answer;
        match said {
            Said::Note(note) => {
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
            Said::Nothing(why) => {
                let known = self.nodes.entry(node).or_default();
                let since = known.silent.take().map_or(known.heard_s, |(since, _)| since);
                known.silent = Some((since, why));
            }
            Said::Now(snapshot) => {
                self.follow(&snapshot);
                let known = Known { snapshot: Some(*snapshot), heard_s: now_s, silent: None };
                self.nodes.insert(node, known);
                self.note_rates(now_s);
            }
            Said::Last(snapshot) => {
                let known = Known { snapshot: Some(*snapshot), heard_s: now_s, silent: None };
                self.nodes.insert(node, known);
            }
        }
        let heard: Vec<_> = self.answering().cloned().collect();
        self.explanation = explain(&heard);
    }

    /// All nodes that are asked.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.nodes.iter().map(|(name, known)| (name.as_str(), known))
    }

    /// The last each node said, also of those that are silent now.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = (&Snapshot, bool)> {
        self.nodes.values().filter_map(|known| Some((known.snapshot.as_ref()?, known.silent.is_some())))
    }

    fn answering(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots().filter(|(_, silent)| !silent).map(|(snapshot, _)| snapshot)
    }

    /// All that were heard have ended.
    pub(super) fn is_over(&self) -> bool {
        let mut all = self.snapshots().peekable();
        all.peek().is_some() && all.all(|(snapshot, _)| snapshot.end.is_some())
    }

    /// No node answers, and since when.
    pub(super) fn silent_since(&self) -> Option<f64> {
        let since = self.nodes.values().map(|known| known.silent.as_ref().map(|(since, _)| *since));
        let all: Option<Vec<f64>> = since.collect();
        all?.into_iter().max_by(f64::total_cmp)
    }

    /// Records a second of a stage, the oldest first.
    pub(super) fn rates(&self, stage: &str) -> impl ExactSizeIterator<Item = f64> + '_ {
        static NONE: VecDeque<f64> = VecDeque::new();
        self.trails.get(stage).map_or(&NONE, |trail| &trail.rates).iter().copied()
    }

    /// What a stage's tasks waited for most over the last seconds, and for which share of them.
    pub(super) fn blocked(&self, stage: &str) -> Option<(WaitKind, f64)> {
        let trail = self.trails.get(stage)?;
        let mut spent: BTreeMap<WaitKind, f64> = BTreeMap::new();
        let mut whole = 0.0;
        for answers in trail.blocked.values() {
            let (Some(first), Some(last)) = (answers.front(), answers.back()) else { continue };
            whole += (last.uptime_s - first.uptime_s) * last.tasks;
            for (kind, seconds) in &last.seconds {
                *spent.entry(*kind).or_default() += seconds - first.seconds.get(kind).copied().unwrap_or(0.0);
            }
        }
        let most = spent.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let share = if whole > 0.0 { (most.1 / whole).clamp(0.0, 1.0) } else { 0.0 };
        (share >= 0.005).then_some((most.0, share))
    }

    /// Notes what a node's tasks have waited for.
    fn follow(&mut self, snapshot: &Snapshot) {
        let uptime_s = snapshot.uptime_s;
        let mut stages: BTreeMap<&str, Blocked> = BTreeMap::new();
        for task in &snapshot.tasks {
            let stage = stages.entry(&task.stage).or_default();
            (stage.uptime_s, stage.tasks) = (uptime_s, stage.tasks + 1.0);
            for (kind, seconds) in time_blocked(task) {
                *stage.seconds.entry(kind).or_default() += seconds;
            }
        }
        for (stage, blocked) in stages {
            let trail = self.trails.entry(stage.to_owned()).or_default();
            let answers = trail.blocked.entry(snapshot.node.clone()).or_default();
            if answers.back().is_some_and(|last| last.uptime_s > uptime_s) {
                // Another process: it counts from the beginning.
                answers.clear();
            }
            answers.push_back(blocked);
            while answers.len() > BLOCKED_ANSWERS {
                answers.pop_front();
            }
        }
    }

    /// Notes every stage's rate, once a second, whichever node answers first.
    fn note_rates(&mut self, now_s: f64) {
        let mut rates: BTreeMap<String, f64> = BTreeMap::new();
        for task in self.answering().flat_map(|snapshot| &snapshot.tasks) {
            *rates.entry(task.stage.clone()).or_default() += task.in_per_s.max(task.out_per_s);
        }
        for (stage, rate) in rates {
            let trail = self.trails.entry(stage).or_default();
            match trail.rates.back_mut() {
                Some(last) if now_s - trail.noted_s < 0.9 => *last = rate,
                Some(_) | None => {
                    trail.rates.push_back(rate);
                    trail.noted_s = now_s;
                }
            }
            if trail.rates.len() > RATES_MAX {
                trail.rates.pop_front();
            }
        }
    }
}

/// Seconds in which something was in a task's way, by what it was.
pub(super) fn time_blocked(task: &Task) -> impl Iterator<Item = (WaitKind, f64)> + '_ {
    let counts = |kind: WaitKind| match kind.row().class {
        WaitClass::Blocked | WaitClass::Paused => true,
        WaitClass::Working => kind.row().side == Side::Here,
        WaitClass::Idle => false,
    };
    task.blocked_s.iter().filter(move |(kind, _)| counts(**kind)).map(|(kind, seconds)| (*kind, *seconds))
}

/// How far a run is, in a word.
pub(super) fn state_word(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Draining => "stopping",
        RunState::Done => "done",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
    }
}
