//! Spans and metrics for an OpenTelemetry collector, over HTTP, in builds with the feature `otel`.
//!
//! Spans are those of the log: the work on each batch or window, with what is logged meanwhile as events and a status that says
//! why it failed; threads of tasks; connections.
//! Metrics are those of `/metrics`. A collector that is not there costs nothing but a line in the log now and then: what it
//! does not take is dropped.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod metrics;
#[cfg(feature = "otel")]
mod post;

#[cfg(not(feature = "otel"))]
pub use absent::Otel;
#[cfg(feature = "otel")]
pub use export::Otel;

use std::str::FromStr;
use std::time::Duration;

/// How often metrics are sent.
pub(crate) const METRICS_EVERY: Duration = Duration::from_secs(10);

/// Where a collector takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `HOST:PORT`
    pub address: String,
    /// What comes before `/v1/traces`; empty or begins with a slash.
    pub path: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("expected http://HOST:4318, as a collector near this node has it; found {text}");
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let (address, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let has_port = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.ends_with(':') && port.parse::<u16>().is_ok()
        });
        let address = if has_port { address.to_owned() } else { format!("{address}:4318") };
        let clean = |part: &str| !part.contains(|c: char| c.is_whitespace() || c.is_control());
        if address.starts_with(':') || !clean(rest) {
            return Err(wrong());
        }
        Ok(Self { address, path: path.trim_end_matches('/').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_plain_http_with_a_port_or_the_usual_one() {
        for (text, address, path) in [
            ("http://localhost:4318", "localhost:4318", ""),
            ("http://10.0.0.1/", "10.0.0.1:4318", ""),
            ("http://c:80/otlp/", "c:80", "/otlp"),
            ("http://[::1]:4318", "[::1]:4318", ""),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.address.as_str(), endpoint.path.as_str()), (address, path), "{text}");
        }
        for text in ["localhost:4318", "https://a:4318", "http://", "http://:4318", "http://a b"] {
            assert!(text.parse::<Endpoint>().unwrap_err().contains("http://HOST:4318"), "{text}");
        }
    }
}
