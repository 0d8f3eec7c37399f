//! An accepted connection, until it has said its first frame.

use crate::breach::Breach;
use crate::drive::{CROWDED, Rights, drive_wire, is_dropped};
use crate::room::Room;
use crate::strangers::Admission;
use crate::wire::{Wire, WireEnd};
use crate::{Endpoint, Guard, Settings, Stream, Tls};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A connection of a peer yet unknown, which has said nothing.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) admission: Admission,
    pub(crate) room: Room,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// A connection whose first frame has come.
pub struct Greeted {
    wire: Wire<Stream>,
    admission: Admission,
    guard: Option<Guard>,
}

/// Why a connection was dropped before its first frame. Nothing is said to it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{why}")]
pub struct Turned {
    /// What it has broken; `None` if it has only left.
    pub breach: Option<Breach>,
    /// For people.
    pub why: String,
}

impl Incoming {
    /// Where it comes from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits for the first frame; before that, with TLS, for the proof of who it is from.
    ///
    /// # Errors
    /// [`Turned`]: it is dropped, for it left, broke a rule, took longer than [`Settings::hello_max`], or was the oldest of too many.
    pub async fn greeted(self, settings: &Settings) -> Result<Greeted, Turned> {
        let Self { stream, admission, room, tls, .. } = self;
        let dropped = admission.dropped();
        tokio::select! {
            // Who has said who he is has done so, however late that is looked at.
            biased;
            greeted = greets(stream, room, tls, settings) => {
                greeted.map(|(wire, guard)| Greeted { wire, admission, guard })
            }
            () = is_dropped(Some(&dropped)) => {
                Err(Turned { breach: Some(Breach::Crowded), why: CROWDED.to_owned() })
            }
        }
    }
}

async fn greets(
    stream: TcpStream,
    room: Room,
    tls: Option<Arc<Tls>>,
    settings: &Settings,
) -> Result<(Wire<Stream>, Option<Guard>), Turned> {
    let (stream, guard) = match tls {
        None => (Stream::Plain(stream), None),
        Some(tls) => {
            let limit = settings.handshake_max;
            let late = |_| Turned {
                breach: Some(Breach::HandshakeLate),
                why: format!("it did not finish the TLS handshake within {limit:?}"),
            };
            let (stream, guard) = timeout(limit, tls.accepted(stream))
                .await
                .map_err(late)?
                .map_err(|why| Turned { breach: Some(Breach::Certificate), why })?;
            (stream, Some(guard))
        }
    };
    let mut wire = Wire::new(stream, settings.burst_bytes, Some(room));
    first_frame(&mut wire, settings).await?;
    Ok((wire, guard))
}

impl Greeted {
    /// Like [`drive`](crate::drive()), for this connection; the endpoint gets the first frame first.
    pub async fn drive(self, conn: u64, endpoint: Arc<dyn Endpoint>, wake: Arc<Notify>, settings: &Settings) {
        let rights = Rights { admission: Some(self.admission), guard: self.guard };
        drive_wire(self.wire, conn, endpoint, wake, settings, rights).await;
    }

    /// The node that it has proved to be; `None` without TLS.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.guard.as_ref().map(Guard::node)
    }
}

impl std::fmt::Debug for Greeted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greeted").field("admission", &self.admission).finish_non_exhaustive()
    }
}

/// Waits until a frame has come that is no heartbeat.
async fn first_frame<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    settings: &Settings,
) -> Result<(), Turned> {
    let limit = settings.hello_max;
    let first = poll_fn(|cx| {
        loop {
            let Poll::Ready(moved) = wire.poll(cx) else { return Poll::Pending };
            if !wire.frames.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let turned = match moved.end {
                None => continue,
                Some(WireEnd::Gone(why)) => Turned { breach: None, why },
                Some(WireEnd::Violation(why)) => Turned { breach: Some(Breach::Frame), why },
            };
            return Poll::Ready(Err(turned));
        }
    });
    let late =
        |_| Turned { breach: Some(Breach::HelloLate), why: format!("it said no Hello within {limit:?}") };
    timeout(limit, first).await.map_err(late)?
}
