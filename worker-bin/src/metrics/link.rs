//! Links with an end on this node, and the nodes at their other ends.

use super::page::{Labels, Page};
use super::task::flag;
use super::{Scrape, float};
use crate::explain::{InLink, Link, Peer};
use std::collections::BTreeMap;
use std::fmt;
use worker_core::status::Latencies;

pub(super) fn encode_sending(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    let links = &scrape.snapshot.links;
    let labels = |l| link(l, |l: &Link| [&l.from, &l.to, &l.to_node]);
    let counts = |value: fn(&Link) -> u64| links.iter().map(move |l| (labels(l), value(l)));
    let values = |value: fn(&Link) -> u64| links.iter().map(move |l| (labels(l), float(value(l))));
    page.counters("worker_link_records", "Records that the sending task gave it", counts(|l| l.records))?;
    page.counters(
        "worker_link_acknowledged_records",
        "Records acknowledged",
        counts(|l| l.acknowledged_records),
    )?;
    page.counters(
        "worker_link_resent_records",
        "Records sent more than once, counted each time",
        counts(|l| l.retried_records),
    )?;
    page.gauges("worker_link_held_records", "Records not acknowledged", values(|l| l.held_records))?;
    page.gauges(
        "worker_link_in_flight_records",
        "Records sent and not acknowledged",
        values(|l| l.in_flight_records),
    )?;
    page.gauges("worker_link_memory_bytes", "Held in memory", values(|l| l.memory_bytes))?;
    page.gauges(
        "worker_link_memory_limit_bytes",
        "What may be held in memory",
        values(|l| l.memory_limit_bytes),
    )?;
    page.gauges("worker_link_spilled_bytes", "Held on disk", values(|l| l.spilled_bytes))?;
    page.gauges(
        "worker_link_spill_limit_bytes",
        "What may be held on disk",
        values(|l| l.spill_limit_bytes),
    )?;
    page.gauges(
        "worker_link_credit_bytes",
        "What the receiver takes before it has to grant more; absent while it takes nothing",
        links.iter().filter_map(|l| Some((labels(l), float(l.credit_bytes?)))),
    )?;
    page.gauges(
        "worker_link_unmoved_seconds",
        "For how long records were held and none was acknowledged",
        links.iter().map(|l| (labels(l), l.unmoved_s)),
    )
}

pub(super) fn encode_receiving(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    let links = &scrape.snapshot.inbound;
    let labels = |l| link(l, |l: &InLink| [&l.from, &l.to, &l.from_node]);
    let counts = |value: fn(&InLink) -> u64| links.iter().map(move |l| (labels(l), value(l)));
    let values = |value: fn(&InLink) -> u64| links.iter().map(move |l| (labels(l), float(value(l))));
    page.counters("worker_link_received_records", "Records received", counts(|l| l.records))?;
    page.counters(
        "worker_link_duplicate_records",
        "Records that came again and were dropped",
        counts(|l| l.duplicate_records),
    )?;
    page.gauges("worker_link_queued_records", "Records that wait to be taken", values(|l| l.queued_records))?;
    page.gauges(
        "worker_link_queued_bytes",
        "Cost of records that wait to be taken",
        values(|l| l.queued_bytes),
    )
}

pub(super) fn encode_peers(scrape: &Scrape, page: &mut Page<'_, '_>) -> fmt::Result {
    let peers = &scrape.snapshot.peers;
    let values = |value: fn(&Peer) -> f64| peers.iter().map(move |p| (peer(&p.node), value(p)));
    page.gauges(
        "worker_peer_up",
        "1 while a node that this one sends to is connected",
        values(|p| flag(p.up)),
    )?;
    page.gauges(
        "worker_peer_failed_attempts",
        "Dials that failed since the last success",
        values(|p| f64::from(p.failed_attempts)),
    )?;
    page.gauges(
        "worker_peer_down_seconds",
        "For how long a node that this one sends to has not been connected; 0 while it is",
        values(|p| p.down_s.unwrap_or(0.0)),
    )?;
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
    )
}

fn link<T>(link: &T, names: impl Fn(&T) -> [&String; 3]) -> Labels<'_> {
    let [from, to, peer] = names(link);
    vec![("from", from), ("to", to), ("peer", peer)]
}

fn peer(node: &str) -> Labels<'_> {
    vec![("peer", node)]
}

fn by_peer(measured: &BTreeMap<String, Latencies>) -> impl Iterator<Item = (Labels<'_>, &Latencies)> {
    measured.iter().map(|(node, took)| (peer(node), took))
}
