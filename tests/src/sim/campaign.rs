//! Many seeds, on all processors.

use super::plan::Plan;
use super::{Outcome, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs a plan for each seed until one breaks a rule; gives the seed that did, the lowest of those found, and what it broke.
///
/// # Panics
/// If a thread cannot be started.
pub fn first_violation(
    seeds: impl IntoIterator<Item = u64>,
    plan_of: impl Fn(u64) -> Plan + Sync,
) -> Option<(u64, Outcome)> {
    let seeds: Vec<u64> = seeds.into_iter().collect();
    let next = AtomicU64::new(0);
    let found: Mutex<Option<(u64, Outcome)>> = Mutex::new(None);
    let work = || {
        loop {
            let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("few seeds");
            let Some(&seed) = seeds.get(at) else { return };
            if found.lock().expect("no thread panics with it").is_some() {
                return;
            }
            let outcome = run(&plan_of(seed));
            if outcome.violation.is_some() {
                let mut found = found.lock().expect("no thread panics with it");
                if found.as_ref().is_none_or(|(other, _)| seed < *other) {
                    *found = Some((seed, outcome));
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    found.into_inner().expect("no thread panics with it")
}
