//! Whether all that was written to a file is still there.

use crate::text::units::number;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use thiserror::Error;

/// What others have done to a file while it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Loss {
    /// It has no name any more.
    #[error("it was removed meanwhile")]
    Removed,
    /// It has only so many bytes.
    #[error("it was cut meanwhile: {} bytes are left", number(*.0))]
    Cut(u64),
}

/// What became of a regular file that has been written up to `length`; one that was renamed is still there.
///
/// The file must be written in append mode: with writes at a position of their own, what was cut would be a hole of zeros
/// behind which the length is right again.
pub(super) fn loss(file: &File, length: u64) -> Option<Loss> {
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    match metadata.nlink() {
        0 => Some(Loss::Removed),
        _ => (metadata.len() < length).then_some(Loss::Cut(metadata.len())),
    }
}
