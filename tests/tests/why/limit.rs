//! What limits the throughput, asked while it runs and of its report: one run has one answer.

use crate::ask::{PATIENCE, admin, why, why_text};
use serde_json::Value;
use std::time::Duration;
use worker_tests::process::{Scratch, eventually, holds_for};

/// How long such a run may take on a busy machine.
const RUN_AT_MOST: Duration = Duration::from_secs(60);

/// A program for `records` that takes five milliseconds for each.
const SLOW_ANSWERS: &str = r"
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if 'hello' in message: continue
    time.sleep(0.005)
    print(json.dumps({'id': message['id']}), flush=True)
";

fn limit(document: &Value) -> (String, String) {
    let text = |name: &str| document["limit"][name].as_str().unwrap_or_default().to_owned();
    (text("stage"), text("kind"))
}

/// Runs it to its end: `why` names this stage with this kind while it goes on, and so does the report.
fn both_name(scratch: &Scratch, pipeline: &str, args: &[&str], stage: &str, kind: &str) {
    let mut run = scratch.start(pipeline, &[&["--report", "r.json"], args].concat());
    admin(&mut run);
    let wanted = (stage.to_owned(), kind.to_owned());
    eventually("why names it", PATIENCE, || {
        let (said, _) = why(scratch, &[]);
        if limit(&said) == wanted { Ok(()) } else { Err(said["limit"].to_string()) }
    });
    run.wait(RUN_AT_MOST).expect(0);
    let report: Value = serde_json::from_str(&scratch.text("r.json")).expect("a report");
    assert_eq!(limit(&report), wanted, "{}", report["limit"]);
}

/// Two megabytes of records before four tasks that have one slot, half a second a batch.
const SLOTS: &str = "[source.log]\nfile = 'in.txt'\n\
    [stage.slow]\nrun = ['sh', '-c', 'sleep 0.5; cat']\npartitions = 4\n\
    batch = { max_bytes = '128KiB', linger = '20ms' }\n[sink.out]\nfile = 'out.txt'\n";

fn lines(count: usize) -> String {
    (0..count).map(|at| format!("{at:06} {}\n", "x".repeat(50))).collect()
}

#[test]
fn batches_that_wait_for_a_slot_in_memory() {
    let scratch = Scratch::new();
    scratch.write("in.txt", lines(36_000));
    both_name(&scratch, SLOTS, &["--slots", "1"], "slow", "no_slot");
}

#[test]
fn batches_that_wait_for_a_slot_exactly_once() {
    let scratch = Scratch::new();
    scratch.write("in.txt", lines(36_000));
    both_name(&scratch, SLOTS, &["--slots", "1", "--state", "state"], "slow", "no_slot");
}

#[test]
fn a_program_that_is_slow_to_answer() {
    let scratch = Scratch::new();
    scratch.write("slow.py", SLOW_ANSWERS);
    let pipeline = "[source.n]\nrun = ['seq', '1', '1500']\n\
        [stage.ask]\nmode = 'records'\nrun = ['python3', 'slow.py']\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n";
    both_name(&scratch, pipeline, &[], "ask", "child_busy");
}

#[test]
fn a_sink_that_is_slow() {
    let scratch = Scratch::new();
    scratch.write("in.txt", lines(300_000));
    let pipeline = "[source.log]\nfile = 'in.txt'\n[stage.same]\nrun = ['cat']\npartitions = 1\n[sink.out]\n\
        run = ['sh', '-c', 'while test \"$(dd bs=65536 count=1 2>/dev/null | wc -c)\" -gt 0; do sleep 0.02; done']\n";
    both_name(&scratch, pipeline, &[], "out", "child_not_reading");
}

#[test]
fn a_source_that_gives_no_more() {
    let scratch = Scratch::new();
    let pipeline = "[source.n]\nrun = ['sh', '-c', 'for i in $(seq 1 300); do echo $i; sleep 0.02; done']\n\
        [stage.same]\nrun = ['cat']\npartitions = 1\nmode = 'stream'\n[sink.out]\nfile = 'out.txt'\n";
    both_name(&scratch, pipeline, &[], "n", "source_idle");
}

#[test]
fn stages_that_wait_for_each_others_slots_and_never_the_source_before_them() {
    let scratch = Scratch::new();
    let stage = |name: &str| {
        format!(
            "[stage.{name}]\nrun = ['sh', '-c', 'sleep 0.3; exec cat']\npartitions = 4\nbatch = {{ max_records = 100 }}\n"
        )
    };
    let pipeline = format!(
        "[source.gen]\nrun = ['sh', '-c', 'while :; do seq 1 200; sleep 0.1; done']\n{}{}{}[sink.out]\nfile = 'o.txt'\n",
        stage("a"),
        stage("b"),
        stage("c")
    );
    let mut run = scratch.start(&pipeline, &["--slots", "2"]);
    admin(&mut run);
    let slots = || {
        let (said, _) = why(&scratch, &[]);
        let held = said["limit"]["held_by"].as_array().is_some_and(|stages| !stages.is_empty());
        if limit(&said).1 == "no_slot" && held { Ok(()) } else { Err(said["limit"].to_string()) }
    };
    eventually("the slots are named", PATIENCE, slots);
    holds_for("the source is not the limit", Duration::from_secs(6), || {
        let text = why_text(&scratch, &[]);
        if text.contains("limited by source") { Err(text) } else { Ok(()) }
    });
    let waits = |c: &Value| c["steps"].as_array().is_some_and(|s| s.iter().any(|s| holders(s) > 0));
    crate::ask::chain(&scratch, &[], "who has the slots is named", waits);
    drop(run);
}

/// How many tasks a step says have the slots that it waits for.
fn holders(step: &Value) -> usize {
    step["wait"]["held_by"].as_array().map_or(0, Vec::len)
}
