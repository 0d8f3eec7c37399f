//! Where replays are kept, as far as there are any.

use crate::cli::dlq::claims;
use std::path::{Path, PathBuf};

/// The directory of replays while it is locked: removed again when this is dropped and nothing was ever claimed in it.
pub(super) struct Home {
    state: PathBuf,
    /// It has nothing but replays.
    is_beside_letters: bool,
}

impl Home {
    pub(super) fn beside_letters(state: &Path) -> Self {
        Self { state: state.to_owned(), is_beside_letters: true }
    }

    pub(super) fn in_state(state: &Path) -> Self {
        Self { state: state.to_owned(), is_beside_letters: false }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let replays = claims::replays(&self.state);
        if replays.is_ok_and(|replays| replays.iter().all(|replay| replay.claim.is_none())) {
            // What cannot be removed says nothing, and is no harm.
            std::fs::remove_dir_all(claims::home(&self.state)).ok();
            if self.is_beside_letters {
                std::fs::remove_dir(&self.state).ok();
            }
        }
    }
}
