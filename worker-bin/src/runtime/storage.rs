//! The disk that commits go to, when it is full.

use super::engine::{Engine, lock};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use worker_core::event::{Event, NodeEvent};
use worker_journal::Reserve;

/// How often it is tried to set the reserve aside again.
const RESTORE_EVERY: Duration = Duration::from_secs(1);

/// Gives up the reserve when the disk is full, so that what was admitted can be committed, and sets it aside again.
///
/// ```text
///   whole ──a write finds no room──▶ given up (the node admits nothing) ──room for the reserve again──▶ whole
/// ```
#[derive(Debug)]
pub(super) struct StorageGuard {
    reserve: Mutex<Option<Reserve>>,
}

impl StorageGuard {
    pub(super) fn new(reserve: Option<Reserve>) -> Self {
        Self { reserve: Mutex::new(reserve) }
    }

    /// A write has found no room. Says whether that has changed something, so that it is worth trying again at once.
    pub(super) fn is_full_now(self: &Arc<Self>, engine: &Arc<Engine>, why: &str) -> bool {
        {
            let mut reserve = lock(&self.reserve);
            let Some(reserve) = reserve.as_mut() else { return false };
            if !reserve.is_whole() {
                return false;
            }
            if let Err(error) = reserve.give_up() {
                tracing::warn!(%error, "the disk is full, and its reserve cannot be given up");
                return false;
            }
        }
        tracing::warn!(
            why,
            "the disk is full: what was admitted is finished from a reserve, nothing new is taken until there is room"
        );
        engine.tell(Event::Node(NodeEvent::StorageFull { full: true }));
        let (guard, weak) = (Arc::clone(self), Arc::downgrade(engine));
        let restore = move || {
            loop {
                std::thread::sleep(RESTORE_EVERY);
                let Some(engine) = weak.upgrade() else { return };
                engine.journals.iter().flatten().for_each(|journal| journal.give_back());
                let restored =
                    lock(&guard.reserve).as_mut().is_some_and(|r| r.restore().is_ok_and(|whole| whole));
                if restored {
                    tracing::info!("there is room on the disk again");
                    return engine.tell(Event::Node(NodeEvent::StorageFull { full: false }));
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("reserve".into()).spawn(restore) {
            tracing::warn!(%error, "cannot watch for room on the disk");
        }
        true
    }
}
