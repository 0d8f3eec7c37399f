//! What may change while a state is kept, and what may not and is named.

use super::{cluster, read, three_nodes};
use crate::pipeline::plan::{differences, moves, placement, render, semantics};
use crate::pipeline::{Cluster, Plan, StateOptions, load, plan};
use std::collections::BTreeMap;
use std::path::Path;
use worker_core::config::NodeIx;

const BASE: &str = "\
[pipeline]
name = 'jobs'
delivery = 'exactly-once'
[source.log]
file = 'logs/*.log'
[source.feed]
run = ['feed', 'me']
[stage.errors]
from = ['log', 'feed']
run = ['grep', 'x']
partitions = 2
[stage.counts]
from = 'errors'
mode = 'stream'
partition_by = { field = 1 }
run = ['sort']
partitions = 2
[stage.\"to.tals\"]
from = 'errors'
mode = 'records'
partition_by = 'record'
run = ['totals']
partitions = 2
[sink.out]
from = 'counts'
file = 'out.txt'
[sink.sums]
from = 'to.tals'
run = ['psql']
";

fn laid(text: &str) -> Plan {
    let pipeline = read(text).unwrap_or_else(|error| panic!("{error}"));
    plan(&pipeline, &Cluster::single(), NodeIx(0)).unwrap_or_else(|error| panic!("{error}"))
}

/// The base with one part replaced.
fn with(part: &str, by: &str) -> String {
    assert_eq!(BASE.matches(part).count(), 1, "{part}");
    BASE.replace(part, by)
}

/// The base with one more line behind a line.
fn and(behind: &str, line: &str) -> String {
    with(&format!("{behind}\n"), &format!("{behind}\n{line}\n"))
}

/// Keys of what differs from the base.
fn changed(text: &str) -> Vec<String> {
    let (old, new) = (laid(BASE), laid(text));
    let found = differences(semantics(&old), semantics(&new));
    assert_eq!(
        found.is_empty(),
        old.semantic_fingerprint == new.semantic_fingerprint,
        "fingerprint and texts agree: {found:?}"
    );
    found.into_iter().map(|difference| difference.key).collect()
}

#[test]
fn what_is_safe_to_change_means_the_same() {
    for (behind, line) in [
        ("name = 'jobs'", "max_record = '64KiB'"),
        ("name = 'jobs'", "credit = '2MiB'"),
        ("name = 'jobs'", "outbox = '1MiB'"),
        ("name = 'jobs'", "spill_limit = '1GiB'"),
        ("name = 'jobs'", "spill_dir = 'spill'"),
        ("run = ['grep', 'x']", "timeout = '9s'"),
        ("run = ['grep', 'x']", "batch = { max_bytes = '1MiB', max_records = 5, linger = '1s' }"),
        ("run = ['grep', 'x']", "retry = { max_attempts = 9, initial = '1s', max = '2s' }"),
        ("run = ['grep', 'x']", "on_error = 'halt'"),
        ("run = ['grep', 'x']", "max_dead = 7"),
        ("run = ['grep', 'x']", "place = 'a'"),
        ("run = ['sort']", "replay_limit = '1GiB'"),
        ("run = ['sort']", "timeout = '1h'"),
        ("run = ['totals']", "in_flight = 1"),
        ("run = ['totals']", "state_budget = '1GiB'"),
        ("run = ['totals']", "timeout = 'off'"),
        ("run = ['totals']", "retry = { max_attempts = 1 }"),
        ("run = ['totals']", "on_error = 'halt'"),
        ("run = ['totals']", "max_dead = '5%'"),
        ("file = 'out.txt'", "exists = 'append'"),
        ("run = ['grep', 'x']", "mode = 'batch'"),
        ("run = ['grep', 'x']", "cwd = './'"),
    ] {
        assert_eq!(changed(&and(behind, line)), [""; 0], "{line}");
    }
    for (part, by) in [
        ("name = 'jobs'", "name = 'other'"),
        ("run = ['grep', 'x']", "run = 'grep x'"),
        ("file = 'out.txt'", "file = '/base/./out.txt'"),
    ] {
        assert_eq!(changed(&with(part, by)), [""; 0], "{by}");
    }
    assert_eq!(changed(&format!("[vars]\nunused = '1'\n{BASE}")), [""; 0]);
}

#[test]
fn what_is_added_and_changes_results_is_named() {
    for (behind, line, key) in [
        ("file = 'logs/*.log'", "header = 'skip'", "source.log.header"),
        ("run = ['feed', 'me']", "env = { A = '1' }", "source.feed.env"),
        ("run = ['grep', 'x']", "cwd = 'work'", "stage.errors.cwd"),
        ("run = ['grep', 'x']", "env = { A = { env = 'B' } }", "stage.errors.env"),
        ("run = ['grep', 'x']", "clear_env = true", "stage.errors.clear_env"),
        ("run = ['grep', 'x']", "ok_exit = [0, 1]", "stage.errors.ok_exit"),
        ("run = ['grep', 'x']", "partition_by = 'record'", "stage.errors.partition_by"),
        ("run = ['grep', 'x']", "mode = 'records'", "stage.errors.mode"),
        ("run = ['sort']", "window = { every = '1m' }", "stage.counts.window"),
        ("run = ['sort']", "early_exit = 'done'", "stage.counts.early_exit"),
        ("run = ['sort']", "framing = 'nul'", "stage.counts.framing"),
        ("run = ['totals']", "tick = '1s'", "stage.\"to.tals\".tick"),
        ("run = ['totals']", "state = 'inline'", "stage.\"to.tals\".state"),
        ("file = 'out.txt'", "partition_by = 'record'", "sink.out.partition_by"),
        ("run = ['psql']", "partitions = 2", "sink.sums.partitions"),
    ] {
        assert_eq!(changed(&and(behind, line)), [key], "{line}");
    }
}

#[test]
fn what_is_replaced_and_changes_results_is_named() {
    for (part, by, key) in [
        ("delivery = 'exactly-once'", "delivery = 'memory'", "pipeline.delivery"),
        ("file = 'logs/*.log'", "file = 'logs/a*.log'", "source.log.file"),
        ("run = ['feed', 'me']", "run = ['feed', 'us']", "source.feed.run"),
        ("run = ['grep', 'x']", "run = ['grep', 'y']", "stage.errors.run"),
        (
            "run = ['grep', 'x']\npartitions = 2",
            "run = ['grep', 'x']\npartitions = 3",
            "stage.errors.partitions",
        ),
        ("from = ['log', 'feed']", "from = ['feed', 'log']", "stage.errors.from"),
        ("partition_by = { field = 1 }", "partition_by = { field = 2 }", "stage.counts.partition_by"),
        ("partition_by = 'record'", "partition_by = { json = '/a' }", "stage.\"to.tals\".partition_by"),
        ("file = 'out.txt'", "file = 'other.txt'", "sink.out.file"),
        ("file = 'out.txt'", "file = 'out.txt/'\npartitions = 1", "sink.out.file"),
        ("run = ['psql']", "run = ['psql', '-q']", "sink.sums.run"),
    ] {
        assert_eq!(changed(&with(part, by)), [key], "{by}");
    }
}

#[test]
fn a_stage_more_or_less_is_one_difference_and_so_is_the_order_of_names() {
    let more = format!(
        "{BASE}[stage.more]\nfrom='log'\nrun=['more']\n[sink.more_out]\nfrom='more'\nfile='more.txt'\n"
    );
    assert_eq!(changed(&more), ["sink.more_out", "stage.more"]);
    let (old, new) = (laid(BASE), laid(&more));
    assert_eq!(
        render(&differences(semantics(&new), semantics(&old))),
        "  sink.more_out: was file = \"more.txt\", is not there any more\n  \
         stage.more: was run = [\"more\"], is not there any more\n"
    );
    let feed = "[source.feed]\nrun = ['feed', 'me']\n";
    let reordered = BASE.replace(feed, "").replace("[source.log]", &format!("{feed}[source.log]"));
    assert_eq!(changed(&reordered), ["pipeline.order"], "tasks are numbered in the order of the file");
}

#[test]
fn differences_read_like_the_file() {
    let text = with("run = ['grep', 'x']\npartitions = 2", "run = ['grep', 'y']\npartitions = 3")
        .replace("run = ['sort']", "run = ['sort']\nwindow = { records = 5 }");
    let (old, new) = (laid(BASE), laid(&text));
    assert_eq!(
        render(&differences(semantics(&old), semantics(&new))),
        "  stage.counts.window: was not there, is now { records = 5 }\n  \
         stage.errors.partitions: was 2, is now 3 (partitions = 2 in the file keeps it)\n  \
         stage.errors.run: was [\"grep\", \"x\"], is now [\"grep\", \"y\"]\n"
    );
    let script = with("run = ['sort']", "run = ['awk', \"{ n++ }\\nEND { print n }\"]");
    assert_eq!(
        render(&differences(semantics(&old), semantics(&laid(&script)))),
        "  stage.counts.run: was [\"sort\"], is now [\"awk\", \"\"\"\\n{ n++ }\\nEND { print n }\"\"\"]\n",
        "a line each"
    );
}

#[test]
fn what_state_directories_hold_stays_as_it_was_first_stored() {
    let stored: BTreeMap<String, String> = serde_json::from_str(include_str!("stored.json")).unwrap();
    let now = laid(include_str!("stored.toml"));
    assert_eq!(semantics(&now), &stored);
    assert_eq!(now.semantic_fingerprint.0, 15_180_010_122_566_762_949);
}

#[test]
fn a_named_column_means_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    let text = "[source.s]\nfile='a.csv'\n[stage.b]\nrun=['b']\npartitions=2\npartition_by={csv='state'}\n\
                [sink.o]\nstdout=true\n";
    std::fs::write(&file, text).unwrap();
    let with_header = |header: &str| {
        std::fs::write(dir.path().join("a.csv"), header).unwrap();
        plan(&load(&file, &[]).unwrap(), &Cluster::single(), NodeIx(0)).unwrap()
    };
    let (old, new) = (with_header("iata,state\n"), with_header("state,iata\n"));
    assert_eq!(
        render(&differences(semantics(&old), semantics(&new))),
        "  stage.b.partition_by: was { csv = 2 }, is now { csv = 1 }\n"
    );
    assert_ne!(old.semantic_fingerprint, new.semantic_fingerprint);
}

#[test]
fn state_on_the_command_line_means_what_the_file_could_say() {
    let memory = with("delivery = 'exactly-once'\n", "");
    let dir = Some(Path::new("/srv/state"));
    let asked = read(&memory).unwrap().with_state(StateOptions { dir, ..StateOptions::default() }).unwrap();
    let asked = plan(&asked, &Cluster::single(), NodeIx(0)).unwrap();
    assert_eq!(asked.semantic_fingerprint, laid(BASE).semantic_fingerprint);
}

#[test]
fn tasks_that_move_are_named() {
    let text = "[source.s]\nfile='x'\nplace='a'\n[stage.w]\nrun=['w']\npartitions=2\nplace=['a','b']\n\
                [sink.o]\nfile='y'\nplace='b'\n";
    let placed = |text: &str| plan(&read(text).unwrap(), &three_nodes(), NodeIx(0)).unwrap();
    let (old, new) = (placed(text), placed(&text.replace("['a','b']", "['a','c']")));
    assert_eq!(placement(&old)["w/1"], "b");
    assert_eq!(render(&moves(&placement(&old), &placement(&new))), "  w/1: was b, is now c\n");
    assert_ne!(old.placement_fingerprint, new.placement_fingerprint);
    assert_eq!(old.semantic_fingerprint, new.semantic_fingerprint);
    let other = "[node.a]\naddress='h:1'\n[node.b]\naddress='h:2'\n[node.c]\naddress='h:3'\n";
    let same = plan(&read(text).unwrap(), &cluster(other).unwrap(), NodeIx(1)).unwrap();
    assert_eq!(same.placement_fingerprint, old.placement_fingerprint, "addresses may change");
}
