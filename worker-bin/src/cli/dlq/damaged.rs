//! Lines of files of dead letters that are none.

use crate::cli::exit::say;
use crate::text::units::number;
use std::fmt::Display;

/// How many of them are said one by one.
const SAID_MAX: u64 = 5;

/// How many there were so far.
#[derive(Debug, Default)]
pub(super) struct Damaged(u64);

impl Damaged {
    pub(super) fn said(&mut self, why: &impl Display) {
        self.0 += 1;
        if self.0 <= SAID_MAX {
            say(&format!("error: {why}"));
        }
    }

    /// Says how many there were, where not each was said.
    pub(super) fn end(&self) {
        if self.0 > SAID_MAX {
            say(&format!("error: {} lines are no dead letters; is it the right file?", number(self.0)));
        }
    }

    pub(super) fn any(&self) -> bool {
        self.0 > 0
    }
}
