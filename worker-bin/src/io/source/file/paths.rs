//! From what the user wrote to a list of files.

use super::pattern::{Pattern, Unlisted};
use crate::io::source::SourceError;
use rustix::fs::Access;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The files that `patterns`, relative to `base`, name: in the order of the patterns, each one's sorted by name, each
/// file once.
///
/// A pattern that is an existing path stands for itself, whatever characters it has. Patterns match as in a shell: `*`
/// matches neither `/` nor a leading dot, and directories are left out. Every file was found readable.
///
/// # Errors
/// [`SourceError`] for a pattern that matches nothing, a directory named by itself, an unreadable file.
pub fn expand<P: AsRef<Path>>(base: &Path, patterns: &[P]) -> Result<Vec<PathBuf>, SourceError> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut known: HashSet<PathBuf> = HashSet::new();
    for pattern in patterns {
        for path in expand_one(base, pattern.as_ref())? {
            check(&path)?;
            if patterns.len() == 1 || known.insert(path.clone()) {
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn expand_one(base: &Path, pattern: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let literal = base.join(pattern);
    let Err(source) = literal.symlink_metadata() else { return Ok(vec![literal]) };
    let Some(text) = pattern.to_str().filter(|text| Pattern::is_magic(text)) else {
        return Err(SourceError::Open { path: literal, source });
    };
    let bad = |why| SourceError::BadPattern { pattern: text.to_owned(), why };
    let found = Pattern::parse(text).map_err(bad)?.find(base);
    let files = found.map_err(|Unlisted { path, source }| SourceError::Unlisted { path, source })?;
    if files.is_empty() {
        let directory = if pattern.is_absolute() { Path::new("/") } else { base };
        return Err(SourceError::NoMatch { pattern: text.to_owned(), directory: shown(directory) });
    }
    Ok(files)
}

fn check(path: &Path) -> Result<(), SourceError> {
    let open = |source| SourceError::Open { path: path.to_owned(), source };
    if path.metadata().map_err(open)?.is_dir() {
        return Err(SourceError::Directory { path: path.to_owned() });
    }
    rustix::fs::access(path, Access::READ_OK).map_err(|e| open(e.into()))
}

fn shown(directory: &Path) -> String {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    directory.canonicalize().unwrap_or_else(|_| directory.to_owned()).display().to_string()
}
