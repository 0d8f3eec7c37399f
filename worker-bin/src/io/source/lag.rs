//! How far a source that never ends is behind what there is to read.

use crate::mutex::lock;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is there and was not given yet; shared by whoever reads and whoever looks.
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Mutex<(u64, Option<Instant>)>>);

impl Lag {
    /// So many bytes are there, the first of them since then.
    pub(super) fn is(&self, bytes: u64, since: Option<Instant>) {
        *lock(&self.0) = (bytes, since.filter(|_| bytes > 0));
    }

    /// Bytes, and for how long the oldest of them has been there.
    #[must_use]
    pub fn now(&self) -> (u64, Duration) {
        let (bytes, since) = *lock(&self.0);
        (bytes, since.map_or(Duration::ZERO, |since| since.elapsed()))
    }
}
