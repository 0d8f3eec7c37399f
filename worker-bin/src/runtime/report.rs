//! What is said of a run when it is over.

use super::engine::{Engine, lock};
use super::observe::resident_bytes;
use crate::report::{Gathered, Report, gather};

impl Engine {
    /// The report of a run that is over.
    pub(super) fn final_report(&self) -> Report {
        let watch = self.watch();
        let last = watch.latest().unwrap_or_else(|| unreachable!("a run is looked at when it ends"));
        let (dead, place) = (lock(&self.dead_tally).reasons(), self.dead_letters().1);
        gather(&Gathered {
            last,
            history: watch.history(),
            stalls: watch.stalls(),
            resident_peak_bytes: resident_bytes().1,
            dead,
            dead_letters: place.map(|path| path.display().to_string()),
        })
    }
}
