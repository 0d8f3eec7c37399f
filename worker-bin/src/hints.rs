//! The flags that do what errors of the journal advise: its crate knows none.

use worker_journal::{Damage, JournalError, StateError};

/// To be put behind the error.
pub(crate) fn of_state(error: &StateError) -> &'static str {
    match error {
        StateError::InUse { .. } | StateError::Io { .. } => " (--state DIR names it)",
    }
}

/// To be put behind the error.
pub(crate) fn of_journal(error: &JournalError) -> &'static str {
    let may_start_over = matches!(
        error,
        JournalError::NotOurs { .. }
            | JournalError::Damaged { damage: Damage::Bytes { .. } | Damage::Missing { .. }, .. }
    );
    if may_start_over { " with --fresh" } else { "" }
}
