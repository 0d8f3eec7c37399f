//! A disk that fills while the pipeline runs: it waits, and goes on by itself.

use crate::PATIENCE;
use worker_tests::process::{Disk, Nodes, Running, Scratch, eventually};

/// Writes `in.txt`, of about 75 bytes a line.
fn wordy_numbers(scratch: &Scratch, count: u32) {
    scratch.shell(&format!(
        "seq 1 {count} | sed 's/$/ is a number with some words behind it, so that there is more of it/' > in.txt"
    ));
}

fn with_state<'a>(nodes: &Nodes<'a>, name: &str, state: &str) -> Running<'a> {
    let mut node = nodes.node(name);
    node.command.args(["--state", state, "--progress", "none"]);
    node.start()
}

/// Node c is not there, and what it should have fills the disk, on which the other nodes keep their state too.
#[test]
fn a_disk_full_of_what_an_absent_node_should_have_does_not_stay_full() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "96m");
    wordy_numbers(&scratch, 1_500_000);
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\n\
                    [source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [sink.b]\nfrom = 'in'\nfile = 'b.txt'\nplace = 'b'\n\
                    [sink.c]\nfrom = 'in'\nfile = 'c.txt'\nplace = 'c'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], pipeline);
    let with_state = |name, state| with_state(&nodes, name, state);
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

/// Node c is not there, and what it should have is a quarter of the disk, a little of it in every segment, among what node b has long had.
#[test]
fn a_disk_full_of_what_is_done_with_is_left_again_while_a_quarter_of_it_is_needed() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "24m");
    wordy_numbers(&scratch, 400_000);
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\n\
                    [source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [stage.all]\nfrom = 'in'\nrun = 'cat'\nplace = 'a'\n[sink.b]\nfrom = 'all'\nfile = 'b.txt'\nplace = 'b'\n\
                    [stage.some]\nfrom = 'in'\nrun = ['grep', '^[0-9]*[37] ']\nok_exit = [0, 1]\nplace = 'a'\n\
                    [sink.c]\nfrom = 'some'\nfile = 'c.txt'\nplace = 'c'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], pipeline);
    let with_state = |name, state| with_state(&nodes, name, state);
    let b = with_state("b", "roomy");
    let mut a = with_state("a", "tiny");
    a.wait_for_message("the disk is full", PATIENCE);
    let all = scratch.len("in.txt");
    eventually("b has everything while c is not there", PATIENCE, || {
        let there = scratch.len("b.txt");
        if there == all {
            Ok(())
        } else {
            Err(format!("{there} of {all} bytes: {}", scratch_state(&scratch)))
        }
    });
    let c = with_state("c", "roomy");
    for node in [a, b, c] {
        node.wait(PATIENCE).expect(0);
    }
    assert!(scratch.shell("sort in.txt | sha256sum") == scratch.shell("sort b.txt | sha256sum"));
    assert!(
        scratch.shell("grep '^[0-9]*[37] ' in.txt | sort | sha256sum")
            == scratch.shell("sort c.txt | sha256sum")
    );
    drop(disk);
}

fn scratch_state(scratch: &Scratch) -> String {
    String::from_utf8_lossy(&scratch.shell("df -k tiny; ls -lR tiny")).into_owned()
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
