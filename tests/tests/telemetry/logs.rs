//! The log: its forms, what each line carries, and its filter.

use crate::{PATIENCE, ask, with_admin};
use serde_json::Value;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;
use worker_tests::process::{Nodes, Scratch, eventually};

/// Its program talks to the terminal and fails, for every record.
const FAILS: &str = r#"
[pipeline]
name = "p"
[source.in]
file = "in.txt"
[stage.bad]
run = ["bash", "-c", "cat; printf 'red \\033[31mtext\\007\\n' >&2; printf 'a\\033]0;title' >&2; exit 3"]
retry = { max_attempts = 2, initial = "10ms" }
partitions = 2
on_error = "halt"
[sink.out]
file = "out.txt"
"#;

fn failing(scratch: &Scratch, args: &[&str]) -> String {
    scratch.write("in.txt", "one\ntwo\nthree\nfour\n");
    scratch.write("pipeline.toml", FAILS);
    let entries = scratch.path("entries").to_string_lossy().into_owned();
    let args = [&["run", "pipeline.toml", "--admin", "none"], args].concat();
    let start = scratch.worker(&args).env("WORKER_RUNTIME_DIR", &entries);
    start.run().expect(1).stderr
}

#[test]
fn all_lines_are_json_where_that_is_wanted_and_carry_the_work_they_are_of() {
    let scratch = Scratch::new();
    let stderr = failing(&scratch, &["--log-format", "json", "-vv"]);
    let lines: Vec<Value> = stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let has = |field: &str| line[field].is_string();
        assert!(has("timestamp") && has("level") && has("message") && has("target"), "{line}");
    }
    let with = |text: &str| {
        let is = |line: &&Value| line["message"].as_str().is_some_and(|message| message.contains(text));
        lines.iter().find(is).unwrap_or_else(|| panic!("no line has {text:?}: {stderr}"))
    };
    let span = &with("red ")["span"];
    assert_eq!((&span["name"], &span["stage"]), (&"batch".into(), &"bad".into()), "{span}");
    assert!(span["batch"].is_u64() && span["attempt"].is_u64() && span["partition"].is_string(), "{span}");
    let failed = with("a batch failed");
    assert_eq!((&failed["level"], &failed["stage"]), (&"WARN".into(), &"bad".into()), "{failed}");
    assert!(failed["batch"].is_u64() && failed["attempt"].is_u64() && failed["why"].is_string(), "{failed}");
    assert_eq!(with("error: ")["level"], "ERROR");
}

#[test]
fn nothing_of_a_program_reaches_the_terminal_raw() {
    let scratch = Scratch::new();
    let stderr = failing(&scratch, &["-vv"]);
    assert!(stderr.contains("red "), "{stderr}");
    let raw: Vec<&str> =
        stderr.lines().filter(|line| line.contains(|c: char| c.is_control() && c != '\t')).collect();
    assert!(raw.is_empty(), "{raw:?}");
    let spans: Vec<&str> = stderr.lines().filter(|line| line.contains("red ")).collect();
    assert!(spans.iter().all(|line| line.contains("batch{stage=\"bad\" partition=\"")), "{spans:?}");
}

#[test]
fn the_same_failure_is_not_said_again_and_again() {
    let scratch = Scratch::new();
    let stderr = failing(&scratch, &[]);
    let warned = stderr.lines().filter(|line| line.contains("a batch failed")).count();
    assert!((1..=2).contains(&warned), "one for each of the two tasks at most: {stderr}");
}

/// Each step comes with the time since the record was read, which grows.
#[test]
fn one_record_is_followed_through_the_node_where_the_filter_asks_for_it() {
    let scratch = Scratch::new();
    scratch.write("in.txt", "one\n");
    let args = ["run", "-i", "in.txt", "-s", "cat", "-o", "out.txt", "--state", "state", "--admin", "none"];
    let traced = [&args[..], &["--log", "warn,worker_record=trace", "--log-format", "json"]].concat();
    let stderr = scratch.worker(&traced).run().expect(0).stderr;
    let lines = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps: Vec<Value> = lines.filter(|line| line["target"] == "worker_record").collect();
    let is = |line: &Value, step: &str| line["message"].as_str().is_some_and(|said| said.contains(step));
    let mut said = steps.iter();
    let batch =
        ["taken", "given to the program", "the program ended", "done with, and asked to be committed"];
    for step in [&["read"][..], &batch, &["taken", "done with", "end"]].concat() {
        assert!(said.any(|line| is(line, step)), "{step} is said in this order: {stderr}");
    }
    for (step, tasks) in [
        ("appended", 3),
        ("durable", 3),
        ("is sent", 2),
        ("is acknowledged", 2),
        ("given to the program", 1),
        ("the program ended", 1),
    ] {
        assert_eq!(steps.iter().filter(|line| is(line, step)).count(), tasks, "{step}: {stderr}");
    }
    let times: Vec<u64> = steps.iter().filter_map(|line| line["us"].as_u64()).collect();
    assert!(times.is_sorted() && times.len() == steps.len(), "{stderr}");
    let at = |stage: &str| steps.iter().filter(|line| line["span"]["stage"] == stage).count();
    assert!(at("in") > 0 && at("cat") > 0 && at("out") > 0, "{stderr}");
}

#[test]
fn in_memory_nothing_is_committed_and_what_comes_is_said_before_that_it_is_acknowledged() {
    let scratch = Scratch::new();
    scratch.write("in.txt", "one\n");
    let args = [
        "run",
        "-i",
        "in.txt",
        "-s",
        "cat",
        "-o",
        "out.txt",
        "--admin",
        "none",
        "--log",
        "warn,worker_record=trace",
    ];
    let stderr = scratch.worker(&args).run().expect(0).stderr;
    let steps: Vec<&str> = stderr.lines().filter(|line| line.contains("record:")).collect();
    assert!(!steps.iter().any(|line| line.contains("commit")), "{stderr}");
    let at = |stage: &str, step: &str| {
        let is = |line: &&str| line.contains(&format!("at{{stage=\"{stage}\"")) && line.contains(step);
        steps.iter().position(is).unwrap_or_else(|| panic!("{stage} {step}: {stderr}"))
    };
    let order = [
        at("in", ": read "),
        at("in", "is sent"),
        at("cat", ": came "),
        at("cat", "taken by its task"),
        at("cat", "given to the program"),
        at("cat", "the program ended"),
        at("cat", "done with "),
        at("cat", "is sent"),
        at("out", ": came "),
        at("out", "done with "),
    ];
    assert!(order.is_sorted(), "{order:?}: {stderr}");
    assert!(at("in", "is acknowledged") > at("cat", ": came "), "{stderr}");
    assert!(at("cat", "is acknowledged") > at("out", ": came "), "{stderr}");
}

/// Its program prints at its end: one record is left for the next one long before that.
#[test]
fn a_record_that_a_program_keeps_to_itself_is_left_and_the_next_one_is_followed() {
    for state in [&[][..], &["--state", "state"]] {
        let scratch = Scratch::new();
        let args =
            ["run", "-S", "wc -l", "-o", "out.txt", "--admin", "none", "--log", "warn,worker_record=trace"];
        let mut worker = scratch.worker(&[&args[..], state].concat()).stdin(Stdio::piped()).start();
        let mut stdin = worker.take_stdin().expect("a pipe");
        let begun = std::time::Instant::now();
        eventually("a third record is followed", PATIENCE, || {
            stdin.write_all(b"line\n").expect("it reads");
            let stderr = worker.stderr();
            if stderr.matches(": read").count() >= 3 { Ok(()) } else { Err(stderr) }
        });
        let (took, said) = (begun.elapsed(), worker.stderr());
        assert!(took < Duration::from_secs(15), "{took:?}: {said}");
        for step in ["with the program, which has printed nothing since", "not followed any further"] {
            assert!(said.matches(step).count() >= 2, "{step}: {said}");
        }
        drop(stdin);
        worker.wait(PATIENCE).expect(0);
    }
}

#[test]
fn a_record_from_another_node_is_followed_and_both_nodes_name_it_alike() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['echo', 'one']\nplace = 'a'\n[stage.up]\nrun = ['cat']\npartitions = 1\nplace = 'b'\n\
                    [sink.out]\nfile = 'out.txt'\nplace = 'b'\n";
    drop(Nodes::on_loopback(&scratch, &["a", "b"], pipeline));
    let node = |name| {
        let args =
            ["node", "--name", name, "--cluster", "cluster.toml", "pipeline.toml", "--log-format", "json"];
        scratch.worker(&[&args[..], &["--log", "warn,worker_record=trace"]].concat()).start()
    };
    let said = [node("a"), node("b")].map(|running| running.wait(PATIENCE).expect(0).stderr);
    let [at_a, at_b] = said.each_ref().map(|stderr| {
        let lines = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "worker_record").collect::<Vec<Value>>()
    });
    let is = |line: &&Value, step: &str| line["message"].as_str().is_some_and(|said| said.contains(step));
    let sent = at_a.iter().find(|line| is(line, "is sent")).unwrap_or_else(|| panic!("{said:?}"));
    let came = at_b.first().unwrap_or_else(|| panic!("b follows nothing: {said:?}"));
    assert!(is(&came, "came"), "{came}");
    for names in [sent, &came["span"]] {
        assert_eq!((&names["by"], &names["seq"]), (&"in/0 → up/0".into(), &1.into()), "{names}");
    }
    let mut steps = at_b.iter();
    for step in
        ["came", "taken", "done with", "sent", "came", "taken", "done with", "at its end on this node"]
    {
        assert!(steps.any(|line| is(&line, step)), "{step} is said in this order: {said:?}");
    }
}

#[test]
fn the_filter_can_be_changed_while_it_runs() {
    let scratch = Scratch::new();
    let args = ["run", "-s", "bash -c 'while read -r line; do echo said $line >&2; done'", "--log", "warn"];
    let (start, address) = with_admin(&scratch, scratch.worker(&args).stdin(Stdio::piped()));
    let mut worker = start.start();
    let mut stdin = worker.take_stdin().expect("a pipe");
    stdin.write_all(b"before\n").expect("it reads");
    let programs = |count: f64| {
        eventually("the program has ended", PATIENCE, || {
            let (_, text) = ask(&address, "GET", "/metrics", "")?;
            let exits = text.lines().find(|line| line.starts_with("worker_task_program_exits_total"));
            let exits = exits.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).unwrap_or(0.0);
            if exits >= count { Ok(()) } else { Err(format!("{exits} exits")) }
        });
    };
    programs(1.0);
    assert!(!worker.stderr().contains("said before"), "{}", worker.stderr());
    let refused = ask(&address, "PUT", "/api/v1/log", "worker_bin=loud").expect("an answer");
    assert!(refused.0 == 400 && refused.1.contains("expected a filter"), "{refused:?}");
    assert_eq!(ask(&address, "PUT", "/api/v1/log", "info").map(|(status, _)| status), Ok(200));
    stdin.write_all(b"after\n").expect("it reads");
    worker.wait_for_message("said after", Duration::from_secs(20));
    drop(stdin);
    worker.wait(PATIENCE).expect(0);
}

#[test]
fn a_build_without_support_for_a_collector_says_how_to_get_one() {
    let scratch = Scratch::new();
    let finished = scratch.worker(&["run", "-s", "cat", "--otel", "http://127.0.0.1:4318"]).run();
    finished.expect(2).says(&["no support for OpenTelemetry", "--features otel"]);
    let finished = scratch.worker(&["run", "-s", "cat", "--otel", "https://127.0.0.1:4318"]).run();
    finished.expect(2).says(&["expected http://HOST:4318"]);
}
