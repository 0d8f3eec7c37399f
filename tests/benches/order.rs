//! What it costs to keep the order of the input over tasks that work side by side: the same filter without and with `-k`, whole
//! processes, in turn in one run.
//!
//! ```text
//! cargo bench -p worker-tests --bench order             # 240 MB, 5 rounds
//! cargo bench -p worker-tests --bench order -- 100 9    # 100 MB, 9 rounds
//! ```
//!
//! The work is even: every record costs the same. `gzip` is a filter that computes, `grep` one that is through its input as fast as
//! it is fed. What `-k` writes is compared with a pipe of the same filter, byte for byte.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "harness/access_log.rs"]
mod access_log;
mod harness;

use access_log::write_log;
use harness::{Took, build_worker, time};
use std::path::Path;
use std::process::Command;
use worker_tests::spread;

/// Names, filters, and what a pipe has to do for the same bytes.
const WORK: [(&str, &str); 2] = [("computes", "sh -c 'gzip -1 | gzip -dc'"), ("fast", "grep -v 'page/77 '")];

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (megabytes, rounds) = (args.first().copied().unwrap_or(240), args.get(1).copied().unwrap_or(5));
    let worker = build_worker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = write_log(&dir.path().join("in.txt"), megabytes * 1_000_000);
    for (name, filter) in WORK {
        println!("order: {bytes} bytes, a filter that is {name} ({filter}), {rounds} rounds in turn");
        compare(&worker, dir.path(), filter, rounds);
    }
}

fn compare(worker: &Path, dir: &Path, filter: &str, rounds: u64) {
    let pipe = format!("{filter} < in.txt > pipe.txt");
    time(Command::new("sh").args(["-c", &pipe]).current_dir(dir));
    let ours = |options: &[&str]| {
        let line = ["run", "--quiet", "-i", "in.txt", "-s", filter, "-o", "out.txt", "--force"];
        time(Command::new(worker).args(line).args(options).current_dir(dir))
    };
    // Not counted: the file comes into the page cache.
    ours(&[]);
    let mut ratios: Vec<(f64, f64)> = Vec::new();
    for round in 1..=rounds {
        let (any, ordered) = if round % 2 == 0 {
            let any = ours(&[]);
            (any, ours(&["-k"]))
        } else {
            let ordered = ours(&["-k"]);
            same(dir);
            (ours(&[]), ordered)
        };
        let show = |took: Took| {
            format!("{:.2} s ({:.2} s processor)", took.wall.as_secs_f64(), took.all.as_secs_f64())
        };
        println!("round {round}: in any order {}, in order {}", show(any), show(ordered));
        ratios.push((any.wall.div_duration_f64(ordered.wall), any.all.div_duration_f64(ordered.all)));
    }
    let (low, mid, high) = spread(ratios.iter().map(|r| r.0));
    let (_, processor, _) = spread(ratios.iter().map(|r| r.1));
    println!(
        "speed in order / in any: median {mid:.2} (lowest {low:.2}, highest {high:.2}); processor time {processor:.2}"
    );
}

fn same(dir: &Path) {
    let status = Command::new("cmp").args(["pipe.txt", "out.txt"]).current_dir(dir).status();
    assert!(status.expect("cmp runs").success(), "the order of the input is not kept");
}
