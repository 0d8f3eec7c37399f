//! Faults on purpose, by a schedule that a seed repeats: `--chaos SEED`.
//!
//! A *site* is one place where faults happen again and again: the programs of one task, the connections to one peer, the writes of
//! one kind to disk. What befalls its n-th passage follows from the seed, the site and n alone, never from the clock. No site fails
//! more than [`IN_A_ROW_MAX`] times without success between, so that work goes on at any rate.

mod counts;
mod cut;
mod doom;
mod rates;
mod report;

pub use counts::Counts;
pub use cut::Cut;
pub use doom::{Doom, Moment};
pub use rates::{Rates, RatesError};
pub use report::{Injected, ReportChaos};

use crate::fault::{self, Mishap};
use crate::mutex::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use worker_core::config::TaskKind;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So often a site fails before it is let through once.
pub const IN_A_ROW_MAX: u32 = 2;

/// How far the seeds of two lives of a worker are from each other.
const LIFE_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// What is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A program of a stage is killed.
    Program,
    /// A connection between nodes is cut, or cannot be made.
    Link,
    /// A write to disk finds no room, at once or when half of it is done.
    Disk,
    /// What was written could not be made durable: the process ends by that, and what the disk has counts.
    Sync,
    /// The disk takes its time.
    Slow,
    /// This process is killed.
    Process,
}

impl Fault {
    const ALL: [Self; 6] = [Self::Program, Self::Link, Self::Disk, Self::Sync, Self::Slow, Self::Process];

    /// As `--chaos-rate` and the file of counts call it.
    fn name(self) -> &'static str {
        match self {
            Self::Program => "programs",
            Self::Link => "links",
            Self::Disk => "disks",
            Self::Sync => "syncs",
            Self::Slow => "slow",
            Self::Process => "nodes",
        }
    }
}

/// The schedule, and what came of it so far.
#[derive(Debug)]
pub struct Chaos {
    seed: u64,
    /// What the schedule follows from: of each life of a worker another.
    schedule: u64,
    rates: Rates,
    sites: Mutex<BTreeMap<(Fault, String), Site>>,
    counts: Counts,
    /// Somebody starts this process again.
    may_end: bool,
    /// Stages that it leaves alone, and why.
    spared: Vec<String>,
}

/// One place where faults happen.
#[derive(Debug, Default)]
struct Site {
    passed: u64,
    in_a_row: u32,
}

impl Chaos {
    #[must_use]
    pub fn new(seed: u64, rates: Rates, spared: Vec<String>) -> Self {
        let (sites, counts) = (Mutex::default(), Counts::default());
        Self { seed, schedule: seed, rates, sites, counts, may_end: true, spared }
    }

    /// The same in one of the lives of a worker that is started again: life 1 is the first. The last one does not end by faults.
    #[must_use]
    pub fn in_life(self, life: u64, counts: Counts, may_end: bool) -> Self {
        let schedule = self.seed.wrapping_add(life.saturating_sub(1).wrapping_mul(LIFE_STEP));
        Self { schedule, counts, may_end, ..self }
    }

    /// What decides the next passage of a site: numbers that follow from the seed; `None`: it is let through, as it has failed often
    /// enough.
    fn next(&self, fault: Fault, site: &str) -> Option<Draws> {
        let mut sites = lock(&self.sites);
        let here = sites.entry((fault, site.to_owned())).or_default();
        here.passed += 1;
        if here.in_a_row >= IN_A_ROW_MAX {
            here.in_a_row = 0;
            return None;
        }
        let seed = self.schedule ^ (fault as u64) << 56;
        let site = xxh3_64_with_seed(site.as_bytes(), seed);
        Some(Draws { site, passage: here.passed, rate: self.rates.of(fault) })
    }

    /// Whether the next passage of a site fails; then it is counted at once.
    pub fn strikes(&self, fault: Fault, site: &str) -> bool {
        let struck = self.next(fault, site).is_some_and(|draws| draws.hit(0));
        if struck {
            self.struck(fault, site)
        } else {
            self.passed(fault, site)
        }
        struck
    }

    /// The fault has happened.
    fn struck(&self, fault: Fault, site: &str) {
        if let Some(site) = lock(&self.sites).get_mut(&(fault, site.to_owned())) {
            site.in_a_row += 1;
        }
        self.counts.add(fault);
    }

    /// The site was passed without a fault.
    fn passed(&self, fault: Fault, site: &str) {
        if let Some(site) = lock(&self.sites).get_mut(&(fault, site.to_owned())) {
            site.in_a_row = 0;
        }
    }

    /// What was injected so far.
    #[must_use]
    pub fn report(&self) -> ReportChaos {
        ReportChaos {
            seed: self.seed,
            rates: self.rates.to_string(),
            injected: self.counts.injected(),
            spared: self.spared.clone(),
        }
    }
}

/// Operations that find no room on a full disk, and are done again when there is some.
const DONE_AGAIN: [&str; 5] =
    ["journal.write", "sink.write", "dead.write", "journal.create", "journal.allocate"];

/// Writes that may do half of their work.
const HALF_DONE: [&str; 2] = ["journal.write", "sink.write"];

/// What ends the process where it fails, and may be slow.
const SYNCS: [&str; 2] = ["journal.sync", "sink.sync"];

/// How long a slow disk takes for one operation.
const SLOW: Duration = Duration::from_millis(50);

/// The disk and the death of this process, as the schedule has them.
#[derive(Debug)]
struct Writes(Arc<Chaos>);

impl fault::Schedule for Writes {
    fn mishap(&self, operation: &str) -> Option<Mishap> {
        let strikes = |fault, at: &[&str]| at.contains(&operation) && self.0.strikes(fault, operation);
        if self.0.may_end && strikes(Fault::Sync, &SYNCS) {
            return Some(Mishap::Failed);
        }
        if strikes(Fault::Disk, &DONE_AGAIN) {
            return Some(Mishap::Full);
        }
        let is_slow = strikes(Fault::Slow, &SYNCS) || strikes(Fault::Slow, &HALF_DONE);
        is_slow.then_some(Mishap::Slow(SLOW))
    }

    fn is_short(&self, operation: &str) -> bool {
        HALF_DONE.contains(&operation) && self.0.strikes(Fault::Disk, &format!("half a {operation}"))
    }

    fn dies(&self, operation: &str) -> bool {
        self.0.may_end && self.0.rates.has(Fault::Process) && self.0.strikes(Fault::Process, operation)
    }
}

/// Lets the disk and this process fail as the schedule has it.
pub fn begin(chaos: &Arc<Chaos>) {
    let fails = [Fault::Disk, Fault::Sync, Fault::Slow, Fault::Process];
    if fails.into_iter().any(|fault| chaos.rates.has(fault)) {
        fault::follow(Box::new(Writes(Arc::clone(chaos))));
    }
}

/// Whether the program of a task can die without its pipeline failing of it.
pub(crate) fn may_be_killed(kind: &TaskKind, has_journal: bool) -> bool {
    match kind {
        TaskKind::Batch(_) | TaskKind::Records(_) => true,
        TaskKind::Stream(stream) => has_journal || stream.restart.is_some(),
        TaskKind::Source | TaskKind::Sink => false,
    }
}

/// Numbers of one passage of one site.
#[derive(Clone, Copy, Debug)]
struct Draws {
    site: u64,
    passage: u64,
    rate: f64,
}

impl Draws {
    /// The n-th number, of 64 bits.
    fn bits(&self, n: u64) -> u64 {
        let [passage, n] = [self.passage, n].map(u64::to_le_bytes);
        xxh3_64_with_seed(&[passage, n].concat(), self.site)
    }

    /// Whether the n-th number is below the rate.
    #[expect(clippy::cast_precision_loss, reason = "a chance of 53 bits is as good")]
    fn hit(&self, n: u64) -> bool {
        ((self.bits(n) >> 11) as f64) < self.rate * (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
