//! Whether all that was written to a file is still there.

use crate::text::units::number;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
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

/// Whether another file is now at the path at which this one was opened. One that was only moved has all that was written.
pub(super) fn is_replaced(path: &Path, file: &File) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(ours), Ok(there)) => ours.is_file() && (there.dev(), there.ino()) != (ours.dev(), ours.ino()),
        (Ok(_) | Err(_), _) => false,
    }
}

/// Says of a file that is written to its end that it is not where it was.
pub(super) fn warn_if_moved(path: &Path) {
    if path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        tracing::warn!(
            "{} was moved while it was written: what was written is in the moved file",
            path.display()
        );
    }
}
