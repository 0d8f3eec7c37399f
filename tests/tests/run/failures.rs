//! Programs that fail: dead letters, halts, and what is said.

use crate::sorted;
use std::time::{Duration, Instant};
use worker_bin::report::Report;
use worker_tests::process::{Scratch, worker_binary};

#[test]
fn what_is_said_once_is_said_once_a_stage_and_not_for_each_of_its_tasks() {
    let scratch = Scratch::new();
    scratch.shell("seq 800000 > in.txt");
    let stage = |name: &str, from: &str| {
        format!(
            "[stage.{name}]\nfrom = '{from}'\nrun = ['sh', '-c', 'read x; echo $x']\npartitions = 4\nbatch = {{ max_records = 20000 }}\n"
        )
    };
    let pipeline = format!(
        "[source.in]\nfile = 'in.txt'\n{}{}[sink.out]\nfrom = ['a', 'b']\nfile = 'out.txt'\n",
        stage("a", "in"),
        stage("b", "in")
    );
    scratch.write("pipeline.toml", &pipeline);
    let finished =
        scratch.worker(&["run", "pipeline.toml"]).start().wait(std::time::Duration::from_secs(60)).expect(0);
    let said = finished.stderr.lines().filter(|line| line.contains("without reading all its input")).count();
    assert_eq!(said, 2, "{}", finished.stderr);
}

#[test]
fn records_that_fail_alone_become_dead_letters_and_the_rest_goes_on() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        r#"
        [pipeline]
        name = "some-fail"
        [source.numbers]
        run = ["seq", "1", "1000"]
        [stage.picky]
        run = ["awk", "/^(77|500|998)$/ {print \"cannot do \" $1 > \"/dev/stderr\"; exit 7} {print}"]
        retry = { max_attempts = 2, initial = "1ms", max = "5ms" }
        [sink.out]
        stdout = true
        "#,
    );
    let finished = finished.expect(3).says(&["3 dead letters", "some-fail.dead-letters.jsonl"]);
    assert_eq!(sorted(&finished.stdout), sorted(&scratch.shell("seq 1 1000 | grep -vE '^(77|500|998)$'")));
    let letters = scratch.text("some-fail.dead-letters.jsonl");
    let mut dead = Vec::new();
    for line in letters.lines() {
        let letter: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        assert!(letter["task"].as_str().is_some_and(|task| task.starts_with("picky/")), "{line}");
        assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("status 7")), "{line}");
        assert!(letter["stderr_tail"].as_str().is_some_and(|tail| tail.contains("cannot do")), "{line}");
        assert!(letter["origin"].is_object() || letter["origin"].is_string(), "{line}");
        dead.push(letter["record"].as_str().expect("text").to_owned());
    }
    dead.sort_unstable();
    assert_eq!(dead, ["500", "77", "998"]);
}

#[test]
fn a_stage_that_fails_for_every_record_halts_with_the_hint() {
    let scratch = Scratch::new();
    let grep = |on_error: &str| {
        format!(
            "[source.n]\nrun = ['seq', '1', '1000']\n[stage.none]\nrun = ['grep', 'no such line']\n{on_error}\n\
             retry = {{ max_attempts = 2, initial = '1ms', max = '5ms' }}\n[sink.out]\nstdout = true\n"
        )
    };
    scratch.run(&grep("")).expect(1).says(&["none/", "ok_exit = [0, 1]"]);
    scratch.run(&grep("on_error = 'halt'")).expect(1).says(&["none/", "ok_exit = [0, 1]"]);
    assert_eq!(scratch.run(&grep("ok_exit = [0, 1]")).expect(0).stdout, b"");
}

#[test]
fn a_command_that_cannot_be_run_inside_a_program_halts() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        "[source.n]\nrun = ['seq', '1', '100']\n[stage.inner]\nrun = ['sh', '-c', 'cat >/dev/null; no-such-command-here']\n\
         [sink.out]\nstdout = true\n",
    );
    finished.expect(1).says(&["inner/", "127", "no-such-command-here"]);
}

#[test]
fn a_failing_stream_program_fails_the_pipeline_with_its_last_words() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        "[source.n]\nrun = ['seq', '1', '100000']\n[stage.weak]\nmode = 'stream'\n\
         run = ['sh', '-c', 'read x; echo it hurts >&2; exit 9']\n[sink.out]\nstdout = true\n",
    );
    finished.expect(1).says(&["weak/0", "status 9", "it hurts"]);
}

#[test]
fn a_stream_program_that_stops_reading_early_is_an_error_unless_that_is_said() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        "[source.n]\nrun = ['seq', '1', '1000000']\n[stage.top]\nmode = 'stream'\nrun = ['head', '-n', '3']\n\
         [sink.out]\nstdout = true\n",
    );
    finished.expect(1).says(&["top/0", "early_exit"]);
}

#[test]
fn failing_ends_fail_the_pipeline() {
    let scratch = Scratch::new();
    let source =
        "[source.n]\nrun = ['sh', '-c', 'seq 1 10; echo lost it >&2; exit 4']\n[sink.out]\nstdout = true\n";
    scratch.run(source).expect(1).says(&["n/0", "status 4", "lost it"]);
    let sink = "[source.n]\nrun = ['seq', '1', '10']\n[sink.out]\nrun = ['sh', '-c', 'cat >/dev/null; echo full >&2; exit 5']\n";
    scratch.run(sink).expect(1).says(&["out/0", "status 5", "full"]);
}

#[test]
fn a_program_that_stands_still_is_killed_at_its_timeout() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        "[source.n]\nrun = ['echo', 'x']\n[stage.stuck]\nrun = ['sleep', '1000']\ntimeout = '1s'\n\
         retry = { max_attempts = 1 }\n[sink.out]\nstdout = true\n",
    );
    assert!([Some(1), Some(3)].contains(&finished.status.code()), "{}", finished.status);
    let said = finished.stderr + &scratch.text("pipeline.dead-letters.jsonl");
    assert!(said.contains("did nothing for 1s"), "{said}");
}

#[test]
fn a_program_that_is_broken_costs_no_records() {
    for records in [5, 200] {
        let scratch = Scratch::new();
        scratch.shell(&format!("seq 1 {records} > in.txt"));
        let pipeline = "[source.in]\nfile = 'in.txt'\n\
                        [stage.s]\nrun = ['sh', '-c', 'test -e mended || { echo no module >&2; exit 3; }; cat']\npartitions = 1\n\
                        retry = { max_attempts = 2, initial = '1ms', max = '5ms' }\n[sink.out]\nfile = 'out.txt'\n";
        // The second time it has to be found out anew.
        for _ in 0..2 {
            scratch
                .run_with(pipeline, &["--state", "state"])
                .expect(1)
                .says(&["exited with status 3", "no module"]);
            assert_eq!(
                scratch.shell("cat state/dead/* 2> /dev/null; true"),
                b"",
                "{records}: a record is dead-lettered"
            );
        }
        scratch.write("mended", "");
        scratch.run_with(pipeline, &["--state", "state"]).expect(0);
        assert!(scratch.read("out.txt") == scratch.read("in.txt"), "{records}");
    }
}

#[test]
fn records_that_fail_before_any_succeeds_are_condemned_when_one_does() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 40 > in.txt");
    let pipeline = "[source.in]\nfile = 'in.txt'\n\
                    [stage.s]\nrun = ['awk', '$1 <= 10 || $1 == 30 {exit 7} {print}']\npartitions = 1\n\
                    retry = { max_attempts = 2, initial = '1ms', max = '5ms' }\nmax_dead = 100\n[sink.out]\nfile = 'out.txt'\n";
    scratch.run_with(pipeline, &["--state", "state"]).expect(3);
    assert_eq!(scratch.shell("cat out.txt"), scratch.shell("seq 11 40 | grep -v 30"));
    let letters = r#"cat state/dead/*.jsonl | grep -o '"record":"[0-9]*"' | cut -d'"' -f4"#;
    assert_eq!(scratch.shell(letters), scratch.shell("seq 1 10; echo 30"), "each once, in order");
}

#[test]
fn a_program_that_takes_nothing_fails_its_stage_after_a_few_attempts_of_the_whole() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 1000 > in.txt");
    let begun = Instant::now();
    let finished = scratch.run(
        "[source.in]\nfile = 'in.txt'\n[stage.s]\nrun = ['sleep', '1000']\npartitions = 1\ntimeout = '300ms'\n\
         retry = { max_attempts = 2, initial = '1ms', max = '5ms' }\n[sink.out]\nfile = 'out.txt'\n",
    );
    finished.expect(1).says(&["took nothing and printed nothing, 2 times"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Eight records over four partitions, with the line `bad` alone in one of them.
const ONE_IS_BAD: &str = r#"awk 'BEGIN {for (i = 1; i <= 8; i++) print (i == 3) ? "bad" : "k" i}' > in.txt"#;

#[test]
fn a_success_of_another_task_of_the_stage_decides_as_well() {
    let scratch = Scratch::new();
    scratch.shell(ONE_IS_BAD);
    let pipeline = "[source.in]\nfile = 'in.txt'\n\
                    [stage.s]\nrun = ['awk', '/bad/ {exit 7} {print}']\npartition_by = 'record'\npartitions = 4\n\
                    retry = { max_attempts = 2, initial = '1ms', max = '5ms' }\n[sink.out]\nfile = 'out.txt'\n";
    let state: &[&str] = &["--state", "state"];
    for args in [&[][..], state] {
        scratch.run_with(pipeline, args).expect(3).says(&["1 dead letter"]);
        assert_eq!(
            sorted(&scratch.read("out.txt")),
            sorted(&scratch.shell("grep -v bad in.txt")),
            "{args:?}"
        );
        scratch.shell("rm out.txt");
    }
}

#[test]
fn tasks_of_a_stage_count_their_failures_together() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 4000 > in.txt");
    let pipeline = "[source.in]\nfile = 'in.txt'\n\
                    [stage.s]\nrun = ['sh', '-c', 'echo >> starts; exit 3']\npartitions = 8\n\
                    retry = { max_attempts = 1 }\n[sink.out]\nfile = 'out.txt'\n";
    scratch.run(pipeline).expect(1).says(&["the first 16 records all failed alike"]);
    let starts = scratch.text("starts").lines().count();
    // Each halves a batch down to one record, and shares the sixteen with the others.
    assert!(starts < 8 * 14 + 16 * 3, "{starts} programs were started");
}

#[test]
fn failures_that_a_program_answers_cost_no_records_either_until_it_answers_one_well() {
    let scratch = Scratch::new();
    scratch.write(
        "answers.py",
        "import json, os, sys\n\
         for line in sys.stdin:\n\
         \x20   message = json.loads(line)\n\
         \x20   if 'hello' in message: continue\n\
         \x20   record = message.get('record')\n\
         \x20   good = os.path.exists('mended') and record != '30'\n\
         \x20   answer = {} if record is None else {'emit': [record]} if good else {'fail': 'no database'}\n\
         \x20   print(json.dumps({'id': message['id'], **answer}), flush=True)\n",
    );
    let pipeline = "[source.in]\nfile = 'in.txt'\n\
                    [stage.s]\nrun = ['python3', 'answers.py']\nmode = 'records'\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n";
    for records in [5, 300] {
        scratch.shell(&format!("rm -rf state out.txt mended; seq 1 {records} > in.txt"));
        for _ in 0..2 {
            scratch.run_with(pipeline, &["--state", "state"]).expect(1).says(&["no database"]);
            assert_eq!(scratch.shell("cat state/dead/* 2> /dev/null; true"), b"", "{records}");
        }
        scratch.write("mended", "");
        let status = if records == 300 { 3 } else { 0 };
        scratch.run_with(pipeline, &["--state", "state"]).expect(status);
        assert_eq!(scratch.shell("cat out.txt"), scratch.shell("grep -vx 30 in.txt"));
    }
}

/// A sink's file may not be longer than so much (as on a full disk): what is in it is counted, and no more.
#[test]
fn what_a_failed_run_has_written_is_counted_to_the_record() {
    let scratch = Scratch::new();
    scratch.write("in.txt", scratch.shell("seq 200000"));
    let script = "ulimit -f 1000; exec \"$0\" run -i in.txt -o out.txt --admin none --report r.json";
    let mut shell = scratch.program(std::path::Path::new("/bin/sh"));
    shell.command.args(["-c", script]).arg(worker_binary());
    let finished = shell.run().expect(1).says(&["after 512 000 bytes"]);
    let report: Report = serde_json::from_str(&scratch.text("r.json")).expect("a report");
    let lines = scratch.read("out.txt").iter().filter(|byte| **byte == b'\n').count();
    let out = report.stages.iter().find(|stage| stage.name == "out").expect("the sink");
    assert_eq!(out.records_out, lines as u64, "{}", finished.stderr);
    assert!(lines > 50_000, "{lines}");
}
