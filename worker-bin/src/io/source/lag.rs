//! How far a source that never ends is behind what there is to read.

use crate::mutex::lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is there and was not given yet; shared by whoever reads and whoever looks.
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// What is followed, as the user calls it.
    files: String,
    /// Bytes, and since when the first of them has been there.
    unread: Mutex<(u64, Option<Instant>)>,
    waits: AtomicBool,
}

impl Lag {
    pub(super) fn behind(files: String) -> Self {
        Self(Arc::new(Shared { files, ..Shared::default() }))
    }

    /// So many bytes are there, the first of them since then.
    pub(super) fn is(&self, bytes: u64, since: Option<Instant>) {
        *lock(&self.0.unread) = (bytes, since.filter(|_| bytes > 0));
    }

    /// Whether all was read that may be read yet; what is left then is no whole record, or no whole packed file.
    pub(super) fn waits(&self, waits: bool) {
        self.0.waits.store(waits, Ordering::Relaxed);
    }

    /// Bytes, and for how long the oldest of them has been there.
    #[must_use]
    pub fn now(&self) -> (u64, Duration) {
        let (bytes, since) = *lock(&self.0.unread);
        (bytes, since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Whether whoever reads waits for more.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.waits.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn files(&self) -> &str {
        &self.0.files
    }
}
