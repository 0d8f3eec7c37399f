//! How long a record takes from standard input through two `records` stages to standard output.
//!
//! ```text
//! cargo bench -p worker-tests --bench latency             # 5 s at a tenth of the peak rate
//! cargo bench -p worker-tests --bench latency -- 10 2000   # 10 s at 2000 records a second
//! ```
//!
//! Open loop: a record is due at its time, however the ones before it fare, and its delay counts from then. The peak is
//! measured before, of the same pipeline. Exactly once a record waits for three syncs, one after the other: of the source's,
//! the first and the second stage's journal. What one sync takes on this disk is measured beside.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod harness;

use harness::{build_worker, finish};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use worker_tests::spread;

const PROGRAM: &str = "import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if 'hello' in m: continue
    a = {'id': m['id']}
    if 'record' in m: a['emit'] = [m['record']]
    print(json.dumps(a), flush=True)
";

const PIPELINE: &str = r#"
[source.in]
stdin = true

[stage.first]
mode = "records"
run = ["python3", "pass.py"]

[stage.second]
mode = "records"
run = ["python3", "pass.py"]

[sink.out]
stdout = true
"#;

const PEAK_RECORDS: u64 = 200_000;

/// Delays of the first part of a run are not counted: programs start.
const WARM_UP: Duration = Duration::from_secs(1);

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let length = Duration::from_secs(args.first().copied().unwrap_or(5));
    let worker = build_worker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    std::fs::write(dir.join("pass.py"), PROGRAM).expect("write the program");
    std::fs::write(dir.join("p.toml"), PIPELINE).expect("write the pipeline file");
    println!("one sync of 4 KiB here: median {:.2} ms", sync_ms(dir));
    for durable in [false, true] {
        let peak = peak(&worker, dir, durable);
        let rate = args.get(1).map_or(peak / 10.0, |rate| *rate as f64);
        let mut delays = delays(&worker, dir, durable, rate, length);
        delays.sort();
        let at = |per_mille: usize| delays[(delays.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
        println!(
            "{}: peak {peak:.0} records/s; at {rate:.0}: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, most {:.2} ms ({} records)",
            if durable { "exactly-once" } else { "memory" },
            at(500),
            at(990),
            at(999),
            at(1000),
            delays.len()
        );
    }
}

/// Records a second, given as fast as they are taken.
fn peak(worker: &Path, dir: &Path, durable: bool) -> f64 {
    let begun = Instant::now();
    let (child, mut stdin, stdout) = start(worker, dir, durable);
    let sender = std::thread::spawn(move || {
        for n in 0..PEAK_RECORDS {
            writeln!(stdin, "{n:020} {:80}", "").expect("write a record");
        }
        stdin.flush().expect("write the last records");
    });
    let records = BufReader::new(stdout).lines().count() as u64;
    sender.join().expect("the sender is well");
    end(child, begun, dir, durable);
    assert_eq!(records, PEAK_RECORDS);
    records as f64 / begun.elapsed().as_secs_f64()
}

fn delays(worker: &Path, dir: &Path, durable: bool, rate: f64, length: Duration) -> Vec<Duration> {
    let begun = Instant::now();
    let (child, stdin, stdout) = start(worker, dir, durable);
    let sender = std::thread::spawn(move || {
        send(
            stdin.into_inner().map_err(|e| e.into_error()).expect("no output yet"),
            begun,
            rate,
            length + WARM_UP,
        )
    });
    let mut delays = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("read a record");
        let due = Duration::from_nanos(line[..20].parse().expect("a time"));
        if due >= WARM_UP {
            delays.push(begun.elapsed().saturating_sub(due));
        }
    }
    sender.join().expect("the sender is well");
    end(child, begun, dir, durable);
    delays
}

/// Each record has the time when it is due, and goes out then or, if the sender was held up, with those due since.
fn send(mut stdin: ChildStdin, begun: Instant, rate: f64, length: Duration) {
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut due = Duration::ZERO;
    let mut lines = Vec::new();
    while due < length {
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let now = begun.elapsed();
        lines.clear();
        while due <= now {
            writeln!(lines, "{:020} {:80}", due.as_nanos(), "").expect("memory takes it");
            due += interval;
        }
        stdin.write_all(&lines).expect("write records");
    }
}

fn start(worker: &Path, dir: &Path, durable: bool) -> (Child, std::io::BufWriter<ChildStdin>, ChildStdout) {
    let mut command = Command::new(worker);
    command.args(["run", "p.toml", "--quiet"]).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
    if durable {
        command.args(["--state", "state"]);
    }
    let mut child = command.spawn().expect("start the worker");
    let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    (child, std::io::BufWriter::with_capacity(1 << 16, stdin), stdout)
}

fn end(child: Child, begun: Instant, dir: &Path, durable: bool) {
    finish(child, begun);
    if durable {
        std::fs::remove_dir_all(dir.join("state")).expect("remove the state directory");
    }
}

fn sync_ms(dir: &Path) -> f64 {
    let mut file = File::create(dir.join("sync")).expect("create a file");
    file.set_len(1 << 20).expect("give it a size");
    file.sync_all().expect("sync it");
    let syncs = (0..100).map(|_| {
        file.write_all(&[1; 4096]).expect("write to it");
        let begun = Instant::now();
        file.sync_data().expect("sync it");
        begun.elapsed().as_secs_f64() * 1e3
    });
    spread(syncs).1
}
