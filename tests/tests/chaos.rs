//! `--chaos SEED`: programs, links and writes fail on purpose, and the result is the same.

use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;
use worker_tests::process::{Finished, Nodes, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// A program that answers each record, and keeps a count of each key with the worker.
const COUNT: &str = r#"
import json, sys
state = {}
for line in iter(sys.stdin.readline, ""):
    ask = json.loads(line)
    if "hello" in ask:
        state.update(ask.get("state", {}))
    elif "record" in ask:
        key = ask["key"]
        state[key] = state.get(key, 0) + 1
        print(json.dumps({"id": ask["id"], "emit": ["%s %d" % (ask["record"], state[key])], "put": {key: state[key]}}), flush=True)
    else:
        print(json.dumps({"id": ask["id"]}), flush=True)
"#;

fn run(scratch: &Scratch, line: &[&str]) -> Finished {
    scratch
        .worker(
            &[&["run", "--admin", "none", "--progress", "none", "--report", "report.json"], line].concat(),
        )
        .run()
}

/// Runs a batch stage and a stream over so many numbers, with state and these options, and holds the result to the shell's.
fn sorts_with_state(scratch: &Scratch, numbers: u32, chaos: &[&str]) -> Finished {
    scratch.shell(&format!("seq {numbers} > in.txt"));
    let batch = ["-i", "in.txt", "-s", "grep 1", "--batch", "100records", "-j", "2"];
    let rest = ["-S", "sort", "-o", "out.txt", "--state", "state"];
    let ended = run(scratch, &[&batch[..], &rest, chaos].concat()).expect(0);
    let expected = scratch.shell("grep 1 in.txt | sort");
    assert_eq!(
        String::from_utf8_lossy(&scratch.read("out.txt")),
        String::from_utf8_lossy(&expected),
        "{chaos:?}"
    );
    ended
}

fn report(scratch: &Scratch) -> Value {
    serde_json::from_slice(&scratch.read("report.json")).expect("a report")
}

/// Every program dies twice before one is let live, with a single attempt: and no record is condemned, lost or doubled.
#[test]
fn deaths_on_purpose_use_up_no_attempt_and_change_nothing_of_the_output() {
    let scratch = Scratch::new();
    scratch.shell("seq 3000 > in.txt");
    scratch.write("count.py", COUNT);
    let line = [
        "-i",
        "in.txt",
        "-s",
        "grep -v 5",
        "--batch",
        "200records",
        "-j",
        "3",
        "-k",
        "-R",
        "python3 count.py",
        "-j",
        "1",
        "--key",
        "1",
        "-o",
        "out.txt",
        "--retries",
        "0",
    ];
    let chaos = [&line[..], &["--chaos", "7", "--chaos-rate", "programs=100%"]].concat();
    let ended = run(&scratch, &chaos).expect(0);
    let expected = scratch.shell("seq 3000 | grep -v 5 | sed 's/$/ 1/'");
    assert_eq!(String::from_utf8_lossy(&scratch.read("out.txt")), String::from_utf8_lossy(&expected));
    let told = report(&scratch);
    let killed = told["chaos"]["injected"]["programs"].as_u64().unwrap();
    assert!(killed >= 20, "{killed}");
    assert_eq!((&told["dead_records"], &told["chaos"]["seed"]), (&0.into(), &7.into()));
    assert!(
        ended
            .stderr
            .contains(&format!("chaos (seed 7, programs=100%,links=0%,disks=0%): {killed} programs killed")),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_same_seed_kills_the_same_programs() {
    let scratch = Scratch::new();
    scratch.shell("seq 500 > in.txt");
    let killed = |seed: &str| {
        let line =
            ["-i", "in.txt", "-s", "cat", "--batch", "10records", "-j", "1", "-o", "out.txt", "--force"];
        run(&scratch, &[&line[..], &["--chaos", seed, "--chaos-rate", "30%"]].concat()).expect(0);
        report(&scratch)["chaos"]["injected"]["programs"].as_u64().unwrap()
    };
    let first = killed("11");
    assert!(first > 5, "{first}");
    assert_eq!(first, killed("11"));
    assert!((12..20).any(|seed: u64| killed(&seed.to_string()) != first), "every seed is the same");
}

#[test]
fn exactly_once_stays_so_with_streams_killed_and_writes_without_room() {
    let scratch = Scratch::new();
    sorts_with_state(&scratch, 1000, &["--chaos", "3", "--chaos-rate", "programs=50%,disks=10%"]);
    let told = report(&scratch)["chaos"].clone();
    assert!(told["injected"]["programs"].as_u64().unwrap() > 2, "{told}");
    assert!(told["injected"]["disks"].as_u64().unwrap() > 0, "{told}");
}

#[test]
fn what_cannot_be_touched_is_named() {
    let scratch = Scratch::new();
    let file = "[source.made]\nrun = ['seq', '9']\n[stage.sorted]\nmode = 'stream'\nrun = 'sort'\n[sink.out]\nfile = 'out.txt'\n";
    scratch.write("p.toml", file);
    let ended = run(&scratch, &["p.toml", "--chaos", "1", "--chaos-rate", "100%"]).expect(0);
    for part in [
        "0 programs killed",
        "the program of source made, whose output cannot be had again",
        "the program of sorted, which in memory cannot be run again",
        "links, as there is one process",
        "writes to disk, as this run keeps no state",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert_eq!(report(&scratch)["chaos"]["spared"].as_array().unwrap().len(), 4);
    run(&scratch, &["-i", "out.txt", "-o", "more.txt"]).expect(0);
    assert_eq!(report(&scratch)["chaos"], Value::Null, "nothing was injected");
}

fn over_two_nodes(delivery: &str) {
    let scratch = Scratch::new();
    scratch.shell("seq 200000 > in.txt");
    let pipeline = format!(
        "[pipeline]\ndelivery = '{delivery}'\ncredit = '1100KiB'\n[source.in]\nfile = 'in.txt'\nplace = 'a'\n[stage.x]\nrun = 'cat'\npartitions = 2\n\
         place = ['a', 'b']\n[sink.out]\nfile = 'out.txt'\nplace = 'b'\n"
    );
    let _nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let chaos = ["--chaos", "5", "--chaos-rate", "links=60%,programs=20%", "--linger", "5s"];
    let start = |name: &str, report: &str| {
        let node = [
            "node",
            "--name",
            name,
            "--cluster",
            "cluster.toml",
            "pipeline.toml",
            "--admin",
            "none",
            "--report",
            report,
        ];
        scratch.worker(&[&node[..], &chaos].concat()).start()
    };
    let running = [start("a", "a.json"), start("b", "b.json")];
    for node in running {
        node.wait(PATIENCE).expect(0);
    }
    let expected = scratch.shell("sort in.txt");
    assert!(scratch.shell("sort out.txt") == expected, "{delivery}: {}", scratch.len("out.txt"));
    let cut = |name: &str| {
        let report: Value = serde_json::from_slice(&scratch.read(name)).expect("a report");
        report["chaos"]["injected"]["links"].as_u64().expect("a count")
    };
    assert!(cut("a.json") > 0, "{delivery}: no connection was cut");
}

#[test]
fn links_between_nodes_are_cut_and_nothing_is_lost_or_doubled_in_memory() {
    over_two_nodes("memory");
}

#[test]
fn links_between_nodes_are_cut_and_nothing_is_lost_or_doubled_exactly_once() {
    over_two_nodes("exactly-once");
}

#[test]
fn the_result_is_compared_with_that_of_a_run_without_faults() {
    let scratch = Scratch::new();
    scratch.shell("seq 1000 > in.txt");
    let chaos = ["--chaos", "2", "--chaos-rate", "programs=50%", "--chaos-compare"];
    let of = |line: &[&str]| run(&scratch, &[line, &chaos].concat());
    let ended = of(&["-i", "in.txt", "-s", "grep 7", "--batch", "50records", "-o", "any.txt"]).expect(0);
    assert!(
        ended
            .stderr
            .contains("chaos: the result is equal to that of a run without faults (out in any order)"),
        "{}",
        ended.stderr
    );
    let ended = of(&["-i", "in.txt", "-s", "grep 7", "-k", "-o", "kept.txt", "--state", "state"]).expect(0);
    assert!(ended.stderr.contains("faults (out in order)"), "{}", ended.stderr);
    let ended = of(&["-i", "in.txt", "-s", "sh -c 'echo $$; cat'", "-o", "other.txt"]).expect(1);
    for part in [
        "error: chaos: the result differs from that of a run without faults:",
        "out:\n--- expected\n+++ given\n",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    // Its dead letters are the same, and so is the status.
    let ended = of(&[
        "-i",
        "in.txt",
        "-s",
        "sh -c 'if grep -q 77; then exit 9; fi; echo'",
        "--retries",
        "0",
        "-j",
        "1",
        "-o",
        "dead.txt",
    ]);
    assert!(ended.expect(3).stderr.contains("the result is equal"));
}

#[test]
fn what_cannot_be_compared_is_said_before_the_run() {
    let scratch = Scratch::new();
    scratch.shell("seq 9 > in.txt; seq 3 > old.txt; mkfifo pipe");
    for (line, told) in [
        (
            &["-i", "in.txt"][..],
            "sink `out` prints to standard output, and what it is given cannot be read back",
        ),
        (&["-i", "-", "-o", "out.txt"], "source `in` cannot be read a second time"),
        (&["-i", "pipe", "-o", "out.txt"], "source `in` cannot be read a second time"),
        (&["-i", "in.txt", "--follow", "-o", "out.txt"], "source `in` cannot be read a second time"),
        (&["-i", "in.txt", "-o", "old.txt", "--append"], "there is something in it already"),
    ] {
        let ended = run(&scratch, &[line, &["--chaos", "2", "--chaos-compare"]].concat()).expect(2);
        assert!(
            ended.stderr.contains("error: --chaos-compare: ") && ended.stderr.contains(told),
            "{line:?}: {}",
            ended.stderr
        );
        assert!(!scratch.path("out.txt").exists(), "{line:?}: it has begun");
    }
    let drops = "[source.in]\nfile='in.txt'\n[stage.s]\nrun='cat'\nwhen_full='drop-newest'\n[sink.out]\nfile='out.txt'\n";
    scratch.write("p.toml", drops);
    let ended = run(&scratch, &["p.toml", "--chaos", "2", "--chaos-compare"]).expect(2);
    assert!(ended.stderr.contains("links to `s` may drop records"), "{}", ended.stderr);
    for (line, told) in [
        (&["--chaos", "x"][..], "expected a whole number from 0 to"),
        (&["--chaos", "1", "--chaos-rate", "5"], "`5` is no share: expected a percentage"),
        (
            &["--chaos", "1", "--chaos-rate", "children=5%"],
            "expected programs, links, disks, syncs, slow or nodes",
        ),
        (&["--chaos-rate", "5%"], "--chaos <SEED>"),
        (&["--chaos-compare"], "--chaos <SEED>"),
    ] {
        let ended = run(&scratch, &[&["-i", "in.txt", "-o", "out.txt"], line].concat()).expect(2);
        assert!(ended.stderr.contains(told), "{line:?}: {}", ended.stderr);
    }
}

/// It is started again with its state, and what it does in all its lives is what one without faults does.
#[test]
fn a_worker_that_is_killed_or_whose_syncs_fail_goes_on_to_the_same_result() {
    for (rates, fault) in [("nodes=4%,programs=20%,slow=1%", "nodes"), ("syncs=10%,disks=5%", "syncs")] {
        let scratch = Scratch::new();
        let chaos = ["--chaos", "11", "--chaos-rate", rates, "--chaos-compare"];
        let ended = sorts_with_state(&scratch, 3000, &chaos);
        for part in ["on purpose; it is started again (life 2)", "chaos: the result is equal"] {
            assert!(ended.stderr.contains(part), "{rates}: {part}: {}", ended.stderr);
        }
        let told = report(&scratch)["chaos"].clone();
        let lives = ended.stderr.matches("it is started again").count() as u64;
        assert_eq!(told["injected"][fault].as_u64(), Some(lives), "{rates}: {told}: {}", ended.stderr);
        assert_eq!(told["seed"], 11);
        scratch.assert_no_process_left();
    }
}

#[test]
fn nodes_are_killed_and_started_again_and_nothing_is_lost_or_doubled() {
    let scratch = Scratch::new();
    scratch.shell("seq 20000 > in.txt");
    let pipeline = "[pipeline]\ndelivery = 'exactly-once'\n[source.in]\nfile = 'in.txt'\nplace = 'a'\n[stage.x]\nrun = 'cat'\npartitions = 2\n\
                    place = ['b', 'c']\n[sink.out]\nfile = 'out.txt'\nplace = 'a'\n";
    let _nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], pipeline);
    let start = |name: &str| {
        let node = [
            "node",
            "--name",
            name,
            "--cluster",
            "cluster.toml",
            "pipeline.toml",
            "--admin",
            "none",
            "--progress",
            "none",
        ];
        let chaos = [
            "--linger",
            "20s",
            "--chaos",
            "5",
            "--chaos-rate",
            "nodes=6%,links=20%",
            "--report",
            &format!("{name}.json"),
        ];
        scratch.worker(&[&node[..], &chaos].concat()).start()
    };
    let running = ["a", "b", "c"].map(start);
    for node in running {
        node.wait(Duration::from_secs(120)).expect(0);
    }
    assert!(scratch.shell("sort out.txt") == scratch.shell("sort in.txt"), "{}", scratch.len("out.txt"));
    let killed: u64 = ["a.json", "b.json", "c.json"]
        .iter()
        .map(|name| {
            let report: Value = serde_json::from_slice(&scratch.read(name)).expect("a report");
            report["chaos"]["injected"]["nodes"].as_u64().expect("a count")
        })
        .sum();
    assert!(killed > 0, "no node was killed");
    scratch.assert_no_process_left();
}

/// Who ends the parent ends the worker that it would start again.
#[test]
fn the_worker_that_is_started_again_ends_with_its_parent() {
    for signal in [Signal::TERM, Signal::KILL] {
        let scratch = Scratch::new();
        scratch
            .write("p.toml", "[source.made]\ngenerate = { rate = '1000/s' }\n[sink.out]\nfile = 'out.txt'\n");
        let line = [
            "run",
            "p.toml",
            "--state",
            "state",
            "--admin",
            "none",
            "--progress",
            "none",
            "--chaos",
            "1",
            "--chaos-rate",
            "nodes=0.1%",
        ];
        let running = scratch.worker(&line).start();
        eventually("it works", PATIENCE, || {
            if scratch.path("out.txt").exists() { Ok(()) } else { Err(running.stderr()) }
        });
        running.signal(signal);
        let ended = running.wait(PATIENCE);
        if signal == Signal::TERM {
            ended.expect(143);
        }
        scratch.assert_no_process_left();
    }
}

/// Nobody would start it again, or it could not go on.
#[test]
fn where_a_worker_cannot_go_on_it_is_not_ended() {
    let scratch = Scratch::new();
    scratch.write("in.txt", "a\n");
    for (more, told) in [
        (&["process=100%"][..], "nothing is called `process`"),
        (&["nodes=5%"], "a run without state loses by that what it has accepted; give it --state DIR"),
        (&["syncs=5%"], "a run without state loses by that"),
        (&["nodes=5%", "--state", "state", "--fresh"], "--fresh starts over each time"),
    ] {
        let line = ["-i", "in.txt", "-o", "out.txt", "--chaos", "1", "--chaos-rate"];
        run(&scratch, &[&line[..], more].concat()).expect(2).says(&[told]);
    }
    scratch.write("p.toml", "[source.in]\nfile = 'in.txt'\n[sink.out]\nfile = 'out.txt'\n");
    let line = ["run", "-", "--state", "state", "--chaos", "1", "--chaos-rate", "nodes=5%"];
    let ended = scratch.worker(&line).input(scratch.read("p.toml")).run().expect(2);
    ended.says(&["could not read its pipeline from standard input a second time"]);
    assert!(!scratch.path("out.txt").exists());
}
