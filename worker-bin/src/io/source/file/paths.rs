//! From what the user wrote to a list of files.

use crate::io::source::SourceError;
use glob::{MatchOptions, Pattern};
use rustix::fs::Access;
use std::io;
use std::path::{Path, PathBuf};

const LIKE_THE_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

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
    for pattern in patterns {
        for path in expand_one(base, pattern.as_ref())? {
            check(&path)?;
            if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn expand_one(base: &Path, pattern: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let literal = base.join(pattern);
    if literal.symlink_metadata().is_ok() {
        return Ok(vec![literal]);
    }
    let Some(text) = pattern.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Err(SourceError::Open { path: literal, source: io::ErrorKind::NotFound.into() });
    };
    let full = if pattern.is_absolute() || base.as_os_str().is_empty() {
        text.to_owned()
    } else {
        let base = base.to_str().ok_or_else(|| SourceError::BadPattern {
            pattern: text.to_owned(),
            why: format!("it is relative to {}, which is not UTF-8", base.display()),
        })?;
        format!("{}/{text}", Pattern::escape(base.trim_end_matches('/')))
    };
    let found = glob::glob_with(&full, LIKE_THE_SHELL)
        .map_err(|e| SourceError::BadPattern { pattern: text.to_owned(), why: e.to_string() })?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|e| SourceError::Open { path: e.path().to_owned(), source: e.into() })?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        let directory = if pattern.is_absolute() { Path::new("/") } else { base };
        return Err(SourceError::NoMatch { pattern: text.to_owned(), directory: shown(directory) });
    }
    files.sort();
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
