//! With state: whatever the network does, what arrives is what was sent, each record once and in its order. Without certificates and with
//! them, side by side.

use crate::network::{Network, PORT};
use rustix::process::Signal;
use std::time::Duration;
use worker_tests::meddling::{Job, both_ways};
use worker_tests::process::{Nodes, Running, Scratch, eventually, holds_for};

/// How long the rest may take once the network is well again.
const PATIENCE: Duration = Duration::from_secs(90);

/// After what both sides believe that a silent peer is gone, and some more.
const SILENCE: Duration = Duration::from_secs(8);

/// The nodes a and b with a network between them.
struct Pair<'a> {
    network: &'a Network,
    scratch: &'a Scratch,
    a: Running<'a>,
    b: Running<'a>,
}

impl Pair<'_> {
    /// Waits until b has got so much more.
    fn flows(&self, bytes: u64) {
        let before = self.scratch.len("copy.txt");
        eventually("data flows", PATIENCE, || {
            let now = self.scratch.len("copy.txt");
            if now >= before + bytes { Ok(()) } else { Err(format!("{now} bytes; {}", self.a.stderr())) }
        });
    }

    /// How often a has said that it is not connected to b.
    fn losses(&self) -> usize {
        let said = self.a.stderr();
        said.lines().filter(|line| line.contains("not connected") && line.contains("peer=\"b\"")).count()
    }

    /// Waits until a knows that its connection is lost.
    fn is_noticed(&self, losses_before: usize) {
        eventually("the sender notices", PATIENCE, || {
            if self.losses() > losses_before { Ok(()) } else { Err(self.a.stderr()) }
        });
    }
}

/// Runs a job while something befalls the network between its nodes; what its sinks have in the end is what was sent.
fn holds_under(job: Job, fault: impl Fn(&Pair<'_>) + Sync) {
    both_ways(|is_tls| {
        let network = Network::of(&["b"]);
        let scratch = Scratch::new();
        let addresses = [("a", "10.77.1.1"), ("b", "10.77.1.2")];
        let addresses = addresses.map(|(name, address)| (name.to_owned(), format!("{address}:{PORT}")));
        let nodes = Nodes::at(&scratch, addresses.into(), &job.pipeline());
        let nodes = if is_tls { nodes.with_certificates() } else { nodes };
        let [a, b] = ["a", "b"].map(|name| {
            let mut node = nodes.node(name);
            node.command.args(["--state", "state"]);
            network.start(&scratch, node, name)
        });
        let pair = Pair { network: &network, scratch: &scratch, a, b };
        pair.flows(1);
        fault(&pair);
        let Pair { a, b, .. } = pair;
        a.wait(PATIENCE).expect(0);
        b.wait(PATIENCE).expect(0);
        job.assert_equal(&scratch);
    });
}

#[test]
fn one_packet_of_a_hundred_is_lost() {
    holds_under(Job { records: 40_000, a_second: 10_000 }, |pair| pair.network.lose(1));
}

#[test]
fn one_packet_of_twenty_is_lost() {
    holds_under(Job { records: 12_000, a_second: 4_000 }, |pair| pair.network.lose(5));
}

#[test]
fn one_packet_of_five_is_lost() {
    holds_under(Job { records: 1_500, a_second: 500 }, |pair| pair.network.lose(20));
}

#[test]
fn what_a_node_is_sent_is_cut_off() {
    one_way("input");
}

#[test]
fn what_a_node_sends_is_cut_off() {
    one_way("output");
}

fn one_way(direction: &str) {
    holds_under(Job { records: 60_000, a_second: 5_000 }, |pair| {
        let losses = pair.losses();
        pair.network.cut(&[direction]);
        pair.is_noticed(losses);
        pair.network.heal();
        pair.flows(10_000);
    });
}

#[test]
fn a_partition_heals() {
    holds_under(Job { records: 60_000, a_second: 5_000 }, |pair| {
        let losses = pair.losses();
        pair.network.cut(&["input", "output"]);
        pair.is_noticed(losses);
        // And a second one before all of the first is made up for.
        pair.network.heal();
        pair.flows(1);
        pair.network.cut(&["input", "output"]);
        pair.is_noticed(losses + 1);
        pair.network.heal();
    });
}

#[test]
fn connections_are_killed_under_load() {
    holds_under(Job { records: 50_000, a_second: 10_000 }, |pair| {
        let killed: usize = (0..10)
            .map(|_| {
                pair.flows(50_000);
                pair.network.kill_connections()
            })
            .sum();
        assert!(killed >= 10, "{killed} connections were killed");
    });
}

/// 32 KB/s, of which heartbeats get their part: for longer than silence is borne.
#[test]
fn a_line_of_256_kbit_is_slow_and_not_dead() {
    holds_under(Job { records: 2_500, a_second: 2_500 }, |pair| {
        let losses = pair.losses();
        pair.network.slow("256kbit");
        holds_for("the line counts as one", SILENCE, || {
            if pair.losses() == losses { Ok(()) } else { Err(pair.a.stderr()) }
        });
    });
}

/// `WORKER_STOPPED_S=180` makes it minutes.
#[test]
fn a_peer_stands_still() {
    let seconds =
        std::env::var("WORKER_STOPPED_S").map_or(12, |text| text.parse().expect("a number of seconds"));
    let length = Duration::from_secs(seconds);
    holds_under(Job { records: 5_000 * (seconds + 3), a_second: 5_000 }, |pair| {
        let losses = pair.losses();
        pair.b.signal(Signal::STOP);
        holds_for("the others go on", length, || Ok(()));
        assert!(pair.losses() > losses, "it was not taken for alive: {}", pair.a.stderr());
        pair.b.signal(Signal::CONT);
        pair.flows(10_000);
    });
}
