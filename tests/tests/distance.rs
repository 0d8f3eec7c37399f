//! Two nodes far from each other: what is under way grows to what the line takes, and no link has to be told how much that is.

use std::time::{Duration, Instant};
use worker_tests::distance::{Distance, Line};
use worker_tests::process::{Nodes, Scratch};

const PATIENCE: Duration = Duration::from_secs(60);

/// What crosses the line, in records of 1,000 bytes.
const RECORDS: u64 = 40_000;

/// As slow as a busy machine with a debug build can fill it.
const LINE: Line = Line { round_trip: Duration::from_millis(50), bytes_per_s: 20_000_000 };

/// How long it takes from the first record to the end with so much that links may share.
fn time(shared_credit: &str) -> Duration {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[pipeline]\nname = 'far'\nmax_record = '64KiB'\ncredit = '256KiB'\noutbox = '512KiB'\nshared_credit = '{shared_credit}'\n\
         [source.in]\ngenerate = {{ records = {RECORDS}, bytes = 1000 }}\nplace = 'a'\n[sink.out]\nfile = 'out.txt'\nplace = 'b'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let far = Distance::to(nodes.address("b"), LINE).address();
    let near = nodes.address("a");
    scratch.write(
        "far.toml",
        format!("[node.a]\naddress = \"{near}\"\nslots = 1\n[node.b]\naddress = \"{far}\"\nslots = 1\n"),
    );
    let b = nodes.start("b");
    let begun = Instant::now();
    let a = scratch.worker(&["node", "--name", "a", "--cluster", "far.toml", "pipeline.toml"]).start();
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    let took = begun.elapsed();
    assert_eq!(scratch.len("out.txt"), RECORDS * 1_001, "each record arrived once");
    took
}

#[test]
fn a_long_line_is_filled() {
    let (fixed, shared) = (time("1B"), time("16MiB"));
    assert!(
        shared * 2 < fixed,
        "{shared:?} where links may share, {fixed:?} where each has its own; the line alone takes 2 s"
    );
}
