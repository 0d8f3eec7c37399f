//! Stages that share slots with one whose programs hang.

use worker_tests::process::{Scratch, eventually};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Both slots are taken by programs that do nothing for longer than the test may last.
fn beside_a_stage_that_hangs(args: &[&str]) {
    let scratch = Scratch::new();
    scratch.shell("seq 400 > a.txt; seq 400000 > b.txt");
    scratch.write(
        "pipeline.toml",
        "[source.a]\nfile = 'a.txt'\n[source.b]\nfile = 'b.txt'\n\
         [stage.hang]\nfrom = 'a'\nrun = ['sleep', '1000']\npartitions = 8\ntimeout = '10m'\n\
         [stage.good]\nfrom = 'b'\nrun = ['cat']\npartitions = 1\n\
         [sink.oa]\nfrom = 'hang'\nfile = 'oa.txt'\n[sink.ob]\nfrom = 'good'\nfile = 'ob.txt'\n",
    );
    let run = scratch.worker(&[&["run", "pipeline.toml", "--slots", "2"], args].concat()).start();
    eventually("the healthy branch is done", PATIENCE, || {
        let (written, all) = (scratch.len("ob.txt"), scratch.len("b.txt"));
        if written == all { Ok(()) } else { Err(format!("{written} of {all} bytes")) }
    });
    run.kill();
}

#[test]
fn a_branch_goes_on_beside_a_stage_that_hangs_in_memory() {
    beside_a_stage_that_hangs(&[]);
}

#[test]
fn a_branch_goes_on_beside_a_stage_that_hangs_exactly_once() {
    beside_a_stage_that_hangs(&["--state", "state"]);
}
