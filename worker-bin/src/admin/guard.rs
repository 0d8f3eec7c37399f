//! Who may ask what: the bearer token, and the names this machine goes by.

use axum::http::{HeaderMap, header};
use std::fmt::Write as _;
use std::net::IpAddr;

/// The secret of one instance.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The one of the environment (`WORKER_ADMIN_TOKEN`), or a new one of 128 random bits.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn from_env_or_new() -> std::io::Result<Self> {
        match std::env::var("WORKER_ADMIN_TOKEN") {
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

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Whether the `Host` of a request can only mean this machine: an address, `localhost`, or the name that was listened on.
pub(super) fn is_own_host(headers: &HeaderMap, own: &str) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|value| value.to_str().ok()) else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || bare.eq_ignore_ascii_case("localhost") || bare.eq_ignore_ascii_case(own)
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
        for own in ["127.0.0.1:7480", "localhost", "[::1]:7480", "10.0.0.1", "Node-A:7480"] {
            assert!(is_own_host(&with(header::HOST, own), "node-a"), "{own}");
        }
        for foreign in ["evil.example:7480", "127.0.0.1.evil.example", "node-b"] {
            assert!(!is_own_host(&with(header::HOST, foreign), "node-a"), "{foreign}");
        }
    }
}
