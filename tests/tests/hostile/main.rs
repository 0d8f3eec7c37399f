//! What strangers do to a node's data port, and what comes of it, without certificates and with them.
//!
//! Beside each attack data flows from one node to the other, and a further node is let in within two seconds, all the time. What
//! the strangers need to know (fingerprints, a life) they are given here: by asking they learn nothing. Where nodes show certificates
//! they have that of one node, stolen, and one of a CA of their own.
//!
//! The attacks, what becomes of them and what they cost are in `tests/README.md`; that table is printed by
//! `cargo test -p worker-tests --test hostile -- --nocapture --test-threads 1`.

mod attacks;
mod disguise;
mod stranger;

use attacks::{ATTACKS, Attack, FOREIGN};
use disguise::Disguises;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stranger::{Insight, Stranger};
use worker_proto::Frame;
use worker_tests::process::{FLOW, Nodes, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// What an attack may cost in memory, in bytes.
const COST_BYTES_MAX: u64 = 64 << 20;

/// Within this time a real node is let in.
const LET_IN_MAX: Duration = Duration::from_secs(2);

/// What is measured is not to be disturbed by the other test.
static ALONE: Mutex<()> = Mutex::new(());

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
    println!("{}", they_harm_nobody(false));
}

#[test]
fn strangers_and_who_has_a_stolen_key_harm_nobody_where_nodes_show_certificates() {
    println!("{}", they_harm_nobody(true));
}

/// What the attacks came to, as a table.
fn they_harm_nobody(is_tls: bool) -> String {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("many open files");
    let scratch = Scratch::new();
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c", "d"], &pipeline());
    let (mut a, mut insight) = Insight::by_taking_the_place_of(&nodes, "b");
    if is_tls {
        // What it has said it says with certificates, too.
        a.kill();
        insight.disguises = Some(Arc::new(certificates(&scratch)));
        a = nodes.start("a");
    }
    let b = nodes.start("b");
    scratch.wait_until_flows(&["out.txt"]);
    let mut table =
        format!("| attack, {} | memory | of the flow | let in within |\n|---|---|---|---|\n", way(is_tls));
    for attack in ATTACKS {
        if let Some(classes) = attack.classes(is_tls) {
            table += &befalls(attack, classes, (&scratch, &insight), (&a, &b));
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
    table
}

fn way(is_tls: bool) -> &'static str {
    if is_tls { "with certificates" } else { "without certificates" }
}

/// Gives every node a certificate, and strangers those that they have.
fn certificates(scratch: &Scratch) -> Disguises {
    scratch.worker(&["cert", "init"]).run().expect(0);
    scratch.worker(&["cert", "issue", "--cluster", "cluster.toml"]).run().expect(0);
    scratch.worker(&["cert", "init", "--dir", "theirs"]).run().expect(0);
    scratch.worker(&["cert", "issue", "--dir", "theirs", "d"]).run().expect(0);
    let at = |name: &str| scratch.path(name);
    Disguises::read(&[("c", &at("certs/c")), ("d", &at("certs/d")), (FOREIGN, &at("theirs/d"))])
}

/// What an attack comes to, as a row of the table.
fn befalls(
    attack: &Attack,
    classes: &[&str],
    (scratch, insight): (&Scratch, &Insight),
    (a, b): (&Running<'_>, &Running<'_>),
) -> String {
    let name = attack.name;
    let before = Standing::of(b);
    let flows = Flow::begin(scratch);
    let over = Arc::new(AtomicBool::new(false));
    let strangers = (attack.begin)(insight, &over);
    let worst = let_in_again_and_again(insight, attack.length);
    let ratio = flows.ratio(scratch);
    over.store(true, Ordering::Relaxed);
    strangers.into_iter().for_each(|stranger| stranger.join().expect("a stranger that only attacks"));
    let cost = b.peak_rss_bytes().saturating_sub(before.rss_bytes);
    let said = || format!("{}\n{}", a.stderr(), b.stderr());
    assert!(worst <= LET_IN_MAX, "{name}: a real node was let in after {worst:?}\n{}", said());
    assert!(ratio >= 0.8, "{name}: {ratio:.2} of what was sent arrived meanwhile\n{}", said());
    assert!(cost <= COST_BYTES_MAX, "{name}: {} MiB", cost >> 20);
    before.assert_descriptors_are_back(b, name);
    for class in classes {
        assert!(b.stderr().contains(&format!("class=\"{class}\"")), "{name}: {class}: {}", said());
    }
    format!("| {name} | {} MiB | {ratio:.2} | {} ms |\n", cost >> 20, worst.as_millis())
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
    let Some(mut c) = Stranger::connect_as(insight, "c") else { return false };
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
        // From now on the most that it has is counted anew.
        std::fs::write(format!("/proc/{}/clear_refs", node.pid()), "5").expect("a process of this user");
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
