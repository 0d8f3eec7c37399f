//! What a stream task tells of itself.

use super::{FEED_BYTES, Phase, StreamTask};
use crate::backoff::Backoff;

impl StreamTask {
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// How often the window's program failed, and why it did the last time.
    pub(crate) fn failures(&self) -> (u32, String) {
        let times = self.restart.as_ref().map_or(0, Backoff::failed);
        (times, self.last_failure.clone().unwrap_or_default())
    }

    /// Records of this window.
    pub(crate) fn fed_records(&self) -> u64 {
        self.fed
    }

    /// What is on its way to the child, in bytes of cost.
    pub(crate) fn on_the_way(&self) -> u64 {
        self.on_the_way
    }

    /// Records that were given to the child, and that it has not read.
    pub(crate) fn held_records(&self) -> u64 {
        self.fed - self.read.records.min(self.fed)
    }

    /// Nothing it was given is unread, and it is not coming to an end.
    pub(crate) fn has_read_all(&self) -> bool {
        match self.phase {
            Phase::Idle => !self.resume,
            Phase::Fed { .. } => self.on_the_way == 0 && self.held_records() == 0,
            Phase::Closing { .. } | Phase::Backoff { .. } => false,
        }
    }

    /// Records that were given to the child and may have come to nothing yet. What it has printed went on: it is others' by now.
    pub(crate) fn undone_records(&self) -> u64 {
        self.fed.saturating_sub(self.printed_records).max(self.held_records())
    }

    /// Records that were counted as read by a child before this one, and that this one has not read yet.
    pub(crate) fn again_records(&self) -> u64 {
        self.counted.records.saturating_sub(self.read.records)
    }

    /// Whether the child leaves input unread for longer than between two looks.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Bytes of its input that the child has not read.
    pub(crate) fn unread_bytes(&self) -> u64 {
        self.fed_bytes.saturating_sub(self.read.bytes)
    }

    /// Records of this window of which the process has printed nothing yet, if there are any.
    pub(crate) fn silent_records(&self) -> Option<u64> {
        (self.fed > 0 && !self.printed).then_some(self.fed)
    }

    /// Whether the child has been given all it may be given for now.
    pub(crate) fn is_full(&self) -> bool {
        self.on_the_way >= FEED_BYTES
    }
}
