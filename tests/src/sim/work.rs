//! How long a pipeline's work takes when nothing goes wrong, from above.

use super::fault::Fault;
use super::plan::{Plan, StageKind};
use super::program::{BatchProgram, RecordsProgram, StreamProgram};
use worker_core::config::Window;

/// An upper bound of the time that all records need, in µs, if each went through alone.
pub(super) fn of(plan: &Plan) -> u64 {
    let mut records: Vec<u64> = Vec::new();
    let mut total = 0;
    for (index, stage) in plan.stages.iter().enumerate() {
        let incoming: u64 = stage.from.iter().map(|&from| records[from]).sum();
        let hop = 4 * plan.net.latency_us.1
            + 2 * plan.persist_us
            + 3 * (plan.disk.sync_us.1 + plan.disk.behind_us)
            + 4 * plan.store_us
            + 300_000 / plan.net.bytes_per_ms.max(1);
        let (each, outgoing) = match &stage.kind {
            StageKind::Source { records, chunk, every_us, .. } => {
                let partitions = stage.nodes.len() as u64;
                total += (records / chunk.max(&1) + 2) * every_us;
                (0, records * partitions)
            }
            StageKind::Batch { program, spec, cost_us } => {
                let linger = u64::try_from(spec.linger.as_micros()).expect("short");
                let (retries, factor) = match program {
                    BatchProgram::FailOn(_) | BatchProgram::Chance(_) => (600_000, 1),
                    // Each record that kills is found in so many deaths, and as many lives.
                    BatchProgram::KillOn(_) => (6_000_000, 1),
                    BatchProgram::Multiply(copies) => (0, *copies),
                    BatchProgram::Identity | BatchProgram::Filter(_) | BatchProgram::FailAlways => (0, 1),
                };
                (linger + 2 * (cost_us.0 + cost_us.1) + retries, incoming * factor)
            }
            StageKind::Stream { program, spec, record_us, .. } => {
                let window = match spec.window {
                    Some(Window::Every(every)) => u64::try_from(every.as_micros()).expect("short"),
                    Some(Window::Records(_)) | None => 0,
                };
                let counts = *program == StreamProgram::Count;
                total += window;
                let copies = if *program == StreamProgram::Both { 2 } else { 1 };
                let retries = if spec.restart.is_some() { 600_000 } else { 0 };
                (2 * record_us + 20 + retries + if counts { window } else { 0 }, incoming * copies)
            }
            StageKind::Records { program, record_us, .. } => {
                let retries = match program {
                    RecordsProgram::DieOn(_) | RecordsProgram::Chance(_) => 600_000,
                    RecordsProgram::Count | RecordsProgram::Flip | RecordsProgram::Fail(_) => 0,
                };
                (2 * record_us + retries, 2 * incoming)
            }
            StageKind::Sink { record_us, .. } => (record_us * slowest(plan, index), incoming),
        };
        total += (incoming + 4 * stage.nodes.len() as u64) * (each + hop) + 1_000_000;
        records.push(outgoing);
    }
    total
}

/// How many times slower the sinks of a stage are for good.
fn slowest(plan: &Plan, stage: usize) -> u64 {
    let times = plan.faults.iter().filter_map(|scheduled| {
        let Fault::SlowSinks { stage: slow, times, for_us } = scheduled.fault else { return None };
        // One write that began before the heal takes its time.
        (slow == stage).then(|| if for_us.is_none() { times } else { times.min(20) })
    });
    times.max().unwrap_or(1)
}
