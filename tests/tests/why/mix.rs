//! One source before branches of which some do nothing: who is held up is named, and nobody else; each record counts once.

use crate::ask::{PATIENCE, admin, chain, get, why_text};
use rustix::process::Signal;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use worker_tests::process::{Finished, Scratch, eventually};

/// Ends are written so fast that what waits before those who do nothing is soon beyond what they have credit for.
const MIX: &str = r#"
    [pipeline]
    name = "mix"
    credit = "64KiB"
    max_record = "16KiB"
    [source.in]
    generate = { records = 2000000, bytes = 100, rate = "2000/s" }
    [stage.failing]
    from = "in"
    run = ["sh", "-c", "echo broken >&2; exit 3"]
    retry = { max_attempts = 1000 }
    partitions = 1
    [stage.hanging]
    from = "in"
    mode = "stream"
    run = ["sleep", "1000"]
    [stage.held]
    from = "in"
    mode = "stream"
    run = ["cat"]
    [stage.same]
    from = "in"
    mode = "stream"
    run = ["cat"]
    [sink.out]
    from = ["failing", "hanging", "held", "same"]
    file = "out.txt"
"#;

fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("{name} in {of}"))
}

/// The task of the only node.
fn task<'a>(status: &'a Value, name: &str) -> &'a Value {
    let tasks = status["tasks"].as_array().expect("tasks");
    tasks.iter().find(|task| task["name"] == name).expect("the task")
}

#[test]
fn a_source_whose_other_branches_go_on_is_not_held_up_in_memory() {
    tells_the_truth(&[]);
}

#[test]
fn a_source_whose_other_branches_go_on_is_not_held_up_with_state() {
    tells_the_truth(&["--state", "state"]);
}

fn tells_the_truth(args: &[&str]) {
    let scratch = Scratch::new();
    let ends = ["--drain-timeout", "4s", "--report", "r.json"];
    let mut run = scratch.start(MIX, &[&ends, args].concat());
    let at = admin(&mut run);
    scratch.worker(&["pause", "held"]).run().expect(0);
    for root in ["failing/0", "hanging/0"] {
        chain(&scratch, &[], root, |chain| chain["task"] == root && chain["stalled"] == true);
    }
    let status = eventually("more waits than there is credit for", PATIENCE, || {
        let status: Value = serde_json::from_str(&get(&at, "/api/v1/status").1).expect("JSON");
        let waits = number(task(&status, "failing/0"), "unsent_records") > 0;
        if waits { Ok(status) } else { Err(status.to_string()) }
    });
    let read = number(task(&status, "in/0"), "records_in");
    for stage in ["failing/0", "hanging/0"] {
        let task = task(&status, stage);
        let links = status["links"].as_array().expect("links");
        let link = links.iter().find(|link| link["to"] == stage).expect("its link");
        let (queued, done) = (number(task, "queued_records"), number(task, "done_records"));
        assert_eq!(queued + done, number(link, "records"), "{task}");
    }
    // What is written counts as held until it is committed.
    let links = status["links"].as_array().expect("links");
    let to_out = links.iter().filter(|link| link["to"] == "out/0");
    let committed: u64 = to_out.map(|link| number(link, "acknowledged_records")).sum();
    assert!(number(&status, "held_records") <= read * 4 - committed, "{status}");
    assert_eq!((&task(&status, "in/0")["stalled"], &status["left_s"]), (&false.into(), &Value::Null));
    assert_eq!(task(&status, "held/0")["stalled"], false, "the user holds it up");
    let said = why_text(&scratch, &[]);
    assert!(!said.contains("also held up") && !said.contains("in/0"), "{said}");
    assert!(said.contains("held/0 waits: paused by the user"), "{said}");
    let limit = said.lines().find(|line| line.contains("throughput is limited by")).expect("it is");
    assert!(!limit.contains("paused"), "{limit}");
    let (ready, why) = get(&at, "/readyz");
    assert!(ready == 503 && why.contains("hanging/0") && !why.contains("held/0"), "{why}");
    run.signal(Signal::TERM);
    after_the_stop(&scratch, &run.wait(PATIENCE));
}

fn after_the_stop(scratch: &Scratch, ended: &Finished) {
    let log = &ended.stderr;
    assert!(!log.contains("stall over"), "what hangs does not go on because it is to end: {log}");
    assert!(!log.contains("stall: held/0"), "{log}");
    let report: Value = serde_json::from_slice(&scratch.read("r.json")).expect("JSON");
    let stalls = report["stalls"].as_array().expect("stalls");
    let float = |of: &Value, name: &str| of[name].as_f64().expect("a number");
    let hung = stalls.iter().find(|stall| stall["root"] == "hanging/0: child_hung").expect("it hung");
    let until = float(hung, "began_s") + float(hung, "lasted_s");
    assert!(until > float(&report, "lasted_s") - 1.0 && hung["goes_on"] == true, "{hung} {log}");
    let in_of = |name: &str| {
        let stages = report["stages"].as_array().expect("stages");
        number(stages.iter().find(|stage| stage["name"] == name).expect("the stage"), "records_in")
    };
    let written = scratch.read("out.txt").iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(number(&report, "held_records"), in_of("in") * 4 - written, "{report}");
    let said = why_text(scratch, &[]);
    assert!(
        !said.contains("also held up") && !said.contains("→") && !said.contains("has not acknowledged"),
        "{said}"
    );
}

#[test]
fn what_an_earlier_life_gave_its_program_is_no_retry() {
    let scratch = Scratch::new();
    let (args, out) = (["--state", "state", "--drain-timeout", "4s"], "out.txt");
    let start = || scratch.start(&MIX.replace("records = 2000000", "records = 2000001"), &args);
    let mut run = start();
    admin(&mut run);
    scratch.wait_until_flows(&[out]);
    run.signal(Signal::TERM);
    run.wait(PATIENCE);
    let mut run = start();
    let at = admin(&mut run);
    let status = eventually("it was given again", PATIENCE, || {
        let status: Value = serde_json::from_str(&get(&at, "/api/v1/status").1).expect("JSON");
        let same = task(&status, "same/0");
        let before = number(same, "records_in_before");
        let goes_on = before > 0 && number(same, "records_in") > before;
        if goes_on { Ok(status) } else { Err(status.to_string()) }
    });
    for stage in ["same/0", "held/0", "hanging/0"] {
        assert_eq!(number(task(&status, stage), "retried_records"), 0, "{stage}: {status}");
    }
    let hanging = task(&status, "hanging/0");
    assert_eq!(number(hanging, "done_records"), 0, "what it was given before was never read: {hanging}");
    run.signal(Signal::TERM);
    run.wait(PATIENCE + Duration::from_secs(5));
}

#[test]
fn a_runtime_directory_that_was_refused_is_named_by_who_looks_there() {
    let scratch = Scratch::new();
    let runtime = scratch.path("runtime");
    std::fs::create_dir_all(&runtime).expect("a directory");
    std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let mut run = scratch.start(MIX, &[]);
    let at = admin(&mut run);
    for command in [&["why"][..], &["status"], &["status", "--list"], &["pause", "held"], &["tap", "held"]] {
        let said = scratch.worker(command).run();
        let text = String::from_utf8_lossy(&said.stdout).into_owned() + &said.stderr;
        assert!(text.contains("has mode 0755: chmod 700 ") && text.contains("--admin HOST:PORT"), "{text}");
    }
    let refused = scratch.worker(&["pause", "held", "--admin", &at]).run();
    assert!(refused.stderr.contains("WORKER_ADMIN_TOKEN set, and give the same"), "{}", refused.stderr);
    run.kill();
}
