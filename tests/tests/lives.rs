//! Processes of `worker node` that come again: with another clock, with a state that was copied, removed or put back, or without one
//! that has finished.

use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;
use worker_tests::process::{Nodes, Running, Scratch, Start, eventually, free_port, holds_for};

const PATIENCE: Duration = Duration::from_secs(25);

/// How long a node that is to go on is watched.
const WATCHED: Duration = Duration::from_secs(3);

/// Node `a` passes records slowly to the sink on node `b`.
const SLOW: &str = "[source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [stage.pass]\nrun = ['sh', '-c', 'sleep 0.05; exec cat']\nbatch = { max_records = 20 }\n\
                    partitions = 1\nplace = 'a'\n\
                    [sink.out]\nfile = 'out.txt'\nplace = 'b'\n";

/// A clock that is an hour ahead, for what is started with it.
const AHEAD: &str = r"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t c, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, ''clock_gettime'');
  int r = real(c, t);
  if (c == CLOCK_REALTIME || c == CLOCK_REALTIME_COARSE) t->tv_sec += 3600;
  return r;
}
";

fn numbers(scratch: &Scratch, count: u32) -> Vec<u8> {
    scratch.shell(&format!("seq {count} > in.txt"));
    scratch.read("in.txt")
}

fn with_state<'a>(scratch: &'a Scratch, name: &str, state: &str) -> Start<'a> {
    scratch.worker(&["node", "--name", name, "--cluster", "cluster.toml", "pipeline.toml", "--state", state])
}

fn has(scratch: &Scratch, name: &str, bytes: u64) {
    let arrived = || {
        let len = if scratch.path(name).exists() { scratch.len(name) } else { 0 };
        if len >= bytes { Ok(()) } else { Err(format!("{name} has {len} bytes")) }
    };
    eventually("records arrive", PATIENCE, arrived);
}

/// Waits until node `a` knows that more than `before` records are done with at the sink; gives how many.
fn acknowledged(scratch: &Scratch, before: u64) -> u64 {
    let mut count = 0;
    eventually("the sink acknowledges", PATIENCE, || {
        let said = scratch.worker(&["status", "--json"]).run().stdout;
        let nodes: serde_json::Value = serde_json::from_slice(&said).map_err(|error| error.to_string())?;
        let links =
            nodes.as_array().into_iter().flatten().filter_map(|node| node["links"].as_array()).flatten();
        let to_sink = links
            .filter(|link| link["to"] == "out/0")
            .filter_map(|link| link["acknowledged_records"].as_u64());
        count = to_sink.sum();
        if count > before { Ok(()) } else { Err(format!("{count} records")) }
    });
    count
}

fn copy(scratch: &Scratch, from: &str, to: &str) {
    scratch.shell(&format!("rm -rf {to}; cp -a {from} {to}"));
}

fn goes_on(node: &mut Running<'_>, name: &str) {
    holds_for(&format!("node {name} goes on"), WATCHED, || match node.has_ended() {
        true => Err(node.stderr()),
        false => Ok(()),
    });
}

/// A sorted file, for records may come in another order after a failed batch.
fn sorted(scratch: &Scratch, name: &str) -> Vec<u8> {
    scratch.shell(&format!("sort -n {name}"))
}

#[test]
fn a_node_whose_clock_was_set_back_is_let_in_again() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [stage.up]\nrun = ['sh', '-c', 'sleep 0.1; cat']\nbatch = { max_records = 20 }\npartitions = 1\nplace = 'b'\n\
                    [sink.out]\nfile = 'out.txt'\nplace = 'a'\n";
    numbers(&scratch, 400);
    scratch.write("ahead.c", AHEAD.replace("''", "\""));
    scratch.shell("cc -shared -fPIC -o ahead.so ahead.c -ldl");
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let library = scratch.path("ahead.so");
    let library = library.to_str().expect("a plain path");
    let (a, b) = (nodes.start("a"), nodes.node("b").env("LD_PRELOAD", library).start());
    has(&scratch, "out.txt", 60);
    b.kill();
    let b = nodes.start("b");
    a.wait(PATIENCE).expect(3).says(&["were lost when other nodes' processes died"]);
    b.wait(PATIENCE).expect(0);
}

#[test]
fn a_node_that_has_finished_is_not_needed_after_a_crash_of_another() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [sink.far]\nfrom = 'in'\nfile = 'far.txt'\nplace = 'b'\n\
                    [stage.slow]\nfrom = 'in'\nrun = ['sh', '-c', 'sleep 0.3; cat']\nbatch = { max_records = 1 }\n\
                    partitions = 1\nplace = 'a'\n\
                    [sink.near]\nfrom = 'slow'\nfile = 'near.txt'\nplace = 'a'\n";
    let input = numbers(&scratch, 14);
    let _nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let (a, b) = (with_state(&scratch, "a", "st").start(), with_state(&scratch, "b", "st").start());
    b.wait(PATIENCE).expect(0);
    a.kill();
    with_state(&scratch, "a", "st").start().wait(PATIENCE).expect(0);
    assert_eq!((scratch.read("near.txt"), scratch.read("far.txt")), (input.clone(), input));
}

/// The old place of a node starts once more, with the state from before the move, after or before the new one has gone on.
#[test]
fn of_two_places_of_one_node_the_one_that_comes_second_ends_alone() {
    for stale_first in [false, true] {
        let scratch = Scratch::new();
        let input = numbers(&scratch, 1_500);
        let _nodes = Nodes::on_loopback(&scratch, &["a", "b"], SLOW);
        let (a, mut b) = (with_state(&scratch, "a", "sa").start(), with_state(&scratch, "b", "sb").start());
        has(&scratch, "out.txt", 100);
        a.kill();
        copy(&scratch, "sa", "moved");
        let (first, second) = if stale_first { ("sa", "moved") } else { ("moved", "sa") };
        let before = scratch.len("out.txt");
        let going = with_state(&scratch, "a", first).start();
        has(&scratch, "out.txt", before + 500);
        going.kill();
        let refused = with_state(&scratch, "a", second).start().wait(PATIENCE).expect(1);
        refused.says(&["node b: refuses link", "gone on"]);
        goes_on(&mut b, "b");
        let last = with_state(&scratch, "a", first).start();
        last.wait(PATIENCE).expect(0);
        b.wait(PATIENCE).expect(0);
        assert_eq!(sorted(&scratch, "out.txt"), input, "stale first: {stale_first}");
    }
}

fn spoil_and_restart(spoil: fn(&Scratch), restarts_sender: bool, says: &[&str]) {
    let scratch = Scratch::new();
    let input = numbers(&scratch, 1_200);
    let _nodes = Nodes::on_loopback(&scratch, &["a", "b"], SLOW);
    let (mut a, b) = (with_state(&scratch, "a", "sa").start(), with_state(&scratch, "b", "sb").start());
    has(&scratch, "out.txt", 60);
    let early = acknowledged(&scratch, 0);
    b.kill();
    copy(&scratch, "sb", "early");
    let b = with_state(&scratch, "b", "sb").start();
    // What was on its way when it was killed may be known late, but not so much.
    acknowledged(&scratch, early + 200);
    b.kill();
    copy(&scratch, "sb", "kept");
    scratch.shell("cp -a out.txt out.kept");
    spoil(&scratch);
    if restarts_sender {
        a.kill();
        a = with_state(&scratch, "a", "sa").start();
    }
    let ended = with_state(&scratch, "b", "sb").start().wait(PATIENCE).expect(1);
    ended.says(says);
    goes_on(&mut a, "a");
    // What it says to do, done.
    copy(&scratch, "kept", "sb");
    scratch.shell("cp -a out.kept out.txt.new && cat out.txt.new > out.txt");
    if Path::new(&scratch.path("moved-out.txt")).exists() {
        scratch.shell("mv moved-out.txt out.txt");
    }
    let b = with_state(&scratch, "b", "sb").start();
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    assert_eq!(sorted(&scratch, "out.txt"), input);
}

#[test]
fn a_state_that_was_removed_at_the_receiver_is_seen_and_nothing_is_lost() {
    for restarts_sender in [false, true] {
        let remove = |scratch: &Scratch| drop(scratch.shell("rm -r sb; mv out.txt moved-out.txt"));
        spoil_and_restart(remove, restarts_sender, &["put the newest one back", "--fresh"]);
    }
}

#[test]
fn a_state_that_was_put_back_from_an_older_copy_at_the_receiver_is_seen() {
    let put_back = |scratch: &Scratch| copy(scratch, "early", "sb");
    spoil_and_restart(put_back, false, &["put the newest one back", "--fresh"]);
}

#[test]
fn a_state_that_was_removed_at_the_sender_ends_the_sender_alone() {
    let scratch = Scratch::new();
    let input = numbers(&scratch, 1_200);
    let _nodes = Nodes::on_loopback(&scratch, &["a", "b"], SLOW);
    let (a, mut b) = (with_state(&scratch, "a", "sa").start(), with_state(&scratch, "b", "sb").start());
    has(&scratch, "out.txt", 100);
    a.kill();
    scratch.shell("mv sa kept");
    with_state(&scratch, "a", "sa").start().wait(PATIENCE).expect(1).says(&["another journal", "--fresh"]);
    goes_on(&mut b, "b");
    scratch.shell("rm -r sa; mv kept sa");
    with_state(&scratch, "a", "sa").start().wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    assert_eq!(sorted(&scratch, "out.txt"), input);
}

/// Node `b` is stopped and replaced on another machine, and everything ends; then it wakes up.
#[test]
fn a_process_that_wakes_up_when_all_have_finished_without_it_ends_and_says_so() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [stage.up]\nrun = ['sh', '-c', 'sleep 0.1; cat']\nbatch = { max_records = 20 }\npartitions = 1\nplace = 'b'\n\
                    [sink.out]\nfile = 'out.txt'\nexists = 'replace'\nplace = 'a'\n";
    numbers(&scratch, 600);
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let moved = format!("127.0.0.1:{}", free_port());
    let cluster = scratch.text("cluster.toml").replace(nodes.address("b"), &moved);
    scratch.write("moved.toml", cluster);
    let at_new_place =
        |name| scratch.worker(&["node", "--name", name, "--cluster", "moved.toml", "pipeline.toml"]);
    let (mut a, mut b) = (nodes.start("a"), nodes.start("b"));
    has(&scratch, "out.txt", 60);
    b.signal(Signal::STOP);
    // Not the message of its start, when the other one is not there yet.
    a.wait_for_message("nothing was heard for", PATIENCE);
    // What it says to the silent node at last leaves at once; it need not say more here while nothing else happens.
    holds_for("it waits for the silent node", WATCHED, || match a.has_ended() {
        true => Err(a.stderr()),
        false => Ok(()),
    });
    // The run is begun anew, without it.
    a.kill();
    let replaced = at_new_place("b").start();
    a = at_new_place("a").start();
    a.wait(PATIENCE).expect(0);
    replaced.wait(PATIENCE).expect(0);
    b.signal(Signal::CONT);
    holds_for("it looks for the others for a while", WATCHED, || match b.has_ended() {
        true => Err(b.stderr()),
        false => Ok(()),
    });
    b.wait(2 * PATIENCE).expect(1).says(&["finished, or stopped, without it"]);
}
