//! The node as a whole.

use super::page::{Labels, Page};
use super::table::{self, Metric, Read, flag, metric};
use super::{Scrape, float};
use crate::explain::RunState;
use std::fmt;

/// Every state, with its label.
const STATES: [(RunState, &str); 5] = [
    (RunState::Running, "running"),
    (RunState::Draining, "draining"),
    (RunState::Done, "done"),
    (RunState::Stopped, "stopped"),
    (RunState::Failed, "failed"),
];

const NODE: &[Metric<Scrape>] = &[
    metric(
        "worker_node_uptime_seconds",
        "For how long the run has been going on",
        Read::Amount(|s| s.snapshot.uptime_s),
    ),
    metric(
        "worker_node_start_time_seconds",
        "When the run began, in seconds since 1970",
        Read::Amount(|s| float(s.snapshot.started_ms) / 1000.0),
    ),
    metric(
        "worker_node_read_bytes",
        "Input read by its sources, as it is stored",
        Read::Count(|s| s.snapshot.read_bytes),
    ),
    metric(
        "worker_node_input_bytes",
        "Size of all input of its sources; absent where it is not known",
        Read::Known(|s| s.snapshot.total_bytes),
    ),
    metric(
        "worker_node_lost_records",
        "Records that restarts of other nodes may have lost, at most (memory delivery)",
        Read::Count(|s| s.snapshot.lost_records),
    ),
    metric("worker_node_stalls", "Stalls that go on: roots that work waits for", Read::Level(|s| s.stalls.0)),
    metric("worker_node_stalls_begun", "Stalls that ever began", Read::Count(|s| s.stalls.1)),
    metric(
        "worker_node_storage_full",
        "1 while the disk that commits go to is full",
        Read::Is(|s| s.storage_full),
    ),
    metric(
        "worker_node_slots",
        "How many batch programs may run at once",
        Read::Level(|s| s.snapshot.slots.total),
    ),
    metric("worker_node_slots_used", "How many batch programs run", Read::Level(|s| s.snapshot.slots.used)),
    metric("worker_node_held_bytes", "Records held in memory", Read::Level(|s| s.snapshot.memory.held_bytes)),
    metric(
        "worker_node_spilled_bytes",
        "Records held on disk",
        Read::Level(|s| s.snapshot.memory.spilled_bytes),
    ),
    metric(
        "worker_node_resident_memory_bytes",
        "What the process takes of the machine's memory, without its programs",
        Read::Level(|s| s.snapshot.memory.resident_bytes),
    ),
    metric(
        "worker_node_resident_memory_max_bytes",
        "The most it ever took",
        Read::Level(|s| s.snapshot.memory.resident_peak_bytes),
    ),
];

/// What the whole node takes and does.
pub(super) fn encode(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    let snapshot = &scrape.snapshot;
    page.infos("worker_build", "Version of the worker", [vec![("version", snapshot.version.as_str())]])?;
    page.infos("worker_node", "How it delivers", [vec![("delivery", snapshot.delivery.as_str())]])?;
    let states = STATES.iter().map(|(state, name)| (vec![("state", *name)], flag(snapshot.state == *state)));
    page.gauges("worker_node_state", "1 for the state that the run is in", states)?;
    let refused = scrape.refusals.iter().map(|(reason, count)| (vec![("reason", *reason)], *count));
    page.counters(
        "worker_admin_refused",
        "Connections and requests that the admin address has closed or refused, by the reason",
        refused,
    )?;
    table::encode(NODE, std::slice::from_ref(scrape), |_| Labels::new(), page)
}
