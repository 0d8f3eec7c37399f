//! Where the admin address is.

use super::token::Token;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use thiserror::Error;
use tokio::net::TcpListener;

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
    /// Other machines may come, and what they say may be read on the way.
    pub insecure: bool,
}

/// What `--admin` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminAddress {
    /// Port 7480 of the loopback address, or the next free one.
    #[default]
    Loopback,
    At(String),
    Off,
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "off" => Ok(Self::Off),
            _ => host_and_port(text)
                .map(Self::At)
                .ok_or_else(|| format!("expected HOST:PORT, such as 127.0.0.1:7480, or none; found {text}")),
        }
    }
}

/// `HOST:PORT`, as it is or as the address of a page there, which is what a worker prints: `http://HOST:PORT/`.
#[must_use]
pub fn host_and_port(text: &str) -> Option<String> {
    let address = without_scheme(text);
    let (host, port) = address.rsplit_once(':')?;
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "[]:/@".contains(c)),
    };
    (good && port.parse::<u16>().is_ok()).then_some(address)
}

/// What of the address of a page is host and port: no scheme, no path; without a port it is that of HTTP.
#[must_use]
pub fn without_scheme(text: &str) -> String {
    let text = text.trim();
    let Some(rest) =
        text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).map(|_| &text[7..])
    else {
        return text.strip_suffix('/').unwrap_or(text).to_owned();
    };
    let address = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let has_port =
        address.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    if has_port { address.to_owned() } else { format!("{address}:80") }
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
        "other machines reach the admin address {0}, and what is said there, the token too, travels in clear: listen on 127.0.0.1 behind a \
         proxy with TLS or a tunnel, or say --admin-insecure where everybody on that network is trusted"
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
        AdminAddress::At(address) => {
            TcpListener::bind(address.as_str()).await.map_err(|source| (address.clone(), source))
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
        let asked = AdminAddress::At(at_first.to_string());
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
            listen(&AdminAddress::At("no.such.host.invalid:1".to_owned())).await.expect_err("no host");
        assert!(refused.to_string().contains("no.such.host.invalid:1"), "{refused}");
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!("none".parse(), Ok(AdminAddress::Off));
        for good in ["127.0.0.1:0", "[::1]:7480", "node-a:80"] {
            assert_eq!(good.parse(), Ok(AdminAddress::At(good.to_owned())));
        }
        for (page, address) in [
            ("http://127.0.0.1:7480/", "127.0.0.1:7480"),
            ("http://127.0.0.1:7480", "127.0.0.1:7480"),
            ("HTTP://node-a:80/api/v1/status?x=1", "node-a:80"),
            ("http://[::1]:7480/#waits", "[::1]:7480"),
            ("http://[::1]/", "[::1]:80"),
            ("http://node-a", "node-a:80"),
            ("127.0.0.1:7480/", "127.0.0.1:7480"),
        ] {
            assert_eq!(page.parse(), Ok(AdminAddress::At(address.to_owned())), "{page}");
        }
        for bad in [
            "",
            "7480",
            ":7480",
            "host",
            "host:",
            "host:70000",
            "host:http",
            "https://host:1/",
            "http://",
            "http:///",
            "ftp://host:1",
            "::1:7480",
            "[::x]:1",
            "a@b:1",
            "a b:1",
        ] {
            let refused = bad.parse::<AdminAddress>().expect_err(bad);
            assert!(refused.contains("expected HOST:PORT"), "{refused}");
        }
    }
}
