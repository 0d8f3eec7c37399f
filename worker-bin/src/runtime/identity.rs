//! Certificates that change while the process lives: read again when a file is another one, and on SIGUSR1.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};
use worker_net::Reread;

/// How often the files are looked at; a session is held against what they say within 12 s more.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long before its own certificate ends a node says so, and how often.
const SAY_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);
const SAY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Watches `what` for as long as the process lives, and tells `news` when it was read again. Without anything to read SIGUSR1 ends
/// nothing.
pub(super) fn watch<C: Reread>(
    what: &'static str,
    certificate: Option<Arc<C>>,
    news: impl Fn(&C) + Send + 'static,
) -> io::Result<()> {
    let mut asked = signal(SignalKind::user_defined1())?;
    let Some(certificate) = certificate else { return Ok(()) };
    tokio::spawn(async move {
        let mut said: Option<Instant> = None;
        loop {
            if let Some(ends) = ends_soon(&*certificate)
                && said.is_none_or(|said| said.elapsed() >= SAY_EVERY)
            {
                said = Some(Instant::now());
                tracing::warn!("{what} {ends}: worker cert issue --force makes a new one");
            }
            let is_asked = timeout(LOOK_EVERY, asked.recv()).await.is_ok();
            let read = Arc::clone(&certificate);
            // A file system that hangs holds up nobody else.
            let read = move || (is_asked || read.has_changed()).then(|| read.reload());
            match tokio::task::spawn_blocking(read).await {
                Ok(Some(Ok(()))) => {
                    said = None;
                    news(&certificate);
                    tracing::info!("{what} was read again");
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!(%error, "{what} cannot be read again; what was read before still counts");
                }
                Ok(None) | Err(_) => {}
            }
        }
    });
    Ok(())
}

fn ends_soon(certificate: &impl Reread) -> Option<&'static str> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ends = certificate.expires();
    if ends <= now.as_secs() {
        return Some("has expired, and nobody believes it");
    }
    (ends < (now + SAY_BEFORE).as_secs()).then_some("ends within a week")
}
