//! Connections to other nodes.

use crate::{Settings, socket};
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// The address is wrong, or the name server does not know it.
    #[error(
        "cannot resolve {address}: {source}; expected HOST:PORT with a name that this machine can look up"
    )]
    Resolve {
        /// The address as given.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the node took the connection.
    #[error("cannot connect to {address}: {tried}; is the node running, and does it listen there?")]
    Connect {
        /// The address as given.
        address: String,
        /// Each address tried, with its error.
        tried: String,
        /// All of them say that nothing listens there: the machine is up, the process is not.
        nobody_listens: bool,
    },
    /// It took too long.
    #[error(
        "cannot connect to {address} within {limit:?}: no answer; is the machine up, and does a firewall drop the packets?"
    )]
    Timeout {
        /// The address as given.
        address: String,
        /// The limit.
        limit: Duration,
    },
}

/// Connects to `address` (`HOST:PORT`). The name is looked up every time, and all its addresses are tried in turn.
///
/// # Errors
/// [`DialError`] if nothing answers within [`Settings::connect_max`].
pub async fn dial(address: &str, settings: &Settings) -> Result<TcpStream, DialError> {
    let limit = settings.connect_max;
    let deadline = Instant::now() + limit;
    let timeout = || DialError::Timeout { address: address.to_owned(), limit };
    let resolve = |source| DialError::Resolve { address: address.to_owned(), source };
    let found = timeout_at(deadline, lookup_host(address)).await.map_err(|_| timeout())?;
    let addresses: Vec<_> = found.map_err(resolve)?.collect();
    if addresses.is_empty() {
        return Err(resolve(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }

    let mut tried = String::new();
    let (mut timed_out, mut nobody_listens) = (true, true);
    for (index, &candidate) in addresses.iter().enumerate() {
        let share = share(deadline, addresses.len() - index);
        let why = match timeout_at(share, connect(candidate, settings)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                timed_out = false;
                nobody_listens &= error.kind() == io::ErrorKind::ConnectionRefused;
                error.to_string()
            }
            Err(_) => {
                nobody_listens = false;
                "no answer".to_owned()
            }
        };
        let separator = if tried.is_empty() { "" } else { "; " };
        let candidate = candidate.to_string();
        let named = if candidate == address { String::new() } else { format!("{candidate}: ") };
        write!(tried, "{separator}{named}{why}").expect("writing to memory does not fail");
    }
    Err(if timed_out {
        timeout()
    } else {
        DialError::Connect { address: address.to_owned(), tried, nobody_listens }
    })
}

/// The moment by which the next of `left` addresses must answer, so that each gets its turn.
fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
}

async fn connect(address: SocketAddr, settings: &Settings) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // On one machine, a port that nobody listens on may by chance be the dialling socket's own.
    if stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    socket::prepare(&stream, settings)?;
    Ok(stream)
}
