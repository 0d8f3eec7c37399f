//! The worker is killed or stopped amid the work, and started again.

use crate::{PATIENCE, STATE, WAYS, assert_all_taken, assert_taken_once, numbers, run, scratch, start};
use crate::{RECORDS, until_longer};
use rustix::process::Signal;
use worker_tests::process::Nodes;

#[test]
fn a_worker_that_is_killed_gives_again_what_was_not_done() {
    for (way, sink) in WAYS {
        let scratch = scratch(sink);
        for bytes in [200, 1500] {
            let mut running = start(&scratch, STATE);
            until_longer(&scratch, &mut running, "db.txt", bytes);
            running.kill();
            scratch.assert_no_process_left();
            assert!(numbers(&scratch, "db.txt").len() < usize::try_from(RECORDS).expect("few") * 2, "{way}");
        }
        run(&scratch, STATE).expect(0);
        assert_all_taken(&scratch, way);
    }
}

/// A program that keeps all to itself until the end has nothing of what it was given before the kill.
#[test]
fn a_transaction_begins_again_after_a_kill() {
    let scratch = scratch("run = ['python3', 'transaction.py']");
    let mut running = start(&scratch, STATE);
    until_longer(&scratch, &mut running, "taken.txt", 500);
    running.kill();
    assert_eq!(scratch.len("db.txt"), 0);
    run(&scratch, STATE).expect(0);
    assert_taken_once(&scratch);
}

/// A clean stop is the end of its input: what it was given is done when it has ended well.
#[test]
fn a_worker_that_is_stopped_waits_for_the_program() {
    for (way, sink) in WAYS {
        let scratch = scratch(&format!(
            "from = 'slow'\n{sink}\n[stage.slow]\nfrom = 'in'\npartitions = 1\nrun = ['sh', '-c', 'sleep 0.05; cat']\nbatch = {{ max_records = 50 }}"
        ));
        let mut running = start(&scratch, STATE);
        until_longer(
            &scratch,
            &mut running,
            if way.starts_with("windows") { "taken.txt" } else { "db.txt" },
            100,
        );
        running.signal(Signal::TERM);
        running.wait(PATIENCE).expect(143);
        let first = numbers(&scratch, "db.txt").len();
        assert!(first > 0, "{way}: nothing was done at the stop");
        run(&scratch, STATE).expect(0);
        // Nothing was under way, so nothing comes twice.
        assert_taken_once(&scratch);
    }
}

/// Where the program does not come to its end in time, it is ended, and its input comes again.
#[test]
fn a_stop_that_does_not_wait_long_enough_loses_nothing() {
    for (way, sink) in WAYS {
        let scratch = scratch(&format!("{sink}\nstop_grace = '100ms'"));
        let mut running = start(&scratch, &[STATE, &["--drain-timeout", "100ms"]].concat());
        until_longer(
            &scratch,
            &mut running,
            if way.starts_with("windows") { "taken.txt" } else { "db.txt" },
            100,
        );
        running.signal(Signal::TERM);
        running.wait(PATIENCE).expect(143);
        scratch.assert_no_process_left();
        run(&scratch, STATE).expect(0);
        assert_all_taken(&scratch, way);
    }
}

#[test]
fn a_program_on_another_node_is_given_all_again() {
    for (way, sink) in WAYS {
        let scratch = scratch(sink);
        let pipeline = crate::pipeline(&format!("{sink}\nplace = 'b'"))
            .replace("file = 'in.txt'", "file = 'in.txt'\nplace = 'a'");
        let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
        let node = |name: &str| {
            let mut start = nodes.node(name);
            start.command.args(["--state", &format!("state-{name}"), "--admin", "none"]);
            start.start()
        };
        let (a, mut b) = (node("a"), node("b"));
        until_longer(&scratch, &mut b, "db.txt", 200);
        b.kill();
        let b = node("b");
        a.wait(PATIENCE).expect(0);
        b.wait(PATIENCE).expect(0);
        assert_all_taken(&scratch, way);
    }
}

/// In memory a stop is the same; what was not done is counted as lost, never as done.
#[test]
fn in_memory_a_stop_waits_for_the_program_too() {
    for (way, sink) in WAYS {
        let scratch = scratch(sink);
        let mut running = start(&scratch, &[]);
        until_longer(
            &scratch,
            &mut running,
            if way.starts_with("windows") { "taken.txt" } else { "db.txt" },
            100,
        );
        running.signal(Signal::TERM);
        let finished = running.wait(PATIENCE).expect(143);
        assert_eq!(finished.lost(), 0, "{way}: {}", finished.stderr);
        let taken = numbers(&scratch, "db.txt");
        assert!(!taken.is_empty() && taken.iter().copied().eq(1..=taken.len() as u64), "{way}: {taken:?}");
    }
}
