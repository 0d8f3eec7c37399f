//! What is said of a run when it is over.

use super::dead::DeadLetters;
use super::observe::Watch;
use super::process::resident_bytes;
use crate::report::{Gathered, LeftState, Report, gather};
use std::path::PathBuf;

/// The report of a run that is over.
pub(super) fn final_report(
    watch: &Watch,
    dead: &DeadLetters,
    place: Option<PathBuf>,
    state: Option<LeftState>,
) -> Report {
    let last = watch.latest().unwrap_or_else(|| unreachable!("a run is looked at when it ends"));
    gather(&Gathered {
        last,
        history: watch.history(),
        stalls: watch.stalls(),
        resident_peak_bytes: resident_bytes().1,
        dead: dead.reasons(),
        dead_letters: place.map(|path| path.display().to_string()),
        state,
    })
}
