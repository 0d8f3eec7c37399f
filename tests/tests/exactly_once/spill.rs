//! A destination that stays away while far more flows than memory holds: the journal has it.

use crate::PATIENCE;
use std::time::Duration;
use worker_tests::process::{Nodes, Running, Scratch, eventually};

/// More than any budget of memory together with what a process takes anyway.
const LINES: &str = "yes 'a line of about a hundred bytes, so that there are many more of them than memory is meant to hold' | head -n 1500000 | nl > in.txt";

/// What a process may have resident: a debug build with its budgets (credit, outbox and chunks of two links).
const RSS_BYTES_MAX: u64 = 110 << 20;

fn node<'a>(nodes: &Nodes<'a>, name: &str) -> Running<'a> {
    let mut node = nodes.node(name);
    node.command.args(["--state", "state", "--progress", "none"]);
    node.start()
}

/// Bytes on disk of a node's journals.
fn journal_bytes(scratch: &Scratch, name: &str) -> u64 {
    let said =
        scratch.shell(&format!("du -s --block-size=1 state/{name}/tasks 2>/dev/null | cut -f1 || true"));
    String::from_utf8_lossy(&said).trim().parse().unwrap_or(0)
}

#[test]
fn an_absent_node_costs_disk_and_no_memory_and_delays_nobody() {
    let scratch = Scratch::new();
    scratch.shell(LINES);
    let bytes = scratch.len("in.txt");
    let pipeline = "[pipeline]\nname = 'spill'\nmax_record = '64KiB'\ncredit = '1MiB'\noutbox = '1MiB'\n\
                    [source.in]\nfile = 'in.txt'\nplace = 'a'\n\
                    [sink.b]\nfrom = 'in'\nfile = 'b.txt'\nplace = 'b'\n\
                    [sink.c]\nfrom = 'in'\nfile = 'c.txt'\nplace = 'c'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], pipeline);
    let (a, b) = (node(&nodes, "a"), node(&nodes, "b"));
    eventually("the node that is there has everything", PATIENCE, || {
        if scratch.len("b.txt") == bytes {
            Ok(())
        } else {
            Err(format!("{} of {bytes}: {}", scratch.len("b.txt"), a.stderr()))
        }
    });
    let (rss, disk) = (a.peak_rss_bytes(), journal_bytes(&scratch, "a"));
    assert!(rss < RSS_BYTES_MAX, "{rss} bytes resident with {bytes} bytes held for a node that is not there");
    assert!(disk >= bytes && disk < 2 * bytes + (256 << 20), "{disk} bytes on disk for {bytes}");
    let c = node(&nodes, "c");
    for node in [a, b, c] {
        let finished = node.wait(PATIENCE).expect(0);
        assert!(finished.peak_rss_bytes < RSS_BYTES_MAX, "{} bytes resident", finished.peak_rss_bytes);
    }
    for file in ["b.txt", "c.txt"] {
        assert!(scratch.read(file) == scratch.read("in.txt"), "{file} is not in.txt");
    }
}

/// The name of the key in the other partition than `a`, of two.
fn other_key(scratch: &Scratch) -> String {
    scratch.shell("printf '%s\\n' a b c d e f g h > keys.txt");
    let pipeline = "[source.in]\nfile = 'keys.txt'\n[sink.out]\nfile = 'keys/'\npartition_by = 'record'\npartitions = 2\n";
    scratch.run(pipeline).expect(0);
    let other = scratch.shell("grep -Lx a keys/part-* | xargs head -qn 1");
    String::from_utf8_lossy(&other).trim().to_owned()
}

/// One record in a hundred is for the node that is away: what it needs is moved out of segments that are done with else.
#[test]
fn little_that_waits_for_long_does_not_hold_everything_on_disk() {
    let scratch = Scratch::new();
    let rare = other_key(&scratch);
    let is_b = scratch.read("keys/part-00000").split(|&byte| byte == b'\n').any(|line| line == b"a");
    let (near, far) = if is_b { ("part-00000", "part-00001") } else { ("part-00001", "part-00000") };
    let line = "is a line of about a hundred bytes, so that there are many more of them than the journal should hold";
    scratch.shell(&format!(
        "seq 1 6500000 | awk '{{print (NR % 100 ? \"a\" : \"{rare}\"), $1, \"{line}\"}}' > in.txt"
    ));
    let bytes = scratch.len("in.txt");
    let place = if is_b { "['b', 'c']" } else { "['c', 'b']" };
    let pipeline = format!(
        "[pipeline]\nname = 'rare'\nmax_record = '64KiB'\ncredit = '1MiB'\noutbox = '1MiB'\n[source.in]\nfile = 'in.txt'\nplace = 'a'\n\
         [sink.out]\nfile = 'out/'\npartition_by = {{ field = 1 }}\npartitions = 2\nplace = {place}\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], &pipeline);
    let (a, b) = (node(&nodes, "a"), node(&nodes, "b"));
    let near_file = format!("out/{near}");
    let mut most = 0;
    let begun = std::time::Instant::now();
    while scratch.len(&near_file) < bytes / 1000 * 985 {
        most = journal_bytes(&scratch, "a").max(most);
        assert!(begun.elapsed() < 2 * PATIENCE, "{} of {bytes}: {}", scratch.len(&near_file), a.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Four segments and what is live four times; the one written to, those that wait for a checkpoint, and two spare ones.
    let limit = ((8 * 64) << 20) + bytes / 100 * 4;
    assert!(bytes > limit + (128 << 20), "{bytes} bytes are too few to tell");
    assert!(most < limit, "up to {most} bytes on disk, for {} that wait", bytes / 100);
    let c = node(&nodes, "c");
    for node in [a, b, c] {
        node.wait(PATIENCE).expect(0);
    }
    scratch.shell(&format!("grep '^a ' in.txt | cmp - out/{near}; grep -v '^a ' in.txt | cmp - out/{far}"));
}
