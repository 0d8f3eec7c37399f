//! Pipelines with state that are started again: after a change, with damaged or foreign state, on a full disk, with a
//! destination that is not there, with a record that kills the worker.

mod append;
mod bad_files;
mod bad_state;
mod finished;
mod format_1;
mod full;
mod generate;
mod left;
mod list;
mod long;
mod poison;
mod referred;
mod refused;
mod restart;
mod sample;
mod spill;
mod undecided;

use std::time::Duration;
use worker_tests::process::{Finished, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// About a second of work; small budgets, so that the source is in the middle of its file all that while.
const SLOW: &str = "[pipeline]\nname = 'slow'\nmax_record = '16KiB'\ncredit = '32KiB'\noutbox = '32KiB'\nspill_limit = '32KiB'\n\
                    [source.in]\nfile = 'in.txt'\n\
                    [stage.same]\nrun = ['sh', '-c', 'sleep 0.02; cat']\npartitions = 1\nbatch = { max_records = 200 }\n\
                    [sink.out]\nfile = 'out.txt'\n";

fn prepare(scratch: &Scratch, pipeline: &str) {
    scratch.shell("seq 1 8000 | sed 's/$/ is a line of about a hundred bytes, so that all of them together are far more than any budget/' > in.txt");
    scratch.write("pipeline.toml", pipeline);
}

fn start(scratch: &Scratch) -> Running<'_> {
    scratch.worker(&["run", "pipeline.toml", "--state", "state", "--progress", "none"]).start()
}

fn run(scratch: &Scratch) -> Finished {
    start(scratch).wait(PATIENCE)
}

/// Runs until a good part is written, and kills it. What is written and not committed is less than the sink's credit.
fn half(scratch: &Scratch) {
    let mut running = start(scratch);
    eventually("some of it is written", PATIENCE, || {
        assert!(!running.has_ended(), "it ended: {}", running.stderr());
        if scratch.len("out.txt") > 100_000 { Ok(()) } else { Err(running.stderr()) }
    });
    running.kill();
    scratch.assert_no_process_left();
}

fn assert_copied(scratch: &Scratch) {
    assert!(scratch.read("out.txt") == scratch.read("in.txt"), "out.txt is not what in.txt is");
}
