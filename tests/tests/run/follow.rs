//! Logs that are followed by whole processes: stopped, killed, and where the system tells of nothing.

use super::sorted;
use rustix::process::Signal;
use std::time::Duration;
use worker_tests::process::{Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

const FOLLOW: &str = "[source.log]\nfile = 'app.log*'\nfollow = true\n[sink.out]\nfile = 'out.txt'\n";

const STATE: [&str; 4] = ["run", "pipeline.toml", "--state", "state"];

fn until_out(scratch: &Scratch, running: &Running<'_>, expected: &str) {
    eventually(&format!("{expected:?} is written"), PATIENCE, || {
        let out = if scratch.path("out.txt").exists() { scratch.text("out.txt") } else { String::new() };
        match sorted(out.as_bytes()) == sorted(expected.as_bytes()) {
            true => Ok(()),
            false => Err(format!("{out:?}: {}", running.stderr())),
        }
    });
}

#[test]
fn a_rotated_log_is_followed_until_it_is_stopped() {
    let scratch = Scratch::new();
    scratch.shell("printf 'a 1\\na 2\\nhalf' > app.log");
    let running = scratch.start(FOLLOW, &[]);
    until_out(&scratch, &running, "a 1\na 2\n");
    scratch.shell(
        "echo ' line' >> app.log; mv app.log app.log.1; echo 'b 1' > app.log; echo 'a 3' >> app.log.1",
    );
    until_out(&scratch, &running, "a 1\na 2\na 3\nhalf line\nb 1\n");
    scratch.shell("mkdir later; : > app.log; echo 'c 1' >> app.log; rm app.log.1");
    until_out(&scratch, &running, "a 1\na 2\na 3\nhalf line\nb 1\nc 1\n");
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130);
}

#[test]
fn where_the_system_tells_of_nothing_files_are_looked_at() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", FOLLOW);
    let mut running =
        scratch.worker(&["run", "pipeline.toml"]).env("WORKER_FAULT", "follow.watch.before=enospc").start();
    running.wait_for_message("looked at every second", PATIENCE);
    scratch.shell("echo 1 > app.log");
    until_out(&scratch, &running, "1\n");
    scratch.shell("echo 2 >> app.log; mv app.log app.log.1; echo 3 > app.log");
    until_out(&scratch, &running, "1\n2\n3\n");
    let said = running.stderr();
    assert_eq!(said.matches("looked at every second").count(), 1, "{said}");
    running.signal(Signal::TERM);
    running.wait(PATIENCE).expect(143);
}

#[test]
fn a_stopped_or_killed_run_goes_on_where_it_was() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", FOLLOW);
    scratch.shell("seq 1 100 > app.log");
    let all = |to: u32| (1..=to).map(|n| format!("{n}\n")).collect::<String>();
    let running = scratch.worker(&STATE).start();
    until_out(&scratch, &running, &all(100));
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130);
    scratch.shell("seq 101 200 >> app.log; mv app.log app.log.1; seq 201 300 > app.log; gzip app.log.1");
    let running = scratch.worker(&STATE).start();
    until_out(&scratch, &running, &all(300));
    running.kill();
    scratch.shell("seq 301 400 >> app.log; cp app.log app.log.2; : > app.log; seq 401 500 >> app.log");
    let running = scratch.worker(&STATE).start();
    until_out(&scratch, &running, &all(500));
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130);
}

#[test]
fn what_is_there_may_be_left_out_once() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", FOLLOW.replace("follow = true", "follow = true\nsince = 'end'"));
    scratch.shell("echo old > app.log");
    // It dies when its position is durable, before anything is read.
    let died = scratch.worker(&STATE).env("WORKER_FAULT", "sink.sync.before=kill").start();
    // Sinks are opened behind sources.
    eventually("the source is opened", PATIENCE, || {
        scratch.path("out.txt").exists().then_some(()).ok_or_else(|| died.stderr())
    });
    scratch.shell("echo new >> app.log");
    died.wait(PATIENCE).expect_signal(9);
    scratch.shell("echo newer >> app.log");
    let running = scratch.worker(&STATE).start();
    until_out(&scratch, &running, "new\nnewer\n");
    running.signal(Signal::INT);
    running.wait(PATIENCE).expect(130);
}

#[test]
fn a_log_that_never_ends_is_warned_of_and_checked() {
    let scratch = Scratch::new();
    let pipeline = "[source.log]\nfile = 'none.log'\nfollow = true\n[stage.sum]\nrun = ['wc', '-l']\nmode = 'stream'\n\
                    [sink.out]\nstdout = true\n";
    scratch.write("pipeline.toml", pipeline);
    let checked = scratch.worker(&["check", "pipeline.toml"]).run().expect(0);
    let said = String::from_utf8_lossy(&checked.stdout) + &*checked.stderr;
    assert!(said.contains("may never come") && said.contains("follows none.log"), "{said}");
    scratch.shell("mkfifo pipe");
    let refused = scratch.worker(&["run", "-i", "pipe", "--follow"]).run().expect(2);
    assert!(refused.stderr.contains("not a regular file"), "{}", refused.stderr);
}

#[test]
fn a_limit_ends_a_followed_log() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 100 > app.log");
    let finished = scratch.worker(&["run", "-i", "app.log", "--follow", "--limit", "7"]).run().expect(0);
    assert_eq!(finished.stdout, b"1\n2\n3\n4\n5\n6\n7\n");
}
