//! Connections from other nodes.

use crate::incoming::Incoming;
use crate::room::Room;
use crate::strangers::Strangers;
use crate::{Settings, Tls, socket};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, lookup_host};
use tokio::time::sleep;

/// How long to wait when the system has no room for another connection.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// Why a node cannot listen.
#[derive(Debug, Error)]
pub enum BindError {
    /// The address is wrong.
    #[error("cannot resolve {address}: {source}; expected HOST:PORT of this machine")]
    Resolve {
        /// The address as given.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error(
        "port in use: {address} is taken by another process; stop it (a worker of the same node?) or choose another port"
    )]
    InUse {
        /// The address as given.
        address: String,
    },
    /// The address is of another machine.
    #[error(
        "{address} is no address of this machine: does this node's entry in the cluster file belong to another?"
    )]
    NotHere {
        /// The address as given.
        address: String,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Accepts connections.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    settings: Settings,
    strangers: Arc<Strangers>,
    room: Room,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Listens on `address` (`HOST:PORT`; port 0 chooses one, see [`Listener::address`]).
    ///
    /// # Errors
    /// [`BindError`] if the name is unknown or no address of it can be listened on.
    pub async fn bind(address: &str, settings: Settings) -> Result<Self, BindError> {
        let resolve = |source| BindError::Resolve { address: address.to_owned(), source };
        let addresses: Vec<_> = lookup_host(address).await.map_err(resolve)?.collect();
        let socket = TcpListener::bind(&addresses[..]).await.map_err(|source| bind_error(address, source))?;
        let strangers = Strangers::new(settings.strangers_max, settings.strangers_per_address_max);
        Ok(Self { socket, settings, strangers, room: Room::new(settings.receive_bytes_max), tls: None })
    }

    /// The same where only those are let in who prove by a certificate which node they are.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection. Where too many wait to be let in, the oldest of them is dropped for it; survives whatever the
    /// system says, such as "too many open files".
    pub async fn accept(&self) -> Incoming {
        let mut complained = false;
        loop {
            let error = match self.socket.accept().await {
                Ok((stream, peer)) => match socket::prepare(&stream, &self.settings) {
                    Ok(()) => {
                        let admission = self.strangers.enter(peer.ip());
                        let (room, tls) = (self.room.share(), self.tls.clone());
                        return Incoming { stream, peer, admission, room, tls };
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if is_about_one_connection(&error) {
                continue;
            }
            if !complained {
                tracing::warn!(%error, "cannot accept a connection; trying again until it works");
                complained = true;
            }
            self.strangers.make_room();
            sleep(EXHAUSTED_WAIT).await;
        }
    }
}

fn bind_error(address: &str, source: io::Error) -> BindError {
    let address = address.to_owned();
    if source.kind() == io::ErrorKind::AddrInUse {
        BindError::InUse { address }
    } else if source.kind() == io::ErrorKind::AddrNotAvailable {
        BindError::NotHere { address }
    } else {
        BindError::Listen { address, source }
    }
}

/// The peer gave up, or its packets say so; the next connection may be well.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kind = error.kind();
    [Kind::ConnectionAborted, Kind::ConnectionReset, Kind::ConnectionRefused, Kind::InvalidInput]
        .contains(&kind)
}
