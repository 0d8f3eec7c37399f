//! Who may ask what: the bearer token, and the names this machine goes by.

use axum::http::{HeaderMap, Request, StatusCode, Version, header};
use std::fmt::Write as _;
use std::net::IpAddr;

/// Sets the token of a worker, and is what commands take that speak to one elsewhere.
pub const TOKEN_VARIABLE: &str = "WORKER_ADMIN_TOKEN";

/// The secret of one instance.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The one of the environment (`WORKER_ADMIN_TOKEN`), or a new one of 128 random bits.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn from_env_or_new() -> std::io::Result<Self> {
        match std::env::var(TOKEN_VARIABLE) {
            Ok(token) if !token.trim().is_empty() => Ok(Self(token.trim().to_owned())),
            Ok(_) | Err(_) => Self::random(),
        }
    }

    /// One that was read from somewhere.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// As it is sent.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    fn random() -> std::io::Result<Self> {
        let mut bytes = [0_u8; 16];
        let file = std::fs::File::open("/dev/urandom")?;
        std::io::Read::read_exact(&mut &file, &mut bytes)?;
        let mut text = String::with_capacity(32);
        for byte in bytes {
            write!(text, "{byte:02x}").ok();
        }
        Ok(Self(text))
    }

    /// Whether a request carries it. Takes the same time wherever the two differ.
    #[must_use]
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let Some(given) = given.strip_prefix("Bearer ") else { return false };
        let (given, own) = (given.trim().as_bytes(), self.0.as_bytes());
        let differs = given.iter().zip(own).fold(0, |differs, (a, b)| differs | (a ^ b));
        given.len() == own.len() && differs == 0
    }
}

/// Where a user finds the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// `WORKER_ADMIN_TOKEN` of the process.
    Environment,
    /// The instance's entry in the runtime directory.
    Entry,
    /// The runtime directory has no entry.
    Nowhere,
}

impl TokenPlace {
    /// Where it is, whether there is an entry or not.
    #[must_use]
    pub fn of(entered: bool) -> Self {
        match std::env::var(TOKEN_VARIABLE) {
            Ok(token) if !token.trim().is_empty() => Self::Environment,
            Ok(_) | Err(_) if entered => Self::Entry,
            Ok(_) | Err(_) => Self::Nowhere,
        }
    }

    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Environment => "it is the WORKER_ADMIN_TOKEN with which this worker was started",
            Self::Entry => {
                "worker status --list, on this worker's machine as its user, says where the token is; elsewhere \
                 WORKER_ADMIN_TOKEN gives it to worker's commands"
            }
            Self::Nowhere => {
                "this worker has no place where the token could be read (its runtime directory was refused, as it said at its \
                 start): start it with WORKER_ADMIN_TOKEN set, and give the same to worker's commands"
            }
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

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

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn a_token_is_taken_whole_or_not_at_all() {
        let token = Token::from_text("s3cret");
        assert!(token.is_in(&with(header::AUTHORIZATION, "Bearer s3cret")));
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "s3cret", "Basic s3cret", ""] {
            assert!(!token.is_in(&with(header::AUTHORIZATION, wrong)), "{wrong}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_ne!(Token::random().expect("random"), Token::random().expect("random"));
    }

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
