//! Programs that are sinks: a record is done when its program has ended well with it, or has answered it, and until then it
//! comes again.

mod failures;
mod memory;
mod shapes;
mod stops;

use std::collections::BTreeSet;
use std::time::Duration;
use worker_tests::process::{Finished, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// How many records there are.
const RECORDS: u64 = 1200;

/// Takes each record alone, slowly.
const LINE_BY_LINE: &str = r"
import sys, time
with open('db.txt', 'a') as db:
    for line in iter(sys.stdin.readline, ''):
        time.sleep(0.001)
        db.write(line)
        db.flush()
";

/// Answers each record when it has taken it.
const ANSWERS: &str = r"
import json, sys, time
with open('db.txt', 'a') as db:
    for line in sys.stdin:
        m = json.loads(line)
        if 'record' in m:
            time.sleep(0.001)
            db.write(m['record'] + '\n')
            db.flush()
        if 'id' in m:
            print(json.dumps({'id': m['id']}), flush=True)
";

/// Slow, a window at a time, and all or nothing, as `psql -1` is. What it has at its end is seen in one piece.
const TRANSACTION: &str = r"
import os, sys, time
lines = []
for line in iter(sys.stdin.readline, ''):
    time.sleep(0.001)
    lines.append(line)
    if len(lines) % 50 == 0: open('taken.txt', 'a').write('.' * 50)
db = os.open('db.txt', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(db, ''.join(lines).encode())
";

/// A sink, without its head, for each way to run a program.
const WAYS: [(&str, &str); 4] = [
    (
        "batch",
        "run = ['sh', '-c', 'sleep 0.02; cat >> db.txt']\nmode = 'batch'\nbatch = { max_records = 50 }",
    ),
    ("stream", "run = ['python3', 'lines.py']"),
    ("windows of a stream", "run = ['python3', 'transaction.py']\nwindow = { records = 200 }"),
    ("records", "run = ['python3', 'answers.py']\nmode = 'records'"),
];

/// A pipeline of a file and this sink.
fn pipeline(sink: &str) -> String {
    format!("[pipeline]\nname = 'taken'\n[source.in]\nfile = 'in.txt'\n[sink.db]\n{sink}\n")
}

/// The programs, the input and the pipeline.
fn scratch(sink: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("lines.py", LINE_BY_LINE);
    scratch.write("answers.py", ANSWERS);
    scratch.write("transaction.py", TRANSACTION);
    let input: Vec<String> = (1..=RECORDS).map(|n| format!("{n}\n")).collect();
    scratch.write("in.txt", input.concat());
    scratch.write("pipeline.toml", pipeline(sink));
    scratch
}

const QUIET: [&str; 6] = ["run", "pipeline.toml", "--progress", "none", "--admin", "none"];

fn start<'a>(scratch: &'a Scratch, args: &[&str]) -> Running<'a> {
    scratch.worker(&[&QUIET, args].concat()).start()
}

fn run(scratch: &Scratch, args: &[&str]) -> Finished {
    start(scratch, args).wait(PATIENCE)
}

const STATE: &[&str] = &["--state", "state"];

/// Waits until a file is so long.
fn until_longer(scratch: &Scratch, running: &mut Running<'_>, name: &str, bytes: u64) {
    eventually("the middle of the work", PATIENCE, || {
        assert!(!running.has_ended(), "it ended: {}", running.stderr());
        let len = scratch.len(name);
        if len > bytes { Ok(()) } else { Err(format!("{name} has {len} bytes; {}", running.stderr())) }
    });
}

/// The numbers in a file.
fn numbers(scratch: &Scratch, name: &str) -> Vec<u64> {
    scratch.text(name).lines().filter_map(|line| line.parse().ok()).collect()
}

/// Each record has reached the program.
fn assert_all_taken(scratch: &Scratch, what: &str) {
    let taken: BTreeSet<u64> = numbers(scratch, "db.txt").into_iter().collect();
    let missing: Vec<u64> = (1..=RECORDS).filter(|n| !taken.contains(n)).collect();
    assert!(missing.is_empty(), "{what}: {} missing, from {:?}", missing.len(), missing.first());
}

/// Each record has reached it once, in order.
fn assert_taken_once(scratch: &Scratch) {
    let taken = numbers(scratch, "db.txt");
    assert!(taken.iter().copied().eq(1..=RECORDS), "{} records, {:?}…", taken.len(), taken.first());
}
