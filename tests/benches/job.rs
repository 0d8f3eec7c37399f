//! The job a shell pipe does too: lines → grep → awk that counts by key → file, whole processes, in turn in one run.
//!
//! ```text
//! cargo bench -p worker-tests --bench job             # 480 MB, 5 rounds
//! cargo bench -p worker-tests --bench job -- 100 9    # 100 MB, 9 rounds
//! ```
//!
//! The pipe is `cat FILE | grep … | awk …`. The results are compared, sorted, in every round. Processor time is user and
//! system time of the processes and all their children; it says more than the clock on a machine with other work.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "harness/access_log.rs"]
mod access_log;
mod harness;

use access_log::write_log;
use harness::{Took, build_worker, time};
use std::path::Path;
use std::process::Command;
use worker_tests::spread;

const PIPELINE: &str = r#"
[source.log]
file = "access.log"

[stage.errors]
from = "log"
run = ["grep", " 50[0-9] "]
MODE

[stage.per_path]
from = "errors"
partition_by = { field = 7 }
mode = "stream"
run = ["awk", "{c[$7]++} END{for(p in c) print c[p], p}"]
partitions = 2

[sink.out]
from = "per_path"
file = "worker.txt"
exists = "replace"
"#;

const PIPE: &str =
    "cat access.log | grep ' 50[0-9] ' | awk '{c[$7]++} END{for(p in c) print c[p], p}' > pipe.txt";

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (megabytes, rounds) = (args.first().copied().unwrap_or(480), args.get(1).copied().unwrap_or(5));
    let worker = build_worker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = write_log(&dir.path().join("access.log"), megabytes * 1_000_000);
    for (name, mode) in
        [("batch", "mode = \"batch\"\nok_exit = [0, 1]"), ("stream", "mode = \"stream\"\nok_exit = [0, 1]")]
    {
        let file = dir.path().join(format!("{name}.toml"));
        std::fs::write(&file, PIPELINE.replace("MODE", mode)).expect("write the pipeline file");
        println!("job: {bytes} bytes, grep as {name}, {rounds} rounds in turn");
        compare(&worker, dir.path(), &file, rounds);
    }
}

fn compare(worker: &Path, dir: &Path, file: &Path, rounds: u64) {
    let pipe = || time(Command::new("sh").args(["-c", PIPE]).current_dir(dir));
    let ours = |delivery: &[&str]| {
        time(Command::new(worker).arg("run").arg(file).arg("--quiet").args(delivery).current_dir(dir))
    };
    let exactly_once = || {
        let took = ours(&["--state", "state"]);
        std::fs::remove_dir_all(dir.join("state")).expect("remove the state directory");
        took
    };
    let check =
        || assert_eq!(sorted(&dir.join("worker.txt")), sorted(&dir.join("pipe.txt")), "the results differ");
    // Not counted: the file comes into the page cache.
    pipe();
    ours(&[]);
    let mut ratios: [Vec<(f64, f64)>; 3] = [const { Vec::new() }; 3];
    for round in 1..=rounds {
        let pipe = pipe();
        let memory = ours(&[]);
        check();
        let once = exactly_once();
        check();
        let show = |took: Took| {
            format!("{:.2} s ({:.2} s processor)", took.wall.as_secs_f64(), took.all.as_secs_f64())
        };
        println!("round {round}: pipe {}, memory {}, exactly-once {}", show(pipe), show(memory), show(once));
        for (ratios, (ours, theirs)) in ratios.iter_mut().zip([(memory, pipe), (once, pipe), (once, memory)])
        {
            ratios.push((ours.wall.div_duration_f64(theirs.wall), ours.all.div_duration_f64(theirs.all)));
        }
    }
    for (name, ratios) in
        ["memory / pipe", "exactly-once / pipe", "exactly-once / memory"].iter().zip(&ratios)
    {
        let (low, mid, high) = spread(ratios.iter().map(|r| r.0));
        let (_, processor, _) = spread(ratios.iter().map(|r| r.1));
        println!(
            "{name}: median {mid:.2} (lowest {low:.2}, highest {high:.2}); processor time {processor:.2}"
        );
    }
}

fn sorted(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("read a result");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
