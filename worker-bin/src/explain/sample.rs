//! A snapshot for tests in which every field says something and every reason to wait is there.

use super::model::{
    Drain, End, InLink, Link, Memory, OwnStop, Peer, RunState, SCHEMA, Slots, Snapshot, Stage, StageKind,
    Task, Wait,
};
use super::past::{PastStall, PastStalls};
use super::reasons::{WaitKind, Why};
use super::{History, Point, explain};
use std::collections::BTreeMap;
use worker_core::status::{InboundCounters, LinkCounters, TaskCounters};

const MEMORY: Memory = Memory {
    held_bytes: 1 << 20,
    spilled_bytes: 2 << 20,
    resident_bytes: 30 << 20,
    resident_peak_bytes: 34 << 20,
};

/// One node of two, ten seconds after its start, in the middle of a lot of trouble.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        pipeline: "access".to_owned(),
        delivery: "memory".to_owned(),
        node: "a".to_owned(),
        nodes: vec!["a".to_owned(), "b".to_owned()],
        pid: 4711,
        at_ms: 1_767_225_610_000,
        started_ms: 1_767_225_600_000,
        uptime_s: 10.0,
        state: RunState::Running,
        end: Some(End { at_ms: 1_767_225_610_000, why: Some("it hurts".to_owned()) }),
        stall_after_s: 3.0,
        containment: "guardian".to_owned(),
        read_bytes_before: 0,
        read_bytes: 40 << 20,
        through_bytes: 30 << 20,
        through_bytes_per_s: 1_048_576.0,
        total_bytes: Some(80 << 20),
        left_s: Some(50.0),
        stages: vec![
            stage("log", StageKind::Source, &[], 1, &["a"]),
            stage("errors", StageKind::Batch, &["log"], 2, &["a"]),
            stage("out", StageKind::Sink, &["errors"], 2, &["a", "b"]),
        ],
        tasks: vec![
            Task { lag_bytes: Some(3 << 20), lag_s: Some(1.5), ..task("log/0", 4000, 4000, 0.0, &[]) },
            task("errors/0", 2000, 100, 9.0, &whys()),
            task(
                "errors/1",
                2000,
                80,
                7.0,
                &[Why::NoSlot { ahead: 1, slots: 1, held_by: vec!["errors/0".to_owned()] }],
            ),
            task("out/0", 180, 180, 0.5, &[]),
        ],
        links: vec![link("log/0", "errors/0", "a"), link("errors/0", "out/1", "b")],
        inbound: vec![InLink {
            from: "errors/0".to_owned(),
            from_node: "a".to_owned(),
            to: "out/0".to_owned(),
            counters: InboundCounters {
                records: 100,
                duplicate_records: 1,
                queued_records: 2,
                queued_bytes: 64,
            },
            ended: false,
        }],
        peers: vec![Peer {
            node: "b".to_owned(),
            up: false,
            failed_attempts: 9,
            cause: Some("unreachable".to_owned()),
            cause_text: Some("unreachable".to_owned()),
            last_error: Some("connection refused".to_owned()),
            down_s: Some(4.0),
            round_trip_ms: Some(0.4),
        }],
        upstreams: BTreeMap::from([("b".to_owned(), true)]),
        memory: MEMORY,
        held_records: 227,
        lost_records: 3,
        slots: Slots { used: 1, total: 1 },
        admin: Some("127.0.0.1:7480".to_owned()),
        own_stop: Some(OwnStop { lasted_s: 600.0, ago_s: 20.0 }),
        drain: Some(Drain::UnderWay),
    }
}

/// One whose work flows, with nothing in its way.
pub(crate) fn calm() -> Snapshot {
    let mut calm = snapshot();
    for task in &mut calm.tasks {
        task.waits.clear();
    }
    (calm.end, calm.lost_records, calm.own_stop, calm.drain) = (None, 0, None, None);
    calm
}

/// What the stages of [`snapshot`] did in its ten seconds.
pub(crate) fn history() -> History {
    let mut history = History::default();
    for at in 1..=10_u32 {
        let point = |rate: f64| Point {
            at_s: f64::from(at),
            in_per_s: rate,
            out_per_s: rate / 2.0,
            queued_records: u64::from(at) * 10,
            held_records: 5,
            busy: 0.8,
            stalled: at > 6,
        };
        let stages = [("log", 400.0), ("errors", 400.0), ("out", 18.0)];
        history.push(stages.into_iter().map(|(name, rate)| (name.to_owned(), point(rate))).collect());
    }
    history
}

/// A stall that is over, and one that goes on.
pub(crate) fn stalls() -> PastStalls {
    let snapshot = snapshot();
    let mut chain = explain(&[snapshot]).chains.swap_remove(0);
    chain.advice = Some("start node b again".to_owned());
    let stall = |root: &str, began_s, lasted_s, goes_on| PastStall {
        root: root.to_owned(),
        chain: chain.clone(),
        tasks: 2,
        began_s,
        lasted_s,
        goes_on,
    };
    let mut stalls = PastStalls::default();
    stalls.push(stall("out/1: outbox_full", 1.0, 3.0, false));
    stalls.push(stall("node b", 6.0, 4.0, true));
    stalls
}

fn stage(name: &str, kind: StageKind, from: &[&str], partitions: u32, nodes: &[&str]) -> Stage {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Stage { name: name.to_owned(), kind, from: owned(from), partitions, nodes: owned(nodes), rate: None }
}

fn task(name: &str, records_in: u64, records_out: u64, busy_s: f64, whys: &[Why]) -> Task {
    let waits = whys.iter().cloned().map(|why| Wait {
        for_s: 4.0,
        stalled: why.kind().row().class == super::WaitClass::Blocked,
        text: format!("waits because of {}", why.kind().row().name),
        on: Some("out/1".to_owned()),
        on_node: Some("b".to_owned()),
        why,
    });
    Task {
        name: name.to_owned(),
        stage: name.split('/').next().unwrap_or(name).to_owned(),
        counters: TaskCounters {
            records_in,
            bytes_in: records_in * 100,
            records_out,
            bytes_out: records_out * 100,
            retried_records: 5,
            dead_records: u64::from(name == "errors/0"),
            left_out_records: 0,
            programs: if busy_s > 1.0 { 12 } else { 0 },
        },
        records_in_before: 0,
        records_out_before: 0,
        queued_records: 7,
        unsent_records: 2,
        undone_records: 9,
        done_records: records_in,
        in_per_s: 400.0,
        out_per_s: 20.0,
        busy: busy_s / 10.0,
        busy_s,
        blocked_s: BTreeMap::from([
            (WaitKind::NoSlot, 0.5),
            (WaitKind::ChildBusy, busy_s),
            (WaitKind::SourceIdle, 0.25),
        ]),
        blocked: BTreeMap::from([(WaitKind::NoSlot, 0.05), (WaitKind::ChildBusy, busy_s / 10.0)]),
        backlog: 0.2,
        backlog_s: 2.0,
        undelivered: 0.0,
        undelivered_s: 0.0,
        unmoved_s: 4.0,
        stalled: false,
        paused: false,
        ended: false,
        done: false,
        waits: waits.collect(),
        lag_bytes: None,
        lag_s: None,
    }
}

fn link(from: &str, to: &str, to_node: &str) -> Link {
    Link {
        from: from.to_owned(),
        to: to.to_owned(),
        to_node: to_node.to_owned(),
        counters: LinkCounters {
            records: 4000,
            acknowledged_records: 3900,
            held_records: 100,
            memory_bytes: 10_000,
            spilled_bytes: 0,
            in_flight_records: 50,
            retried_records: 2,
            dropped_records: 0,
            credit_bytes: Some(1 << 20),
        },
        memory_limit_bytes: 16 << 20,
        spill_limit_bytes: 4 << 30,
        per_s: 390.0,
        unmoved_s: 0.0,
    }
}

/// Every reason there is.
fn whys() -> Vec<Why> {
    let mut whys = Why::examples();
    for why in &mut whys {
        if let Why::PeerDown { next_in_s, .. } = why {
            *next_in_s = Some(1.6);
        }
        if let Why::NoSlot { held_by, .. } = why {
            held_by.push("errors/1".to_owned());
        }
    }
    whys
}
