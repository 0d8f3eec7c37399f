//! Random runs in which the order of the source is kept over tasks that work side by side.

use super::check::{Check, Checked, require};
use super::fault::Fault;
use super::plan::{Delivery, Outside, Plan, Stage, StageKind, random_batch, random_outside};
use super::program::{BatchProgram, RecordsProgram, StreamProgram};
use super::rng::Rng;
use bytes::Bytes;
use std::num::NonZeroUsize;
use std::time::Duration;
use worker_core::config::{MaxDead, OnError, RecordsSpec, Retry, StreamSpec, Window};
use worker_core::route::PartitionBy;

/// How far the records of one source have come: by their number, and by what was made of each.
#[derive(Debug, Default)]
pub(super) struct InOrder(Option<(u64, Bytes)>);

impl InOrder {
    /// The next record is none that comes before the last.
    pub(super) fn next(&mut self, record: &[u8]) -> Checked {
        let Some(place) = place(record) else { return Ok(()) };
        let last = self.0.replace(place.clone());
        require(last.as_ref().is_none_or(|last| *last <= place), Check::InOrder, || {
            format!("{} is written behind {last:?}", String::from_utf8_lossy(record))
        })
    }
}

/// Number and path; `None` for what is made of no record of a source.
fn place(record: &[u8]) -> Option<(u64, Bytes)> {
    let text = std::str::from_utf8(record).ok()?;
    let (_, rest) = text.split_once('#')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let path = rest.rsplit_once(':').map_or("", |(_, path)| path);
    Some((rest[..digits].parse().ok()?, Bytes::copy_from_slice(path.as_bytes())))
}

impl Plan {
    /// One source, and all that reads from it in its order, in memory or with a journal for each task, with random faults and crashes.
    #[must_use]
    pub fn in_order(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x006f_7264_6572_6564);
        let mut plan = if rng.chance(60) { Self::exactly_once(seed) } else { Self::random(seed) };
        plan.stages = stages(&mut rng, &plan);
        let last = plan.stages.len() - 1;
        let in_memory = plan.delivery == Delivery::Memory;
        // In memory a node that comes back ends the run, and one that stays away keeps all that is behind it.
        let stays = |fault: &Fault| !(in_memory && matches!(fault, Fault::Crash { .. }));
        plan.faults.retain(|scheduled| stays(&scheduled.fault));
        for scheduled in &mut plan.faults {
            if let Fault::SlowSinks { stage, .. } = &mut scheduled.fault {
                *stage = last;
            }
        }
        plan.drain_at = plan.drain_at.filter(|_| plan.sources_only_send());
        plan.keep_letters_small();
        plan
    }
}

fn stages(rng: &mut Rng, plan: &Plan) -> Vec<Stage> {
    let journaled = plan.is_journaled();
    let outside = if journaled { random_outside(rng) } else { Outside::File };
    let source = StageKind::Source {
        records: rng.pick(&[0, 7, 40, 150]),
        chunk: rng.within(1, 30),
        every_us: rng.pick(&[10, 3_000, 30_000]),
        padding: rng.pick(&[0, 30, 200]),
        keyless: rng.chance(40),
        outside,
    };
    let mut stages = Vec::new();
    push(rng, &mut stages, plan, (Vec::new(), 1, None), source);
    for index in 0..usize::try_from(rng.within(1, 3)).expect("few stages") {
        let most = if rng.chance(80) { 3 } else { 1 };
        let partitions = rng.within(1, most);
        let kind = match rng.below(10) {
            0 | 1 if partitions == 1 => stream(rng),
            0..=2 if journaled => records(rng),
            _ => batch(rng, journaled),
        };
        push(rng, &mut stages, plan, (vec![index], partitions, None), kind);
    }
    let readers =
        if rng.chance(30) { vec![rng.index(stages.len()), stages.len() - 1] } else { vec![stages.len() - 1] };
    for from in readers {
        let kind = StageKind::Sink { record_us: rng.pick(&[1, 200, 2_000]), leaves_percent: 0 };
        let field = PartitionBy::Field { index: NonZeroUsize::MIN.saturating_add(1), delimiter: None };
        let by = rng.chance(25).then_some(field);
        let partitions = if by.is_some() { rng.within(1, 3) } else { 1 };
        push(rng, &mut stages, plan, (vec![from], partitions, by), kind);
    }
    stages
}

fn push(
    rng: &mut Rng,
    stages: &mut Vec<Stage>,
    plan: &Plan,
    (from, partitions, by): (Vec<usize>, u64, Option<PartitionBy>),
    kind: StageKind,
) {
    let letter = char::from(b'a' + u8::try_from(stages.len()).expect("few stages"));
    let nodes = (0..partitions).map(|_| u16::try_from(rng.index(plan.nodes)).expect("few nodes")).collect();
    let in_order = !from.is_empty();
    stages.push(Stage { letter, from, nodes, by, in_order, kind });
}

fn batch(rng: &mut Rng, journaled: bool) -> StageKind {
    let mut kind = random_batch(rng);
    if let StageKind::Batch { program, .. } = &mut kind
        && journaled
        && rng.chance(8)
    {
        *program = BatchProgram::KillOn(97);
    }
    kind
}

fn stream(rng: &mut Rng) -> StageKind {
    let window = match rng.below(3) {
        0 => Some(Window::Records(rng.within(1, 20))),
        1 => Some(Window::Every(Duration::from_millis(rng.within(1, 500)))),
        _ => None,
    };
    StageKind::Stream {
        program: StreamProgram::Identity,
        spec: StreamSpec { window, early_exit_is_done: false, replay_bytes: u64::MAX, restart: None },
        record_us: rng.pick(&[1, 500]),
        dies_percent: 0,
    }
}

fn records(rng: &mut Rng) -> StageKind {
    let program = match rng.below(4) {
        0 => RecordsProgram::Fail(19),
        1 => RecordsProgram::Chance(10),
        _ => RecordsProgram::Count,
    };
    let spec = RecordsSpec {
        in_flight: rng.pick(&[1, 5, 64]),
        in_flight_bytes: rng.pick(&[1, 500, 64_000]),
        tick: rng.pick(&[None, None, Some(Duration::from_millis(20))]),
        retry: Retry { max_attempts: 3, initial: Duration::from_millis(10), max: Duration::from_millis(200) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(u64::MAX),
    };
    StageKind::Records { program, spec, inline: rng.chance(50), record_us: rng.pick(&[1, 300]) }
}
