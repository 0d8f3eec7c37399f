//! Who is turned away or dropped, counted by class: a stranger costs a number, and a class a line every few seconds.

use super::complaints::Complaints;
use crate::mutex::lock;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use worker_net::Breach;

/// Counts and complaints; classes are a few, whatever strangers say.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    complaints: Complaints,
}

impl Refusals {
    /// A connection was dropped, before or after it was let in.
    pub(super) fn dropped(&self, breach: Breach, from: Option<SocketAddr>, why: &str) {
        let class = breach.name();
        self.count(class);
        let from = from.map(tracing::field::display);
        match self.complaints.due(class, "") {
            Some(left_out) => {
                tracing::warn!(parent: None, left_out, class, from, why, "a connection to this node was dropped");
            }
            None => tracing::debug!(parent: None, class, from, why, "a connection to this node was dropped"),
        }
    }

    /// The node has turned somebody away, who is a node of the pipeline where that is known.
    pub(super) fn refused(&self, class: &'static str, peer: Option<&str>, why: &str) {
        self.count(class);
        match self.complaints.due(class, peer.unwrap_or("")) {
            Some(left_out) => tracing::warn!(parent: None, left_out, class, peer, why, "turned away"),
            None => tracing::debug!(parent: None, class, peer, why, "turned away"),
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    fn count(&self, class: &'static str) {
        *lock(&self.counts).entry(class).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_by_its_class() {
        let all = Refusals::default();
        for _ in 0..10_000 {
            all.dropped(Breach::HelloLate, None, "late");
        }
        all.refused("pipeline", Some("a"), "differs");
        assert_eq!(all.counts(), [("hello_late", 10_000), ("pipeline", 1)].into());
    }
}
