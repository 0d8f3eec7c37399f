//! Recounting what the core keeps sums of.

use std::fmt::Debug;
use thiserror::Error;

/// A sum, an order or an index is not what a recount gives: a bug of the core, which nobody outside can cause.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{whose}: {what}: {found}")]
pub struct Inconsistency {
    whose: String,
    what: &'static str,
    found: String,
}

impl Inconsistency {
    /// Which sum or rule it is.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Says whose it is, around what is known of that already.
    pub(crate) fn of(mut self, owner: impl std::fmt::Display) -> Self {
        self.whose =
            if self.whose.is_empty() { owner.to_string() } else { format!("{owner}, {}", self.whose) };
        self
    }
}

/// Fails unless what is kept is what a recount gives.
pub(crate) fn same<T: PartialEq + Debug>(
    what: &'static str,
    kept: T,
    counted: T,
) -> Result<(), Inconsistency> {
    rule(what, kept == counted, || format!("{kept:?} is kept, {counted:?} is counted"))
}

/// Fails unless a rule holds.
pub(crate) fn rule(
    what: &'static str,
    holds: bool,
    found: impl FnOnce() -> String,
) -> Result<(), Inconsistency> {
    if holds { Ok(()) } else { Err(Inconsistency { whose: String::new(), what, found: found() }) }
}
