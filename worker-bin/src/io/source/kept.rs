//! What is fixed at a first start and too large for a position: a file beside the journal, written once.

use crate::io::durable;
use std::io;
use std::path::Path;

/// Puts it at `path`, durable when this returns; makes the directory it is in (not those above).
pub(super) fn store(path: &Path, bytes: &[u8]) -> io::Result<()> {
    durable::make_directory(durable::parent(path), "list")
        .and_then(|()| durable::replace_file(path, bytes, "list"))
}

pub(super) fn load(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}
