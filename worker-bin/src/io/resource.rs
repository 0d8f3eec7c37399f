//! Outside things that ends hold while they run, so that it shows where two get in each other's way.

use super::sink::file::{is_part, part_path};
use super::source::expand;
use super::source::file::Pattern;
use crate::pipeline::normalized;
use crate::text::pathname;
use std::path::{Path, PathBuf};

/// Something outside that an end reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A file that is written; absolute.
    File(PathBuf),
    /// A directory in which numbered files are written; absolute.
    Parts(PathBuf),
    /// Files that are read: those that match `pattern`, relative to `dir`.
    Matching {
        dir: PathBuf,
        pattern: String,
    },
    StandardInput,
    StandardOutput,
}

impl Resource {
    /// The files that these patterns name.
    #[must_use]
    pub fn matching(dir: &Path, patterns: &[String]) -> Vec<Self> {
        let one = |pattern: &String| Self::Matching { dir: dir.to_owned(), pattern: pattern.clone() };
        patterns.iter().map(one).collect()
    }

    /// Whether only one of two ends can have theirs. Two may read one file.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(a), Self::File(b)) | (Self::Parts(a), Self::Parts(b)) => a == b,
            (Self::File(file), Self::Parts(dir)) | (Self::Parts(dir), Self::File(file)) => {
                file == dir || (file.parent() == Some(dir) && is_part(file))
            }
            (Self::Matching { dir, pattern }, Self::File(file))
            | (Self::File(file), Self::Matching { dir, pattern }) => matches(dir, pattern, file),
            (Self::Matching { dir, pattern }, Self::Parts(parts))
            | (Self::Parts(parts), Self::Matching { dir, pattern }) => {
                matches(dir, pattern, &part_path(parts, 0))
            }
            (Self::StandardInput, Self::StandardInput) | (Self::StandardOutput, Self::StandardOutput) => true,
            (Self::Matching { .. }, Self::Matching { .. })
            | (Self::StandardInput | Self::StandardOutput, _)
            | (_, Self::StandardInput | Self::StandardOutput) => false,
        }
    }

    /// What two ends would share, in a message.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::File(_) | Self::Parts(_) => "one path",
            Self::Matching { .. } => "files",
            Self::StandardInput => "standard input",
            Self::StandardOutput => "standard output",
        }
    }

    /// Where something is written.
    #[must_use]
    pub fn written(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Parts(path) => Some(path),
            Self::Matching { .. } | Self::StandardInput | Self::StandardOutput => None,
        }
    }

    /// The files of it that can be named now. What is wrong with a pattern is said when it is opened.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::File(path) => vec![path.clone()],
            Self::Matching { dir, pattern } => expand(dir, &[pattern]).unwrap_or_default(),
            Self::Parts(_) | Self::StandardInput | Self::StandardOutput => Vec::new(),
        }
    }
}

fn matches(dir: &Path, pattern: &str, file: &Path) -> bool {
    let path = normalized(dir, &pathname::to_path(pattern));
    let glob = Pattern::parse(&pathname::to_text(&path)).ok();
    glob.is_some_and(|glob| glob.could_match(file)) || path == file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str) -> Resource {
        Resource::Matching { dir: "/d".into(), pattern: pattern.to_owned() }
    }

    #[test]
    fn one_of_two_is_refused_where_one_would_disturb_the_other() {
        let (file, parts) =
            (|path: &str| Resource::File(path.into()), |dir: &str| Resource::Parts(dir.into()));
        let both = |a: &Resource, b: &Resource| {
            assert_eq!(a.excludes(b), b.excludes(a), "{a:?} {b:?}");
            a.excludes(b)
        };
        for (a, b) in [
            (file("/d/a"), file("/d/a")),
            (parts("/d/a"), parts("/d/a")),
            (file("/d/a"), parts("/d/a")),
            (file("/d/a/part-00017"), parts("/d/a")),
            (file("/d/x.log"), read("*.log")),
            (file("/d/*.log"), read("*.log")),
            (file("/x"), read("../x")),
            (parts("/d/out"), read("out/*")),
            (Resource::StandardInput, Resource::StandardInput),
            (Resource::StandardOutput, Resource::StandardOutput),
        ] {
            assert!(both(&a, &b), "{a:?} {b:?}");
        }
        for (a, b) in [
            (file("/d/a"), file("/d/b")),
            (file("/d/a/part-17"), parts("/d/a")),
            (file("/d/sub/x.log"), read("*.log")),
            (parts("/d/out"), read("*")),
            (read("*.log"), read("*.log")),
            (Resource::StandardInput, Resource::StandardOutput),
            (Resource::StandardInput, read("*")),
            (Resource::StandardOutput, file("/dev/stdout")),
        ] {
            assert!(!both(&a, &b), "{a:?} {b:?}");
        }
    }
}
