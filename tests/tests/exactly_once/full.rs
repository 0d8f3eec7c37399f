//! A disk that fills while the pipeline runs: it waits, and goes on by itself.

use crate::PATIENCE;
use worker_tests::process::{Disk, Nodes, Scratch};

/// Node c is not there, and what it should have fills the disk, on which the other nodes keep their state too.
#[test]
fn a_disk_full_of_what_an_absent_node_should_have_does_not_stay_full() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "96m");
    scratch.shell("seq 1 1500000 | sed 's/$/ is a number with some words behind it, so that there is more of it/' > in.txt");
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\n\
                    [source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [sink.b]\nfrom = 'in'\nfile = 'b.txt'\nplace = 'b'\n\
                    [sink.c]\nfrom = 'in'\nfile = 'c.txt'\nplace = 'c'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], pipeline);
    let with_state = |name: &str, state: &str| {
        let mut node = nodes.node(name);
        node.command.args(["--state", state, "--progress", "none"]);
        node.start()
    };
    let b = with_state("b", "roomy");
    let mut a = with_state("a", "tiny");
    a.wait_for_message("the disk is full", PATIENCE);
    let c = with_state("c", "roomy");
    for node in [a, b, c] {
        node.wait(PATIENCE).expect(0);
    }
    for file in ["b.txt", "c.txt"] {
        assert!(scratch.read(file) == scratch.read("in.txt"), "{file} is not in.txt");
    }
    drop(disk);
}

/// A sink's disk: it waits for room, and what it has written is not repeated.
#[test]
fn a_full_disk_of_a_sink_only_delays_it() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "2m");
    scratch.shell("seq 1 700000 > in.txt");
    scratch.write(
        "pipeline.toml",
        "[pipeline]\nname = 'full'\n[source.in]\nfile = 'in.txt'\n[sink.out]\nfile = 'tiny/out.txt'\n",
    );
    let mut running = scratch.worker(&["run", "pipeline.toml", "--state", "state"]).start();
    running.wait_for_message("no room", PATIENCE);
    disk.resize("64m");
    running.wait(PATIENCE).expect(0);
    assert!(scratch.read("tiny/out.txt") == scratch.read("in.txt"));
}
