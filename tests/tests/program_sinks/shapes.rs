//! What else a program that is a sink may be and do.

use crate::{RECORDS, STATE, WAYS, numbers, run, scratch};
use std::collections::BTreeSet;

#[test]
fn a_program_that_has_enough_ends_its_pipeline() {
    for args in [&[][..], STATE] {
        let scratch = scratch("run = ['sh', '-c', 'head -n 5 > five.txt']\nearly_exit = 'done'");
        scratch.shell("seq 1000000 > in.txt");
        run(&scratch, args).expect(0);
        assert_eq!(scratch.text("five.txt"), "1\n2\n3\n4\n5\n");
    }
}

#[test]
fn a_program_that_leaves_early_without_leave_is_an_error() {
    for args in [&[][..], STATE] {
        let scratch = scratch("run = ['sh', '-c', 'head -n 5 > five.txt']");
        scratch.shell("seq 1000000 > in.txt");
        run(&scratch, args).expect(1).says(&["early_exit = \"done\"", "--early-exit"]);
    }
}

/// What it prints is for people: it goes to the log, and never among the records.
#[test]
fn what_it_prints_is_logged() {
    for mode in ["", "\nmode = 'batch'"] {
        let scratch =
            scratch(&format!("run = ['sh', '-c', 'cat >> db.txt; echo stored all; seq 100000']{mode}"));
        let finished = run(&scratch, &["--log", "info"]).expect(0).says(&["stored all"]);
        assert!(finished.stdout.is_empty(), "it wrote {} bytes", finished.stdout.len());
        let logged = finished.stderr.lines().count();
        assert!(logged < 10_000, "{logged} lines of 100,000 were logged");
        assert_eq!(numbers(&scratch, "db.txt").len() as u64, RECORDS);
    }
}

#[test]
fn each_partition_has_a_program_and_each_key_one_partition() {
    let programs = [
        "mode = 'batch'\nrun = ['sh', '-c', 'cat >> db.$WORKER_PARTITION.txt']",
        "run = ['sh', '-c', 'cat >> db.$WORKER_PARTITION.txt']",
        "run = ['sh', '-c', 'cat >> db.$WORKER_PARTITION.txt']\nwindow = { records = 100 }",
    ];
    for program in programs {
        let scratch = scratch(&format!("{program}\npartitions = 3\npartition_by = {{ field = 1 }}"));
        scratch.shell("seq 3000 | awk '{print $1 % 17, $1}' > in.txt");
        run(&scratch, STATE).expect(0);
        let mut seen: Vec<BTreeSet<String>> = Vec::new();
        let mut records = 0;
        for partition in 0..3 {
            let text = scratch.text(&format!("db.{partition}.txt"));
            records += text.lines().count();
            seen.push(text.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect());
        }
        assert_eq!(records, 3000);
        assert_eq!(seen.iter().map(BTreeSet::len).sum::<usize>(), 17, "{seen:?}");
    }
}

#[test]
fn state_by_key_is_kept_for_a_sink() {
    let scratch = scratch(
        "run = ['python3', 'sum.py']\nmode = 'records'\npartition_by = { field = 1 }\npartitions = 2",
    );
    let sums = "
import json, sys
sums = {}
for line in sys.stdin:
    m = json.loads(line)
    if 'hello' in m:
        sums.update(m['state'])
    elif 'key' in m:
        k = m['key']
        sums[k] = sums.get(k, 0) + 1
        print(json.dumps({'id': m['id'], 'put': {k: sums[k]}}), flush=True)
    else:
        for k, n in sums.items():
            open('sums.txt', 'a').write(f'{k} {n}\\n')
        print(json.dumps({'id': m['id']}), flush=True)
";
    scratch.write("sum.py", sums);
    scratch.shell("seq 700 | awk '{print $1 % 7}' > in.txt");
    run(&scratch, STATE).expect(0);
    let mut sums: Vec<String> = scratch.text("sums.txt").lines().map(str::to_owned).collect();
    sums.sort();
    let wanted: Vec<String> = (0..7).map(|key| format!("{key} 100")).collect();
    assert_eq!(sums, wanted);
}

#[test]
fn records_that_a_sink_emits_are_refused() {
    let scratch = scratch("run = ['python3', 'emits.py']\nmode = 'records'");
    let emits = crate::ANSWERS.replace("{'id': m['id']}", "{'id': m['id'], 'emit': ['x']}");
    scratch.write("emits.py", emits);
    run(&scratch, STATE).expect(1).says(&["nobody reads", "[stage]"]);
}

/// All of them are done once where nothing goes wrong, and told of as a sink's.
#[test]
fn every_way_takes_all_once() {
    for (way, sink) in WAYS {
        for args in [&[][..], STATE] {
            let scratch = scratch(sink);
            let finished = run(&scratch, &[args, &["--report", "report.json"]].concat()).expect(0);
            let mut taken = numbers(&scratch, "db.txt");
            taken.sort_unstable();
            assert!(
                taken.iter().copied().eq(1..=RECORDS),
                "{way}: {} records; {}",
                taken.len(),
                finished.stderr
            );
            let report: serde_json::Value = serde_json::from_str(&scratch.text("report.json")).expect("JSON");
            let stages = report["stages"].as_array().expect("stages");
            let db = stages.iter().find(|stage| stage["name"] == "db").expect("the sink");
            assert_eq!(db["kind"], "sink", "{db}");
        }
    }
}

/// Keys that say how its output is taken belong to no sink.
#[test]
fn keys_of_output_are_refused() {
    for (line, says) in [
        ("framing_out = 'lines'", "framing_out"),
        ("window = { records = 5 }\nmode = 'batch'", "belongs to mode = \"stream\""),
        ("mode = 'never'", "mode"),
        ("state = 'inline'\nmode = 'records'", "needs a key"),
    ] {
        let scratch = scratch(&format!("run = ['cat']\n{line}"));
        let refused = run(&scratch, &[]);
        assert_eq!(refused.status.code(), Some(2), "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains(says), "{line}: {}", refused.stderr);
    }
}
