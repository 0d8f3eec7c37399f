//! When in its life a program is killed.

use super::{Chaos, Draws, Fault};
use std::sync::Arc;

/// A program that lives long is in danger again with each so many bytes that it is given.
pub(super) const STRETCH_BYTES: u64 = 1 << 20;

/// For so many of them it is known when it begins.
pub(super) const STRETCHES_MAX: u64 = 64;

/// The most bytes that a program has been given or has printed when it is killed early in its life: from 1 to that, small numbers as
/// likely as large ones.
const EARLY_BITS: u64 = 17;

/// What is to befall one program. Dropped without having befallen, it never does.
#[derive(Debug)]
pub struct Doom {
    chaos: Arc<Chaos>,
    task: String,
    /// `None`: nothing.
    pub moment: Option<Moment>,
}

/// When it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Once it was given so many bytes; one that is never given them, at its end.
    Given(u64),
    /// Once it has printed so many bytes; one that never has, at its end.
    Printed(u64),
    /// When it has ended well.
    AtItsEnd,
    /// Once it was given so many bytes, if it ever is.
    Later(u64),
}

impl Doom {
    /// Of the next program of a task.
    #[must_use]
    pub fn of(chaos: &Arc<Chaos>, task: &str) -> Self {
        let draws = chaos.next(Fault::Program, task);
        Self { chaos: Arc::clone(chaos), task: task.to_owned(), moment: draws.and_then(moment) }
    }

    /// Whether it is killed now.
    #[must_use]
    pub fn is_due(&self, given: u64, printed: u64) -> bool {
        match self.moment {
            Some(Moment::Given(bytes) | Moment::Later(bytes)) => given >= bytes,
            Some(Moment::Printed(bytes)) => printed >= bytes,
            Some(Moment::AtItsEnd) | None => false,
        }
    }

    /// Whether one that has ended well counts as killed all the same.
    #[must_use]
    pub fn is_due_at_the_end(&self) -> bool {
        match self.moment {
            Some(Moment::Given(_) | Moment::Printed(_) | Moment::AtItsEnd) => true,
            Some(Moment::Later(_)) | None => false,
        }
    }

    /// It was killed, or ended as if it had been.
    pub fn befell(self) {
        self.chaos.struck(Fault::Program, &self.task);
    }

    /// It has lived to its end.
    pub fn passed(self) {
        self.chaos.passed(Fault::Program, &self.task);
    }
}

/// A number of bytes, small ones as likely as large ones.
pub(super) fn early(draws: Draws) -> u64 {
    1 + draws.bits(2) % (1 << (draws.bits(3) % (EARLY_BITS + 1)))
}

fn moment(draws: Draws) -> Option<Moment> {
    if draws.hit(0) {
        let early = early(draws);
        return Some(match draws.bits(1) % 4 {
            0 => Moment::Given(0),
            1 => Moment::Given(early),
            2 => Moment::Printed(early),
            _ => Moment::AtItsEnd,
        });
    }
    let stretch = (1..STRETCHES_MAX).find(|&stretch| draws.hit(3 + 2 * stretch))?;
    Some(Moment::Later(stretch * STRETCH_BYTES + draws.bits(4 + 2 * stretch) % STRETCH_BYTES))
}
