//! Faults on purpose, by a schedule that a seed repeats: `--chaos SEED`.
//!
//! A *site* is one place where faults happen again and again: the programs of one task, the connections to one peer, the writes of
//! one kind to disk. What befalls its n-th passage follows from the seed, the site and n alone, never from the clock. No site fails
//! more than [`IN_A_ROW_MAX`] times without success between, so that work goes on at any rate.

mod cut;
mod doom;
mod rates;
mod report;

pub use cut::Cut;
pub use doom::{Doom, Moment};
pub use rates::{Rates, RatesError};
pub use report::{Injected, ReportChaos};

use crate::fault;
use crate::mutex::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use worker_core::config::TaskKind;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So often a site fails before it is let through once.
pub const IN_A_ROW_MAX: u32 = 2;

/// What is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A program of a stage is killed.
    Program,
    /// A connection between nodes is cut, or cannot be made.
    Link,
    /// A write to disk finds no room.
    Disk,
    /// This process is killed.
    Process,
}

/// The schedule, and what came of it so far.
#[derive(Debug)]
pub struct Chaos {
    seed: u64,
    rates: Rates,
    sites: Mutex<BTreeMap<(Fault, String), Site>>,
    injected: [AtomicU64; 3],
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
        Self { seed, rates, sites: Mutex::default(), injected: Default::default(), spared }
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
        let seed = self.seed ^ (fault as u64) << 56;
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
        if let Some(count) = self.injected.get(fault as usize) {
            count.fetch_add(1, Relaxed);
        }
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
        let count = |fault: Fault| self.injected.get(fault as usize).map_or(0, |count| count.load(Relaxed));
        ReportChaos {
            seed: self.seed,
            rates: self.rates.to_string(),
            injected: Injected {
                programs: count(Fault::Program),
                links: count(Fault::Link),
                disks: count(Fault::Disk),
            },
            spared: self.spared.clone(),
        }
    }
}

/// Operations that find no room on a full disk, and are done again when there is some.
const DONE_AGAIN: [&str; 5] =
    ["journal.write", "sink.write", "dead.write", "journal.create", "journal.allocate"];

/// The writes of this process, as the schedule has it.
#[derive(Debug)]
struct Writes(Arc<Chaos>);

impl fault::Schedule for Writes {
    fn is_full(&self, operation: &str) -> bool {
        DONE_AGAIN.contains(&operation) && self.0.strikes(Fault::Disk, operation)
    }

    fn dies(&self, operation: &str) -> bool {
        self.0.rates.has(Fault::Process) && self.0.strikes(Fault::Process, operation)
    }
}

/// Lets the writes of this process fail as the schedule has it.
pub fn begin(chaos: &Arc<Chaos>) {
    if chaos.rates.has(Fault::Disk) || chaos.rates.has(Fault::Process) {
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
