//! Many files, and directories that take long.

use std::path::Path;
use std::time::Duration;
use worker_tests::process::{Scratch, Start, eventually, worker_binary};

const PATIENCE: Duration = Duration::from_secs(60);

/// More files in one directory than are looked at before the run, and another directory.
fn prepare(scratch: &Scratch) {
    scratch.shell("mkdir -p in/a in/z; for i in $(seq 1 150); do echo $i > in/a/$i; done; echo z > in/z/1");
}

/// The listing of the second directory takes so long.
fn slow<'a>(scratch: &'a Scratch, delay: &str) -> Start<'a> {
    let mut start = scratch.program(Path::new("strace"));
    start.command.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(scratch.path("in/z"));
    start.command.args(["-e", "trace=getdents64", "-e", &format!("inject=getdents64:delay_enter={delay}")]);
    start.command.arg(worker_binary()).args(["run", "-i", "in/*/*", "-o", "out", "--progress", "lines"]);
    start
}

#[test]
fn files_are_read_while_a_later_directory_is_listed_for_ever() {
    let scratch = Scratch::new();
    prepare(&scratch);
    let mut running = slow(&scratch, "3600s").start();
    eventually("all that is listed is read", PATIENCE, || {
        let out = if scratch.path("out").exists() { scratch.text("out") } else { String::new() };
        if out.lines().count() == 150 { Ok(()) } else { Err(out) }
    });
    running.wait_for_message("150 done", PATIENCE);
    assert!(!running.stderr().contains('%'), "nobody knows how much there is: {}", running.stderr());
    let worker = |(_, command): &(i32, String)| !command.contains("strace");
    for (pid, _) in scratch.processes().into_iter().filter(worker) {
        scratch.shell(&format!("kill -TERM {pid} || true"));
    }
    eventually("a stop ends the run", PATIENCE, || {
        let left: Vec<_> = scratch.processes().into_iter().filter(worker).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    // The tracer would wait for its delay.
    running.kill();
}

#[test]
fn what_is_wrong_with_a_file_that_is_found_late_ends_the_run_behind_the_files_before_it() {
    let scratch = Scratch::new();
    prepare(&scratch);
    scratch.shell("ln -s nowhere in/z/0");
    let ended = slow(&scratch, "5s").start().wait(PATIENCE).expect(1);
    let ended = ended.says(&["cannot open", "in/z/0"]);
    assert!(!ended.stderr.contains("ended: done"), "{}", ended.stderr);
    assert_eq!(scratch.text("out").lines().count(), 150);
}

#[test]
fn a_place_that_cannot_be_looked_into_is_an_error_with_and_without_state() {
    for state in [&[][..], &["--state", "state"]] {
        let scratch = Scratch::new();
        scratch.shell("mkdir -p in/a; echo 1 > in/a/x; ln -s z in/z");
        let mut args = vec!["run", "-i", "in/*/x", "-o", "out"];
        args.extend(state);
        scratch.worker(&args).run().expect(2).says(&["cannot look for files in", "in/z"]);
        assert!(!scratch.path("out").exists(), "nothing was begun");
    }
}
