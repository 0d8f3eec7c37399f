//! `kill -9` at every named point of the worker.

use crate::{DONE, PIPELINE, assert_comes_to_its_end, assert_result, live, prepare};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;
use worker_tests::process::{Scratch, descendants, eventually};

/// What is done to files that must survive.
const OPERATIONS: [&str; 27] = [
    "dead.cut",
    "dead.directory",
    "dead.sync",
    "dead.write",
    "journal.allocate",
    "journal.create",
    "journal.mkdir",
    "journal.rename",
    "journal.sync",
    "journal.syncdir",
    "journal.unlink",
    "journal.write",
    "list.directory",
    "list.rename",
    "list.sync",
    "list.write",
    "manifest.rename",
    "manifest.sync",
    "manifest.write",
    "reserve.make",
    "reserve.release",
    "sink.cut",
    "sink.directory",
    "sink.sync",
    "sink.write",
    "state.mkdir",
    "state.syncdir",
];

/// Passages at which the process is killed, until it comes to its end without having been there.
const PASSAGES: [u64; 11] = [1, 2, 3, 4, 5, 6, 8, 14, 30, 70, 150];

/// Deaths in the middle, so that the next life has something to read back, to remove and to cut.
fn mess(operation: &str) -> &'static [&'static str] {
    match operation {
        // All that tasks of one journal have is done with, and so it was when the last life made its checkpoint.
        "journal.unlink" => &["manifest.write.before:2", "manifest.write.before:2"],
        dead if dead.starts_with("dead") => &["dead.write.after:2"],
        _ => &["sink.write.after:12"],
    }
}

/// Kills at each point of lives that begin so; gives how often each operation was met.
fn kill_at_each(in_a_mess: bool) -> BTreeMap<&'static str, u64> {
    let mut met = BTreeMap::new();
    for operation in OPERATIONS {
        for end in ["before", "after"] {
            for nth in PASSAGES {
                let fault = format!("{operation}.{end}:{nth}");
                let scratch = Scratch::new();
                prepare(&scratch);
                let deaths = if in_a_mess { mess(operation) } else { &[] };
                for death in deaths {
                    let died = live(&scratch, death);
                    assert_eq!(died.status.signal(), Some(9), "{operation}: {}", died.stderr);
                }
                let ended = live(&scratch, &fault);
                if ended.status.signal() != Some(9) {
                    assert_eq!(ended.status.code(), Some(DONE), "{fault}: {}", ended.stderr);
                    assert_result(&scratch, &format!("{fault}, not met"));
                    break;
                }
                *met.entry(operation).or_default() += 1;
                assert_comes_to_its_end(&scratch, &format!("killed at {fault}, in a mess: {in_a_mess}"));
            }
        }
    }
    met
}

#[test]
fn kills_at_every_point_of_a_first_life() {
    let met = kill_at_each(false);
    let begins = [
        "journal.create",
        "journal.write",
        "journal.sync",
        "list.rename",
        "manifest.rename",
        "sink.sync",
        "dead.sync",
    ];
    for operation in begins {
        assert!(met.get(operation).is_some_and(|&times| times >= 2), "{operation} was not met: {met:?}");
    }
    assert!(met.values().sum::<u64>() > 100, "{met:?}");
}

#[test]
fn kills_at_every_point_of_a_life_that_follows_a_death() {
    let met = kill_at_each(true);
    for operation in ["journal.unlink", "journal.syncdir", "sink.cut", "dead.cut", "manifest.rename"] {
        assert!(met.get(operation).is_some_and(|&times| times >= 2), "{operation} was not met: {met:?}");
    }
    assert!(met.values().sum::<u64>() > 100, "{met:?}");
}

/// Nobody adds a point that is not tested: the source is searched for them.
#[test]
fn the_list_of_points_is_complete() {
    let mut found = BTreeSet::new();
    for source in ["worker-bin/src", "worker-bin/journal/src"] {
        collect(&Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(source), &mut found);
    }
    // Those with a prefix; `fault.test` is the tests' own, `replay` belongs to `worker dlq replay`.
    // A pipe's are tried in `run/pipes.rs`.
    let of_pipes = ["spool.create", "spool.rename", "spool.room", "spool.sync", "spool.take", "spool.write"];
    // And the one that is no write, in `run/follow.rs`.
    let listed = OPERATIONS.into_iter().chain(of_pipes).chain(["follow.watch"]);
    let listed = listed.map(str::to_owned).chain(["state.syncdir".to_owned()]);
    let listed: BTreeSet<String> =
        listed.filter(|name| !name.starts_with("list.") && !name.ends_with(".directory")).collect();
    assert_eq!(found, listed);
}

fn collect(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).expect("the source is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.file_name().is_some_and(|name| name != "fault.rs") {
            let text = std::fs::read_to_string(&path).expect("source is text");
            let calls = text.split("fault::around(\"").skip(1).chain(text.split("fault::point(\"").skip(1));
            found.extend(calls.filter_map(|call| call.split_once('"')).map(|(name, _)| name.to_owned()));
        }
    }
}

/// A program that is a worker itself must not die of what was meant for the outer one.
#[test]
fn programs_do_not_inherit_the_fault() {
    let scratch = Scratch::new();
    prepare(&scratch);
    scratch.write(
        "pipeline.toml",
        PIPELINE.replace("[\"sh\", \"count.sh\"]", "[\"sh\", \"-c\", \"sleep 1000\"]"),
    );
    let start = scratch
        .worker(&["run", "pipeline.toml", "--state", "state"])
        .env("WORKER_FAULT", "sink.write:100000");
    let running = start.start();
    eventually("its programs run", Duration::from_secs(20), || {
        let processes = scratch.processes();
        if processes.iter().any(|(_, name)| name.starts_with("sleep")) {
            Ok(())
        } else {
            Err(running.stderr())
        }
    });
    for pid in descendants(running.pid()) {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let inherited = String::from_utf8_lossy(&environ).contains("WORKER_FAULT");
        assert!(!inherited, "{pid} has WORKER_FAULT in its environment");
    }
    running.signal(Signal::KILL);
}
