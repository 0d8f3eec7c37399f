//! How many files a pipeline may have open at once on this node, against what this machine allows.

use crate::descriptors;
use crate::pipeline::plan::{Plan, Role, StageTask};
use crate::pipeline::{Delivery, Mode};

/// Standard streams, the launcher, timers and signals, the admin address and who asks there.
const BASE: u64 = 64;
/// Pipes to and from a program: our ends, and what its standard input is watched by.
const PROGRAM: u64 = 4;
/// A journal's directory, its segments, of which more are held where tasks lag behind each other, and the next.
const JOURNAL: u64 = 8;
/// The dead letters of a task with state.
const LETTERS: u64 = 1;
/// An end's file, and what tells its thread to stop.
const END: u64 = 3;
/// A connection each way.
const PEER: u64 = 2;

/// What they are needed for, and how many; the sum comes last.
pub(super) fn needed(plan: &Plan, delivery: Delivery) -> (String, u64) {
    let (mut programs, mut batches, mut ends) = (0, 0, 0_u64);
    for task in &plan.local {
        match &task.role {
            Role::Stage(StageTask { mode: Mode::Batch(_), .. }) => batches += 1,
            Role::Stage(_) => programs += 1,
            Role::Source(_) | Role::Sink(_) => ends += 1,
        }
    }
    programs += batches.min(plan.slots as u64);
    let (journals, letters) = match delivery {
        Delivery::ExactlyOnce => (u64::from(plan.journals().get()), plan.local.len() as u64),
        Delivery::Memory => (0, 0),
    };
    let peers = (plan.nodes.len() as u64).saturating_sub(1);
    let sum = BASE + programs * PROGRAM + ends * END + journals * JOURNAL + letters * LETTERS + peers * PEER;
    let why = format!("{programs} programs, {ends} ends, {journals} journals, {peers} peers");
    (why, sum)
}

/// What to say where this machine does not allow as many.
pub(in crate::cli) fn warning(plan: &Plan, delivery: Delivery) -> Option<String> {
    let (why, needed) = needed(plan, delivery);
    let allowed = descriptors::hard_limit().filter(|&allowed| allowed < needed)?;
    Some(format!(
        "this node may need {needed} open files at once ({why}), and no more than {allowed} are allowed here: tasks would wait \
         for each other; raise the hard limit (ulimit -Hn, LimitNOFILE), or lower `partitions`"
    ))
}
