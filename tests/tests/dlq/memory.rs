//! Dead letters of runs that kept no state are given to the pipeline again, each once.

use std::time::Duration;
use worker_tests::process::{Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers through a program that fails for every hundredth while there is no file `mended`, and then waits for a file `go`.
const PIPELINE: &str = "[source.in]\nfile = 'in.txt'\n[stage.odd]\npartitions = 2\nretry = { max_attempts = 1 }\n\
    run = ['sh', '-c', 'while read n; do case $n in *00) [ -e mended ] || exit 1; while [ ! -e go ]; do sleep 0.02; done;; esac; echo $n; done']\n\
    [sink.out]\nfile = 'out.txt'\n";

fn failed(scratch: &Scratch) {
    scratch.shell("seq 1000 > in.txt");
    scratch.run(PIPELINE).expect(3);
    assert_eq!(numbers(scratch), (1..=1000).filter(|n| n % 100 != 0).collect::<Vec<u64>>());
}

fn numbers(scratch: &Scratch) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        scratch.text("out.txt").lines().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

fn all_came_once(scratch: &Scratch) {
    assert_eq!(numbers(scratch), (1..=1000).collect::<Vec<u64>>());
}

#[test]
fn letters_are_replayed_once_and_what_fails_again_is_kept() {
    let scratch = Scratch::new();
    failed(&scratch);
    let replay = |args: &[&str]| scratch.worker(&[&["dlq", "replay", "pipeline.toml"], args].concat()).run();
    scratch.write("go", "");
    replay(&["all", "--letters", "pipeline.dead-letters.jsonl"]).expect(3);
    let again = super::listed(&scratch, &["pipeline.toml"]);
    assert!(again.iter().filter(|(id, _)| id.starts_with("r1/odd/")).count() == 10, "{again:?}");
    scratch.write("mended", "");
    replay(&["all"]).expect(0);
    all_came_once(&scratch);
    replay(&["all"]).expect(0).says(&["no dead letters to replay"]);
    scratch.worker(&["run", "pipeline.toml", "--resume-failed"]).run().expect(0);
    all_came_once(&scratch);
}

#[test]
fn only_what_failed_is_run_again_by_resume_failed() {
    let scratch = Scratch::new();
    failed(&scratch);
    scratch.shell("touch go mended; rm in.txt");
    scratch.worker(&["run", "pipeline.toml", "--resume-failed"]).run().expect(0);
    all_came_once(&scratch);
}

#[test]
fn with_state_it_runs_the_letters_there() {
    let scratch = Scratch::new();
    scratch.shell("seq 1000 > in.txt");
    scratch.run_with(PIPELINE, &["--state", "state"]).expect(3);
    scratch.shell("touch go mended");
    scratch.worker(&["run", "pipeline.toml", "--state", "state", "--resume-failed"]).run().expect(0);
    all_came_once(&scratch);
}

#[test]
fn a_replay_that_is_killed_is_gone_on_with() {
    let scratch = Scratch::new();
    failed(&scratch);
    scratch.write("mended", "");
    let run = scratch.worker(&["run", "pipeline.toml", "--resume-failed"]).start();
    eventually("its letters are claimed", PATIENCE, || {
        let claim = "pipeline.dead-letters.jsonl.replayed/replays/1/letters.jsonl";
        if scratch.path(claim).exists() { Ok(()) } else { Err("not yet".to_owned()) }
    });
    run.kill();
    scratch.write("go", "");
    scratch.worker(&["run", "pipeline.toml", "--resume-failed"]).run().expect(0);
    all_came_once(&scratch);
}

#[test]
fn what_cannot_be_run_again_is_said() {
    let scratch = Scratch::new();
    failed(&scratch);
    scratch.write("other.toml", PIPELINE.replace("stage.odd", "stage.other"));
    let letters = ["--letters", "pipeline.dead-letters.jsonl"];
    let other = scratch.worker(&[&["dlq", "replay", "other.toml", "all"][..], &letters].concat()).run();
    other.expect(2).says(&["has no stage `odd` any more"]);
    let none = scratch.worker(&["dlq", "replay", "pipeline.toml", "all", "--letters", "none.jsonl"]).run();
    none.expect(2).says(&["there is no file of dead letters none.jsonl"]);
    let inline = scratch.worker(&["run", "-s", "cat", "--resume-failed"]).run();
    inline.expect(2).says(&["--resume-failed needs the pipeline as a FILE", "--print-toml"]);
}

#[test]
fn while_the_pipeline_runs_its_sinks_are_its_own() {
    let scratch = Scratch::new();
    failed(&scratch);
    scratch.shell("mv out.txt old.txt; touch mended");
    let mut run = scratch.start(PIPELINE, &["--progress", "none"]);
    run.wait_for_message("live page and admin API", PATIENCE);
    let refused = scratch.worker(&["dlq", "replay", "pipeline.toml", "all"]).run();
    refused.expect(2).says(&["is running"]);
    run.kill();
}

/// The place of replays is there when something was claimed, and never before.
#[test]
fn a_replay_of_nothing_leaves_nothing() {
    let scratch = Scratch::new();
    failed(&scratch);
    let beside = scratch.path("pipeline.dead-letters.jsonl.replayed");
    for (asked, status) in [("odd/0:99999", 2), ("--stage=none", 2), ("out/0:1", 2)] {
        scratch.worker(&["dlq", "replay", "pipeline.toml", asked]).run().expect(status);
        assert!(!beside.exists(), "{asked}");
    }
    scratch.shell(": > pipeline.dead-letters.jsonl");
    scratch
        .worker(&["dlq", "replay", "pipeline.toml", "all"])
        .run()
        .expect(0)
        .says(&["no dead letters to replay"]);
    assert!(!beside.exists());

    scratch.shell("rm out.txt; touch go mended");
    scratch.run_with(PIPELINE, &["--state", "state"]).expect(0);
    let replay = ["dlq", "replay", "pipeline.toml", "all", "--state", "state"];
    scratch.worker(&replay).run().expect(0).says(&["no dead letters to replay"]);
    assert!(!scratch.path("state/replays").exists());
}

#[test]
fn a_run_without_dead_letters_has_none_and_a_run_that_nobody_knows_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", PIPELINE);
    let list = || scratch.worker(&["dlq", "list", "pipeline.toml"]).run();
    list().expect(2).says(&["there is no file of dead letters pipeline.dead-letters.jsonl"]);
    scratch.shell("seq 1000 > in.txt; touch go mended");
    scratch.run(PIPELINE).expect(0);
    let listed = list().expect(0);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "no dead letters: the last run had none\n");
    scratch
        .worker(&["run", "pipeline.toml", "--resume-failed"])
        .run()
        .expect(0)
        .says(&["no dead letters to replay"]);
    assert!(!scratch.path("pipeline.dead-letters.jsonl.replayed").exists());
    scratch.worker(&["dlq", "list", "--letters", "none.jsonl"]).run().expect(2);

    scratch.shell("rm mended out.txt");
    scratch.run(PIPELINE).expect(3);
    scratch.shell("mv pipeline.dead-letters.jsonl elsewhere.jsonl");
    list().expect(2).says(&["there is no file of dead letters"]);
}
