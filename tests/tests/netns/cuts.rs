//! In memory: one direction of one of two links is cut, or the link is slow, while data flows. The other one does not notice.

use crate::network::{Network, PORT};
use std::time::Duration;
use worker_tests::process::{FLOW, MemoryBefore, Nodes, Running, Scratch, eventually};

const PATIENCE: Duration = Duration::from_secs(25);

/// How long a direction is cut: longer than a silent peer is believed in (6 s).
const CUT: Duration = Duration::from_secs(10);

const BUDGETS: &str = "[pipeline]\nname = 'cuts'\nmax_record = '64KiB'\ncredit = '256KiB'\noutbox = '512KiB'\n\
                       spill_limit = '512MiB'\n";

/// What two links may hold in memory, of their sender and their receiver.
const BUDGET_BYTES: u64 = 2 * (256 + 512) * 1024;

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
    let running = ["a", "b", "c"].map(|name| network.start(scratch, nodes.node(name), name));
    scratch.wait_until_flows(&["b.txt", "c.txt"]);
    running
}

/// How often a node has said that its connection to b is lost.
fn losses(node: &Running<'_>) -> usize {
    node.stderr().lines().filter(|line| line.contains("not connected") && line.contains("peer=\"b\"")).count()
}

/// Cuts one direction while data flows from a to b and c; c must not notice, and after the heal nothing is missing.
fn one_direction_is_cut(direction: &str) {
    let network = Network::of(&["b", "c"]);
    let scratch = Scratch::new();
    let [a, b, c] = start_flow(&network, &scratch);
    let memory = MemoryBefore::of(&a, BUDGET_BYTES);

    let losses_before = losses(&a);
    network.cut(&[direction]);
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
    let network = Network::of(&["b", "c"]);
    let scratch = Scratch::new();
    let [a, b, c] = start_flow(&network, &scratch);
    let losses_before = losses(&a);
    network.slow("800kbit");
    scratch.assert_keeps_growing("c.txt", CUT + Duration::from_secs(3));
    assert_eq!(losses(&a), losses_before, "{}", a.stderr());
    network.fast_again();
    scratch.stop_flow();
    for node in [a, b, c] {
        node.wait(PATIENCE).expect(0);
    }
    scratch.assert_all_arrived(&["b.txt"]);
    scratch.assert_all_arrived(&["c.txt"]);
}
