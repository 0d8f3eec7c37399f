//! A run that finds all its work done by the lives before it.

use crate::explain::words;
use crate::pipeline::Pipeline;
use crate::pipeline::plan::Plan;
use crate::report::{Outcome, Report, ReportHistory, SCHEMA};
use crate::runtime;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The report of such a run: nothing was done in it, and what earlier runs have left is counted.
pub(super) fn report(pipeline: &Pipeline, plan: &Plan, state: &Path, dead: u64) -> Report {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    Report {
        schema: SCHEMA,
        pipeline: pipeline.name.clone(),
        delivery: pipeline.delivery.word().to_owned(),
        node: plan.nodes[usize::from(plan.me.0)].clone(),
        nodes: plan.nodes.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began_ms: now_ms,
        ended_ms: now_ms,
        lasted_s: 0.0,
        outcome: Outcome::Done,
        why: Some(format!(
            "finished already, by the state in {}: this run had nothing to do, and only dead letters of earlier runs are counted here",
            words::foreign(&state.to_string_lossy())
        )),
        exit_status: 0,
        signal: None,
        read_bytes: 0,
        total_bytes: None,
        read_bytes_per_s: 0.0,
        limit: None,
        resident_peak_bytes: 0,
        held_records: 0,
        lost_records: 0,
        dropped_records: 0,
        dead_records: dead,
        dead_letters: (dead > 0).then(|| runtime::dead_dir(state).display().to_string()),
        state: None,
        went_on: true,
        dead: Vec::new(),
        chaos: None,
        stages: Vec::new(),
        tasks: Vec::new(),
        links: Vec::new(),
        stall_count: 0,
        stalls: Vec::new(),
        history: ReportHistory { step_s: 1, ..ReportHistory::default() },
    }
}
