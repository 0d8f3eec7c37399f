//! A session's certificate, held against what is believed for as long as the session lasts.

use super::Tls;
use super::verify::Role;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked at where the files are as they were: an expired one ends its session within that, and a heartbeat.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Who is at the other end, and that it may still be.
pub struct Guard {
    tls: Arc<Tls>,
    chain: Vec<CertificateDer<'static>>,
    role: Role,
    node: String,
    looked: Instant,
    /// Which reading of the files it was held against.
    reading: u64,
}

impl Guard {
    pub(super) fn new(tls: Arc<Tls>, chain: Vec<CertificateDer<'static>>, role: Role, node: String) -> Self {
        let reading = tls.reading();
        Self { tls, chain, role, node, looked: Instant::now(), reading }
    }

    /// The node that it has proved to be.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Looks at it again, where that is due; an error is why the session must end.
    pub(crate) fn look(&mut self, now: Instant) -> Result<(), String> {
        let reading = self.tls.reading();
        if now.saturating_duration_since(self.looked) < LOOK_EVERY && self.reading == reading {
            return Ok(());
        }
        (self.looked, self.reading) = (now, reading);
        match self.tls.verifier().check_now(&self.chain, self.role) {
            Ok(node) if node == self.node => Ok(()),
            Ok(other) => Err(format!("its certificate is of node {other} now")),
            Err(why) => Err(format!("its certificate does not count any more: {why}")),
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("node", &self.node).finish_non_exhaustive()
    }
}
