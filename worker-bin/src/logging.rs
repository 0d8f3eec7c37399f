//! What is logged, and how; the filter can be changed while the worker runs.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Logs to standard error by `filter`; the first call of a process counts.
///
/// # Errors
/// Why the filter is none; nothing is logged then.
pub fn start(filter: &str) -> Result<(), String> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        FILTER.set(handle).ok();
    }
    Ok(())
}

/// Logs by another filter from now on.
///
/// # Errors
/// Why it is none.
pub fn set_filter(filter: &str) -> Result<(), String> {
    let parsed = parse(filter)?;
    let handle = FILTER.get().ok_or("nothing is logged in this process")?;
    handle.reload(parsed).map_err(|error| error.to_string())
}

/// Whether it is a filter.
#[cfg(test)]
pub(crate) fn check(filter: &str) -> Result<(), String> {
    parse(filter).map(|_| ())
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    if filter.is_empty() {
        return Err("expected a filter, such as info or worker_bin=debug".to_owned());
    }
    EnvFilter::try_new(filter)
        .map_err(|error| format!("{filter}: {error}; expected a filter such as info or worker_bin=debug"))
}
