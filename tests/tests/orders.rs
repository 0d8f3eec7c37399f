//! `worker stop`, `log-level` and `pause --json`: what is ordered is done, and what cannot be is said.

use std::time::{Duration, Instant};
use worker_tests::process::{Finished, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(40);

/// A pipeline that goes on until it is told to end; `program` is its stage.
fn endless<'a>(scratch: &'a Scratch, program: &str, args: &[&str]) -> Running<'a> {
    scratch.write(
        "pipeline.toml",
        format!(
            "[source.made]\ngenerate = {{ rate = '2000/s' }}\n[stage.work]\nrun = {program}\npartitions = 1\n\
             [sink.out]\nfile = 'out.txt'\nexists = 'append'\n"
        ),
    );
    let mut running =
        scratch.worker(&[&["run", "pipeline.toml", "--progress", "none"], args].concat()).start();
    eventually("it works", PATIENCE, || {
        assert!(!running.has_ended(), "it ended: {}", running.stderr());
        let status = scratch.worker(&["status"]).run();
        if status.status.success() && running.stderr().contains("admin API") {
            Ok(())
        } else {
            Err(status.stderr)
        }
    });
    running
}

fn order(scratch: &Scratch, line: &[&str]) -> Finished {
    scratch.worker(line).run()
}

fn told(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned() + &finished.stderr
}

#[test]
fn a_stop_waits_until_all_that_was_accepted_is_done() {
    for state in [&[][..], &["--state", "state"]] {
        let scratch = Scratch::new();
        let running = endless(&scratch, "['cat']", state);
        eventually("records come", PATIENCE, || {
            if scratch.len("out.txt") > 10_000 { Ok(()) } else { Err(running.stderr()) }
        });
        let stopped = order(&scratch, &["stop"]).expect(0);
        assert!(told(&stopped).contains("node local has ended"), "{}", told(&stopped));
        let ended = running.wait(Duration::from_secs(5)).expect(143);
        assert!(ended.stderr.contains("stopping: sources end here"), "{}", ended.stderr);
        let numbers: Vec<u64> = String::from_utf8_lossy(&scratch.read("out.txt"))
            .lines()
            .map(|line| line.split(' ').nth(1).expect("a number").parse().expect("a number"))
            .collect();
        assert!((1..).zip(&numbers).all(|(expected, &number)| expected == number), "none is lost");
        scratch.assert_no_process_left();
        order(&scratch, &["stop"]).expect(1).says(&["no worker runs here"]);
    }
}

#[test]
fn a_stop_that_takes_long_says_what_waits_and_now_ends_it() {
    let scratch = Scratch::new();
    let running =
        endless(&scratch, "['sh', '-c', 'cat > /dev/null; exec sleep 3600']", &["--drain-timeout", "1h"]);
    eventually("a program hangs", PATIENCE, || {
        let why = order(&scratch, &["why"]);
        if told(&why).contains("work") { Ok(()) } else { Err(told(&why)) }
    });
    let late = order(&scratch, &["stop", "--timeout", "1s"]).expect(1);
    late.says(&["node local has not ended yet", "work", "worker stop --now ends it at once"]);
    let drained = order(&scratch, &["drain", "--timeout", "1s"]).expect(1);
    assert!(told(&drained).contains("node local: stops already"), "{}", told(&drained));
    drained.says(&["node local has not ended yet"]);
    let begun = Instant::now();
    let now = order(&scratch, &["stop", "--now"]).expect(0);
    assert!(told(&now).contains("stopping now") && told(&now).contains("has ended"), "{}", told(&now));
    assert!(begun.elapsed() < Duration::from_secs(20));
    running.wait(Duration::from_secs(5)).expect(143);
    scratch.assert_no_process_left();
}

#[test]
fn a_level_is_changed_and_said_with_the_one_before() {
    let scratch = Scratch::new();
    let running = endless(&scratch, "['cat']", &[]);
    for (line, says) in [
        (&["log-level", "debug"][..], "warn → debug"),
        (&["log-level", "trace", "worker_net"], "debug → debug,worker_net=trace"),
        (&["log-level", "warn"], "debug,worker_net=trace → warn,worker_net=trace"),
        (&["log-level", "off", "worker_net"], "warn,worker_net=trace → warn,worker_net=off"),
    ] {
        let changed = order(&scratch, line).expect(0);
        assert!(told(&changed).contains(says), "{line:?}: {}", told(&changed));
    }
    for (line, says) in [
        (&["log-level", "loud"][..], &["loud", "debug"][..]),
        (&["log-level", "debug", "a b"], &["worker_net"]),
        (&["log-level"], &["LEVEL"]),
        (&["stop", "--timeout", "0s"], &["above 0"]),
        (&["stop", "--timeout", "soon"], &["duration"]),
        (&["stop", "--now", "now"], &["now"]),
    ] {
        order(&scratch, line).expect(2).says(says);
    }
    order(&scratch, &["stop", "--pipeline", "pipelin"]).expect(1).says(&["pipeline"]);
    order(&scratch, &["stop", "--admin", "127.0.0.1:1"]).expect(1).says(&["cannot reach the admin address"]);
    order(&scratch, &["stop"]).expect(0);
    running.wait(PATIENCE).expect(143);
}

#[test]
fn what_a_pause_did_is_said_in_json() {
    let scratch = Scratch::new();
    let running = endless(&scratch, "['cat']", &[]);
    for (word, did) in [("pause", "paused work"), ("resume", "resumed work")] {
        let said = order(&scratch, &[word, "work", "--json"]).expect(0).stdout;
        let nodes: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
        assert_eq!(nodes, serde_json::json!([{"node": "local", "did": did, "tasks": ["work/0"]}]));
    }
    order(&scratch, &["pause", "wrok", "--json"]).expect(2).says(&["did you mean `work`?"]);
    order(&scratch, &["stop", "--now"]).expect(0);
    running.wait(PATIENCE).expect(143);
}
