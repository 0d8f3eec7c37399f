//! Certificates that change while the process lives: read again when a file is another one, and on SIGUSR1.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};
use worker_net::Tls;

/// How often the files are looked at; a session is held against what they say within 12 s more.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long before its own certificate ends a node says so, and how often.
const SAY_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);
const SAY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Watches for as long as the process lives. Without TLS there is nothing to read, and SIGUSR1 ends nothing.
pub(super) fn watch(tls: Option<&Arc<Tls>>) -> io::Result<()> {
    let mut asked = signal(SignalKind::user_defined1())?;
    let Some(tls) = tls.cloned() else { return Ok(()) };
    tokio::spawn(async move {
        let mut said: Option<Instant> = None;
        loop {
            if ends_soon(&tls) && said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                said = Some(Instant::now());
                tracing::warn!(
                    "this node's certificate ends within a week: worker cert issue --force makes a new one"
                );
            }
            let is_asked = timeout(LOOK_EVERY, asked.recv()).await.is_ok();
            let tls = Arc::clone(&tls);
            // A file system that hangs holds up nobody else.
            let read = move || (is_asked || tls.has_changed()).then(|| tls.reload());
            match tokio::task::spawn_blocking(read).await {
                Ok(Some(Ok(()))) => {
                    said = None;
                    tracing::info!("certificates were read again");
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!(%error, "certificates cannot be read again; those from before still count");
                }
                Ok(None) | Err(_) => {}
            }
        }
    });
    Ok(())
}

fn ends_soon(tls: &Tls) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    tls.expires() < (now + SAY_BEFORE).as_secs()
}
