//! The node as a whole.

use super::page::{Labels, Page};
use super::task::flag;
use super::{Scrape, float};
use crate::explain::{RunState, Snapshot};
use std::fmt;

/// Every state, with its label.
const STATES: [(RunState, &str); 5] = [
    (RunState::Running, "running"),
    (RunState::Draining, "draining"),
    (RunState::Done, "done"),
    (RunState::Stopped, "stopped"),
    (RunState::Failed, "failed"),
];

/// What the whole node takes and does.
pub(super) fn encode(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    let snapshot = &scrape.snapshot;
    page.infos("worker_build", "Version of the worker", [vec![("version", snapshot.version.as_str())]])?;
    page.infos("worker_node", "How it delivers", [vec![("delivery", snapshot.delivery.as_str())]])?;
    let states = STATES.iter().map(|(state, name)| (vec![("state", *name)], flag(snapshot.state == *state)));
    page.gauges("worker_node_state", "1 for the state that the run is in", states)?;
    page.gauges(
        "worker_node_uptime_seconds",
        "For how long the run has been going on",
        one(snapshot.uptime_s),
    )?;
    page.gauges(
        "worker_node_start_time_seconds",
        "When the run began, in seconds since 1970",
        one(float(snapshot.started_ms) / 1000.0),
    )?;
    page.counters(
        "worker_node_read_bytes",
        "Input read by its sources, as it is stored",
        one(snapshot.read_bytes),
    )?;
    page.gauges(
        "worker_node_input_bytes",
        "Size of all input of its sources; absent where it is not known",
        snapshot.total_bytes.map(|bytes| (Labels::new(), float(bytes))),
    )?;
    page.counters(
        "worker_node_lost_records",
        "Records that restarts of other nodes may have lost, at most (memory delivery)",
        one(snapshot.lost_records),
    )?;
    page.gauges(
        "worker_node_stalls",
        "Stalls that go on: roots that work waits for",
        one(float(scrape.stalls.0)),
    )?;
    page.counters("worker_node_stalls_begun", "Stalls that ever began", one(scrape.stalls.1))?;
    page.gauges(
        "worker_node_storage_full",
        "1 while the disk that commits go to is full",
        one(flag(scrape.storage_full)),
    )?;
    resources(snapshot, page)
}

fn resources(snapshot: &Snapshot, page: &mut Page<'_, '_>) -> fmt::Result {
    let memory = &snapshot.memory;
    page.gauges(
        "worker_node_slots",
        "How many batch programs may run at once",
        one(float(snapshot.slots.total)),
    )?;
    page.gauges("worker_node_slots_used", "How many batch programs run", one(float(snapshot.slots.used)))?;
    page.gauges("worker_node_held_bytes", "Records held in memory", one(float(memory.held_bytes)))?;
    page.gauges("worker_node_spilled_bytes", "Records held on disk", one(float(memory.spilled_bytes)))?;
    page.gauges(
        "worker_node_resident_memory_bytes",
        "What the process takes of the machine's memory, without its programs",
        one(float(memory.resident_bytes)),
    )?;
    page.gauges(
        "worker_node_resident_memory_max_bytes",
        "The most it ever took",
        one(float(memory.resident_peak_bytes)),
    )
}

/// The only sample of a family.
fn one<V>(value: V) -> [(Labels<'static>, V); 1] {
    [(Labels::new(), value)]
}
