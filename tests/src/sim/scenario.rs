//! Runs by name.

use super::fault::{Fault, Scheduled};
use super::plan::{Delivery, DiskPlan, Net, Outside, Plan, SPILL_OF_ALL, Stage, StageKind, batch_spec};
use super::program::{BatchProgram, RecordsProgram, StreamProgram};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;
use worker_core::config::{Limits, MaxDead, OnError, RecordsSpec, Retry, StreamSpec};
use worker_core::route::PartitionBy;

/// A record's key is its second field.
const SECOND: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// Two fast sources on node 0, one sink with a partition on node 1 and one on node 2; a window of one byte, so that one
/// record at a time is under way on each link; no faults. What is one partition's is never the other's.
#[must_use]
pub fn window_of_one() -> Plan {
    let source = StageKind::Source {
        records: 2_000,
        chunk: 8,
        every_us: 100,
        padding: 100,
        keyless: false,
        outside: Outside::File,
    };
    let stages = vec![
        Stage { letter: 'a', from: Vec::new(), nodes: vec![0, 0], by: None, in_order: false, kind: source },
        Stage {
            letter: 'b',
            from: vec![0],
            nodes: vec![1, 2],
            by: Some(PartitionBy::Record),
            in_order: false,
            kind: StageKind::Sink { record_us: 1, leaves_percent: 0 },
        },
    ];
    let limits =
        Limits { credit_bytes: 1, outbox_bytes: 200, spill_bytes: SPILL_OF_ALL, shared_credit_bytes: 0 };
    quiet_plan(3, stages, limits)
}

/// The failure the project began from: the connections to node 2 break again and again while its window is one record
/// and the producers are fast; then it is not heard of at all; then it heals.
#[must_use]
pub fn dead_destination_with_window_of_one() -> Plan {
    let mut plan = window_of_one();
    for round in 0..4_000 {
        plan.faults
            .push(Scheduled { at: 2_000 + round * 1_000, fault: Fault::Drop { a: 0, b: 2, late_us: 3_000 } });
    }
    plan.heal_us = 60_000_000;
    for (from, to) in [(0, 2), (2, 0)] {
        let for_us = Some(plan.heal_us - 4_100_000);
        plan.faults.push(Scheduled { at: 4_100_000, fault: Fault::Cut { from, to, for_us } });
    }
    plan.redial.max = Duration::from_millis(20);
    plan
}

/// A source on node 0, a batch stage on nodes 0 and 1, and a sink on nodes 1 and 2.
#[must_use]
pub fn three_nodes(program: BatchProgram) -> Plan {
    let source = StageKind::Source {
        records: 300,
        chunk: 5,
        every_us: 2_000,
        padding: 30,
        keyless: false,
        outside: Outside::File,
    };
    let batch = StageKind::Batch { program, spec: batch_spec(400, 10, 5), cost_us: (200, 10) };
    let stages = vec![
        Stage { letter: 'a', from: Vec::new(), nodes: vec![0], by: None, in_order: false, kind: source },
        Stage { letter: 'b', from: vec![0], nodes: vec![0, 1], by: None, in_order: false, kind: batch },
        Stage {
            letter: 'c',
            from: vec![1],
            nodes: vec![1, 2],
            by: None,
            in_order: false,
            kind: StageKind::Sink { record_us: 50, leaves_percent: 0 },
        },
    ];
    let limits = Limits {
        credit_bytes: 2_000,
        outbox_bytes: 4_000,
        spill_bytes: SPILL_OF_ALL,
        shared_credit_bytes: 0,
    };
    quiet_plan(3, stages, limits)
}

/// [`three_nodes`], and node 2 is dead from almost the start, for good.
#[must_use]
pub fn dead_for_good() -> Plan {
    let mut plan = three_nodes(BatchProgram::Identity);
    // What is for the dead node is for no other.
    plan.stages[2].by = Some(PartitionBy::Record);
    plan.faults.push(Scheduled {
        at: 5_000,
        fault: Fault::Crash { node: 2, for_us: None, silent: false, power: true },
    });
    plan
}

/// Programs side by side print more at their end than all links to their readers hold, in the order of the source.
#[must_use]
pub fn last_words_in_order() -> Plan {
    let source = StageKind::Source {
        records: 300,
        chunk: 10,
        every_us: 100,
        padding: 10,
        keyless: false,
        outside: Outside::File,
    };
    let counts = || StageKind::Records {
        program: RecordsProgram::Count,
        spec: RecordsSpec {
            in_flight: 16,
            in_flight_bytes: 64_000,
            tick: None,
            retry: Retry {
                max_attempts: 3,
                initial: Duration::from_millis(10),
                max: Duration::from_millis(200),
            },
            on_error: OnError::DeadLetter,
            max_dead: MaxDead::Records(u64::MAX),
        },
        inline: true,
        record_us: 10,
    };
    let batch = StageKind::Batch {
        program: BatchProgram::Identity,
        spec: batch_spec(100, 10, 5),
        cost_us: (200, 10),
    };
    let sink = StageKind::Sink { record_us: 50, leaves_percent: 0 };
    let kinds = [(source, 1), (counts(), 2), (counts(), 3), (batch, 3), (sink, 1)];
    let stages = ('a'..).zip(kinds).enumerate().map(|(at, (letter, (kind, partitions)))| Stage {
        letter,
        from: at.checked_sub(1).into_iter().collect(),
        nodes: vec![0; partitions],
        by: None,
        in_order: at > 0,
        kind,
    });
    let limits =
        Limits { credit_bytes: 60, outbox_bytes: 1, spill_bytes: SPILL_OF_ALL, shared_credit_bytes: 0 };
    let mut plan = quiet_plan(1, stages.collect(), limits);
    plan.delivery = Delivery::ExactlyOnce;
    plan
}

/// A sink writes slowly in the order of the source what three filters side by side leave, whose batches are often empty; its node
/// dies again and again.
#[must_use]
pub fn slow_sink_in_order_that_dies() -> Plan {
    let source = StageKind::Source {
        records: 300,
        chunk: 4,
        every_us: 500,
        padding: 10,
        keyless: false,
        outside: Outside::File,
    };
    let filter = StageKind::Batch {
        program: BatchProgram::Filter(2),
        spec: batch_spec(100, 1, 5),
        cost_us: (9_000, 10),
    };
    let stage = |letter, from, nodes, kind| Stage { letter, from, nodes, by: None, in_order: true, kind };
    let stages = vec![
        Stage { in_order: false, ..stage('a', Vec::new(), vec![0], source) },
        stage('b', vec![0], vec![0, 0, 0], filter),
        stage('c', vec![1], vec![1], StageKind::Sink { record_us: 3_000, leaves_percent: 0 }),
    ];
    let limits = Limits {
        credit_bytes: 1_000,
        outbox_bytes: 1_000,
        spill_bytes: SPILL_OF_ALL,
        shared_credit_bytes: 0,
    };
    let mut plan = quiet_plan(2, stages, limits);
    plan.delivery = Delivery::ExactlyOnce;
    plan.slots = 3;
    plan.faults = (1..40)
        .map(|round| Scheduled {
            at: round * 19_000,
            fault: Fault::Crash { node: 1, for_us: Some(1_000), silent: false, power: true },
        })
        .collect();
    plan.heal_us = 800_000;
    plan
}

/// The only reader of a stage is dead for good from almost the start; the stage shares its source with a healthy one.
#[must_use]
pub fn dead_behind_a_filter() -> Plan {
    let mut plan = dead_for_good();
    let sink = |letter, from, node| Stage {
        letter,
        from: vec![from],
        nodes: vec![node],
        by: None,
        in_order: false,
        kind: StageKind::Sink { record_us: 50, leaves_percent: 0 },
    };
    plan.stages[1].nodes = vec![0];
    plan.stages[2] = sink('c', 1, 2);
    plan.stages.push(sink('d', 0, 1));
    plan
}

/// [`three_nodes`], and the node that has the source dies amid its input and comes back.
#[must_use]
pub fn restarted_source() -> Plan {
    let mut plan = three_nodes(BatchProgram::Identity);
    let fault = Fault::Crash { node: 0, for_us: Some(500_000), silent: false, power: true };
    plan.faults.push(Scheduled { at: 50_000, fault });
    plan.halts = true;
    plan
}

/// [`three_nodes`] with journals, and with a stream stage whose program dies and does not print the same again.
#[must_use]
pub fn unsteady_stream() -> Plan {
    let mut plan = three_nodes(BatchProgram::Identity);
    plan.delivery = Delivery::ExactlyOnce;
    plan.disk.sync_us = (50, 500);
    plan.stages[1].kind = StageKind::Stream {
        program: StreamProgram::Unsteady,
        spec: StreamSpec { window: None, early_exit_is_done: false, replay_bytes: u64::MAX, restart: None },
        record_us: 10,
        dies_percent: 10,
    };
    plan.halts = true;
    plan
}

/// [`three_nodes`] with journals that are behind, and with a records stage whose values, given with each request, come and go.
#[must_use]
pub fn values_that_come_back() -> Plan {
    let mut plan = three_nodes(BatchProgram::Identity);
    plan.delivery = Delivery::ExactlyOnce;
    (plan.disk.sync_us, plan.disk.behind_us) = ((50, 500), 20_000);
    plan.stages[0].kind = StageKind::Source {
        records: 300,
        chunk: 60,
        every_us: 2_000,
        padding: 0,
        keyless: false,
        outside: Outside::File,
    };
    plan.limits.credit_bytes = 64_000;
    plan.stages[1].by = Some(PartitionBy::Field { index: SECOND, delimiter: None });
    let spec = RecordsSpec {
        in_flight: 64,
        in_flight_bytes: 64_000,
        tick: None,
        retry: Retry { max_attempts: 3, initial: Duration::from_millis(10), max: Duration::from_millis(200) },
        on_error: OnError::DeadLetter,
        max_dead: MaxDead::Records(u64::MAX),
    };
    plan.stages[1].kind =
        StageKind::Records { program: RecordsProgram::Flip, spec, inline: true, record_us: 10 };
    plan
}

/// [`three_nodes`] with journals; the node of the source is stopped and replaced, and while its old life, awake again, and the
/// new one dial the others, those die again and again.
#[must_use]
pub fn replaced_source() -> Plan {
    let mut plan = three_nodes(BatchProgram::Identity);
    plan.delivery = Delivery::ExactlyOnce;
    plan.disk.sync_us = (50, 500);
    plan.linger = Duration::from_secs(1);
    let ghost = Fault::Ghost { node: 0, replaced_us: 20_000, wakes_us: 20_000, dies_us: 3_000_000 };
    plan.faults.push(Scheduled { at: 50_000, fault: ghost });
    for round in 0..60 {
        let (node, at) = (1 + round % 2, 90_000 + u64::from(round) * 2_000);
        let fault = Fault::Crash { node, for_us: Some(500), silent: false, power: true };
        plan.faults.push(Scheduled { at, fault });
    }
    plan.heal_us = 1_000_000;
    plan
}

/// [`three_nodes`] with journals; the last node has written and committed records, of which it could tell nobody because its
/// disk is slow, and loses all it has on it.
#[must_use]
pub fn lost_state() -> Plan {
    let mut plan = three_nodes(BatchProgram::Identity);
    plan.delivery = Delivery::ExactlyOnce;
    plan.disk.sync_us = (50, 500);
    let fault = Fault::SlowDisk { node: 2, times: 1_000_000, for_us: 1_000_000 };
    plan.faults.push(Scheduled { at: 4_500, fault });
    let fault = Fault::PutCopyBack { node: 2, for_us: 500_000 };
    plan.faults.push(Scheduled { at: 1_000_000, fault });
    plan.heal_us = 1_600_000;
    plan
}

/// The same node begins again from a copy of its disk that is older than what it has acknowledged.
#[must_use]
pub fn older_state() -> Plan {
    let mut plan = three_nodes(BatchProgram::Identity);
    plan.delivery = Delivery::ExactlyOnce;
    plan.disk.sync_us = (50, 500);
    plan.faults.push(Scheduled { at: 30_000, fault: Fault::CopyState { node: 2 } });
    plan.faults.push(Scheduled { at: 80_000, fault: Fault::PutCopyBack { node: 2, for_us: 500_000 } });
    plan.heal_us = 600_000;
    plan
}

/// Data in both directions between two nodes at once, each with credit for little, over sockets that hold one frame.
#[must_use]
pub fn both_directions() -> Plan {
    let source = || StageKind::Source {
        records: 300,
        chunk: 10,
        every_us: 10,
        padding: 100,
        keyless: false,
        outside: Outside::File,
    };
    let sink = || StageKind::Sink { record_us: 20, leaves_percent: 0 };
    let stages = vec![
        Stage { letter: 'a', from: Vec::new(), nodes: vec![0], by: None, in_order: false, kind: source() },
        Stage { letter: 'b', from: Vec::new(), nodes: vec![1], by: None, in_order: false, kind: source() },
        Stage { letter: 'c', from: vec![0], nodes: vec![1], by: None, in_order: false, kind: sink() },
        Stage { letter: 'd', from: vec![1], nodes: vec![0], by: None, in_order: false, kind: sink() },
    ];
    let limits =
        Limits { credit_bytes: 600, outbox_bytes: 4_000, spill_bytes: SPILL_OF_ALL, shared_credit_bytes: 0 };
    let mut plan = quiet_plan(2, stages, limits);
    plan.net.window_frames = 1;
    plan
}

/// Two sources on node 0 with a burst every so often and three sinks on node 1, 25 ms away: six links that need more credit than their
/// own, and none of it between the bursts.
#[must_use]
pub fn far_apart(every_us: u64, shared_credit_bytes: u64) -> Plan {
    let source = StageKind::Source {
        records: 1_500,
        chunk: 500,
        every_us,
        padding: 200,
        keyless: false,
        outside: Outside::File,
    };
    let sink = StageKind::Sink { record_us: 1, leaves_percent: 0 };
    let stages = vec![
        Stage { letter: 'a', from: Vec::new(), nodes: vec![0, 0], by: None, in_order: false, kind: source },
        Stage {
            letter: 'b',
            from: vec![0],
            nodes: vec![1, 1, 1],
            by: Some(PartitionBy::Record),
            in_order: false,
            kind: sink,
        },
    ];
    let limits =
        Limits { credit_bytes: 1_000, outbox_bytes: 20_000, spill_bytes: SPILL_OF_ALL, shared_credit_bytes };
    let mut plan = quiet_plan(2, stages, limits);
    plan.net = Net { latency_us: (25_000, 25_000), bytes_per_ms: 10_000, window_frames: 256, codec: true };
    plan
}

fn quiet_plan(nodes: usize, stages: Vec<Stage>, limits: Limits) -> Plan {
    Plan {
        seed: 1,
        nodes,
        stages,
        limits,
        headed: BTreeSet::new(),
        slots: 2,
        redial: Retry {
            max_attempts: 1,
            initial: Duration::from_millis(5),
            max: Duration::from_millis(1_000),
        },
        linger: Duration::from_secs(30),
        net: Net { latency_us: (300, 300), bytes_per_ms: 10_000, window_frames: 8, codec: true },
        persist_us: 0,
        store_us: 50,
        faults: Vec::new(),
        heal_us: 0,
        drain_at: None,
        delivery: Delivery::Memory,
        disk: DiskPlan::default(),
        understated_percent: 0,
        stillborn_percent: 0,
        bug: None,
        halts: false,
    }
}
