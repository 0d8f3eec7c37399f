//! What goes wrong, when, and for how long.

use super::plan::{Plan, SPILL_OF_ALL, StageKind};
use super::rng::Rng;

/// How late what a broken connection still carries arrives, and its ends notice, at most: one of these, in µs.
pub(super) const LATE_US: [u64; 3] = [3_000, 100_000, 6_000_000];

/// How long a process may be stopped, in µs.
const LONG_PAUSE_US: u64 = 20_000_000;

/// A fault and its moment.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// When, in µs.
    pub at: u64,
    /// What.
    pub fault: Fault,
}

/// Something that goes wrong. `for_us` is how long, in µs; `None`: for good.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connections between two nodes break; what is under way is partly lost, and the two ends notice at different
    /// moments.
    Drop {
        /// One node.
        a: u16,
        /// The other.
        b: u16,
        /// How late the rest arrives and the ends notice, at most, in µs.
        late_us: u64,
    },
    /// Nothing goes from one node to another.
    Cut {
        /// The sending node.
        from: u16,
        /// The receiving node.
        to: u16,
        /// How long.
        for_us: Option<u64>,
    },
    /// The process is stopped, as by SIGSTOP.
    Pause {
        /// Which node.
        node: u16,
        /// How long.
        for_us: u64,
    },
    /// The process dies and, unless it is for good, starts again with nothing but its disk.
    Crash {
        /// Which node.
        node: u16,
        /// How long it is away.
        for_us: Option<u64>,
        /// Its peers are told nothing, as when the machine dies.
        silent: bool,
        /// What its disks had not synced is lost, from some point on.
        power: bool,
    },
    /// The process dies between two of the next actions that its core asks for.
    CrashAmidActions {
        /// Which node.
        node: u16,
        /// After so many.
        actions: u64,
        /// How long it is away.
        for_us: u64,
        /// See [`Fault::Crash`].
        power: bool,
    },
    /// The process stops, is thought dead and replaced; then it wakes up and goes on.
    Ghost {
        /// Which node.
        node: u16,
        /// After how long it is replaced.
        replaced_us: u64,
        /// How long after that it wakes up.
        wakes_us: u64,
        /// How long after that it dies at last.
        dies_us: u64,
    },
    /// Nothing can be appended on this node.
    DiskFull {
        /// Which node.
        node: u16,
        /// How long.
        for_us: u64,
    },
    /// Syncs take this many times longer on this node.
    SlowDisk {
        /// Which node.
        node: u16,
        /// How many times.
        times: u64,
        /// How long.
        for_us: u64,
    },
    /// The next sync on this node fails.
    SyncFails {
        /// Which node.
        node: u16,
    },
    /// What a node has on its disk is copied.
    CopyState {
        /// Which node.
        node: u16,
    },
    /// The process dies and starts again with the copy made before, or with nothing where none was made.
    PutCopyBack {
        /// Which node.
        node: u16,
        /// How long it is away.
        for_us: u64,
    },
    /// The process is told to stop in good order, and started again.
    Drain {
        /// Which node.
        node: u16,
    },
    /// All sinks of a stage are this many times slower.
    SlowSinks {
        /// Which stage.
        stage: usize,
        /// How many times.
        times: u64,
        /// How long.
        for_us: Option<u64>,
    },
}

/// Adds faults to a plan: many before its heal, and sometimes one that stays.
pub(super) fn random_faults(plan: &mut Plan, rng: &mut Rng) {
    let kinds = rng.below(64);
    // Small pipelines are through in milliseconds: many faults come while they run.
    let span = plan.heal_us.min(rng.pick(&[10_000, 100_000, 1_000_000, u64::MAX]));
    for _ in 0..rng.within(0, 16) {
        let at = rng.below(span);
        let left = plan.heal_us - at;
        let (a, b) = two_nodes(plan, rng);
        let fault = match rng.below(6) {
            kind if kinds & (1 << kind) == 0 => continue,
            0 | 1 => Fault::Drop { a, b, late_us: rng.pick(&LATE_US) },
            2 => Fault::Cut {
                from: a,
                to: b,
                for_us: Some(left.min(rng.pick(&[100_000, 2_000_000, 9_000_000]))),
            },
            3 => {
                let for_us = Some(left.min(rng.within(1_000, 10_000_000)));
                plan.faults.push(Scheduled { at, fault: Fault::Cut { from: b, to: a, for_us } });
                Fault::Cut { from: a, to: b, for_us }
            }
            4 if rng.chance(10) => {
                // Longer than any silence that is waited for, and than a name is refused.
                plan.heal_us = plan.heal_us.max(at + LONG_PAUSE_US);
                Fault::Pause { node: a, for_us: LONG_PAUSE_US }
            }
            4 => Fault::Pause { node: a, for_us: left.min(rng.pick(&[10_000, 1_000_000, 9_000_000])) },
            _ => match sink_stage(plan, rng) {
                Some(stage) => {
                    let times = rng.pick(&[10, 1_000]);
                    Fault::SlowSinks { stage, times, for_us: Some(left.min(3_000_000)) }
                }
                None => continue,
            },
        };
        plan.faults.push(Scheduled { at, fault });
    }
    if rng.chance(30) {
        random_death(plan, rng, span);
    }
    if rng.chance(20) {
        stay(plan, rng);
    }
    plan.faults.sort_by_key(|scheduled| scheduled.at);
}

/// One node dies, perhaps more than once. One only: when two die at once, nobody is left to report what they had.
fn random_death(plan: &mut Plan, rng: &mut Rng, span: u64) {
    let nodes = u16::try_from(plan.nodes).expect("few nodes");
    let mortals: Vec<u16> = (0..nodes).filter(|&node| plan.is_mortal(node)).collect();
    if mortals.is_empty() {
        return;
    }
    let node = rng.pick(&mortals);
    let silent = rng.chance(50);
    let mut at = rng.below(span);
    if rng.chance(25) {
        plan.limits.spill_bytes = SPILL_OF_ALL;
        plan.faults.push(Scheduled { at, fault: Fault::Crash { node, for_us: None, silent, power: true } });
        return;
    }
    for _ in 0..rng.within(1, 2) {
        let for_us = rng.within(1_000, 5_000_000);
        plan.faults
            .push(Scheduled { at, fault: Fault::Crash { node, for_us: Some(for_us), silent, power: true } });
        at += for_us + rng.within(1, 3_000_000);
    }
    plan.heal_us = plan.heal_us.max(at);
}

/// Connections that keep breaking, or a sink that stays slow.
fn stay(plan: &mut Plan, rng: &mut Rng) {
    if rng.chance(50) {
        let period = rng.within(2_000_000, 9_000_000);
        for round in 1..=12 {
            let (a, b) = two_nodes(plan, rng);
            plan.faults.push(Scheduled {
                at: plan.heal_us + round * period,
                fault: Fault::Drop { a, b, late_us: rng.pick(&LATE_US) },
            });
        }
    } else if let Some(stage) = sink_stage(plan, rng) {
        plan.faults.push(Scheduled { at: 0, fault: Fault::SlowSinks { stage, times: 10, for_us: None } });
    }
}

pub(super) fn two_nodes(plan: &Plan, rng: &mut Rng) -> (u16, u16) {
    let a = rng.index(plan.nodes);
    let b = (a + 1 + rng.index(plan.nodes - 1)) % plan.nodes;
    let small = |node| u16::try_from(node).expect("few nodes");
    (small(a), small(b))
}

pub(super) fn sink_stage(plan: &Plan, rng: &mut Rng) -> Option<usize> {
    let is_sink = |&index: &usize| matches!(plan.stages[index].kind, StageKind::Sink { .. });
    let sinks: Vec<usize> = (0..plan.stages.len()).filter(is_sink).collect();
    if sinks.is_empty() { None } else { Some(rng.pick(&sinks)) }
}

impl Fault {
    /// How long it lasts, in µs; `None` for what is over at once or stays.
    pub(super) fn lasts(&self) -> Option<u64> {
        match *self {
            Self::Drop { .. }
            | Self::CrashAmidActions { .. }
            | Self::Ghost { .. }
            | Self::SyncFails { .. }
            | Self::CopyState { .. }
            | Self::Drain { .. } => None,
            Self::PutCopyBack { for_us, .. }
            | Self::Pause { for_us, .. }
            | Self::DiskFull { for_us, .. }
            | Self::SlowDisk { for_us, .. } => Some(for_us),
            Self::Cut { for_us, .. } | Self::Crash { for_us, .. } | Self::SlowSinks { for_us, .. } => for_us,
        }
    }
}
