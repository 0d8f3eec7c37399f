//! The signals that ask for a stop.

use rustix::process::Signal as Number;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// From here on a write beyond the limit on the size of files (ulimit -f) fails, as all writes may, and kills nobody. Programs start with what
/// is usual. Must be called within a tokio runtime.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    // The handler stays; nobody has to listen.
    signal(SignalKind::from_raw(Number::XFSZ.as_raw())).map(drop)
}

/// All that ask for a stop.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Hangup,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup: Hangup::new()? })
    }

    /// The number of the next one.
    pub(super) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
            () = self.hangup.heard() => 1,
        }
    }
}

/// SIGHUP, where whoever started this process lets it come through: under nohup it is ignored, and stays so.
#[derive(Debug)]
struct Hangup(Option<Signal>);

impl Hangup {
    fn new() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let signal = if is_ignored(&status) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self(signal))
    }

    /// Resolves when it has come.
    async fn heard(&mut self) {
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
