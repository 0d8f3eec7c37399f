//! Rates of sources, stages and sinks, and links that drop what they have no room for.

use super::sorted;
use serde_json::Value;
use std::time::{Duration, Instant};
use worker_tests::process::{Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// `seq 1 records` through `cat` in two tasks, with a rate where `{rate}` stands.
fn limited(scratch: &Scratch, records: u64, at: &str, rate: &str) -> String {
    scratch.shell(&format!("seq {records} > in.txt"));
    let of = |here: &str| if here == at { rate } else { "" };
    format!(
        "[source.in]\nfile = 'in.txt'\n{}\n[stage.x]\nrun = 'cat'\npartitions = 2\n{}\n[sink.out]\nfile = 'out.txt'\n{}\n",
        of("source"),
        of("stage"),
        of("sink")
    )
}

fn status(scratch: &Scratch) -> Result<Value, String> {
    let said = scratch.worker(&["status", "--json"]).run();
    let nodes: Value =
        serde_json::from_slice(&said.stdout).map_err(|error| format!("{error}: {}", said.stderr))?;
    Ok(nodes[0].clone())
}

#[test]
fn nothing_is_faster_than_its_rate_and_all_of_it_comes() {
    for (at, rate, least_s) in [
        ("source", "rate = '1000/s'", 1.85),
        ("stage", "rate = '1000/s'\nburst = 500", 1.45),
        ("sink", "rate = '60000/m'", 1.85),
        // 8 893 bytes.
        ("source", "rate = '4KiB/s'", 2.0),
        ("stage", "rate = '4KiB/s'", 2.0),
    ] {
        let scratch = Scratch::new();
        let pipeline = limited(&scratch, 2000, at, rate);
        let begun = Instant::now();
        scratch.run(&pipeline).expect(0);
        let took_s = begun.elapsed().as_secs_f64();
        assert!(took_s >= least_s, "{at}, {rate}: {took_s} s");
        assert_eq!(sorted(&scratch.read("out.txt")), sorted(&scratch.read("in.txt")), "{at}, {rate}");
    }
}

#[test]
fn records_flow_as_they_are_due_and_not_in_lumps() {
    for at in ["source", "stage", "sink"] {
        let scratch = Scratch::new();
        let pipeline = limited(&scratch, 100_000, at, "rate = '20/s'");
        let run = scratch.start(&pipeline, &["--progress", "none"]);
        let lines = || sorted(&scratch.read("out.txt")).len();
        let first = eventually("the first records come", PATIENCE, || match lines() {
            0 => Err("none yet".to_owned()),
            lines => Ok(lines),
        });
        assert!(first < 60, "{at}: {first} came at once");
        eventually("more come", PATIENCE, || if lines() > first { Ok(()) } else { Err("none".to_owned()) });
        run.kill();
    }
}

#[test]
fn a_rate_is_no_stall_and_is_named_as_the_limit() {
    for (at, name) in [("source", "source in"), ("stage", "stage x")] {
        let scratch = Scratch::new();
        let pipeline = limited(&scratch, 100_000, at, "rate = '500/s'");
        let report = scratch.path("report.json");
        let run = scratch.start(
            &pipeline,
            &["--stall-after", "1s", "--report", report.to_str().unwrap(), "--drain-timeout", "1s"],
        );
        eventually("it is explained", PATIENCE, || {
            let why = scratch.worker(&["why"]).run();
            let says = format!("limited by {name}: held back by its rate of 500/s");
            let is_well = why.status.success() && String::from_utf8_lossy(&why.stdout).contains(&says);
            if is_well {
                Ok(())
            } else {
                Err(format!("{:?} {}", why.status, String::from_utf8_lossy(&why.stdout)))
            }
        });
        let waits = eventually("its wait has words", PATIENCE, || {
            let status = status(&scratch)?;
            let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
            let waits = tasks.iter().flat_map(|task| task["waits"].as_array().cloned().unwrap_or_default());
            let limited: Vec<_> = waits.filter(|wait| wait["kind"] == "rate_limited").collect();
            if limited.is_empty() { Err(status.to_string()) } else { Ok(limited) }
        });
        assert_eq!(waits[0]["text"], "limited by its rate of 500/s");
        assert_eq!(waits[0]["stalled"], false);
        eventually("it runs for long enough to have a limit", PATIENCE, || {
            let status = status(&scratch)?;
            if status["uptime_s"].as_f64() > Some(2.5) { Ok(()) } else { Err(status["uptime_s"].to_string()) }
        });
        run.signal(rustix::process::Signal::TERM);
        run.wait(PATIENCE);
        let report: Value = serde_json::from_slice(&scratch.read("report.json")).unwrap();
        assert_eq!((&report["limit"]["kind"], &report["stall_count"]), (&"rate_limited".into(), &0.into()));
    }
}

#[test]
fn with_state_a_limited_source_that_is_killed_gives_each_record_once() {
    let scratch = Scratch::new();
    let pipeline = limited(&scratch, 3000, "source", "rate = '1000/s'");
    for kills in 1..=3 {
        let run = scratch.start(&pipeline, &["--state", "state", "--progress", "none"]);
        let before = if kills == 1 { 0 } else { scratch.len("out.txt") };
        eventually("some more is written", PATIENCE, || {
            let written = if scratch.path("out.txt").exists() { scratch.len("out.txt") } else { 0 };
            if written > before + 500 { Ok(()) } else { Err(format!("{written} bytes")) }
        });
        run.kill();
    }
    // Without the rate, and so from a position within what is read at once.
    let pipeline = limited(&scratch, 3000, "source", "");
    scratch.run_with(&pipeline, &["--state", "state"]).expect(0);
    assert_eq!(sorted(&scratch.read("out.txt")), sorted(&scratch.read("in.txt")));
}

/// A source of a million numbers, and a stage that takes nothing before the file `go` is there.
fn behind(scratch: &Scratch, when_full: &str) -> String {
    scratch.shell("seq 1000000 > in.txt");
    format!(
        "[pipeline]\nmax_record = '1KiB'\ncredit = '8KiB'\noutbox = '64KiB'\n\
             [source.in]\nfile = 'in.txt'\n\
             [stage.slow]\nfrom = 'in'\nmode = 'stream'\nrun = ['sh', '-c', 'while [ ! -e go ]; do sleep 0.02; done; cat']\n{when_full}\n\
             [sink.out]\nfrom = 'slow'\nfile = 'out.txt'\n[sink.all]\nfrom = 'in'\nfile = 'all.txt'\n"
    )
}

#[test]
fn a_link_that_drops_makes_nobody_wait_and_counts_what_it_drops() {
    for (word, keeps_last) in [("drop-newest", false), ("drop-oldest", true)] {
        let scratch = Scratch::new();
        let pipeline = behind(&scratch, &format!("when_full = '{word}'"));
        let run = scratch.start(&pipeline, &["--report", "report.json", "--progress", "none"]);
        eventually("the other branch has everything", PATIENCE, || {
            let (written, all) = (scratch.read("all.txt").len(), scratch.read("in.txt").len());
            if written == all { Ok(()) } else { Err(format!("{written} of {all} bytes")) }
        });
        let link_drops = eventually("its drops are told", PATIENCE, || {
            let status = status(&scratch)?;
            let links = status["links"].as_array().cloned().unwrap_or_default();
            let dropped = links.iter().filter_map(|link| link["dropped_records"].as_u64()).sum::<u64>();
            if dropped > 0 { Ok(dropped) } else { Err(status.to_string()) }
        });
        assert!(link_drops > 1000, "{link_drops}");
        let why = scratch.worker(&["why"]).run();
        assert!(
            String::from_utf8_lossy(&why.stdout).contains("dropped on the way to slow"),
            "{}",
            String::from_utf8_lossy(&why.stdout)
        );
        scratch.write("go", "");
        let end = run.wait(PATIENCE).expect(3);
        let report: Value = serde_json::from_slice(&scratch.read("report.json")).unwrap();
        let dropped = report["dropped_records"].as_u64().unwrap();
        let out: Vec<u64> = scratch.text("out.txt").lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(out.len() as u64 + dropped, 1_000_000, "every record is written or counted");
        assert!(out.is_sorted_by(|a, b| a < b), "in their order, each once");
        assert_eq!(out.contains(&1_000_000), keeps_last, "{word}");
        assert_eq!(out[0], 1, "what was sent is kept");
        let end = end.says(&[&format!("{} records were dropped", worker_core::words::number(dropped))]);
        assert!(end.stderr.contains("dropped, "), "{}", end.stderr);
    }
}

#[test]
fn a_link_that_waits_drops_nothing() {
    let scratch = Scratch::new();
    let pipeline = behind(&scratch, "when_full = 'wait'");
    scratch.write("go", "");
    scratch.run(&pipeline).expect(0);
    assert_eq!(scratch.read("out.txt"), scratch.read("in.txt"));
}

#[test]
fn with_state_nothing_is_dropped_and_the_file_is_refused() {
    let scratch = Scratch::new();
    let pipeline = behind(&scratch, "when_full = 'drop-oldest'");
    scratch
        .run_with(&pipeline, &["--state", "state"])
        .expect(2)
        .says(&["`when_full` drops records, and this run keeps state"]);
    assert!(!scratch.path("state").exists() && !scratch.path("out.txt").exists());
}
