//! From what the user wrote to the files that it names, one after the other.

use super::decode::Begun;
use super::pattern::{Pattern, Unlisted};
use super::pipe;
use super::walk::{Found, Walk};
use crate::io::identity::FileId;
use crate::io::source::SourceError;
use crate::text::pathname;
use rustix::fs::Access;
use std::path::{Path, PathBuf};

/// The files that `patterns`, relative to `base`, name: in the order of the patterns, each one's sorted by name, as `cat` would
/// read them.
///
/// A pattern that is an existing path stands for itself, whatever characters it has. Patterns match as in a shell: `*`
/// matches neither `/` nor a leading dot, and directories are left out. Every file was found readable.
///
/// # Errors
/// [`SourceError`] for a pattern that matches nothing, a directory named by itself, an unreadable file.
pub fn expand<P: AsRef<Path>>(base: &Path, patterns: &[P]) -> Result<Vec<PathBuf>, SourceError> {
    AllMatches::of(base, patterns)?.map(|found| Ok(Listed::look(found?.path)?.path)).collect()
}

/// What one pattern names, sorted by name, found when it is asked for. It ends with an error where that is nothing.
#[derive(Debug)]
pub(super) enum Matches {
    Itself(Option<Found>),
    Walk {
        walk: Walk,
        /// Until something was found.
        nothing: Option<SourceError>,
    },
}

impl Matches {
    /// # Errors
    /// A path that is not there, and what is no pattern.
    pub(super) fn of(base: &Path, pattern: &Path) -> Result<Self, SourceError> {
        let literal = base.join(pattern.to_str().map_or_else(|| pattern.to_owned(), pathname::to_path));
        let source = match literal.symlink_metadata() {
            Ok(there) => {
                return Ok(Self::Itself(Some(Found { path: literal, is_link: there.is_symlink() })));
            }
            Err(source) => source,
        };
        let Some(text) = pattern.to_str().filter(|text| Pattern::is_magic(text)) else {
            return Err(SourceError::Open { path: literal, source });
        };
        let bad = |why| SourceError::BadPattern { pattern: text.to_owned(), why };
        let walk = Pattern::parse(text).map_err(bad)?.walk(base);
        let directory = shown(if pattern.is_absolute() { Path::new("/") } else { base });
        let nothing = Some(SourceError::NoMatch { pattern: text.to_owned(), directory });
        Ok(Self::Walk { walk, nothing })
    }
}

impl Iterator for Matches {
    type Item = Result<Found, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Itself(found) => found.take().map(Ok),
            Self::Walk { walk, nothing } => match walk.next() {
                Some(found) => {
                    *nothing = None;
                    Some(found.map_err(|Unlisted { path, source }| SourceError::Unlisted { path, source }))
                }
                None => nothing.take().map(Err),
            },
        }
    }
}

/// What several patterns name, one after the other as they are written.
#[derive(Debug)]
pub(in crate::io::source) struct AllMatches(std::vec::IntoIter<Matches>, Option<Matches>);

impl AllMatches {
    /// # Errors
    /// As [`Matches::of`].
    pub(in crate::io::source) fn of<P: AsRef<Path>>(
        base: &Path,
        patterns: &[P],
    ) -> Result<Self, SourceError> {
        let all: Vec<Matches> =
            patterns.iter().map(|pattern| Matches::of(base, pattern.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self(all.into_iter(), None))
    }

    /// The same, where each may name nothing yet.
    ///
    /// # Errors
    /// What is no pattern.
    pub(super) fn so_far<P: AsRef<Path>>(base: &Path, patterns: &[P]) -> Result<Self, SourceError> {
        let mut all = Vec::new();
        for pattern in patterns {
            match Matches::of(base, pattern.as_ref()) {
                Err(SourceError::Open { .. }) => {}
                Ok(Matches::Walk { walk, .. }) => all.push(Matches::Walk { walk, nothing: None }),
                matches => all.push(matches?),
            }
        }
        Ok(Self(all.into_iter(), None))
    }
}

impl Iterator for AllMatches {
    type Item = Result<Found, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.1.as_mut().and_then(Matches::next) {
                return Some(found);
            }
            self.1 = Some(self.0.next()?);
        }
    }
}

/// A file to be read, as it was when it was found.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    /// Where it is a regular file.
    pub(super) begun: Option<Begun>,
    /// Of whatever is there.
    pub(super) id: Option<FileId>,
}

impl Listed {
    /// Finds it readable.
    pub(super) fn look(path: PathBuf) -> Result<Self, SourceError> {
        let open = |source| SourceError::Open { path: path.clone(), source };
        let metadata = path.metadata().map_err(open)?;
        if metadata.is_dir() {
            return Err(SourceError::Directory { path });
        }
        rustix::fs::access(&path, Access::READ_OK).map_err(|e| open(e.into()))?;
        Ok(Self { begun: Begun::of(&metadata), id: Some(FileId::of(&metadata)), path })
    }

    /// Whether it is a named pipe now.
    pub(super) fn is_pipe(&self) -> bool {
        self.begun.is_none() && pipe::is_at(&self.path)
    }

    /// Whatever is wrong with it is said when it is opened.
    pub(super) fn unchecked(path: PathBuf) -> Self {
        let there = path.metadata().ok();
        Self { begun: there.as_ref().and_then(Begun::of), id: there.as_ref().map(FileId::of), path }
    }
}

/// The paths of `matches` but those in the directory `own`, by whatever name.
pub(in crate::io::source) fn outside(matches: AllMatches, own: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let own = own.canonicalize().unwrap_or_else(|_| own.to_owned());
    let mut paths = Vec::new();
    // Files of one directory come one after the other.
    let mut last: Option<(PathBuf, bool)> = None;
    for found in matches {
        let Found { path, is_link } = found?;
        let is_own = |path: &Path| path.canonicalize().is_ok_and(|path| path.starts_with(&own));
        let is_within = match path.parent().filter(|parent| !is_link && !parent.as_os_str().is_empty()) {
            None => is_own(&path),
            Some(parent) => match &last {
                Some((known, is_within)) if known == parent => *is_within,
                Some(_) | None => last.insert((parent.to_owned(), is_own(parent))).1,
            },
        };
        if !is_within {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn shown(directory: &Path) -> String {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    directory.canonicalize().unwrap_or_else(|_| directory.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_own_directory_is_taken_by_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/x", "own/x", "own/deep/x", "z"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("../own/x", dir.path().join("a/link")).unwrap();
        std::os::unix::fs::symlink("own", dir.path().join("other")).unwrap();
        let paths = |pattern: &str, own: &str| {
            let matches = AllMatches::of(dir.path(), &[pattern]).unwrap();
            let paths = outside(matches, &dir.path().join(own)).unwrap();
            paths
                .iter()
                .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(paths("**/*", "own"), ["a/x", "z"]);
        assert_eq!(paths("**/*", "other"), ["a/x", "z"]);
        assert_eq!(paths("*/x", "own"), ["a/x"], "also behind a link to it");
        assert_eq!(paths("own/x", "own"), [""; 0]);
        assert_eq!(paths("own/x", "a"), ["own/x"]);
    }
}
