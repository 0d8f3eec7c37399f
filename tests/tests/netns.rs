//! Nodes in network namespaces of their own: a packet filter drops one direction of one link while data flows.
//!
//! Needs root, `ip` (Debian package iproute2) and `nft` (nftables); where one is missing the tests fail and say so.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use worker_tests::process::{FLOW, MemoryBefore, Nodes, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(25);

/// How long a direction is cut: longer than a silent peer is believed in (6 s).
const CUT: Duration = Duration::from_secs(10);

const BUDGETS: &str = "[pipeline]\nname = 'cuts'\nmax_record = '64KiB'\ncredit = '256KiB'\noutbox = '512KiB'\n\
                       spill_limit = '512MiB'\n";

/// What two links may hold in memory, of their sender and their receiver.
const BUDGET_BYTES: u64 = 2 * (256 + 512) * 1024;

const PORT: u16 = 7400;

/// Namespaces a, b and c; a has a link to each of the others. They are gone when it is dropped.
#[derive(Debug)]
struct Network {
    prefix: String,
}

impl Network {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root: run these tests as root"
        );
        for (tool, package) in [("ip", "iproute2"), ("nft", "nftables")] {
            let found = Command::new(tool).arg("-V").output();
            assert!(found.is_ok(), "{tool} is missing: install the Debian package {package}");
        }
        let prefix = format!("wt{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let network = Self { prefix };
        for name in ["a", "b", "c"] {
            system(&["ip", "netns", "add", &network.namespace(name)]);
            network.inside(name, &["ip", "link", "set", "lo", "up"]);
        }
        network.link("b", 1);
        network.link("c", 2);
        network
    }

    /// Joins a, as 10.77.N.1, to another node, as 10.77.N.2.
    fn link(&self, other: &str, number: u8) {
        let (a, b) = (self.namespace("a"), self.namespace(other));
        let (near, far) = (format!("to-{other}"), "to-a");
        system(&["ip", "-n", &a, "link", "add", &near, "type", "veth", "peer", "name", far, "netns", &b]);
        for (name, device, host) in [("a", near.as_str(), 1), (other, far, 2)] {
            self.inside(name, &["ip", "address", "add", &format!("10.77.{number}.{host}/24"), "dev", device]);
            self.inside(name, &["ip", "link", "set", device, "up"]);
        }
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn inside(&self, name: &str, command: &[&str]) {
        system(&[&["ip", "netns", "exec", &self.namespace(name)], command].concat());
    }

    /// Drops everything that b gets (`input`) or sends (`output`).
    fn cut(&self, direction: &str) {
        let chain = format!("{{ type filter hook {direction} priority 0; policy drop; }}");
        self.inside("b", &["nft", "add", "table", "inet", "cut"]);
        self.inside("b", &["nft", "add", "chain", "inet", "cut", "everything", &chain]);
    }

    fn heal(&self) {
        self.inside("b", &["nft", "delete", "table", "inet", "cut"]);
    }

    /// A node in its namespace. `ip netns exec` becomes the node, so that its process is the node's.
    fn start<'a>(&self, scratch: &'a Scratch, nodes: &Nodes<'a>, name: &str) -> Running<'a> {
        let node = nodes.node(name);
        let mut start = scratch.program("ip".as_ref());
        start.command.args(["netns", "exec", &self.namespace(name)]).arg(node.command.get_program());
        start.command.args(node.command.get_args());
        start.start()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in ["a", "b", "c"] {
            Command::new("ip").args(["netns", "delete", &self.namespace(name)]).output().ok();
        }
    }
}

fn system(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", command.join(" ")));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {said} (these tests need root and CAP_NET_ADMIN)",
        command.join(" ")
    );
}

/// Three nodes that send from a to files at b and c, and how often a has lost its connection to b.
fn start_flow<'a>(network: &Network, scratch: &'a Scratch) -> [Running<'a>; 3] {
    let pipeline = format!(
        "{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [sink.b]\nfrom = 'lines'\nfile = 'b.txt'\nplace = 'b'\n\
         [sink.c]\nfrom = 'lines'\nfile = 'c.txt'\nplace = 'c'\n"
    );
    let addresses = [("a", "10.77.1.1"), ("b", "10.77.1.2"), ("c", "10.77.2.2")];
    let addresses = addresses.map(|(name, address)| (name.to_owned(), format!("{address}:{PORT}")));
    let nodes = Nodes::at(scratch, addresses.into(), &pipeline);
    let running = ["a", "b", "c"].map(|name| network.start(scratch, &nodes, name));
    scratch.wait_until_flows(&["b.txt", "c.txt"]);
    running
}

/// How often a node has said that its connection to b is lost.
fn losses(node: &Running<'_>) -> usize {
    node.stderr().lines().filter(|line| line.contains("not connected") && line.contains("peer=\"b\"")).count()
}

/// Cuts one direction while data flows from a to b and c; c must not notice, and after the heal nothing is missing.
fn one_direction_is_cut(direction: &str) {
    let network = Network::new();
    let scratch = Scratch::new();
    let [a, b, c] = start_flow(&network, &scratch);
    let memory = MemoryBefore::of(&a, BUDGET_BYTES);

    let losses_before = losses(&a);
    network.cut(direction);
    scratch.assert_keeps_growing("c.txt", CUT);
    eventually("the sender notices", PATIENCE, || {
        if losses(&a) > losses_before { Ok(()) } else { Err(a.stderr()) }
    });
    let before = scratch.len("b.txt");
    network.heal();
    eventually("data flows to b again", PATIENCE, || {
        if scratch.len("b.txt") > before + 1_000_000 { Ok(()) } else { Err(a.stderr()) }
    });
    scratch.stop_flow();
    let finished = a.wait(PATIENCE).expect(0);
    memory.assert_within("the sender", finished.peak_rss_bytes);
    b.wait(PATIENCE).expect(0);
    c.wait(PATIENCE).expect(0);
    scratch.assert_all_arrived(&["b.txt"]);
    scratch.assert_all_arrived(&["c.txt"]);
}

#[test]
fn data_is_dropped_on_its_way_to_a_node_that_can_still_send() {
    one_direction_is_cut("input");
}

#[test]
fn acknowledgements_are_dropped_on_their_way_from_a_node_that_still_gets_data() {
    one_direction_is_cut("output");
}

/// A link of 100 KB/s that should carry 8 MB/s is slow, not dead: heartbeats fit through for longer than silence is borne.
#[test]
fn a_slow_link_is_not_taken_for_a_dead_one() {
    let network = Network::new();
    let scratch = Scratch::new();
    let [a, b, c] = start_flow(&network, &scratch);
    let losses_before = losses(&a);
    let slow = ["rate", "800kbit", "burst", "16kb", "latency", "400ms"];
    network.inside("a", &[&["tc", "qdisc", "add", "dev", "to-b", "root", "tbf"][..], &slow].concat());
    scratch.assert_keeps_growing("c.txt", CUT + Duration::from_secs(3));
    assert_eq!(losses(&a), losses_before, "{}", a.stderr());
    network.inside("a", &["tc", "qdisc", "del", "dev", "to-b", "root"]);
    scratch.stop_flow();
    for node in [a, b, c] {
        node.wait(PATIENCE).expect(0);
    }
    scratch.assert_all_arrived(&["b.txt"]);
    scratch.assert_all_arrived(&["c.txt"]);
}
