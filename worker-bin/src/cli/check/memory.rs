//! What a pipeline may take on this node at worst.

use crate::pipeline::plan::{LocalTask, Plan, Role, StageTask};
use crate::pipeline::{Mode, units::format_size};

/// Memory and disk at worst, from the budgets of the links that begin or end here and the batches that can be at work.
pub(super) fn worst(plan: &Plan) -> String {
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
    let memory = [outboxes, inboxes, batches, held].into_iter().fold(0, u64::saturating_add);
    let spill = out.saturating_mul(limits.spill_bytes);
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
    text += &line("memory", memory, "in all".to_owned());
    text += &line("disk", spill, format!("{out} links out x {}", format_size(limits.spill_bytes)));
    text
}

/// A size to read, not to compute with.
fn about(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    units.iter().find(|(_, shift)| bytes >> shift > 0).map_or_else(
        || format!("{bytes} B"),
        |(unit, shift)| format!("{}.{} {unit}", bytes >> shift, (bytes >> (shift - 10)) % 1024 * 10 / 1024),
    )
}
