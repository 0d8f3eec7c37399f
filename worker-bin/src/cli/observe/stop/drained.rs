//! When several nodes with state are drained: none of them knows what the others still send, so who gave the order looks.
//!
//! Each says of itself that nothing is under way there. That is so of all at one moment if it was so of each in two looks, with the
//! same counts in both, and every first look was before every second one: counts never go back.

use super::Told;
use crate::explain::{Drain, Snapshot};
use std::time::Duration;

/// How long after the last look of a round the next one begins. A node's answer is at most 200 ms old.
const ROUND_EVERY: Duration = Duration::from_millis(500);

/// Tells nodes to end once all that are still there are drained. Those that end by themselves need no word.
pub(super) async fn end_together(told: &[Told]) {
    let mut before = None;
    loop {
        let counts = counts(told).await;
        if counts.is_some() && counts == before {
            break;
        }
        before = counts;
        tokio::time::sleep(ROUND_EVERY).await;
    }
    for worker in told {
        // Who has ended meanwhile, or says no, is waited for all the same.
        worker.client.post::<crate::admin::Changed>("/api/v1/drain/end", String::new()).await.ok();
    }
}

/// What the nodes that are still there have done; nothing unless each is drained.
async fn counts(told: &[Told]) -> Option<Vec<u64>> {
    let mut all = Vec::new();
    for worker in told {
        let Ok(now) = worker.client.get::<Snapshot>("/api/v1/status").await else {
            if worker.has_ended().await.is_some() {
                continue;
            }
            return None;
        };
        if now.drain != Some(Drain::Done) && now.end.is_none() {
            return None;
        }
        all.push(u64::from(now.pid));
        for task in &now.tasks {
            let counters = &task.counters;
            all.extend([counters.records_in, counters.records_out, counters.dead_records]);
        }
    }
    Some(all)
}
