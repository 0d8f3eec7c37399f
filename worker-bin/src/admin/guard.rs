//! Who is answered at all: the names this machine goes by, and pages of its own.

use axum::http::{Request, StatusCode, Version, header};
use std::net::IpAddr;

/// Why a request is not answered, whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It names no host, or several.
    NoHost,
    /// Its host may be another machine.
    Host(String),
    /// A page of somewhere else sends it.
    Origin,
}

impl Foreign {
    /// Looks at what a browser lets no page choose. `own` is the name that was listened on and those of `--admin-host`; addresses and
    /// `localhost` are this machine's in any case, since nobody else can make a name of them.
    pub(super) fn of<B>(request: &Request<B>, own: &[String]) -> Option<Self> {
        let headers = request.headers();
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next(), request.version()) {
            (Some(host), None, _) => host.to_str().ok().filter(|host| !host.is_empty()),
            // A probe of another age; no browser.
            (None, None, Version::HTTP_10 | Version::HTTP_09) if !headers.contains_key(header::ORIGIN) => {
                return None;
            }
            (_, _, _) => None,
        };
        let Some(host) = host else { return Some(Self::NoHost) };
        let name = bare(host);
        let is_known = name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || own.iter().any(|own| name.eq_ignore_ascii_case(bare(own)));
        if !is_known {
            return Some(Self::Host(name.to_owned()));
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        origins
            .any(|origin| !origin.to_str().is_ok_and(|origin| is_own(origin, host, own)))
            .then_some(Self::Origin)
    }

    /// What its sender is told.
    pub(super) fn refusal(&self) -> (StatusCode, String) {
        match self {
            Self::NoHost => (
                StatusCode::BAD_REQUEST,
                "a request needs one Host, such as the address that the worker printed\n".to_owned(),
            ),
            Self::Host(host) => (StatusCode::MISDIRECTED_REQUEST, unknown(host)),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "a page of another origin may ask nothing here: use the live page at this address\n"
                    .to_owned(),
            ),
        }
    }
}

/// Whether the page that sends a request is of the host that is asked, or of a name that the user has added.
fn is_own(origin: &str, host: &str, own: &[String]) -> bool {
    let Some((scheme, origin)) = origin.split_once("://") else { return false };
    let schemes = ["http", "https"];
    schemes.contains(&scheme)
        && (origin.eq_ignore_ascii_case(host) || own.iter().any(|own| origin.eq_ignore_ascii_case(own)))
}

/// A host without its port, without the brackets of an address and without the dot of the root.
fn bare(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.')
}

fn unknown(host: &str) -> String {
    let plain = host.len() <= 253 && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    let host = if plain { host } else { "NAME" };
    format!(
        "{host} is not known here as a name of this machine: use the address that the worker printed, or start the worker with \
         --admin-host {host}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(version: Version, headers: &[(header::HeaderName, &str)]) -> Option<Foreign> {
        let mut request = Request::new(());
        *request.version_mut() = version;
        for (name, value) in headers {
            let value = value.as_bytes().try_into().expect("a header");
            request.headers_mut().append(name, value);
        }
        Foreign::of(&request, &["node-a".to_owned(), "Metrics.example:80".to_owned()])
    }

    #[test]
    fn only_names_that_mean_this_machine_are_answered() {
        for own in [
            "127.0.0.1:7480",
            "localhost",
            "[::1]:7480",
            "10.0.0.1",
            "Node-A:7480",
            "metrics.example",
            "metrics.example.:9",
        ] {
            assert_eq!(foreign(Version::HTTP_11, &[(header::HOST, own)]), None, "{own}");
        }
        assert!(unknown("svc.example").contains("--admin-host svc.example"));
        assert!(unknown("<b>\u{1b}").contains("--admin-host NAME"));
        for other in ["evil.example:7480", "127.0.0.1.evil.example", "node-b"] {
            let found = foreign(Version::HTTP_11, &[(header::HOST, other)]);
            assert!(matches!(found, Some(Foreign::Host(_))), "{other}: {found:?}");
        }
    }

    #[test]
    fn one_host_is_needed_but_by_probes_of_another_age() {
        let local = (header::HOST, "localhost");
        for headers in
            [&[][..], &[local.clone(), local.clone()], &[(header::HOST, "")], &[(header::HOST, "h\u{e9}")]]
        {
            assert_eq!(foreign(Version::HTTP_11, headers), Some(Foreign::NoHost), "{headers:?}");
        }
        assert_eq!(foreign(Version::HTTP_10, &[]), None);
        let origin = (header::ORIGIN, "http://localhost");
        assert_eq!(foreign(Version::HTTP_10, &[origin]), Some(Foreign::NoHost));
    }

    #[test]
    fn pages_of_other_origins_may_ask_nothing() {
        let found =
            |host, origin| foreign(Version::HTTP_11, &[(header::HOST, host), (header::ORIGIN, origin)]);
        for (host, origin) in [
            ("127.0.0.1:7480", "http://127.0.0.1:7480"),
            ("Node-A:7480", "https://node-a:7480"),
            // Behind a proxy that gives this worker its own address as host.
            ("10.0.0.1:7480", "https://node-a"),
        ] {
            assert_eq!(found(host, origin), None, "{host} {origin}");
        }
        for (host, origin) in [
            ("127.0.0.1:7480", "http://127.0.0.1:7481"),
            ("localhost:7480", "http://127.0.0.1:7480"),
            ("127.0.0.1:7480", "null"),
            ("127.0.0.1:7480", ""),
            ("127.0.0.1:7480", "http://127.0.0.1:7480/"),
            ("127.0.0.1:7480", "ftp://127.0.0.1:7480"),
            ("node-a:7480", "http://node-a:3000"),
            ("127.0.0.1:7480", "http://evil.example"),
        ] {
            assert_eq!(found(host, origin), Some(Foreign::Origin), "{host} {origin}");
        }
        let headers = [
            (header::HOST, "node-a:1"),
            (header::ORIGIN, "http://node-a:1"),
            (header::ORIGIN, "http://evil.example"),
        ];
        assert_eq!(foreign(Version::HTTP_11, &headers), Some(Foreign::Origin));
    }
}
