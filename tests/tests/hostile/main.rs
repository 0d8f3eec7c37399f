//! What strangers do to a node's data port, and what comes of it.
//!
//! | attack | what the node does | class |
//! |---|---|---|
//! | 2,000 connections that say nothing, opened again when closed | drops the oldest of them | `crowded` |
//! | connections that say a byte now and then | drops them after a second | `hello_late`, `crowded` |
//! | bytes that are no frame, as fast as can be | drops them | `frame` |
//! | a first frame that is no `Hello` | says the class, closes | `violation` |
//! | `Hello`s of another version, pipeline, placement, node | says the class, closes | `protocol`, `pipeline`, `placement`, `unknown_node` |
//! | a node's name with a number far too high | refused; the node itself is let in | `violation` |
//! | a node's name, taking over all the time | one takeover a second | `busy` |
//! | a link opened with an epoch far too high | the connection is closed, nothing is kept | `violation` |
//! | "the pipeline has failed", of one that is bound to nothing | ends nothing | – |
//! | nearly all of frames of 8 MiB, from connections that follow each other | one budget for all, given back when one closes | – |
//! | a frame that drips | closed after its time | `frame_late` |
//! | pings without end, answers that are not read | the last one is answered | – |
//!
//! Beside each of them data flows from one node to the other, and a further node is let in within two seconds, all the time. What
//! the strangers need to know (fingerprints, a life) they are given here: by asking they learn nothing.

mod attacks;
mod stranger;

use attacks::ATTACKS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stranger::{Insight, Stranger};
use worker_proto::Frame;
use worker_tests::process::{FLOW, Nodes, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// How long each attack lasts.
const LENGTH: Duration = Duration::from_secs(3);

/// What an attack may cost in memory, in bytes.
const COST_BYTES_MAX: u64 = 64 << 20;

/// Within this time a real node is let in.
const LET_IN_MAX: Duration = Duration::from_secs(2);

/// The nodes a, which sends to b; c, which is let in again and again; and d, in whose name strangers speak.
fn pipeline() -> String {
    let quiet = "run = ['sleep', '600']";
    let mut text = format!(
        "[pipeline]\nname = 'peers'\n[source.lines]\n{FLOW}\nplace = 'a'\n[sink.out]\nfrom = 'lines'\nfile = 'out.txt'\nplace = 'b'\n"
    );
    for node in ["c", "d"] {
        text += &format!(
            "[source.{node}]\n{quiet}\nplace = '{node}'\n[sink.of_{node}]\nfrom = '{node}'\nfile = '{node}.txt'\nplace = 'b'\n"
        );
    }
    text
}

#[test]
fn strangers_harm_nobody() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("many open files");
    let scratch = Scratch::new();
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c", "d"], &pipeline());
    let (a, insight) = Insight::by_taking_the_place_of(&nodes, "b");
    let b = nodes.start("b");
    scratch.wait_until_flows(&["out.txt"]);
    for attack in ATTACKS {
        let before = Standing::of(&b);
        let flows = Flow::begin(&scratch);
        let over = Arc::new(AtomicBool::new(false));
        let strangers = (attack.begin)(&insight, &over);
        let worst = let_in_again_and_again(&insight, LENGTH);
        let ratio = flows.ratio(&scratch);
        over.store(true, Ordering::Relaxed);
        strangers.into_iter().for_each(|stranger| stranger.join().expect("a stranger that only attacks"));
        let cost = b.peak_rss_bytes().saturating_sub(before.rss_bytes) >> 20;
        println!("{}: {cost} MiB, {ratio:.2} of the flow, let in within {worst:?}", attack.name);
        assert!(
            worst <= LET_IN_MAX,
            "{}: a real node was let in after {worst:?}\n{}",
            attack.name,
            b.stderr()
        );
        assert!(ratio >= 0.8, "{}: {ratio:.2} of what was sent arrived meanwhile", attack.name);
        assert!(cost << 20 <= COST_BYTES_MAX, "{}: {cost} MiB", attack.name);
        before.assert_descriptors_are_back(&b, attack.name);
        for class in attack.classes {
            assert!(
                b.stderr().contains(&format!("class=\"{class}\"")),
                "{}: {class}: {}",
                attack.name,
                b.stderr()
            );
        }
    }
    assert_few_lines(&b, "class=");
    assert!(!b.stderr().contains('\u{1b}'), "{}", b.stderr());
    scratch.stop_flow();
    eventually("all has arrived", PATIENCE, || {
        let (sent, out) = (scratch.len("sent.txt"), scratch.len("out.txt"));
        if sent == out { Ok(()) } else { Err(format!("{out} of {sent} bytes; {}", a.stderr())) }
    });
    scratch.assert_all_arrived(&["out.txt"]);
    assert_eq!((scratch.len("c.txt"), scratch.len("d.txt")), (0, 0), "records of strangers are in a sink");
}

/// One line of a class in five seconds, whatever is done.
fn assert_few_lines(b: &Running<'_>, mark: &str) {
    let lines = b.stderr().lines().filter(|line| line.contains(mark)).count();
    assert!(lines < 100, "{lines} lines: {}", b.stderr());
}

/// Comes as node c, again and again; gives the longest it took until it was let in.
fn let_in_again_and_again(insight: &Insight, length: Duration) -> Duration {
    let (begun, mut worst) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < length {
        let asked = Instant::now();
        while !is_let_in(insight) {
            assert!(asked.elapsed() < PATIENCE, "it is never let in");
            std::thread::sleep(Duration::from_millis(100));
        }
        worst = worst.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    worst
}

fn is_let_in(insight: &Insight) -> bool {
    let Some(mut c) = Stranger::connect(insight) else { return false };
    c.say(&Frame::Hello(insight.hello("c", 77)));
    matches!(c.hear(), Some(Frame::Welcome(_)))
}

/// What a node has before an attack.
struct Standing {
    rss_bytes: u64,
    descriptors: usize,
}

impl Standing {
    fn of(node: &Running<'_>) -> Self {
        Self { rss_bytes: node.peak_rss_bytes(), descriptors: descriptors(node) }
    }

    fn assert_descriptors_are_back(&self, node: &Running<'_>, attack: &str) {
        eventually(&format!("{attack}: descriptors are given back"), PATIENCE, || {
            let now = descriptors(node);
            // Those of the files that the data goes to come and go.
            if now <= self.descriptors + 4 {
                Ok(())
            } else {
                Err(format!("{now}, {} before", self.descriptors))
            }
        });
    }
}

fn descriptors(node: &Running<'_>) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("a living process").count()
}

/// What is sent and what arrives from a moment on.
struct Flow {
    sent: u64,
    out: u64,
}

impl Flow {
    fn begin(scratch: &Scratch) -> Self {
        Self { sent: scratch.len("sent.txt"), out: scratch.len("out.txt") }
    }

    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    fn ratio(&self, scratch: &Scratch) -> f64 {
        let (sent, out) = (scratch.len("sent.txt") - self.sent, scratch.len("out.txt") - self.out);
        assert!(sent > 1_000_000, "only {sent} bytes were sent: the flow itself stood still");
        out as f64 / sent as f64
    }
}
