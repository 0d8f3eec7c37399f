//! From each wait to its root: a wait for a task goes on with what that task waits for, on whatever node it runs.

use super::limit::{Limit, Window};
use super::model::{Snapshot, StageKind, Task, Wait};
use super::peer;
use super::reasons::{WaitKind, Why};
use super::table::{Scope, Side, WaitClass};
use super::words;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use worker_core::config::TaskName;

/// More steps than a sensible pipeline has; a peer may say anything.
const STEPS_MAX: usize = 64;

/// Why work waits, or what limits it: the answer of `/api/v1/why`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// For each task that has work and has not moved, what it waits for, down to the root; the longest first.
    pub chains: Vec<Chain>,
    /// What limits the throughput, if something does.
    pub limit: Option<Limit>,
    /// What else is to be said: nodes that do not answer, dead letters, losses, ends.
    pub notes: Vec<String>,
}

/// What one task waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    pub task: String,
    /// The node it runs on.
    pub node: String,
    /// How long it has been so.
    pub for_s: f64,
    /// Something is in the way; else what is waited for is working, there is nothing to do, or the user wants it so.
    pub stalled: bool,
    /// How much of the task waits.
    #[serde(default)]
    pub held: Held,
    /// From the nearest cause to the root; not empty.
    pub steps: Vec<Step>,
    /// What names the root, the same for all chains that end there.
    pub root: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// Sources that give nothing because of it.
    pub sources_paused: Vec<String>,
    /// All of that in one line.
    #[serde(default)]
    pub text: String,
}

/// Who of a group, beside the first, is held up by its root: who goes on is only where the first does, too. Where nothing is in the
/// way the root itself is not told of again.
pub(crate) fn also_held<'a>(group: &[&'a Chain]) -> Vec<&'a Chain> {
    let root = group[0].steps.last().map(|step| &step.task);
    let is_held = |chain: &&Chain| {
        (group[0].stalled || Some(&chain.task) != root)
            && (chain.held == Held::All || group[0].held != Held::All)
    };
    group.iter().skip(1).copied().filter(is_held).collect()
}

/// How much of a task a chain holds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// It does nothing else.
    #[default]
    All,
    /// What it gives to one receiver waits, and what it gives to others goes on.
    Part,
    /// It has ended, and nothing but what it has given waits.
    Given,
}

/// One cause of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The task that waits.
    pub task: String,
    /// The node it runs on.
    pub node: String,
    pub wait: Wait,
}

/// A process that was itself stopped for less has missed nothing, in seconds.
const STOP_SAID_S: f64 = 5.0;

/// Where each task is, among the snapshots at hand.
struct Index<'a> {
    tasks: BTreeMap<&'a str, (&'a str, &'a Task)>,
    /// What each stage reads from.
    from: BTreeMap<&'a str, &'a [String]>,
    /// Stages whose programs owe an answer to each record.
    answering: BTreeSet<&'a str>,
    /// The receivers of each task of these nodes.
    outputs: BTreeMap<&'a str, Vec<&'a str>>,
}

/// What a wait is followed by.
enum Next<'n, 'a> {
    /// This task, on this node, waits for that.
    Waits(&'n str, &'a Task, &'a Wait),
    /// What is waited for is at work.
    Works,
}

/// Follows every wait to its root. Several snapshots of one pipeline's nodes are joined; of what is on other nodes, nothing is known.
#[must_use]
pub fn explain(snapshots: &[Snapshot]) -> Explanation {
    let index = Index::of(snapshots);
    let mut chains: Vec<Chain> = Vec::new();
    for (node, task) in index.tasks.values() {
        chains.extend(index.chain(node, task));
    }
    chains.sort_by(|a, b| b.stalled.cmp(&a.stalled).then(b.for_s.total_cmp(&a.for_s)));
    pause_sources(&index, snapshots, &mut chains);
    if snapshots.iter().any(|snapshot| snapshot.delivery == "memory") {
        chains.iter_mut().for_each(without_state);
    }
    for chain in &mut chains {
        chain.text = words::chain(chain);
    }
    let mut limit = Window::recent(snapshots).limit();
    if let Some(limit) = &mut limit {
        limit.elsewhere = !chains.iter().any(|chain| chain.ends_at(limit));
    }
    Explanation { chains, limit, notes: notes(snapshots) }
}

/// A node that is started again finds what it wrote, and without state it does not know that as its own.
fn without_state(chain: &mut Chain) {
    let root = chain.steps.last().map(|step| &step.wait.why);
    let is_gone = matches!(root, Some(Why::PeerDown { cause, .. }) if peer::named(cause).advice.is_none());
    if let Some(advice) = chain.advice.as_mut().filter(|_| is_gone) {
        advice.push_str("; without state, files that it wrote need exists = \"append\" for that");
    }
}

/// Marks the waits at whose root something is in the way, for longer than `stall_after_s`, and the tasks that are held up by them.
pub(super) fn mark_stalls(snapshot: &mut Snapshot) {
    let marks: Vec<Vec<bool>> = {
        let one = std::slice::from_ref(&*snapshot);
        let index = Index::of(one);
        // What has failed does not go on by itself, however young that is.
        let old =
            |wait: &Wait| wait.for_s >= snapshot.stall_after_s || wait.why.kind() == WaitKind::DeadLimit;
        let stalled =
            |task: &Task, wait: &Wait| old(wait) && index.root_class(task, wait) == WaitClass::Blocked;
        snapshot
            .tasks
            .iter()
            .map(|task| task.waits.iter().map(|wait| stalled(task, wait)).collect())
            .collect()
    };
    for (task, marks) in snapshot.tasks.iter_mut().zip(marks) {
        for (wait, stalled) in task.waits.iter_mut().zip(marks) {
            wait.stalled = stalled;
        }
    }
    let held_up: Vec<bool> = {
        let index = Index::of(std::slice::from_ref(&*snapshot));
        let is_held =
            |task: &Task| task.waits.iter().any(|wait| wait.stalled && index.held(task, wait) == Held::All);
        snapshot.tasks.iter().map(is_held).collect()
    };
    for (task, held_up) in snapshot.tasks.iter_mut().zip(held_up) {
        task.stalled = held_up;
    }
}

impl Chain {
    /// Whether its task is held up whole, and says why: who hears nothing of a node knows less of it than who sends to it.
    fn tells_of_its_root(&self) -> bool {
        let root = self.steps.last().map(|step| step.wait.why.kind());
        self.held == Held::All && root != Some(WaitKind::UpstreamDown)
    }

    /// Whether the user is its root, who paused a task.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.steps.last().is_some_and(|step| step.wait.why.kind() == WaitKind::Paused)
    }

    /// Whether its root is what limits the throughput, too.
    fn ends_at(&self, limit: &Limit) -> bool {
        let Some(Step { task, wait, .. }) = self.steps.last() else { return false };
        let kind = wait.why.kind();
        // Slots and the disk are the node's: whoever waits for them waits for the same.
        let of_the_node = matches!(kind, WaitKind::NoSlot | WaitKind::Committing);
        // Who waits for slots and who has them are two sides of one thing, whichever of them is named.
        let has_slots: &[String] = if let Why::NoSlot { held_by, .. } = &wait.why { held_by } else { &[] };
        let limits = |task: &String| {
            let stage = TaskName::of(task).stage;
            stage == limit.stage || limit.held_by.iter().any(|holder| holder == stage)
        };
        limits(task) || wait.on.iter().chain(has_slots).any(limits) || (of_the_node && kind == limit.kind)
    }
}

impl Explanation {
    /// Chains with one root together, in the order of the chains: of each root who is held up by it.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<&Chain>> {
        let mut groups: Vec<Vec<&Chain>> = Vec::new();
        for chain in &self.chains {
            match groups.iter_mut().find(|group| group[0].root == chain.root) {
                Some(group) => group.push(chain),
                None => groups.push(vec![chain]),
            }
        }
        // Of several chains to one root the one that says most stands first. Who goes on is not held up by it, and is told of only
        // where nobody else tells of that root.
        for group in &mut groups {
            if group.iter().any(|chain| chain.tells_of_its_root()) {
                group.retain(|chain| chain.held == Held::All);
            }
            // Where nothing is in the way that is who has something to do about it, as who waits for the end of endless input has.
            group.sort_by_key(|chain| {
                (!chain.stalled, !chain.stalled && chain.advice.is_none(), chain.steps.len())
            });
        }
        groups
    }

    /// Whether something is in the way of work.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.chains.iter().any(|chain| chain.stalled)
    }
}

impl<'a> Index<'a> {
    fn of(snapshots: &'a [Snapshot]) -> Self {
        let tasks = snapshots
            .iter()
            .flat_map(|s| s.tasks.iter().map(|t| (t.name.as_str(), (s.node.as_str(), t))))
            .collect();
        let stages = || snapshots.iter().flat_map(|s| &s.stages);
        let from = stages().map(|stage| (stage.name.as_str(), stage.from.as_slice())).collect();
        let answering = stages().filter(|stage| stage.kind == StageKind::Records);
        let mut outputs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for link in snapshots.iter().flat_map(|s| &s.links) {
            outputs.entry(&link.from).or_default().push(&link.to);
        }
        Self { tasks, from, answering: answering.map(|stage| stage.name.as_str()).collect(), outputs }
    }

    /// What kind of thing a wait of this task is. Only where no answer is owed a program may keep what it has.
    fn class(&self, task: &Task, wait: &Wait) -> WaitClass {
        let kind = wait.why.kind();
        let owes = kind == WaitKind::ChildBuffers && self.answering.contains(task.stage.as_str());
        if owes { WaitClass::Blocked } else { kind.row().class }
    }

    /// How much of the task this wait holds up: a wait for one receiver, or for one of its senders, stops it only where nothing else
    /// of it goes on.
    fn held(&self, task: &Task, wait: &Wait) -> Held {
        let row = wait.why.kind().row();
        let lasts = |w: &Wait| if wait.stalled { w.stalled } else { w.for_s >= LASTING_S };
        let waits_for = |to: &str| {
            let is_it = |w: &&Wait| w.why.kind().row().side == Side::Receiver && w.on.as_deref() == Some(to);
            task.waits.iter().filter(is_it).any(lasts)
        };
        let is_over = |to: &str| self.tasks.get(to).is_some_and(|(_, receiver)| receiver.done);
        match row.scope {
            Scope::Task => Held::All,
            Scope::Link if task.ended => Held::Given,
            Scope::Link if row.side == Side::Input => {
                if task.unmoved_s >= LASTING_S {
                    Held::All
                } else {
                    Held::Part
                }
            }
            Scope::Link => {
                let mut outputs = self.outputs.get(task.name.as_str()).into_iter().flatten();
                if outputs.all(|to| is_over(to) || waits_for(to)) { Held::All } else { Held::Part }
            }
        }
    }

    /// The chain of the task's most telling wait that is old enough, if there is one.
    fn chain(&self, node: &str, first: &'a Task) -> Option<Chain> {
        let wait = self.telling(first)?;
        let mut steps = vec![Step { task: first.name.clone(), node: node.to_owned(), wait: wait.clone() }];
        let (mut task, mut at, mut on_node) = (first, wait, node);
        while steps.len() < STEPS_MAX
            && let Some(Next::Waits(node, waited, next)) = self.next(on_node, task, at)
            && !steps.iter().any(|s| s.task == waited.name && s.wait.why.kind() == next.why.kind())
        {
            steps.push(Step { task: waited.name.clone(), node: node.to_owned(), wait: next.clone() });
            (task, at, on_node) = (waited, next, node);
        }
        let last = steps.last()?;
        let root = root_name(last);
        // That there is no input is nobody's fault; what may be done is done where it is waited for.
        let advised = match steps.as_slice() {
            [.., before, idle] if idle.wait.why.kind().is_lack_of_input() => before,
            _ => last,
        };
        // Who is waited for is known here, and nothing is in its way: there is nobody to ask.
        let is_at_work = matches!(self.next(on_node, task, at), Some(Next::Works));
        let (for_s, stalled) = (wait.for_s, wait.stalled);
        Some(Chain {
            task: first.name.clone(),
            node: node.to_owned(),
            for_s,
            stalled: stalled && !is_at_work && self.class(task, at) == WaitClass::Blocked,
            held: self.held(first, wait),
            root,
            advice: words::advice(&advised.task, &advised.wait)
                .filter(|_| !is_at_work || advised.wait.on.is_none()),
            steps,
            sources_paused: Vec::new(),
            text: String::new(),
        })
    }

    /// What a wait is followed by, if it is no root. Pipelines are acyclic and a wait leads downstream, or upstream to their ends,
    /// or nearer to what is in the way of the same output; where a peer says otherwise, the chain ends.
    fn next<'n>(&self, node: &'n str, task: &'a Task, wait: &Wait) -> Option<Next<'n, 'a>>
    where
        'a: 'n,
    {
        let kind = wait.why.kind();
        // Nobody there, or nothing heard of it: this is the root, whatever it says of itself.
        if kind == WaitKind::PeerDown || kind == WaitKind::UpstreamDown {
            return None;
        }
        if kind == WaitKind::AwaitingEnd {
            let (node, waited) = self.upstream(task)?;
            return Some(Next::Waits(node, waited, self.nearest(waited)?));
        }
        // Without input it has nothing to print, whether it holds anything back or not.
        if kind == WaitKind::ChildBuffers {
            let (node, waited) = self.upstream(task)?;
            let gives_nothing = |wait: &&Wait| {
                let is_for_it = wait.on.as_ref().is_some_and(|on| TaskName::of(on).stage == task.stage);
                let is_held_up = stops_the_task(wait) && self.class(waited, wait).is_in_the_way();
                wait.why.kind().is_lack_of_input() || (is_held_up && !is_for_it)
            };
            return Some(Next::Waits(node, waited, self.nearest(waited).filter(gives_nothing)?));
        }
        let on = wait.on.as_deref()?;
        let is_down = |w: &&Wait| w.why.kind() == WaitKind::PeerDown && w.on.as_deref() == Some(on);
        if let Some(down) = task.waits.iter().find(is_down).filter(|_| kind.row().side == Side::Receiver) {
            return Some(Next::Waits(node, task, down));
        }
        let (node, waited) = self.tasks.get(on).copied()?;
        // It waits for nothing: it is at work, or about to be.
        Some(self.nearest(waited).map_or(Next::Works, |next| Next::Waits(node, waited, next)))
    }

    /// A task that gives records to `task` and waits itself: rather one that something is in the way of.
    fn upstream(&self, task: &Task) -> Option<(&'a str, &'a Task)> {
        let from = self.from.get(task.stage.as_str())?;
        let upstream = self.tasks.values().filter(|(_, t)| !t.done && from.contains(&t.stage));
        let waiting = upstream.filter_map(|&(node, t)| Some((self.class(t, self.nearest(t)?), (node, t))));
        waiting.min_by_key(|(class, _)| !class.is_in_the_way()).map(|(_, found)| found)
    }

    /// What a task at the other end of a wait waits for itself: what stops all of it goes before what only stops some of its
    /// output, and what does not come to it from elsewhere stops nothing that it has.
    fn nearest(&self, task: &'a Task) -> Option<&'a Wait> {
        let rank =
            |wait: &&Wait| (!stops_the_task(wait), !self.class(task, wait).is_in_the_way(), !wait.stalled);
        task.waits.iter().filter(|w| w.why.kind() != WaitKind::UpstreamDown).min_by_key(rank)
    }

    /// The wait to tell of a task: of the stalled ones what stops all of it and is in the way here, and of
    /// those the oldest; else the first that has lasted and is no mere lack of work.
    fn telling(&self, task: &'a Task) -> Option<&'a Wait> {
        let stalled = task.waits.iter().filter(|w| w.stalled);
        let is_here = |w: &Wait| stops_the_task(w) && w.why.kind().row().side == Side::Here;
        let by_weight = |a: &&Wait, b: &&Wait| is_here(a).cmp(&is_here(b)).then(a.for_s.total_cmp(&b.for_s));
        if let Some(wait) = stalled.max_by(by_weight) {
            return Some(wait);
        }
        let lasting = |w: &&Wait| {
            w.for_s >= LASTING_S && !matches!(w.why.kind(), WaitKind::SourceIdle | WaitKind::Linger)
        };
        task.waits.iter().find(lasting)
    }

    /// What is at the end of a wait.
    fn root_class(&self, task: &'a Task, wait: &'a Wait) -> WaitClass {
        let (mut task, mut at) = (task, wait);
        for _ in 0..STEPS_MAX {
            match self.next("", task, at) {
                Some(Next::Waits(_, waited, next)) => (task, at) = (waited, next),
                Some(Next::Works) => return WaitClass::Working,
                None => break,
            }
        }
        self.class(task, at)
    }
}

/// Whether the whole task waits, and not only what goes by one link.
fn stops_the_task(wait: &Wait) -> bool {
    wait.why.kind().row().scope == Scope::Task
}

/// How long a wait that is no stall lasts before it is worth a word, in seconds.
const LASTING_S: f64 = 1.0;

fn root_name(step: &Step) -> String {
    let kind = step.wait.why.kind().row().name;
    match (&step.wait.why, &step.wait.on_node) {
        (Why::PeerDown { .. } | Why::UpstreamDown { .. }, Some(node)) => format!("node {node}"),
        (Why::StorageFull {}, _) => format!("node {}: {kind}", step.node),
        (Why::NoSlot { .. }, _) => format!("node {}: {kind}", step.node),
        _ => match &step.wait.on {
            Some(on) => format!("{on}: {kind}"),
            None => format!("{}: {kind}", step.task),
        },
    }
}

/// Notes at each chain which sources read nothing because of it: those that wait for the same root, and not only with some of
/// what they gave.
fn pause_sources(index: &Index<'_>, snapshots: &[Snapshot], chains: &mut [Chain]) {
    let sources: BTreeSet<&str> = snapshots
        .iter()
        .flat_map(|s| {
            s.stages.iter().filter(|stage| stage.kind == StageKind::Source).map(|stage| stage.name.as_str())
        })
        .collect();
    let paused: Vec<(String, String)> = chains
        .iter()
        .filter(|chain| chain.stalled || chain.is_paused())
        .filter(|chain| {
            index.tasks.get(chain.task.as_str()).is_some_and(|(_, task)| {
                let stops = |w: &Wait| stops_the_task(w) && w.why.kind().row().class == WaitClass::Blocked;
                sources.contains(task.stage.as_str()) && task.waits.iter().any(stops)
            })
        })
        .map(|chain| (chain.root.clone(), chain.task.clone()))
        .collect();
    for chain in chains {
        let held = paused.iter().filter(|(root, task)| *root == chain.root && *task != chain.task);
        chain.sources_paused = held.map(|(_, task)| format!("source {task}")).collect();
    }
}

fn notes(snapshots: &[Snapshot]) -> Vec<String> {
    let mut notes = Vec::new();
    for snapshot in snapshots {
        let node = &snapshot.node;
        if let Some(why) = snapshot.end.as_ref().and_then(|end| end.why.as_ref()) {
            notes.push(format!("node {node}: {}", words::foreign(why)));
        }
        if let Some(stop) = snapshot.own_stop.filter(|stop| stop.lasted_s >= STOP_SAID_S) {
            let (lasted, ago) = (words::duration(stop.lasted_s), words::duration(stop.ago_s));
            let gone =
                snapshot.peers.iter().any(|peer| !peer.up) || snapshot.upstreams.values().any(|up| !up);
            let then = if gone {
                ": nodes that are not connected may have finished, or gone on, without it"
            } else {
                ""
            };
            notes.push(format!(
                "node {node}: this process was itself stopped for {lasted}, until {ago} ago{then}"
            ));
        }
        if snapshot.lost_records > 0 {
            let lost = words::records(snapshot.lost_records);
            notes.push(format!("node {node}: at most {lost} were lost when other nodes' processes died"));
        }
        for (to, dropped) in snapshot.dropped_by_receiver() {
            let (dropped, were) = (words::records(dropped), words::were(dropped));
            notes.push(format!(
                "node {node}: {dropped} {were} dropped on the way to {to}, whose links were full (when_full)"
            ));
        }
        let dead: u64 = snapshot.tasks.iter().map(|task| task.counters.dead_records).sum();
        if dead > 0 {
            notes.push(format!("node {node}: {}; worker dlq list shows why", words::dead_letters(dead)));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
