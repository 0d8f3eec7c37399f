//! Links with an end on this node, and the nodes at their other ends.

use super::Scrape;
use super::page::{Labels, Page};
use super::table::{self, Metric, Read, flag, metric};
use crate::explain::{InLink, Link, Peer};
use std::collections::BTreeMap;
use std::fmt;
use worker_core::status::Latencies;

const SENDING: &[Metric<Link>] = &[
    metric(
        "worker_link_records",
        "Records that the sending task gave it",
        Read::Count(|l| l.counters.records),
    ),
    metric(
        "worker_link_acknowledged_records",
        "Records acknowledged",
        Read::Count(|l| l.counters.acknowledged_records),
    ),
    metric(
        "worker_link_resent_records",
        "Records sent more than once, counted each time",
        Read::Count(|l| l.counters.retried_records),
    ),
    metric(
        "worker_link_dropped_records",
        "Records dropped because the link was full and is told not to wait (`when_full`)",
        Read::Count(|l| l.counters.dropped_records),
    ),
    metric("worker_link_held_records", "Records not acknowledged", Read::Level(|l| l.counters.held_records)),
    metric(
        "worker_link_in_flight_records",
        "Records sent and not acknowledged",
        Read::Level(|l| l.counters.in_flight_records),
    ),
    metric("worker_link_memory_bytes", "Held in memory", Read::Level(|l| l.counters.memory_bytes)),
    metric(
        "worker_link_memory_limit_bytes",
        "What may be held in memory",
        Read::Level(|l| l.memory_limit_bytes),
    ),
    metric("worker_link_spilled_bytes", "Held on disk", Read::Level(|l| l.counters.spilled_bytes)),
    metric("worker_link_spill_limit_bytes", "What may be held on disk", Read::Level(|l| l.spill_limit_bytes)),
    metric(
        "worker_link_credit_bytes",
        "What the receiver takes before it has to grant more; absent while it takes nothing",
        Read::Known(|l| l.counters.credit_bytes),
    ),
    metric(
        "worker_link_unmoved_seconds",
        "For how long records were held and none was acknowledged",
        Read::Amount(|l| l.unmoved_s),
    ),
];

const RECEIVING: &[Metric<InLink>] = &[
    metric("worker_link_received_records", "Records received", Read::Count(|l| l.counters.records)),
    metric(
        "worker_link_duplicate_records",
        "Records that came again and were dropped",
        Read::Count(|l| l.counters.duplicate_records),
    ),
    metric(
        "worker_link_queued_records",
        "Records that wait to be taken",
        Read::Level(|l| l.counters.queued_records),
    ),
    metric(
        "worker_link_queued_bytes",
        "Cost of records that wait to be taken",
        Read::Level(|l| l.counters.queued_bytes),
    ),
];

const PEERS: &[Metric<Peer>] = &[
    metric("worker_peer_up", "1 while a node that this one sends to is connected", Read::Is(|p| p.up)),
    metric(
        "worker_peer_failed_attempts",
        "Dials that failed since the last success",
        Read::Level(|p| p.failed_attempts.into()),
    ),
    metric(
        "worker_peer_down_seconds",
        "For how long a node that this one sends to has not been connected; 0 while it is",
        Read::Amount(|p| p.down_s.unwrap_or(0.0)),
    ),
];

pub(super) fn encode_sending(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    table::encode(SENDING, &scrape.snapshot.links, |l| link([&l.from, &l.to, &l.to_node]), page)
}

pub(super) fn encode_receiving(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    table::encode(RECEIVING, &scrape.snapshot.inbound, |l| link([&l.from, &l.to, &l.from_node]), page)
}

pub(super) fn encode_peers(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    table::encode(PEERS, &scrape.snapshot.peers, |p| peer(&p.node), page)?;
    page.gauges(
        "worker_peer_upstream_up",
        "1 while a node that sends to this one is connected",
        scrape.snapshot.upstreams.iter().map(|(node, up)| (peer(node), flag(*up))),
    )?;
    page.histograms(
        "worker_peer_round_trip_seconds",
        "Round trips of heartbeats to nodes that this one sends to",
        by_peer(&scrape.round_trips),
    )?;
    page.histograms(
        "worker_peer_acknowledgement_seconds",
        "From sending a record to its acknowledgement, by the node that runs the receiver, this one included",
        by_peer(&scrape.acknowledgements),
    )?;
    page.counters(
        "worker_peer_refused",
        "Connections that were turned away or dropped, and links refused, by class",
        scrape.refused.iter().map(|(class, count)| (vec![("class", *class)], *count)),
    )
}

fn link<'a>([from, to, peer]: [&'a str; 3]) -> Labels<'a> {
    vec![("from", from), ("to", to), ("peer", peer)]
}

fn peer(node: &str) -> Labels<'_> {
    vec![("peer", node)]
}

fn by_peer(measured: &BTreeMap<String, Latencies>) -> impl Iterator<Item = (Labels<'_>, &Latencies)> {
    measured.iter().map(|(node, took)| (peer(node), took))
}
