//! The signals that ask for a stop. What was ignored when this process was started stays ignored, as under nohup, or for SIGINT in the
//! background of a script.

use rustix::process::Signal as Number;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// From here on a write beyond the limit on the size of files (ulimit -f) fails, as all writes may, and kills nobody. Programs start with what
/// is usual. Must be called within a tokio runtime.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    // The handler stays; nobody has to listen.
    signal(SignalKind::from_raw(Number::XFSZ.as_raw())).map(drop)
}

/// Of the limit on processor time (ulimit -t). It comes again with each second of it until the hard limit kills.
pub(crate) const SIGXCPU: i32 = Number::XCPU.as_raw();

/// All that ask for a stop.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Heard,
    terminate: Heard,
    hangup: Heard,
    no_more_time: Heard,
}

impl Signals {
    /// Must be called within a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let heard = |number: Number| Heard::new(number.as_raw(), &status);
        Ok(Self {
            interrupt: heard(Number::INT)?,
            terminate: heard(Number::TERM)?,
            hangup: heard(Number::HUP)?,
            no_more_time: heard(Number::XCPU)?,
        })
    }

    /// The number of the next one.
    pub(crate) async fn next(&mut self) -> i32 {
        tokio::select! {
            number = self.interrupt.next() => number,
            number = self.terminate.next() => number,
            number = self.hangup.next() => number,
            number = self.no_more_time.next() => number,
        }
    }

    /// The number of the next one that somebody has sent.
    pub(crate) async fn next_sent(&mut self) -> i32 {
        loop {
            match self.next().await {
                SIGXCPU => {}
                number => return number,
            }
        }
    }
}

/// One signal, where whoever started this process lets it come through.
#[derive(Debug)]
struct Heard(i32, Option<Signal>);

impl Heard {
    /// `status` is this process's, as the system tells it.
    fn new(number: i32, status: &str) -> io::Result<Self> {
        let heard = (!is_ignored(number, status)).then(|| signal(SignalKind::from_raw(number)));
        Ok(Self(number, heard.transpose()?))
    }

    /// Resolves when it has come.
    async fn next(&mut self) -> i32 {
        match &mut self.1 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
        self.0
    }
}

/// Whether the mask of ignored signals has this one.
fn is_ignored(number: i32, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let ignored = |mask: &str| -> Vec<i32> {
            let status = format!("Name:\tx\nSigIgn:\t{mask}\nSigCgt:\tffffffffffffffff\n");
            [1, 2, 15, SIGXCPU].into_iter().filter(|&number| is_ignored(number, &status)).collect()
        };
        assert_eq!(ignored("0000000000001001"), [1]);
        assert_eq!(ignored("0000000000000002"), [2]);
        assert_eq!(ignored("0000000000004003"), [1, 2, 15]);
        assert_eq!(ignored("0000000000800000"), [24]);
        assert!(ignored("0000000000001000").is_empty());
        assert!(!is_ignored(1, ""));
    }
}
