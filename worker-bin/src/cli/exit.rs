//! Exit statuses, and what is said on the way to them.

use crate::logging::{self, say_rendered};
use crate::pipeline::ConfigError;
use crate::stderr;
use std::process::ExitCode;

pub(super) const FAILED: u8 = 1;
/// The command line or a file is wrong.
pub(super) const WRONG: u8 = 2;
/// Finished, but with dead letters or records lost.
pub(super) const INCOMPLETE: u8 = 3;
/// Added to a signal's number.
const SIGNALLED: u8 = 128;

/// The exit status after a signal.
pub(super) fn signalled(signal: i32) -> u8 {
    u8::try_from(signal).map_or(FAILED, |s| SIGNALLED.saturating_add(s))
}

pub(super) fn failed(why: &str) -> ExitCode {
    say(&format!("error: {why}"));
    ExitCode::from(FAILED)
}

/// Reports what is wrong with a file.
pub(super) fn wrong_file(error: &ConfigError) -> ExitCode {
    say_rendered(&error.render(stderr::colors(&std::io::stderr())));
    ExitCode::from(WRONG)
}

/// A line on standard error; that it cannot be written is no reason to stop.
pub(super) fn say(text: &str) {
    logging::say(text);
}
