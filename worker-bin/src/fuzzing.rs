//! What fuzz targets reach of the inside and nobody else does, as functions over text, so that nothing becomes public for them.

use crate::cli::fmt::layout;
use crate::io::source::file::Pattern;
use crate::pipeline::{SourceText, check_toml};
use std::path::Path;

/// Whether a file pattern may ever stand for this path.
///
/// # Errors
/// What is wrong with the pattern.
pub fn could_match(pattern: &str, path: &Path) -> Result<bool, String> {
    Pattern::parse(pattern).map(|pattern| pattern.could_match(path))
}

/// A file as `worker fmt` lays it out; `None`: it is no TOML.
#[must_use]
pub fn laid_out(text: &str) -> Option<String> {
    check_toml(&SourceText::new("fuzz.toml", text)).ok()?;
    Some(layout::laid_out(text))
}
