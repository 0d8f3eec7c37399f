//! A disk that is full when a run starts is waited for, as one that gets full later is.

use crate::full::is_full;
use std::error::Error;
use std::time::{Duration, Instant};

/// How often it is tried again, and how often that is said.
const TRY_EVERY: Duration = Duration::from_secs(1);
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Tries again and again while the disk is full; a signal ends the process meanwhile, for nothing runs yet.
pub(super) fn when_there_is_room<T, E: Error + 'static>(
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut said: Option<Instant> = None;
    loop {
        match attempt() {
            Err(error) if is_full(&error) => {
                if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                    said = Some(Instant::now());
                    let why = error.to_string();
                    tracing::warn!(why, "the disk is full: the start waits for room and goes on by itself");
                }
                std::thread::sleep(TRY_EVERY);
            }
            result => {
                if said.is_some() && result.is_ok() {
                    tracing::info!("there is room on the disk, the start goes on");
                }
                return result;
            }
        }
    }
}
