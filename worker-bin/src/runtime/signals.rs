//! The hangup of a terminal.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, where whoever started this process lets it come through: under nohup it is ignored, and stays so.
#[derive(Debug)]
pub(super) struct Hangup(Option<Signal>);

impl Hangup {
    pub(super) fn new() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let signal = if is_ignored(&status) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self(signal))
    }

    /// Resolves when it has come.
    pub(super) async fn heard(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Whether the mask of ignored signals has the first, SIGHUP.
fn is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_read_from_the_mask() {
        assert!(is_ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!is_ignored("SigIgn:\t0000000000001000\n"));
        assert!(!is_ignored(""));
    }
}
