//! The same command again, with and without changes.

use crate::{PATIENCE, SLOW, assert_copied, half, prepare, run, start};
use rustix::process::Signal;
use std::time::Duration;
use worker_tests::process::{Nodes, Scratch, eventually};

#[test]
fn a_finished_pipeline_says_so_and_does_nothing() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    run(&scratch).expect(0);
    assert_copied(&scratch);
    let before = scratch.shell("stat -c '%Y %s' out.txt");
    run(&scratch).expect(0).says(&["finished already", "--fresh"]);
    assert_eq!(scratch.shell("stat -c '%Y %s' out.txt"), before);
}

#[test]
fn a_change_that_matters_is_refused_with_the_difference() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    let written = scratch.len("out.txt");
    let changes: [(&str, &str, &str); 5] = [
        ("cat']", "tac']", "stage.same.run"),
        ("partitions = 1", "partitions = 2", "stage.same.partitions"),
        ("'in.txt'", "'in.*'", "source.in"),
        ("'out.txt'", "'other.txt'", "sink.out"),
        ("[stage.same]", "[stage.other]", "other"),
    ];
    for (old, new, named) in changes {
        scratch.write("pipeline.toml", SLOW.replace(old, new));
        run(&scratch).expect(2).says(&["changed", named, "--fresh"]);
        assert_eq!(scratch.len("out.txt"), written, "{named}");
    }
    scratch.write("pipeline.toml", SLOW);
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

#[test]
fn a_change_that_is_safe_is_accepted() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    let safe = SLOW
        .replace("max_records = 200 }", "max_records = 700 }\ntimeout = '20s'\nretry = { max_attempts = 9 }");
    scratch.write("pipeline.toml", safe.replace("spill_limit = '32KiB'", "spill_limit = '1MiB'"));
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

#[test]
fn fresh_says_what_it_removes_and_starts_over() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    half(&scratch);
    let fresh = ["run", "pipeline.toml", "--state", "state", "--fresh"];
    // The sink's file is the user's: it is not removed with the state, and the state not without it.
    scratch.worker(&fresh).run().expect(2).says(&["--fresh", "out.txt", "replace", "nothing was removed"]);
    assert!(scratch.len("out.txt") > 0 && scratch.path("state/manifest.json").exists());
    scratch.write("pipeline.toml", SLOW.replace("'out.txt'", "'out.txt'\nexists = 'replace'"));
    scratch.worker(&fresh).run().expect(0).says(&["--fresh: removed the state in", " MiB in ", "files"]);
    assert_copied(&scratch);
}

#[test]
fn drained_again_and_again_it_goes_on_where_it_was() {
    let scratch = Scratch::new();
    prepare(&scratch, SLOW);
    let mut drains = 0;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)].into_iter().cycle() {
        let mut running = start(&scratch);
        let before = scratch.len("out.txt");
        eventually("it goes on", PATIENCE, || {
            if running.has_ended() || scratch.len("out.txt") > before + 50_000 {
                Ok(())
            } else {
                Err(running.stderr())
            }
        });
        running.signal(signal);
        let finished = running.wait(PATIENCE);
        if finished.status.code() == Some(0) {
            break;
        }
        finished.expect(code);
        drains += 1;
    }
    assert!(drains >= 3, "it was done after {drains} drains");
    assert_copied(&scratch);
}

#[test]
fn a_second_signal_stops_now_and_loses_nothing() {
    let scratch = Scratch::new();
    let stuck = SLOW.replace("sleep 0.02; cat", "test -e go || sleep 1000; cat");
    prepare(&scratch, &stuck);
    let mut running = start(&scratch);
    eventually("its program runs", PATIENCE, || {
        if scratch.processes().iter().any(|(_, name)| name.starts_with("sleep")) {
            Ok(())
        } else {
            Err(String::new())
        }
    });
    running.signal(Signal::INT);
    running.wait_for_message("stopping", PATIENCE);
    running.signal(Signal::INT);
    running.wait(Duration::from_secs(10)).expect(130);
    scratch.write("go", "");
    run(&scratch).expect(0);
    assert_copied(&scratch);
}

#[test]
fn a_task_that_was_moved_is_refused_by_name() {
    let scratch = Scratch::new();
    let place = |node: &str| {
        format!(
            "{}place = '{node}'\n",
            SLOW.replace("'in.txt'\n", "'in.txt'\nplace = 'a'\n")
                .replace("partitions = 1", "partitions = 1\nplace = 'a'")
        )
    };
    prepare(&scratch, "");
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &place("b"));
    let with_state = |name: &str| {
        let mut node = nodes.node(name);
        node.command.args(["--state", "state"]);
        node.start()
    };
    let (a, b) = (with_state("a"), with_state("b"));
    eventually("data flows", PATIENCE, || {
        if scratch.len("out.txt") > 30_000 { Ok(()) } else { Err(a.stderr()) }
    });
    a.kill();
    b.kill();
    scratch.write("pipeline.toml", place("a"));
    for name in ["a", "b"] {
        with_state(name).wait(PATIENCE).expect(2).says(&["out/0", "elsewhere"]);
    }
    scratch.write("pipeline.toml", place("b"));
    let (a, b) = (with_state("a"), with_state("b"));
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    assert_copied(&scratch);
}

/// One program a record, and a key by a column's name behind it.
const HEADED: &str = "[pipeline]\nname = 'headed'\ncredit = '32KiB'\nmax_record = '16KiB'\n[source.in]\nfile = 'd/*.csv'\n\
                      header = 'repeat'\n[stage.body]\nrun = ['sh', '-c', 'sleep 0.1; sed 1d']\npartitions = 1\n\
                      batch = { max_records = 1 }\n[stage.keyed]\nrun = ['cat']\npartitions = 2\n\
                      partition_by = { csv = 'b' }\n[sink.out]\nfile = 'out.txt'\n";

/// Reads the first file whole, and is killed amid the work; its owner then moves it away.
fn headed_and_killed() -> Scratch {
    let scratch = Scratch::new();
    scratch.shell("mkdir d; printf 'a,b\\n' > d/1.csv; seq 30 | sed 's:.*:&,x&:' >> d/1.csv");
    scratch.write("pipeline.toml", HEADED);
    let mut running = start(&scratch);
    eventually("some of it is written", PATIENCE, || {
        assert!(!running.has_ended(), "it ended: {}", running.stderr());
        if scratch.len("out.txt") > 0 { Ok(()) } else { Err(running.stderr()) }
    });
    running.kill();
    scratch
}

fn assert_all_of_the_body(scratch: &Scratch) {
    scratch.shell("sort -n out.txt > sorted; seq 30 | sed 's:.*:&,x&:' | cmp - sorted");
}

#[test]
fn header_and_columns_are_those_of_the_first_start_when_their_file_is_gone() {
    let scratch = headed_and_killed();
    scratch.shell("mv d/1.csv read-already");
    run(&scratch).expect(0);
    assert_all_of_the_body(&scratch);
    run(&scratch).expect(0).says(&["finished already"]);
}

#[test]
fn header_and_columns_are_those_of_the_first_start_when_another_file_comes_first() {
    let scratch = headed_and_killed();
    scratch.shell("mv d/1.csv read-already; printf 'other,header\\n1,2\\n' > d/0.csv");
    run(&scratch).expect(0);
    assert_all_of_the_body(&scratch);
    // What is begun anew reads what is there now.
    scratch.shell("rm out.txt; sed -i \"s/'b'/'header'/\" pipeline.toml");
    scratch.worker(&["run", "pipeline.toml", "--state", "state", "--fresh"]).run().expect(0);
    assert_eq!(scratch.read("out.txt"), b"1,2\n");
}

#[test]
fn a_state_of_the_version_before_has_its_header_in_the_list_of_files() {
    let scratch = headed_and_killed();
    scratch.shell(
        "python3 - <<'E'\nimport json\nm = json.load(open('state/manifest.json'))\ndel m['headers']\n\
         json.dump(m, open('state/manifest.json', 'w'))\nE\nmv d/1.csv read-already",
    );
    run(&scratch).expect(0);
    assert_all_of_the_body(&scratch);
}
