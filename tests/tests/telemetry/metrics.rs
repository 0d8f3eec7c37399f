//! `/metrics` of two nodes while they work, against the table in `docs/metrics.md`.

use crate::{PATIENCE, ask, ask_with, with_admin};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use worker_tests::process::{Nodes, Scratch, eventually};

/// The table of the documentation: names and types.
pub(crate) fn documented() -> BTreeMap<String, String> {
    let text = include_str!("../../../docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split_once("` | "));
    cells
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect()
}

/// All samples of a scrape: name with labels, and value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').expect("a sample has a value"));
    pairs.map(|(series, value)| (series.to_owned(), value.parse().expect("a value is a number"))).collect()
}

/// What a sample is of.
pub(crate) fn family(series: &str, documented: &BTreeMap<String, String>) -> String {
    let name = series.split('{').next().unwrap_or_default();
    let of = |end: &str| {
        name.strip_suffix(end).filter(|name| documented.get(*name).is_some_and(|kind| kind == "histogram"))
    };
    ["_bucket", "_sum", "_count"].into_iter().find_map(of).unwrap_or(name).to_owned()
}

/// The second batch of the stage goes on for as long as the test looks.
const PIPELINE: &str = r#"
[pipeline]
name = "m"
[source.in]
file = "in.txt"
place = "a"
[stage.work]
run = ["bash", "-c", "cat; if [ -e first ]; then while [ ! -e stop ]; do sleep 0.05; done; fi; touch first"]
batch = { max_records = 1000 }
partitions = 1
place = "b"
[sink.out]
file = "out.txt"
place = "b"
"#;

#[test]
fn every_metric_of_the_table_is_there_with_its_type_and_no_other() {
    let scratch = Scratch::new();
    let input = (0..5000).fold(String::new(), |mut text, n| {
        writeln!(text, "{n:07}").expect("a string takes it");
        text
    });
    scratch.write("in.txt", &input);
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], PIPELINE);
    let [(a, at_a), (b, at_b)] = ["a", "b"].map(|name| {
        let mut start = nodes.node(name);
        start.command.args(["--state", &format!("state-{name}")]);
        let (start, address) = with_admin(&scratch, start);
        (start.start(), address)
    });
    let documented = documented();
    // Only a source that follows its files is behind them: `logs_that_are_followed_say_how_far_they_are_behind`.
    // Only who is asked by strangers refuses any: `tests/hostile`.
    let elsewhere = |name: &str| name.starts_with("worker_task_lag_") || name == "worker_peer_refused_total";
    let wanted: BTreeSet<&String> = documented.keys().filter(|name| !elsewhere(name)).collect();
    let (of_a, of_b) = eventually("all metrics have samples", PATIENCE, || {
        let scrape = |address: &str| match ask(address, "GET", "/metrics", "")? {
            (200, text) => Ok(text),
            (status, text) => Err(format!("status {status}: {text}")),
        };
        let (of_a, of_b) = (scrape(&at_a)?, scrape(&at_b)?);
        let all = [samples(&of_a), samples(&of_b)];
        let found: BTreeSet<String> =
            all.iter().flat_map(|all| all.keys().map(|s| family(s, &documented))).collect();
        let missing: Vec<_> = wanted.iter().filter(|name| !found.contains(**name)).collect();
        let strange: Vec<_> = found.iter().filter(|name| !documented.contains_key(*name)).collect();
        assert!(strange.is_empty(), "not documented: {strange:?}");
        if missing.is_empty() { Ok((of_a, of_b)) } else { Err(format!("without a sample: {missing:?}")) }
    });
    for text in [&of_a, &of_b] {
        assert!(text.ends_with("# EOF\n"), "{text}");
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').expect("a type");
            let ends = ["", "_total", "_info"].map(|end| format!("{name}{end}"));
            let known = ends.iter().find_map(|name| documented.get(name));
            assert_eq!(known.map(String::as_str), Some(kind), "{name}");
        }
    }
    for address in [&at_a, &at_b] {
        is_what_readers_of_both_forms_take(&scratch, address);
    }
    let (of_a, of_b) = (samples(&of_a), samples(&of_b));
    let of = |all: &BTreeMap<String, f64>, series: &str| {
        *all.get(series).unwrap_or_else(|| panic!("{series}: {all:?}"))
    };
    assert!(
        of(&of_a, r#"worker_task_out_records_total{pipeline="m",node="a",task="in/0",stage="in"}"#) > 4999.0
    );
    assert!(of(&of_a, r#"worker_peer_up{pipeline="m",node="a",peer="b"}"#) > 0.0);
    assert!(
        of(&of_b, r#"worker_task_out_records_total{pipeline="m",node="b",task="work/0",stage="work"}"#)
            > 999.0
    );
    assert!(of(&of_b, r#"worker_node_slots_used{pipeline="m",node="b"}"#) > 0.0);
    scratch.write("stop", "");
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    assert_eq!(scratch.text("out.txt"), input);
}

/// Readers of others: promtool of the older text, Python's parser of OpenMetrics, which is strict.
fn is_what_readers_of_both_forms_take(scratch: &Scratch, address: &str) {
    let get = |accept: &str| match ask_with(&format!("Accept: {accept}\r\n"), address, "GET", "/metrics", "")
    {
        Ok((200, text)) => text,
        answer => panic!("{answer:?}"),
    };
    scratch.write("plain.txt", get("text/plain;version=0.0.4"));
    scratch.write("open.txt", get("application/openmetrics-text;version=1.0.0"));
    assert_eq!(scratch.shell("promtool check metrics <plain.txt 2>&1"), b"", "{}", scratch.text("plain.txt"));
    let parse = "import sys; from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse; \
                 print(len(list(parse(sys.stdin))))";
    scratch.write("parse.py", parse);
    let families = scratch.shell("/usr/bin/python3 parse.py <open.txt");
    assert_ne!(families, b"0\n");
}

#[test]
fn logs_that_are_followed_say_how_far_they_are_behind() {
    let scratch = Scratch::new();
    scratch.write("app.log", "a line\n".repeat(10_000));
    scratch.write(
        "p.toml",
        "[pipeline]\nname = 'm'\n[source.in]\nfile = 'app.log'\nfollow = true\nrate = '10/s'\n[sink.out]\nfile = 'out.txt'\n",
    );
    let (start, address) = with_admin(&scratch, scratch.worker(&["run", "p.toml", "--progress", "none"]));
    let run = start.start();
    eventually("the lag of a log that is read slowly", PATIENCE, || {
        let (_, text) = ask(&address, "GET", "/metrics", "")?;
        let all = samples(&text);
        let is_there = |name: &str| all.keys().any(|series| series.starts_with(name));
        let missing =
            ["worker_task_lag_bytes", "worker_task_lag_seconds"].into_iter().find(|name| !is_there(name));
        missing.map_or(Ok(()), |name| Err(format!("without {name}: {text}")))
    });
    run.kill();
}
