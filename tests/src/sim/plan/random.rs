//! Pipelines as seeds make them.

use super::{Delivery, DiskPlan, Net, Outside, Plan, SPILL_OF_ALL, Stage, StageKind, batch_spec};
use crate::sim::fault::random_faults;
use crate::sim::program::{BatchProgram, StreamProgram};
use crate::sim::rng::Rng;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;
use worker_core::config::{Limits, MaxDead, OnError, Retry, StreamSpec, Window};
use worker_core::route::PartitionBy;

impl Plan {
    /// A small random pipeline on two to four nodes with random faults.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = usize::try_from(rng.within(2, 4)).expect("a small number");
        let stages = random_stages(&mut rng, nodes);
        let heal_us = rng.within(1_000_000, 12_000_000);
        let mut plan = Self {
            seed: rng.any(),
            nodes,
            stages,
            limits: Limits {
                credit_bytes: rng.pick(&[1, 60, 300, 2_000, 64_000]),
                outbox_bytes: rng.pick(&[1, 100, 600, 5_000, 1_000_000]),
                spill_bytes: rng.pick(&[1, 1_000, 20_000, SPILL_OF_ALL]),
                shared_credit_bytes: 0,
            },
            headed: BTreeSet::new(),
            slots: usize::try_from(rng.within(1, 3)).expect("a small number"),
            redial: Retry {
                max_attempts: 1,
                initial: Duration::from_millis(rng.pick(&[5, 50, 100])),
                max: Duration::from_millis(rng.pick(&[200, 1_000, 2_000])),
            },
            linger: Duration::from_secs(30),
            net: Net {
                latency_us: rng.pick(&[(20, 100), (500, 2_000), (1_000, 30_000)]),
                bytes_per_ms: rng.pick(&[20, 1_000, 100_000]),
                window_frames: usize::try_from(rng.pick(&[1, 2, 8, 32])).expect("a small number"),
                codec: rng.chance(25),
            },
            persist_us: if rng.chance(30) { rng.within(1, 20_000) } else { 0 },
            store_us: rng.pick(&[0, 100, 5_000]),
            faults: Vec::new(),
            heal_us,
            drain_at: None,
            delivery: Delivery::Memory,
            disk: DiskPlan::default(),
            understated_percent: 0,
            stillborn_percent: rng.pick(&[0, 0, 5, 20]),
            bug: None,
            halts: false,
        };
        if rng.chance(10) && plan.sources_only_send() {
            plan.drain_at = Some(rng.below(heal_us));
        }
        random_faults(&mut plan, &mut rng);
        plan.keep_letters_small();
        plan.limits.shared_credit_bytes = rng.pick(&[0, 300, 3_000, 1_000_000]);
        plan
    }
}

pub(in crate::sim) fn random_stages(rng: &mut Rng, nodes: usize) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    // Sources on few nodes leave others that may die.
    let source_nodes = rng.within(1, 2).min(nodes as u64 - 1);
    for _ in 0..rng.within(1, 2) {
        let kind = StageKind::Source {
            records: rng.pick(&[0, 7, 40, 100]),
            chunk: rng.within(1, 12),
            every_us: rng.pick(&[10, 3_000, 100_000]),
            padding: rng.pick(&[0, 30, 200]),
            keyless: rng.chance(40),
            outside: random_outside(rng),
        };
        push_stage(rng, &mut stages, Vec::new(), source_nodes, kind);
    }
    for _ in 0..rng.within(0, 3) {
        let from = random_from(rng, stages.len());
        let kind = if rng.chance(75) { random_batch(rng) } else { random_stream(rng) };
        push_stage(rng, &mut stages, from, nodes as u64, kind);
    }
    push_ends(rng, &mut stages, nodes as u64, |rng| match rng.below(10) {
        0 => random_batch(rng),
        1 => stream_that_is_a_sink(rng),
        _ => StageKind::Sink {
            record_us: rng.pick(&[1, 200, 5_000]),
            leaves_percent: rng.pick(&[0, 0, 0, 0, 0, 0, 5]),
        },
    });
    stages
}

/// Pushes a stage of some `kind` behind each that nobody reads, and behind some others.
pub(in crate::sim) fn push_ends(
    rng: &mut Rng,
    stages: &mut Vec<Stage>,
    nodes: u64,
    kind: impl Fn(&mut Rng) -> StageKind,
) {
    for index in 0..stages.len() {
        let unread = !stages.iter().any(|stage| stage.from.contains(&index));
        if unread || rng.chance(20) {
            let mut from = vec![index];
            if index > 0 && rng.chance(20) {
                from.insert(0, rng.index(index));
            }
            let kind = kind(rng);
            push_stage(rng, stages, from, nodes, kind);
        }
    }
}

pub(in crate::sim) fn push_stage(
    rng: &mut Rng,
    stages: &mut Vec<Stage>,
    from: Vec<usize>,
    nodes: u64,
    kind: StageKind,
) {
    let index = u8::try_from(stages.len()).expect("few stages");
    let two = NonZeroUsize::MIN.saturating_add(1);
    let by = match rng.below(4) {
        0 => None,
        1 => Some(PartitionBy::Record),
        _ => Some(PartitionBy::Field { index: two, delimiter: None }),
    };
    let partitions = rng.within(1, 3);
    let nodes = (0..partitions).map(|_| u16::try_from(rng.below(nodes)).expect("few nodes")).collect();
    stages.push(Stage { letter: char::from(b'a' + index), from, nodes, by, in_order: false, kind });
}

pub(in crate::sim) fn random_from(rng: &mut Rng, stages: usize) -> Vec<usize> {
    let first = rng.index(stages);
    let second = rng.index(stages);
    if first != second && rng.chance(30) { vec![first.min(second), first.max(second)] } else { vec![first] }
}

pub(in crate::sim) fn random_outside(rng: &mut Rng) -> Outside {
    if rng.chance(25) { Outside::Program { last_words: rng.pick(&[0, 3, 40]) } } else { Outside::File }
}

/// A stream's program that nobody reads; often started again when it fails.
pub(in crate::sim) fn stream_that_is_a_sink(rng: &mut Rng) -> StageKind {
    let mut kind = random_stream(rng);
    if let StageKind::Stream { program, spec, dies_percent, .. } = &mut kind {
        if rng.chance(70) {
            let (initial, max) = (Duration::from_millis(10), Duration::from_millis(200));
            spec.restart = Some(Retry { max_attempts: 1, initial, max });
            *dies_percent = rng.pick(&[0, 10, 30]);
        }
        if matches!(program, StreamProgram::Head(_)) && rng.chance(70) {
            *program = StreamProgram::Sort;
            spec.early_exit_is_done = false;
        }
    }
    kind
}

pub(in crate::sim) fn random_batch(rng: &mut Rng) -> StageKind {
    let program = match rng.below(8) {
        0 => BatchProgram::Filter(3),
        1 => BatchProgram::Multiply(rng.within(2, 3)),
        2 => BatchProgram::FailOn(19),
        3 => BatchProgram::Chance(rng.pick(&[5, 30])),
        _ => BatchProgram::Identity,
    };
    let mut spec = batch_spec(rng.pick(&[1, 200, 5_000]), rng.pick(&[1, 5, 1_000]), rng.pick(&[0, 5, 50]));
    match rng.below(20) {
        0 => spec.on_error = OnError::Halt,
        1 => spec.max_dead = MaxDead::Records(rng.within(0, 3)),
        _ => {}
    }
    StageKind::Batch { program, spec, cost_us: (rng.pick(&[50, 2_000]), rng.pick(&[1, 100])) }
}

pub(in crate::sim) fn random_stream(rng: &mut Rng) -> StageKind {
    let program = match rng.below(6) {
        0 => StreamProgram::Head(rng.within(1, 30)),
        1 => StreamProgram::Count,
        2 | 3 => StreamProgram::Sort,
        _ => StreamProgram::Identity,
    };
    let window = match rng.below(3) {
        0 => Some(Window::Records(rng.within(1, 20))),
        1 => Some(Window::Every(Duration::from_millis(rng.within(1, 500)))),
        _ => None,
    };
    let early_exit_is_done = matches!(program, StreamProgram::Head(_));
    let replay_bytes = if rng.chance(5) { rng.pick(&[500, 3_000]) } else { u64::MAX };
    StageKind::Stream {
        program,
        spec: StreamSpec { window, early_exit_is_done, replay_bytes, restart: None },
        record_us: rng.pick(&[1, 500]),
        dies_percent: 0,
    }
}
