//! Random runs with `delivery = "exactly-once"`: pipelines of every kind of stage, and crashes of anything.

use super::fault::{Fault, Scheduled, random_faults, two_nodes};
use super::plan::{
    Delivery, DiskPlan, Plan, Stage, StageKind, push_ends, push_stage, random_batch, random_from,
    random_outside, random_stream, stream_that_is_a_sink,
};
use super::program::{BatchProgram, RecordsProgram, StreamProgram};
use super::rng::Rng;
use std::time::Duration;
use worker_core::config::{MaxDead, OnError, RecordsSpec, Retry};

impl Plan {
    /// A small random pipeline with a journal for each task, on one to four nodes, with random faults and crashes.
    #[must_use]
    pub fn exactly_once(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x6578_6163_746c_7931);
        let mut plan = Self::random(seed);
        plan.delivery = Delivery::ExactlyOnce;
        plan.faults.clear();
        plan.drain_at = None;
        plan.persist_us = 0;
        plan.nodes = usize::try_from(rng.pick(&[1, 2, 2, 3, 3, 4])).expect("a small number");
        plan.stages = stages(&mut rng, plan.nodes);
        plan.linger = Duration::from_millis(rng.pick(&[500, 2_000, 10_000]));
        plan.understated_percent = rng.pick(&[0, 0, 30]);
        plan.disk = DiskPlan {
            sync_us: rng.pick(&[(1, 50), (100, 2_000), (1_000, 30_000)]),
            behind_us: rng.pick(&[0, 0, 500, 20_000]),
            real: rng.chance(30),
            // Nothing is drawn for it: the rest of the plan is as it was.
            columns: [0, 1, 2, 0][usize::try_from(seed % 4).expect("a small number")],
            bug: None,
        };
        if plan.nodes > 1 {
            random_faults(&mut plan, &mut rng);
            plan.faults.retain(|scheduled| !matches!(scheduled.fault, Fault::Crash { .. }));
        }
        plan.keep_letters_small();
        crashes(&mut plan, &mut rng);
        plan.faults.sort_by_key(|scheduled| scheduled.at);
        plan
    }
}

fn stages(rng: &mut Rng, nodes: usize) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for _ in 0..rng.within(1, 2) {
        let kind = StageKind::Source {
            records: rng.pick(&[0, 7, 40, 100]),
            chunk: rng.within(1, 12),
            every_us: rng.pick(&[10, 3_000, 30_000]),
            padding: rng.pick(&[0, 30, 200]),
            keyless: rng.chance(40),
            outside: random_outside(rng),
        };
        push_stage(rng, &mut stages, Vec::new(), nodes as u64, kind);
    }
    for _ in 0..rng.within(0, 3) {
        let from = random_from(rng, stages.len());
        let kind = match rng.below(10) {
            0..=3 => random_batch_or_killer(rng),
            4..=6 => random_stream_that_dies(rng),
            _ => random_records(rng),
        };
        push_stage(rng, &mut stages, from, nodes as u64, kind);
    }
    push_ends(rng, &mut stages, nodes as u64, |rng| match rng.below(12) {
        0 => random_batch_or_killer(rng),
        1 | 2 => stream_that_is_a_sink(rng),
        3 => random_records(rng),
        _ => StageKind::Sink {
            record_us: rng.pick(&[1, 200, 2_000]),
            leaves_percent: rng.pick(&[0, 0, 0, 10]),
        },
    });
    stages
}

fn random_batch_or_killer(rng: &mut Rng) -> StageKind {
    let mut kind = random_batch(rng);
    if let StageKind::Batch { program, .. } = &mut kind
        && rng.chance(8)
    {
        *program = BatchProgram::KillOn(97);
    }
    kind
}

fn random_stream_that_dies(rng: &mut Rng) -> StageKind {
    let mut kind = random_stream(rng);
    if let StageKind::Stream { program, dies_percent, .. } = &mut kind {
        *dies_percent = rng.pick(&[0, 5, 30]);
        if *program == StreamProgram::Identity && rng.chance(50) {
            *program = StreamProgram::Both;
        }
    }
    kind
}

fn random_records(rng: &mut Rng) -> StageKind {
    let program = match rng.below(8) {
        0 => RecordsProgram::Fail(19),
        1 => RecordsProgram::DieOn(31),
        2 => RecordsProgram::Chance(10),
        3 | 4 => RecordsProgram::Flip,
        _ => RecordsProgram::Count,
    };
    let mut spec = RecordsSpec {
        in_flight: rng.pick(&[1, 5, 64]),
        in_flight_bytes: rng.pick(&[1, 500, 64_000]),
        tick: rng.pick(&[None, None, Some(Duration::from_millis(20))]),
        retry: Retry { max_attempts: 3, initial: Duration::from_millis(10), max: Duration::from_millis(200) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(u64::MAX),
    };
    match rng.below(20) {
        0 => spec.on_error = OnError::Halt,
        1 => spec.max_dead = MaxDead::Records(rng.within(0, 3)),
        _ => {}
    }
    StageKind::Records { program, spec, inline: rng.chance(50), record_us: rng.pick(&[1, 300]) }
}

/// Nodes die, are cut off from their disks, or are told to stop; one at a time or several.
fn crashes(plan: &mut Plan, rng: &mut Rng) {
    let span = plan.heal_us.min(rng.pick(&[20_000, 200_000, 1_000_000, 5_000_000]));
    for _ in 0..rng.within(0, 8) {
        let at = rng.below(span);
        let node = u16::try_from(rng.index(plan.nodes)).expect("few nodes");
        let left = plan.heal_us - at;
        let away = rng.pick(&[1_000, 50_000, 1_000_000, 4_000_000]).min(left);
        let power = rng.chance(60);
        let fault = match rng.below(12) {
            0..=2 => Fault::Crash { node, for_us: Some(1 + rng.below(away)), silent: rng.chance(50), power },
            3..=5 => {
                Fault::CrashAmidActions { node, actions: rng.below(40), for_us: 1 + rng.below(away), power }
            }
            6 => {
                // Everything at once.
                for node in 0..u16::try_from(plan.nodes).expect("few nodes") {
                    let for_us = Some(1 + rng.below(away));
                    let fault = Fault::Crash { node, for_us, silent: true, power: true };
                    plan.faults.push(Scheduled { at, fault });
                }
                continue;
            }
            7 if plan.nodes > 1 => Fault::Ghost {
                node,
                replaced_us: rng.within(1, 3_000_000),
                wakes_us: rng.within(1, 3_000_000),
                dies_us: rng.within(1, 2_000_000),
            },
            8 => Fault::DiskFull { node, for_us: 1 + rng.below(away) },
            9 => Fault::SlowDisk { node, times: rng.pick(&[10, 100]), for_us: 1 + rng.below(away) },
            10 => Fault::SyncFails { node },
            _ => Fault::Drain { node },
        };
        plan.faults.push(Scheduled { at, fault });
    }
    if plan.nodes > 1 && rng.chance(30) {
        // A receiver dies, and again, while a sender was just replaced: the two lives of that race for it.
        let (a, b) = two_nodes(plan, rng);
        let mut at = rng.below(span);
        let ghost = Fault::Ghost { node: a, replaced_us: 20_000, wakes_us: 60_000, dies_us: 2_000_000 };
        plan.faults.push(Scheduled { at, fault: ghost });
        for _ in 0..rng.within(1, 8) {
            at += rng.within(25_000, 150_000);
            let crash = Fault::Crash { node: b, for_us: Some(1_000), silent: false, power: rng.chance(50) };
            plan.faults.push(Scheduled { at, fault: crash });
        }
        plan.heal_us = plan.heal_us.max(at);
    }
}
