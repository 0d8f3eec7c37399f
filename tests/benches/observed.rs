//! What it costs to be watched: a job alone, in turn with the same job whose metrics are scraped and whose state is followed.
//!
//! ```text
//! cargo bench -p worker-tests --bench observed            # 4 GB, 7 rounds
//! cargo bench -p worker-tests --bench observed -- 1000 3   # 1 GB, 3 rounds
//! ```
//!
//! Lines → grep → awk that counts by key → file, as in the bench `job`. Watched means: `/metrics` once a second, and a listener to
//! the events that the live page is made of. `WORKER_BEFORE=path` runs a third in each turn: that binary without an admin
//! address, such as one of a version that did not look at itself at all. Processor time is of all processes; it says more than
//! the clock on a machine with other work.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod harness;

use harness::{Took, build_worker, finish};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use worker_tests::spread;

const PIPELINE: &str = r#"
[source.log]
file = "access-*.log"

[stage.errors]
from = "log"
run = ["grep", " 50[0-9] "]
mode = "stream"
ok_exit = [0, 1]

[stage.per_path]
from = "errors"
partition_by = { field = 7 }
mode = "stream"
run = ["awk", "{c[$7]++} END{for(p in c) print c[p], p}"]
partitions = 2

[sink.out]
from = "per_path"
file = "out.txt"
exists = "replace"
"#;

/// Size of the file that the input is links to.
const FILE_BYTES: u64 = 100_000_000;

/// How often metrics are scraped.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// What watching has seen.
#[derive(Debug, Default)]
struct Seen {
    scrapes: AtomicU64,
    bytes: AtomicU64,
    events: AtomicU64,
}

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (megabytes, rounds) = (args.first().copied().unwrap_or(4000), args.get(1).copied().unwrap_or(7));
    let worker = build_worker();
    let before = std::env::var_os("WORKER_BEFORE").map(PathBuf::from);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = write_input(dir.path(), megabytes * 1_000_000);
    std::fs::write(dir.path().join("job.toml"), PIPELINE).expect("write the pipeline file");
    println!("observed: {bytes} bytes, {rounds} rounds in turn");
    let seen = Seen::default();
    let alone = || run(&worker, dir.path(), &["--admin", "none"], None);
    let watched = || {
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").to_string();
        run(&worker, dir.path(), &["--admin", &address], Some((&address, &seen)))
    };
    // Not counted: the file comes into the page cache.
    alone();
    let (mut ratios, mut before_ratios) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        // Who begins changes, so that nobody gains by his place.
        let (alone, watched) = if round % 2 == 0 {
            (alone(), watched())
        } else {
            let watched = watched();
            (alone(), watched)
        };
        println!("round {round}: alone {}, watched {}", show(alone), show(watched));
        ratios.push(ratio(watched, alone));
        if let Some(before) = &before {
            let before = run(before, dir.path(), &[], None);
            println!("round {round}: before {}", show(before));
            before_ratios.push(ratio(watched, before));
        }
    }
    tell("watched / alone", &ratios);
    if !before_ratios.is_empty() {
        tell("watched / before", &before_ratios);
    }
    let [scrapes, bytes, events] =
        [&seen.scrapes, &seen.bytes, &seen.events].map(|count| count.load(Relaxed));
    println!("{scrapes} scrapes of {} bytes, {events} events", bytes / scrapes.max(1));
}

fn show(took: Took) -> String {
    format!("{:.2} s ({:.2} s processor)", took.wall.as_secs_f64(), took.all.as_secs_f64())
}

fn ratio(ours: Took, theirs: Took) -> (f64, f64) {
    (ours.wall.div_duration_f64(theirs.wall), ours.all.div_duration_f64(theirs.all))
}

fn tell(name: &str, ratios: &[(f64, f64)]) {
    let (low, mid, high) = spread(ratios.iter().map(|r| r.0));
    let (cheap, processor, dear) = spread(ratios.iter().map(|r| r.1));
    println!(
        "{name}: median {mid:.3} (lowest {low:.3}, highest {high:.3}); processor time {processor:.3} ({cheap:.3} to {dear:.3})"
    );
}

fn run(worker: &Path, dir: &Path, args: &[&str], watched: Option<(&str, &Seen)>) -> Took {
    let mut command = Command::new(worker);
    command.args(["run", "job.toml", "--quiet"]).args(args).current_dir(dir);
    command.env("WORKER_RUNTIME_DIR", dir.join("entries"));
    let begun = Instant::now();
    let child = command.spawn().expect("start the worker");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some((address, seen)) = watched {
            scope.spawn(|| scrape(address, seen, &over));
            scope.spawn(|| listen(address, seen, &over));
        }
        let took = finish(child, begun);
        over.store(true, Relaxed);
        took
    })
}

fn ask(address: &str, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    Ok(stream)
}

fn scrape(address: &str, seen: &Seen, over: &AtomicBool) {
    while !over.load(Relaxed) {
        let mut text = Vec::new();
        if ask(address, "/metrics").and_then(|mut stream| stream.read_to_end(&mut text)).is_ok()
            && text.ends_with(b"# EOF\n")
        {
            seen.scrapes.fetch_add(1, Relaxed);
            seen.bytes.fetch_add(text.len() as u64, Relaxed);
            std::thread::sleep(SCRAPE_EVERY);
        } else {
            // Not there yet, or not any more.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn listen(address: &str, seen: &Seen, over: &AtomicBool) {
    while !over.load(Relaxed) {
        let mut some = vec![0; 64 * 1024];
        if let Ok(mut stream) = ask(address, "/api/v1/events") {
            while let Ok(count @ 1..) = stream.read(&mut some) {
                let begun = some[..count].windows(6).filter(|bytes| bytes == b"event:").count();
                seen.events.fetch_add(begun as u64, Relaxed);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One file of lines like a web server's, under as many names as make `bytes_min`; one line in forty has a status of 500 to 504.
fn write_input(dir: &Path, bytes_min: u64) -> u64 {
    let mut state = 1_u64;
    let mut next = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut text = String::new();
    while (text.len() as u64) < FILE_BYTES {
        let status = if next(40) == 0 { 500 + next(5) } else { 200 };
        let (a, b, page, size) = (next(256), next(256), next(2000), next(100_000));
        let line = format!(
            "10.7.{a}.{b} - - [10/Oct/2026:13:55:00 +0000] \"GET /page/{page} HTTP/1.1\" {status} {size}"
        );
        writeln!(text, "{line}").expect("a string takes it");
    }
    let first = dir.join("access-000.log");
    std::fs::write(&first, &text).expect("write the log");
    let files = bytes_min.div_ceil(text.len() as u64).max(1);
    for file in 1..files {
        std::fs::hard_link(&first, dir.join(format!("access-{file:03}.log"))).expect("link the log");
    }
    files * text.len() as u64
}
