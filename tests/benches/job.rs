//! The job a shell pipe does too: lines → grep → awk that counts by key → file, whole processes, in turn in one run.
//!
//! ```text
//! cargo bench -p worker-tests --bench job             # 480 MB, 5 rounds
//! cargo bench -p worker-tests --bench job -- 100 9    # 100 MB, 9 rounds
//! ```
//!
//! The pipe is `cat FILE | grep … | awk …`. The results of both are compared, sorted, in every round.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

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
    let ours = || time(Command::new(worker).arg("run").arg(file).arg("--quiet").current_dir(dir));
    // Not counted: the file comes into the page cache.
    pipe();
    ours();
    let mut ratios: Vec<f64> = (1..=rounds)
        .map(|round| {
            let (pipe, ours) = (pipe(), ours());
            assert_eq!(sorted(&dir.join("worker.txt")), sorted(&dir.join("pipe.txt")), "the results differ");
            println!("round {round}: pipe {pipe:.2} s, worker {ours:.2} s, ratio {:.2}", ours / pipe);
            ours / pipe
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let (low, mid, high) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    println!("worker / pipe: median {mid:.2} (lowest {low:.2}, highest {high:.2})");
}

/// Seconds that a command takes, which must succeed.
fn time(command: &mut Command) -> f64 {
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).status().expect("start the command");
    assert!(status.success(), "{command:?}: {status}");
    begun.elapsed().as_secs_f64()
}

fn sorted(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("read a result");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Lines of an access log, one in forty with a status from 500 to 509; the same every time.
fn write_log(path: &Path, bytes_min: u64) -> u64 {
    let mut state = 1_u64;
    let mut next = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut block = String::new();
    while block.len() < 16 << 20 {
        let status = [200, 200, 200, 304, 404, 301, 200, 200][usize::try_from(next(8)).expect("small")];
        let status = if next(40) == 0 { 500 + next(5) } else { status };
        let (a, b, second, page, size) = (next(256), next(256), next(60), next(2000), next(100_000));
        writeln!(
            block,
            "10.7.{a}.{b} - - [10/Oct/2026:13:55:{second:02} +0000] \"GET /page/{page} HTTP/1.1\" {status} {size}"
        )
        .expect("a string takes it");
    }
    let mut file = std::fs::File::create(path).expect("create the log");
    let mut written = 0;
    while written < bytes_min {
        std::io::Write::write_all(&mut file, block.as_bytes()).expect("write the log");
        written += block.len() as u64;
    }
    written
}

/// Builds the binary that is measured, with the profile that users get.
fn build_worker() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).args(["build", "--release", "-q", "-p", "worker-bin"]).current_dir(root).status();
    assert!(status.expect("start cargo").success(), "the binary does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("release").join("worker")
}
