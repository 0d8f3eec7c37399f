//! What a pipeline may take on this node at worst.

use super::open_files;
use crate::pipeline::plan::{LocalTask, Plan, Role, StageTask};
use crate::pipeline::{Delivery, Mode};
use crate::text::units::format_size;
use worker_core::config::TaskKind;

/// Memory and disk at worst, from the budgets of the links that begin or end here and the work that can be under way.
pub(super) fn worst(plan: &Plan, delivery: Delivery) -> String {
    let here = |task: worker_core::config::TaskId| plan.graph.task(task).node == plan.me;
    let out = plan.graph.links.iter().filter(|link| here(link.from)).count() as u64;
    let into = plan.graph.links.iter().filter(|link| here(link.to)).count() as u64;
    let batch_bytes = |task: &LocalTask| match &task.role {
        Role::Stage(StageTask { mode: Mode::Batch(batch), .. }) => Some(batch.max_bytes),
        Role::Stage(_) | Role::Source(_) | Role::Sink(_) => None,
    };
    let stages = plan.local.iter().filter(|task| matches!(task.role, Role::Stage(_))).count() as u64;
    let limits = &plan.limits;
    let outboxes = out.saturating_mul(limits.outbox_bytes);
    let inboxes = into.saturating_mul(limits.credit_bytes);
    // One that is run and one that is gathered meanwhile.
    let batches = plan
        .local
        .iter()
        .filter_map(batch_bytes)
        .fold(0, |sum: u64, max| sum.saturating_add(max.saturating_mul(2)));
    let held = stages.saturating_mul(limits.outbox_bytes);
    let (records, records_bytes) = records(plan);
    let memory = [outboxes, inboxes, batches, held, records_bytes].into_iter().fold(0, u64::saturating_add);
    let spill = out.saturating_mul(limits.spill_bytes);
    let (streams, replay) = if delivery == Delivery::ExactlyOnce { replay(plan) } else { (0, 0) };
    let line = |what: &str, bytes: u64, why: String| format!("  {what:<10}{:>10}  {why}\n", about(bytes));
    let mut text = "at worst, on this node, if every destination stands still:\n".to_owned();
    text += &line("outboxes", outboxes, format!("{out} links out x {}", format_size(limits.outbox_bytes)));
    text += &line("inboxes", inboxes, format!("{into} links in x {}", format_size(limits.credit_bytes)));
    text += &line("batches", batches, "each batch task: one at work, one gathered".to_owned());
    text += &line(
        "outputs",
        held,
        format!("{stages} stage tasks x {}, until a run has ended well", format_size(limits.outbox_bytes)),
    );
    if records > 0 {
        let why = format!("{records} records tasks: requests under way, and state");
        text += &line("records", records_bytes, why);
    }
    text += &line("memory", memory, "in all".to_owned());
    if streams > 0 {
        text += &line("replay", replay, format!("{streams} stream tasks x replay_limit"));
    }
    let why = format!("{out} links out x {}", format_size(limits.spill_bytes));
    let why = if streams > 0 { format!("{why}, and replay") } else { why };
    text += &line("disk", spill.saturating_add(replay), why);
    let (why, files) = open_files::needed(plan, delivery);
    text += &format!("  {:<10}{files:>10}  {why}\n", "open files");
    text
}

/// Records tasks here, and what their requests and state may take.
fn records(plan: &Plan) -> (u64, u64) {
    let bytes = plan.local.iter().filter_map(|task| {
        let Role::Stage(StageTask { records: Some(settings), .. }) = &task.role else { return None };
        let TaskKind::Records(spec) = &plan.graph.task(task.id).kind else { return None };
        let state = settings.key.as_ref().map_or(0, |_| settings.state_budget_bytes);
        Some(state.saturating_add(spec.in_flight_bytes))
    });
    bytes.fold((0, 0), |(tasks, sum), bytes| (tasks + 1, bytes.saturating_add(sum)))
}

/// Stream tasks here, and what the input they can be given again may take.
fn replay(plan: &Plan) -> (u64, u64) {
    let bytes = plan.local.iter().filter_map(|task| match &task.role {
        Role::Stage(StageTask { mode: Mode::Stream(stream), .. }) => Some(stream.replay_limit_bytes),
        Role::Stage(_) | Role::Source(_) | Role::Sink(_) => None,
    });
    bytes.fold((0, 0), |(tasks, sum), bytes| (tasks + 1, bytes.saturating_add(sum)))
}

/// A size to read, not to compute with.
fn about(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    units.iter().find(|(_, shift)| bytes >> shift > 0).map_or_else(
        || format!("{bytes} B"),
        |(unit, shift)| format!("{}.{} {unit}", bytes >> shift, (bytes >> (shift - 10)) % 1024 * 10 / 1024),
    )
}
