//! What a pipeline may take on this node at worst.

use super::open_files;
use crate::pipeline::plan::{LocalTask, Plan, Role, StageTask};
use crate::pipeline::{Delivery, Mode, Pipeline, Restart};
use crate::text::units::format_size;
use std::path::Path;
use worker_core::config::{STREAM_FED_BYTES, TaskKind};

/// What a worker takes that has nothing to do: its code, its threads, and pages that their allocators keep; in bytes.
const ITSELF_BYTES: u64 = 48 << 20;

/// What a source reads before its outbox has taken it, in bytes.
const READ_AHEAD_BYTES: u64 = 4 << 20;

/// What a record takes of its own length while it is asked about: in the worst case each of its bytes is six of a request (`\u0001`),
/// and its answer is read beside it.
const ASKED_TIMES: u64 = 9;

/// The same where it is read from outside, or given to a program's pipe: there, cut out, and put together.
const PASSED_TIMES: u64 = 3;

/// Something that takes room, at worst so many bytes, and why it does.
struct Share {
    what: &'static str,
    bytes: u64,
    why: String,
}

/// Memory and disk at worst, from the budgets of the links that begin or end here and the work that can be under way.
pub(super) fn worst(plan: &Plan, pipeline: &Pipeline) -> String {
    let delivery = pipeline.delivery;
    let shares = shares(plan, pipeline);
    let (sum, disk) = sums(plan, pipeline);
    let line = |what: &str, bytes: u64, why: &str| format!("  {what:<10}{:>10}  {why}\n", about(bytes));
    let mut text = "at worst, on this node, if every destination stands still:\n".to_owned();
    for Share { what, bytes, why } in &shares {
        text += &line(what, *bytes, why);
    }
    text += &line("memory", sum, "in all");
    if let Some((sources, bytes)) = perhaps_packed(plan, &pipeline.dir) {
        text += &line(
            "and up to",
            bytes,
            &format!("more for each of {sources} sources, if packed data comes of it"),
        );
    }
    let limits = &plan.limits;
    let (out, _) = links(plan);
    let (streams, replay) = if delivery == Delivery::ExactlyOnce { replay(plan) } else { (0, 0) };
    if streams > 0 {
        text += &line("replay", replay, &format!("{streams} stream tasks x replay_limit"));
    }
    let why = format!("{out} links out x {}", format_size(limits.spill_bytes));
    let why = if streams > 0 { format!("{why}, and replay") } else { why };
    text += &line("disk", disk, &why);
    let (why, files) = open_files::needed(plan, delivery);
    text += &format!("  {:<10}{files:>10}  {why}\n", "open files");
    text
}

/// Bytes of memory and of disk at worst.
pub(super) fn sums(plan: &Plan, pipeline: &Pipeline) -> (u64, u64) {
    let delivery = pipeline.delivery;
    let memory = shares(plan, pipeline).iter().fold(0, |sum: u64, share| sum.saturating_add(share.bytes));
    let spill = links(plan).0.saturating_mul(plan.limits.spill_bytes);
    let (_, replay) = if delivery == Delivery::ExactlyOnce { replay(plan) } else { (0, 0) };
    (memory, spill.saturating_add(replay))
}

/// Links that begin here, and that end here.
fn links(plan: &Plan) -> (u64, u64) {
    let here = |task: worker_core::config::TaskId| plan.graph.task(task).node == plan.me;
    let out = plan.graph.links.iter().filter(|link| here(link.from)).count() as u64;
    let into = plan.graph.links.iter().filter(|link| here(link.to)).count() as u64;
    (out, into)
}

/// Whether links lead to or come from other nodes.
fn has_peers(plan: &Plan) -> bool {
    let is_here = |task: worker_core::config::TaskId| plan.graph.task(task).node == plan.me;
    plan.graph.links.iter().any(|link| is_here(link.from) != is_here(link.to))
}

/// What takes memory.
fn shares(plan: &Plan, pipeline: &Pipeline) -> Vec<Share> {
    let delivery = pipeline.delivery;
    let limits = &plan.limits;
    let (out, into) = links(plan);
    let (outbox, half) = (format_size(limits.outbox_bytes), format_size(limits.outbox_bytes / 2));
    let share = |what: &'static str, bytes: u64, why: String| Share { what, bytes, why };
    let of = |what, count: u64, each: u64, why| share(what, count.saturating_mul(each), why);
    let sources = plan.local.iter().filter(|task| matches!(task.role, Role::Source(_))).count() as u64;
    let gives = |task: &&LocalTask| matches!(&task.role, Role::Stage(stage) if stage.gives);
    let stages = plan.local.iter().filter(gives).count() as u64;
    let mut shares = vec![
        share("itself", ITSELF_BYTES, "its code and its threads".to_owned()),
        of("read", sources, READ_AHEAD_BYTES, format!("{sources} sources: what they have read ahead")),
        of("outboxes", out, limits.outbox_bytes, format!("{out} links out x {outbox}")),
        of(
            "inboxes",
            into,
            limits.credit_bytes,
            format!("{into} links in x {}", format_size(limits.credit_bytes)),
        ),
        // One that is run and one that is gathered meanwhile.
        share("batches", batches(plan), "each batch task: one at work, one gathered".to_owned()),
        of(
            "outputs",
            stages,
            limits.outbox_bytes,
            format!("{stages} stage tasks x {outbox}, until a run has ended well"),
        ),
    ];
    if has_peers(plan) {
        let why = "links to and from other nodes, over long distances, all together".to_owned();
        shares.push(share("distance", limits.shared_credit_bytes, why));
    }
    let (packed, bytes) = packed(plan, &pipeline.dir);
    if packed > 0 {
        shares.push(share("unpacking", bytes, format!("{packed} sources whose files are packed")));
    }
    let (records, bytes) = records(plan);
    if records > 0 {
        shares.push(share(
            "records",
            bytes,
            format!("{records} records tasks: requests under way, and state"),
        ));
    }
    let (fed, bytes) = fed(plan);
    if fed > 0 {
        shares.push(share(
            "fed",
            bytes,
            format!("{fed} stream tasks: what their programs have not read yet"),
        ));
    }
    let bytes = long(plan, pipeline.budgets.max_record_bytes, sources);
    if bytes > 0 {
        let why =
            format!("one record of max_record at each of them, {}", about(pipeline.budgets.max_record_bytes));
        shares.push(share("long", bytes, why));
    }
    if delivery == Delivery::ExactlyOnce {
        let journals = plan.local.len() as u64;
        let why = format!("{journals} journals x {half}: what waits for the disk");
        shares.push(of("commits", journals, limits.outbox_bytes / 2, why));
    } else if let (kept @ 1.., bytes) = kept(plan) {
        shares.push(share("kept", bytes, format!("{kept} sinks with restart x replay_limit")));
    }
    shares
}

/// Sources whose files are packed now, and what one file of each takes at most.
fn packed(plan: &Plan, dir: &Path) -> (u64, u64) {
    let each = plan.local.iter().filter_map(|task| match &task.role {
        Role::Source(source) => source.input.decodes(dir).iter().map(|(_, bytes)| *bytes).max(),
        Role::Stage(_) | Role::Sink(_) => None,
    });
    each.fold((0, 0), |(count, sum): (u64, u64), bytes| (count + 1, sum.saturating_add(bytes)))
}

/// Sources of which only the run shows whether their input is packed, and what each takes at most then.
fn perhaps_packed(plan: &Plan, dir: &Path) -> Option<(usize, u64)> {
    let each: Vec<_> = plan
        .local
        .iter()
        .filter_map(|task| match &task.role {
            Role::Source(source) => source.input.may_decode(dir),
            Role::Stage(_) | Role::Sink(_) => None,
        })
        .collect();
    each.iter().max().map(|bytes| (each.len(), *bytes))
}

fn batches(plan: &Plan) -> u64 {
    let bytes = plan.local.iter().filter_map(|task| match &task.role {
        Role::Stage(StageTask { mode: Mode::Batch(batch), .. }) => Some(batch.max_bytes),
        Role::Stage(_) | Role::Source(_) | Role::Sink(_) => None,
    });
    bytes.fold(0, |sum: u64, max| sum.saturating_add(max.saturating_mul(2)))
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

/// What sources, records tasks and stream tasks take over what they may otherwise, where a record is as long as one may be: one goes
/// through whatever the budgets are.
fn long(plan: &Plan, max_record: u64, sources: u64) -> u64 {
    let over = |(tasks, budget): (u64, u64), times: u64| {
        tasks.saturating_mul(max_record).saturating_mul(times).saturating_sub(budget)
    };
    let (records, _) = records(plan);
    over((sources, sources.saturating_mul(READ_AHEAD_BYTES)), PASSED_TIMES)
        .saturating_add(over((records, 0), ASKED_TIMES))
        .saturating_add(over(fed(plan), PASSED_TIMES))
}

/// Stream tasks here, and what may be on its way to their programs.
fn fed(plan: &Plan) -> (u64, u64) {
    let is_stream =
        |task: &&LocalTask| matches!(&task.role, Role::Stage(StageTask { mode: Mode::Stream(_), .. }));
    let tasks = plan.local.iter().filter(is_stream).count() as u64;
    (tasks, tasks.saturating_mul(STREAM_FED_BYTES))
}

/// In memory: sinks here whose program is given its input again when it fails, and what is kept for that.
fn kept(plan: &Plan) -> (u64, u64) {
    let bytes = plan.local.iter().filter_map(|task| match &task.role {
        Role::Stage(StageTask { mode: Mode::Stream(stream), .. }) if stream.restart != Restart::Never => {
            Some(stream.replay_limit_bytes)
        }
        Role::Stage(_) | Role::Source(_) | Role::Sink(_) => None,
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
