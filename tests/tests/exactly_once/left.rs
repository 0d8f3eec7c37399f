//! What a finished run leaves in its state directory, and a run whose directory is taken away.

use crate::{PATIENCE, SLOW, half, prepare, run, start};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use worker_tests::process::{Scratch, eventually};

/// Its program begins when it may; behind that more is printed than one segment of a journal takes.
const GATED: &str = "[pipeline]\nname = 'gated'\n[source.in]\nfile = 'in.txt'\n\
                     [stage.gate]\nmode = 'stream'\npartitions = 1\nrun = ['sh', '-c', 'while [ ! -e go ]; do sleep 0.02; done; cat']\n\
                     [sink.out]\nfile = 'out.txt'\n";

fn disk_bytes(path: &Path) -> u64 {
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    let below: u64 = below.map(|entry| disk_bytes(&entry.path())).sum();
    path.symlink_metadata().map_or(0, |metadata| metadata.blocks() * 512) + below
}

fn gated() -> Scratch {
    let scratch = Scratch::new();
    scratch.shell("seq 10000000 14000000 > in.txt");
    scratch.write("pipeline.toml", GATED);
    scratch
}

#[test]
fn the_end_says_that_the_state_may_be_removed_and_most_of_its_disk_is_given_back() {
    let scratch = gated();
    scratch.write("go", "");
    let args = ["run", "pipeline.toml", "--state", "state", "--progress", "lines", "--report", "report.json"];
    let ended = scratch.worker(&args).run().expect(0);
    ended.says(&["all is done: the state in ", "/state (", " may be removed\n"]);
    let left = disk_bytes(&scratch.path("state"));
    assert!(left < 20 << 20, "{left} bytes are left");
    let report: serde_json::Value = serde_json::from_str(&scratch.text("report.json")).expect("a report");
    assert_eq!(report["state"]["bytes"].as_u64(), Some(left), "{report}");
    run(&scratch).expect(0).says(&["finished already"]);
    scratch.shell("rm -r state out.txt");
    run(&scratch).expect(0);
    assert!(scratch.read("in.txt") == scratch.read("out.txt"));
}

#[test]
fn a_run_that_is_not_at_its_end_says_nothing_of_removing_its_state() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    let args = ["run", "pipeline.toml", "--state", "state", "--progress", "lines"];
    let mut running = scratch.worker(&args).start();
    eventually("it goes on", PATIENCE, || {
        assert!(!running.has_ended(), "{}", running.stderr());
        if scratch.len("out.txt") > 300_000 { Ok(()) } else { Err(running.stderr()) }
    });
    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait(PATIENCE).expect(143);
    assert!(!ended.stderr.contains("may be removed"), "{}", ended.stderr);
    let ended = scratch.worker(&args).run().expect(0);
    ended.says(&[
        "read since the first start",
        "went on with an earlier run: what is counted is since the first start",
    ]);
}

#[test]
fn a_state_that_is_moved_while_it_is_used_is_said_to_be_gone_and_goes_on_where_it_is() {
    let scratch = gated();
    let mut running = start(&scratch);
    eventually("its program waits", PATIENCE, || {
        assert!(!running.has_ended(), "{}", running.stderr());
        let waits =
            !worker_tests::process::descendants(running.pid()).is_empty() && scratch.path("out.txt").exists();
        if waits { Ok(()) } else { Err(running.stderr()) }
    });
    scratch.shell("mv state moved");
    scratch.write("go", "");
    running
        .wait(PATIENCE)
        .expect(1)
        .says(&["/state is gone: it was moved or removed", "--state NEWPLACE goes on"]);
    scratch.worker(&["run", "pipeline.toml", "--state", "moved", "--progress", "none"]).run().expect(0);
    assert!(scratch.read("in.txt") == scratch.read("out.txt"));
}
