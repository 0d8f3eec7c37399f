//! Who may ask what: the bearer token, and the names this machine goes by.

use axum::http::{HeaderMap, header};
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

/// The `Host` of a request where it may mean another machine: no address, not `localhost`, and none of `own`, the name that was
/// listened on and those of `--admin-host`.
pub(super) fn foreign_host<'h>(headers: &'h HeaderMap, own: &[String]) -> Option<&'h str> {
    let name = bare(headers.get(header::HOST)?.to_str().ok()?);
    let known = name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || own.iter().any(|own| name.eq_ignore_ascii_case(bare(own)));
    (!known).then_some(name)
}

/// A host without its port, without the brackets of an address and without the dot of the root.
fn bare(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.')
}

/// What a request with another machine's name is told.
pub(super) fn refusal(host: &str) -> String {
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

    #[test]
    fn only_names_that_mean_this_machine_are_answered() {
        let names = ["node-a".to_owned(), "Metrics.example:80".to_owned()];
        for own in [
            "127.0.0.1:7480",
            "localhost",
            "[::1]:7480",
            "10.0.0.1",
            "Node-A:7480",
            "metrics.example",
            "metrics.example.:9",
        ] {
            assert_eq!(foreign_host(&with(header::HOST, own), &names), None, "{own}");
        }
        assert!(refusal("svc.example").contains("--admin-host svc.example"));
        assert!(refusal("<b>\u{1b}").contains("--admin-host NAME"));
        for foreign in ["evil.example:7480", "127.0.0.1.evil.example", "node-b"] {
            assert!(foreign_host(&with(header::HOST, foreign), &names).is_some(), "{foreign}");
        }
    }
}
