//! Where the admin address is.

use super::address::Place;
use super::token::Token;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;
use worker_net::Https;

/// The port where nothing else is said.
const PORT: u16 = 7480;

/// How many ports behind the first are tried before any free one is taken.
const PORTS_TRIED: u16 = 64;

/// What a user says of the admin address.
#[derive(Clone, Debug, Default)]
pub struct AdminSettings {
    pub address: AdminAddress,
    /// Names by which it may be asked, beside addresses of this machine.
    pub hosts: Vec<String>,
    /// The token of `--admin-token-file`.
    pub token: Option<Token>,
    /// What is shown of who answers; `None`: plain HTTP.
    pub https: Option<Arc<Https>>,
    /// Other machines may come without that, and what they say may be read on the way.
    pub insecure: bool,
}

/// What `--admin` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminAddress {
    /// Port 7480 of the loopback address, or the next free one.
    #[default]
    Loopback,
    At(Place),
    Off,
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "off" => Ok(Self::Off),
            _ => text
                .parse()
                .map(Self::At)
                .map_err(|why: String| why.replacen("HOST:PORT, such as", "none, or HOST:PORT, such as", 1)),
        }
    }
}

/// The admin address cannot be had.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The system refuses it.
    #[error(
        "cannot listen on admin address {address}: {source}; choose another with --admin HOST:PORT, or --admin none"
    )]
    System {
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Others would reach it.
    #[error(
        "other machines reach the admin address {0}, and what is said there, the token too, would travel in clear: give it a certificate \
         (--admin-cert FILE --admin-key FILE, or that of the node in the cluster file), listen on 127.0.0.1, or say --admin-insecure \
         where everybody on that network is trusted"
    )]
    InClear(SocketAddr),
}

/// Listens; gives nothing where no admin address is wanted.
///
/// # Errors
/// The address that was asked for cannot be had. The default one can always be: the next free port is taken.
pub async fn listen(address: &AdminAddress) -> Result<Option<(TcpListener, SocketAddr)>, ListenError> {
    let listener = match address {
        AdminAddress::Off => return Ok(None),
        AdminAddress::At(place) => {
            TcpListener::bind(place.at.as_str()).await.map_err(|source| (place.at.clone(), source))
        }
        AdminAddress::Loopback => first_free().await.map_err(|source| (format!("127.0.0.1:{PORT}"), source)),
    };
    let found = listener.and_then(|listener| match listener.local_addr() {
        Ok(at) => Ok((listener, at)),
        Err(source) => Err((format!("{address:?}"), source)),
    });
    found.map(Some).map_err(|(address, source)| ListenError::System { address, source })
}

/// Whether nobody but this machine gets there.
#[must_use]
pub fn is_of_this_machine(at: SocketAddr) -> bool {
    at.ip().to_canonical().is_loopback()
}

async fn first_free() -> io::Result<TcpListener> {
    for port in PORT..PORT + PORTS_TRIED {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    TcpListener::bind(("127.0.0.1", 0)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_passed_over_and_one_that_was_asked_for_is_an_error() {
        let (first, at_first) = listen(&AdminAddress::Loopback).await.expect("free").expect("wanted");
        let (_second, at_second) = listen(&AdminAddress::Loopback).await.expect("free").expect("wanted");
        assert!(at_first.ip().is_loopback() && at_second.ip().is_loopback());
        assert_ne!(at_first, at_second);
        let asked = AdminAddress::At(Place::plain(at_first));
        let refused = listen(&asked).await.expect_err("taken").to_string();
        assert!(refused.contains(&at_first.to_string()) && refused.contains("--admin none"), "{refused}");
        drop(first);
        assert_eq!(listen(&asked).await.expect("free again").map(|(_, at)| at), Some(at_first));
    }

    #[test]
    fn only_the_loopback_is_of_this_machine() {
        for (at, own) in [
            ("127.0.0.1:1", true),
            ("127.8.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(is_of_this_machine(at.parse().expect(at)), own, "{at}");
        }
    }

    #[tokio::test]
    async fn nowhere_and_nonsense() {
        assert!(listen(&AdminAddress::Off).await.expect("nothing to fail").is_none());
        let refused =
            listen(&AdminAddress::At(Place::plain("no.such.host.invalid:1"))).await.expect_err("no host");
        assert!(refused.to_string().contains("no.such.host.invalid:1"), "{refused}");
    }

    #[test]
    fn none_is_none_and_what_is_no_address_is_said() {
        assert_eq!("none".parse(), Ok(AdminAddress::Off));
        assert_eq!("node-a:80".parse(), Ok(AdminAddress::At(Place::plain("node-a:80"))));
        let refused = "7480".parse::<AdminAddress>().expect_err("no host");
        assert!(refused.contains("expected none, or HOST:PORT"), "{refused}");
    }
}
