//! How much waits for a receiver before its sender takes no more.

use super::play::{Play, to_b};
use super::tests::line;
use super::*;
use crate::config::{LinkOrder, TaskKind};

/// With an outbox of 64 of the chunks that are read.
fn roomy(mut config: NodeConfig) -> NodeConfig {
    config.limits.outbox_bytes = 64 * 1004;
    config
}

/// To a sink that never has written what it was given first.
fn to_a_slow_sink() -> NodeConfig {
    roomy(line(vec![TaskKind::Source, TaskKind::Sink]))
}

#[test]
fn little_waits_for_a_receiver_that_has_what_it_took_acknowledged_at_once() {
    // One is being written, four are in the inbox, eight and the one that is too many wait, and four may have been asked for before.
    let read = Play::new(to_a_slow_sink()).read_on(100);
    assert!((14..=18).contains(&read), "{read}");
}

#[test]
fn half_an_outbox_waits_for_any_other() {
    let journaled = Play::journaled(to_a_slow_sink()).read_on(100);
    assert!((33..64).contains(&journaled), "{journaled}");

    let mut ordered = to_a_slow_sink();
    ordered.graph.links[0].order = LinkOrder::Dealt;
    let ordered = Play::new(ordered).read_on(100);
    assert!((33..64).contains(&ordered), "{ordered}");

    let mut far = Play::new(roomy(to_b()));
    let conn = far.dialled();
    far.welcome(conn, 1);
    far.open(conn, 4096);
    far.transmit(conn);
    let far = far.read_on(100);
    assert!((33..64).contains(&far), "{far}");
}
