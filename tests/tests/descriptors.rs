//! Open files: the limit is raised, programs have their own, and a run with too few waits instead of failing.

use std::path::Path;
use std::time::Duration;
use worker_tests::process::{Scratch, Start, worker_binary};

const PATIENCE: Duration = Duration::from_secs(60);

/// A worker under limits that a shell sets first.
fn limited<'a>(scratch: &'a Scratch, limits: &str, args: &str) -> Start<'a> {
    let mut start = scratch.program(Path::new("bash"));
    let worker = worker_binary();
    start.command.args(["-c", &format!("{limits} && exec '{}' {args}", worker.display())]);
    start
}

#[test]
fn the_soft_limit_is_raised_and_programs_have_the_one_before() {
    let scratch = Scratch::new();
    scratch.write("in", (0..2000).map(|n| format!("{n}\n")).collect::<String>());
    scratch.write(
        "p.toml",
        "[source.i]\nfile = \"in\"\n[stage.s]\nmode = \"stream\"\npartition_by = \"record\"\npartitions = 40\n\
         run = [\"sh\", \"-c\", \"echo limit $(ulimit -n); cat\"]\n[sink.o]\nfile = \"o\"\n",
    );
    let run = limited(&scratch, "ulimit -Sn 64", "run p.toml --admin none -q").start();
    run.wait(PATIENCE).expect(0);
    let out = scratch.text("o");
    assert_eq!(out.lines().filter(|line| *line == "limit 64").count(), 40, "{out}");
    assert_eq!(out.lines().count(), 2040);
}

#[test]
fn a_run_with_too_few_waits_for_those_it_has_and_says_so_before() {
    for state in ["", " --state st"] {
        let scratch = Scratch::new();
        scratch.write("in", (0..400).map(|n| format!("{n}\n")).collect::<String>());
        scratch.write(
            "p.toml",
            "[source.i]\nfile = \"in\"\n[stage.s]\npartitions = 16\nbatch = { max_records = 20 }\n\
             run = [\"sh\", \"-c\", \"sleep 0.01; cat\"]\n[sink.o]\nfile = \"o\"\n",
        );
        // A journal takes some for itself; what is left is a few programs' in both.
        let limits = if state.is_empty() { "ulimit -n 60" } else { "ulimit -n 90" };
        limited(&scratch, limits, "check p.toml").run().expect(0);
        let args = format!("run p.toml --slots 16 --admin none --progress none{state}");
        let ended = limited(&scratch, limits, &args).start().wait(PATIENCE).expect(0);
        ended.says(&["open files", "cannot start a program", "tried again"]);
        assert_eq!(scratch.text("o").lines().count(), 400);
    }
}
