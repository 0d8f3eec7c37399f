//! The document against its description.

use super::*;
use crate::explain::{
    InLink, Link, Memory, Peer, RunState, Slots, Stage, StageKind, Task, Wait, WaitKind, Why,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use worker_core::status::{InboundCounters, LinkCounters, TaskCounters};

const DOCUMENTED: &str = include_str!("../../../docs/metrics.md");

#[test]
fn every_family_is_in_the_table_of_the_documentation_as_it_is_given() {
    let given = table(&scrape().render(Form::OpenMetrics));
    let documented: Vec<&str> = DOCUMENTED.lines().filter(|line| line.starts_with("| `worker_")).collect();
    assert!(given == documented, "docs/metrics.md should have this table:\n{}", given.join("\n"));
}

#[test]
fn the_text_is_open_metrics() {
    let text = scrape().render(Form::OpenMetrics);
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        "# UNIT worker_task_in_bytes bytes",
        r#"worker_task_in_records_total{pipeline="p",node="a",task="s/0",stage="s"} 10"#,
        r#"worker_task_blocked_seconds_total{pipeline="p",node="a",task="s/0",stage="s",cause="no_credit"} 2.5"#,
        r#"worker_task_program_exits_total{pipeline="p",node="a",task="s/0",stage="s",outcome="exit"} 2"#,
        r#"worker_task_lag_bytes{pipeline="p",node="a",task="s/0",stage="s"} 4096.0"#,
        r#"worker_task_lag_seconds{pipeline="p",node="a",task="s/0",stage="s"} 1.5"#,
        r#"worker_link_held_records{pipeline="p",node="a",from="s/0",to="t/\"0",peer="b"} 7.0"#,
        r#"worker_peer_round_trip_seconds_bucket{pipeline="p",node="a",le="0.005",peer="b"} 1"#,
        r#"worker_peer_round_trip_seconds_bucket{pipeline="p",node="a",le="+Inf",peer="b"} 1"#,
        r#"worker_peer_round_trip_seconds_sum{pipeline="p",node="a",peer="b"} 0.003"#,
        r#"worker_node_state{pipeline="p",node="a",state="running"} 1.0"#,
        r#"worker_build_info{pipeline="p",node="a",version="1.2.3"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    let families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let names: BTreeSet<&str> = families.iter().filter_map(|family| family.split(' ').next()).collect();
    assert_eq!(names.len(), families.len(), "a family is there twice");
}

#[test]
fn the_plain_text_has_the_same_samples() {
    let samples = |form| -> Vec<String> {
        let text = scrape().render(form);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let mut names: Vec<_> =
            samples.map(|line| line.split('{').next().unwrap_or(line).to_owned()).collect();
        // Each has its own order of buckets, sum and count.
        names.sort();
        names
    };
    let (plain, open) = (samples(Form::Plain), samples(Form::OpenMetrics));
    let other = plain.iter().zip(&open).find(|(plain, open)| plain != open);
    assert!(plain.len() == open.len() && other.is_none(), "{} of {}: {other:?}", plain.len(), open.len());
    let text = scrape().render(Form::Plain);
    for line in [
        "# TYPE worker_task_in_records_total counter",
        "# TYPE worker_peer_round_trip_seconds histogram",
        "# TYPE worker_build_info gauge",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
}

/// The rows of the table that describes this document.
fn table(text: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let kind = lines.next().and_then(|line| line.rsplit(' ').next()).expect("a type");
        let end = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let mut labels: Vec<&str> = Vec::new();
        while let Some(sample) =
            lines.next_if(|line| !line.starts_with("# HELP") && !line.starts_with("# EOF"))
        {
            let of_sample = sample.split_once('{').map_or("", |(_, rest)| rest);
            let names = of_sample.split(',').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
            let own = names.filter(|name| !["pipeline", "node", "le"].contains(name));
            labels.extend(own.filter(|name| !labels.contains(name)).collect::<BTreeSet<_>>());
        }
        let given = BTreeSet::from_iter(labels).into_iter().collect::<Vec<_>>().join(", ");
        rows.push(format!("| `{name}{end}` | {kind} | {given} | {help} |"));
    }
    rows
}

fn scrape() -> Scrape {
    let mut took = Latencies::default();
    took.add(Duration::from_millis(3));
    let by_peer = || BTreeMap::from([("b".to_owned(), took)]);
    let costs = TaskCosts {
        starts: 3,
        exits: BTreeMap::from([(Outcome::Ok, 1), (Outcome::Exit, 2)]),
        commits: took,
        journal_syncs: took,
        sink_syncs: took,
        lag: Some((4096, Duration::from_millis(1500))),
    };
    Scrape {
        snapshot: snapshot(),
        costs: BTreeMap::from([("s/0".to_owned(), costs)]),
        round_trips: by_peer(),
        acknowledgements: by_peer(),
        refused: BTreeMap::from([("hello_late", 3)]),
        stalls: (1, 2),
        storage_full: false,
        refusals: vec![("token", 2)],
    }
}

fn snapshot() -> Snapshot {
    let stage = Stage {
        name: "s".into(),
        kind: StageKind::Batch,
        from: Vec::new(),
        partitions: 1,
        nodes: vec!["a".into()],
        rate: None,
    };
    Snapshot {
        schema: 1,
        version: "1.2.3".into(),
        pipeline: "p".into(),
        delivery: "memory".into(),
        node: "a".into(),
        nodes: vec!["a".into(), "b".into()],
        pid: 1,
        at_ms: 2000,
        started_ms: 1000,
        uptime_s: 1.0,
        state: RunState::Running,
        end: None,
        stall_after_s: 3.0,
        containment: "guardian".to_owned(),
        read_bytes: 100,
        read_bytes_before: 0,
        through_bytes: 90,
        through_bytes_per_s: 0.0,
        left_s: None,
        total_bytes: Some(1000),
        stages: vec![stage],
        tasks: vec![task()],
        links: vec![link()],
        inbound: vec![in_link()],
        peers: vec![Peer {
            node: "b".into(),
            up: false,
            failed_attempts: 1,
            cause: None,
            cause_text: None,
            last_error: None,
            down_s: Some(1.0),
            round_trip_ms: None,
        }],
        upstreams: BTreeMap::from([("b".to_owned(), true)]),
        memory: Memory::default(),
        held_records: 0,
        lost_records: 0,
        slots: Slots { used: 1, total: 2 },
        admin: None,
        own_stop: None,
        drain: None,
    }
}

fn task() -> Task {
    let why = Why::NoCredit { held_records: 7 };
    let wait = Wait { for_s: 4.0, stalled: true, text: "no credit".into(), on: None, on_node: None, why };
    Task {
        name: "s/0".into(),
        stage: "s".into(),
        counters: TaskCounters {
            records_in: 10,
            bytes_in: 100,
            records_out: 9,
            bytes_out: 90,
            retried_records: 1,
            dead_records: 1,
            left_out_records: 0,
            programs: 3,
        },
        queued_records: 0,
        in_per_s: 1.0,
        out_per_s: 1.0,
        busy: 0.5,
        busy_s: 1.5,
        blocked_s: BTreeMap::from([(WaitKind::NoCredit, 2.5)]),
        unmoved_s: 4.0,
        paused: false,
        done: false,
        waits: vec![wait],
        ..Task::default()
    }
}

fn link() -> Link {
    Link {
        from: "s/0".into(),
        to: "t/\"0".into(),
        to_node: "b".into(),
        counters: LinkCounters {
            records: 10,
            acknowledged_records: 3,
            held_records: 7,
            memory_bytes: 70,
            spilled_bytes: 0,
            in_flight_records: 2,
            retried_records: 0,
            dropped_records: 0,
            credit_bytes: Some(0),
        },
        memory_limit_bytes: 1 << 20,
        spill_limit_bytes: 1 << 30,
        per_s: 1.0,
        unmoved_s: 4.0,
    }
}

fn in_link() -> InLink {
    InLink {
        from: "r/0".into(),
        from_node: "b".into(),
        to: "s/0".into(),
        counters: InboundCounters { records: 10, duplicate_records: 1, queued_records: 0, queued_bytes: 0 },
        ended: false,
    }
}
