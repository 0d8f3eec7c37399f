//! Everything that happened, as one number and, if asked for, as text.

use std::fmt::{self, Write};

/// Hashes each line; prints it too where `WORKER_SIM_TRACE` is set.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    print: bool,
}

impl Trace {
    pub(super) fn new(print: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, print }
    }

    pub(super) fn note(&mut self, now: u64, what: fmt::Arguments<'_>) {
        if self.print {
            print_line(now, what);
        }
        self.write_fmt(format_args!("{now} {what}")).expect("hashing never fails");
    }

    /// Equal for equal runs.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "the trace of a replayed seed is for the person at the terminal")]
fn print_line(now: u64, what: fmt::Arguments<'_>) {
    eprintln!("{:>12.6} {what}", now as f64 / 1e6);
}
