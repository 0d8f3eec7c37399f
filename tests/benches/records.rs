//! `mode = "records"`: a Python program that is asked by the worker, against the program alone between two `cat`.
//!
//! ```text
//! cargo bench -p worker-tests --bench records                       # 300,000 records, 3 rounds, the default in_flight
//! cargo bench -p worker-tests --bench records -- 300000 3 256 1024    # and these
//! ```
//!
//! Everything in turn in each round: the program alone, then file → program → file, whole processes, in memory and exactly
//! once. The program counts by key, puts the count and emits the record; every answer is flushed. The worker's processor time
//! is that of its own process, without program and launcher.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod harness;

use harness::{Took, build_worker, time};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use worker_tests::spread;

const PROGRAM: &str = "import json, sys
counts = {}
for line in sys.stdin:
    m = json.loads(line)
    if 'hello' in m: continue
    a = {'id': m['id']}
    if 'record' in m:
        k = m['key']
        counts[k] = counts.get(k, 0) + 1
        a['put'] = {k: str(counts[k])}
        a['emit'] = [m['record']]
    print(json.dumps(a), flush=True)
";

const PIPELINE: &str = r#"
[source.lines]
file = "lines.txt"

[stage.count]
mode = "records"
partition_by = { field = 1 }
partitions = 1
run = ["python3", "count.py"]
IN_FLIGHT

[sink.out]
file = "worker.txt"
exists = "replace"
"#;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (records, rounds) = (args.first().copied().unwrap_or(300_000), args.get(1).copied().unwrap_or(3));
    let windows: Vec<Option<u64>> = match args.get(2..) {
        None | Some([]) => vec![None],
        Some(windows) => windows.iter().copied().map(Some).collect(),
    };
    let worker = build_worker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    write_input(dir, records);
    for window in &windows {
        let line = window.map_or(String::new(), |window| format!("in_flight = {window}"));
        let file = dir.join(format!("{}.toml", name(*window)));
        std::fs::write(file, PIPELINE.replace("IN_FLIGHT", &line)).expect("write the pipeline file");
    }
    println!("records: {records} records, {rounds} rounds in turn");
    compare(&worker, dir, records, rounds, &windows);
}

fn name(window: Option<u64>) -> String {
    window.map_or("default".to_owned(), |window| window.to_string())
}

fn compare(worker: &Path, dir: &Path, records: u64, rounds: u64, windows: &[Option<u64>]) {
    let alone = "cat requests.json | python3 count.py | cat > alone.txt";
    let mut figures = vec![(Vec::new(), Vec::new()); windows.len() * 2];
    // The first round warms up.
    for round in 0..=rounds {
        let alone = time(Command::new("sh").args(["-c", alone]).current_dir(dir));
        let mut line = format!("round {round}: alone {:.2} s", alone.wall.as_secs_f64());
        let runs = windows.iter().flat_map(|window| [(*window, false), (*window, true)]);
        for (figures, (window, durable)) in figures.iter_mut().zip(runs) {
            let took = run(worker, dir, &name(window), durable);
            let rate = alone.wall.div_duration_f64(took.wall);
            let own = took.own.as_secs_f64() * 1e6 / records as f64;
            write!(
                line,
                "; {} {:.2} s, own processor {own:.2} µs a record",
                label(window, durable),
                took.wall.as_secs_f64()
            )
            .expect("a string takes it");
            if round > 0 {
                figures.0.push(rate);
                figures.1.push(own);
            }
        }
        println!("{line}");
    }
    let runs = windows.iter().flat_map(|window| [(*window, false), (*window, true)]);
    for ((rates, own), (window, durable)) in figures.into_iter().zip(runs) {
        let ((low, mid, high), own) = (spread(rates), spread(own).1);
        println!(
            "{}: median {mid:.2} of the rate alone (lowest {low:.2}, highest {high:.2}); worker's processor {own:.2} µs a record",
            label(window, durable)
        );
    }
}

fn label(window: Option<u64>, durable: bool) -> String {
    format!("in_flight {}, {}", name(window), if durable { "exactly-once" } else { "memory" })
}

fn run(worker: &Path, dir: &Path, name: &str, durable: bool) -> Took {
    let mut command = Command::new(worker);
    command.args(["run", &format!("{name}.toml"), "--quiet"]).current_dir(dir);
    if durable {
        command.args(["--state", "state"]);
    }
    let took = time(&mut command);
    if durable {
        std::fs::remove_dir_all(dir.join("state")).expect("remove the state directory");
    }
    let (ours, given) = (dir.join("worker.txt"), dir.join("lines.txt"));
    let len = |path| std::fs::metadata(path).expect("the size of a file").len();
    assert_eq!(len(ours), len(given), "every record comes once");
    took
}

/// The records, and the requests that they make.
fn write_input(dir: &Path, records: u64) {
    let (mut lines, mut requests) = (String::new(), String::new());
    for n in 0..records {
        let key = n % 997;
        let record = format!(
            "key{key} {n:09} GET /some/path/of/this/length HTTP/1.1 200 Mozilla/5.0 (a browser) 10.0.0.1"
        );
        writeln!(lines, "{record}").expect("a string takes it");
        writeln!(requests, "{{\"id\":{n},\"key\":\"key{key}\",\"record\":\"{record}\"}}")
            .expect("a string takes it");
    }
    for (name, text) in [("lines.txt", lines), ("requests.json", requests), ("count.py", PROGRAM.to_owned())]
    {
        std::fs::write(dir.join(name), text).expect("write a file");
    }
}
