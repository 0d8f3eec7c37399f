//! An admin address as users write it and as workers print it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The scheme that says that TLS is spoken; none, or `http://`, says nothing.
const HTTPS: &str = "https://";
const HTTP: &str = "http://";

/// Where an admin address is: `HOST:PORT` or, in TLS, `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Host and port.
    pub at: String,
    /// TLS is spoken there.
    pub tls: bool,
}

impl Place {
    /// Without a scheme.
    #[must_use]
    pub fn plain(at: impl ToString) -> Self {
        Self { at: at.to_string(), tls: false }
    }

    /// Its host, with the brackets of an address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.at.rsplit_once(':').map_or(&self.at, |(host, _)| host)
    }

    /// Whether it says of itself that only this machine gets there; a name may be anybody's.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']);
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    }

    /// The address of its page.
    #[must_use]
    pub fn page(&self) -> String {
        format!("{}{}/", if self.tls { HTTPS } else { HTTP }, self.at)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.tls { HTTPS } else { "" }, self.at)
    }
}

/// What the system and files are told may have any host; what users write must be one.
impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("expected HOST:PORT, such as 127.0.0.1:7480, or https://HOST:PORT; found {text}");
        let place = Self::of(text);
        let (host, port) = place.at.rsplit_once(':').ok_or_else(wrong)?;
        let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match v6 {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "[]:/@".contains(c)),
        };
        if good && port.parse::<u16>().is_ok() { Ok(place) } else { Err(wrong()) }
    }
}

impl Place {
    /// What of an address, or of that of a page, is scheme, host and port; without a port it is that of the scheme. Whether these can
    /// be ones is not asked.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let behind = |scheme: &str| {
            let head = text.get(..scheme.len()).filter(|head| head.eq_ignore_ascii_case(scheme));
            head.map(|_| &text[scheme.len()..])
        };
        let (tls, rest) = match (behind(HTTPS), behind(HTTP)) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Self::plain(text.strip_suffix('/').unwrap_or(text)),
        };
        let at = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let has_port =
            at.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let port = if tls { 443 } else { 80 };
        Self { at: if has_port { at.to_owned() } else { format!("{at}:{port}") }, tls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "[::1]:7480", "node-a:80", "https://node-a:7480"] {
            assert_eq!(good.parse::<Place>().map(|place| place.to_string()).as_deref(), Ok(good));
        }
        for (page, address) in [
            ("http://127.0.0.1:7480/", "127.0.0.1:7480"),
            ("http://127.0.0.1:7480", "127.0.0.1:7480"),
            ("HTTP://node-a:80/api/v1/status?x=1", "node-a:80"),
            ("http://[::1]:7480/#waits", "[::1]:7480"),
            ("http://[::1]/", "[::1]:80"),
            ("http://node-a", "node-a:80"),
            ("127.0.0.1:7480/", "127.0.0.1:7480"),
            ("https://host:1/", "https://host:1"),
            ("HTTPS://host", "https://host:443"),
            ("https://[::1]/x", "https://[::1]:443"),
        ] {
            assert_eq!(
                page.parse::<Place>().map(|place| place.to_string()).as_deref(),
                Ok(address),
                "{page}"
            );
        }
        for bad in [
            "",
            "7480",
            ":7480",
            "host",
            "host:",
            "host:70000",
            "host:http",
            "http://",
            "http:///",
            "https://",
            "ftp://host:1",
            "::1:7480",
            "[::x]:1",
            "a@b:1",
            "a b:1",
        ] {
            let refused = bad.parse::<Place>().expect_err(bad);
            assert!(refused.contains("expected HOST:PORT"), "{refused}");
        }
    }

    #[test]
    fn its_page_has_its_scheme_and_its_host_says_whose_it_is() {
        let page = |text: &str| text.parse::<Place>().map(|place| (place.page(), place.is_loopback()));
        for (text, address, own) in [
            ("127.0.0.1:1", "http://127.0.0.1:1/", true),
            ("https://[::1]:1", "https://[::1]:1/", true),
            ("localhost:1", "http://localhost:1/", true),
            ("https://10.0.0.1:1", "https://10.0.0.1:1/", false),
            ("0.0.0.0:1", "http://0.0.0.0:1/", false),
            ("node-a:1", "http://node-a:1/", false),
        ] {
            assert_eq!(page(text), Ok((address.to_owned(), own)), "{text}");
        }
    }
}
