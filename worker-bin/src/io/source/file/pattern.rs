//! File patterns as a shell has them, over names of any bytes.

use super::name::NamePattern;
use super::walk::Walk;
use crate::text::pathname;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

/// A path whose parts may stand for many names: `*`, `?` and `[abc]` for all but a slash and a leading dot, `**` for any
/// number of directories.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(pub(super) Vec<Part>);

#[derive(Clone, Debug)]
pub(super) enum Part {
    Name(OsString),
    Names {
        pattern: NamePattern,
        /// It names the leading dot itself.
        hidden: bool,
    },
    Directories,
}

/// Where nobody can tell what is there: a directory that may not be listed or entered, or a disk that does not answer.
#[derive(Debug)]
pub(crate) struct Unlisted {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl Pattern {
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = Path::new(text).components().map(|part| match part {
            Component::Normal(name) => Part::parse(&name.to_string_lossy()),
            part @ (Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir) => {
                Ok(Part::Name(part.as_os_str().to_owned()))
            }
        });
        parts.collect::<Result<_, _>>().map(Self)
    }

    /// Whether it is more than one path.
    pub(crate) fn is_magic(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    /// What is there, sorted by name, each once; directories are left out. A directory that is not there holds nothing.
    pub(super) fn walk(&self, base: &Path) -> Walk {
        Walk::new(self.clone(), base)
    }

    /// Whether it may ever stand for this path; hidden names count.
    pub(crate) fn could_match(&self, path: &Path) -> bool {
        let names: Vec<&OsStr> = path.components().map(Component::as_os_str).collect();
        matches(&self.0, &names)
    }
}

impl Part {
    fn parse(name: &str) -> Result<Self, String> {
        match name {
            "**" => return Ok(Self::Directories),
            _ if !Pattern::is_magic(name) => return Ok(Self::Name(pathname::to_path(name).into())),
            _ if name.contains("**") => return Err("`**` must be a part of the path by itself".to_owned()),
            _ => {}
        }
        Ok(Self::Names { pattern: NamePattern::parse(name)?, hidden: name.starts_with('.') })
    }
}

fn matches(parts: &[Part], names: &[&OsStr]) -> bool {
    // Whether the parts so far may stand for the first so many names. Each part looks at each name once, however many `**` there are.
    let mut reached = vec![false; names.len() + 1];
    reached[0] = true;
    for part in parts {
        let behind = |is_one: &dyn Fn(&OsStr) -> bool| {
            let one = |(before, name): (&bool, &&OsStr)| *before && is_one(name);
            std::iter::once(false).chain(reached.iter().zip(names).map(one)).collect()
        };
        reached = match part {
            Part::Name(own) => behind(&|name| own == name),
            Part::Names { pattern, .. } => behind(&|name| pattern.is_match(name)),
            Part::Directories => {
                let mut any = false;
                let behind_any = reached.iter().map(|&is_reached| {
                    any |= is_reached;
                    any
                });
                behind_any.collect()
            }
        };
    }
    reached[names.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn tree(files: &[&[u8]]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(OsStr::from_bytes(file));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x\n").unwrap();
        }
        dir
    }

    fn find(dir: &tempfile::TempDir, pattern: &str) -> Result<Vec<PathBuf>, Unlisted> {
        Pattern::parse(pattern).unwrap().walk(dir.path()).map(|found| Ok(found?.path)).collect()
    }

    fn found(dir: &tempfile::TempDir, pattern: &str) -> Vec<Vec<u8>> {
        let found = find(dir, pattern).unwrap();
        let relative = |path: PathBuf| path.strip_prefix(dir.path()).unwrap().as_os_str().as_bytes().to_vec();
        found.into_iter().map(relative).collect()
    }

    #[test]
    fn names_of_any_bytes_match_as_in_a_shell() {
        let dir = tree(&[
            b"b.log",
            b"a.log",
            b".c.log",
            b"d/e.log",
            b"d/.f/g.log",
            b"h\xff.log",
            b"{i}.log",
            b"a\\.log",
        ]);
        let all: [&[u8]; 5] = [b"a.log", b"a\\.log", b"b.log", b"h\xff.log", b"{i}.log"];
        assert_eq!(found(&dir, "*.log"), all);
        assert_eq!(found(&dir, "[ab].log"), [b"a.log", b"b.log"]);
        assert_eq!(found(&dir, "[!a]*.log"), [&b"b.log"[..], b"h\xff.log", b"{i}.log"]);
        assert_eq!(found(&dir, "{?}.log"), [b"{i}.log"]);
        assert_eq!(found(&dir, ".*.log"), [b".c.log"]);
        assert_eq!(found(&dir, "*/*.log"), [b"d/e.log"]);
        assert_eq!(found(&dir, "**/e.*"), [b"d/e.log"]);
        assert_eq!(found(&dir, "**").len(), 6, "hidden directories are not gone into");
        assert_eq!(found(&dir, "no/*"), [[0; 0]; 0]);
        assert_eq!(found(&dir, "a.log/*"), [[0; 0]; 0]);
    }

    #[test]
    fn a_directory_that_cannot_be_listed_is_named() {
        let dir = tree(&[b"open/a", b"closed/b"]);
        let closed = dir.path().join("closed");
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
        // Root lists everything.
        if std::fs::read_dir(&closed).is_err() {
            let unlisted = find(&dir, "*/*").unwrap_err();
            assert_eq!(unlisted.path, closed);
        }
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Whether the user of this process is bound by permissions at all.
    fn is_shut(path: &Path) -> bool {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.join("x").symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn a_directory_that_cannot_be_entered_is_named() {
        let dir = tree(&[b"a/in/x.log", b"b/in/x.log", b"outside/x.log"]);
        let shut = dir.path().join("b");
        std::os::unix::fs::symlink("b/in", dir.path().join("link")).unwrap();
        if is_shut(&shut) {
            for pattern in ["*/in/x.log", "*/in/*.log", "b/in/x.log", "b/x.*", "lin?/x.log", "**/x.log"] {
                let unlisted = find(&dir, pattern).unwrap_err();
                assert_eq!(unlisted.source.kind(), io::ErrorKind::PermissionDenied, "{pattern}");
            }
        }
        std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(found(&dir, "*/in/x.log").len(), 2);
    }

    #[test]
    fn a_name_that_nobody_can_look_at_is_an_error() {
        let dir = tree(&[b"a/x"]);
        // Also for root, whom no permission holds up: the link leads to itself, and the name is too long.
        std::os::unix::fs::symlink("self", dir.path().join("self")).unwrap();
        let long = format!("?/{}", "x".repeat(300));
        for pattern in ["sel?/x", &long] {
            assert!(find(&dir, pattern).is_err(), "{pattern}");
        }
        assert_eq!(found(&dir, "sel?"), [b"self"], "who opens it says what is wrong with it");
        std::os::unix::fs::symlink("nowhere", dir.path().join("gone")).unwrap();
        assert_eq!(found(&dir, "gon?/x"), [[0; 0]; 0]);
        assert_eq!(found(&dir, "gon?"), [b"gone"]);
    }

    #[test]
    fn what_cannot_be_a_pattern_is_said() {
        assert!(Pattern::parse("a/**b").unwrap_err().contains("by itself"));
        assert!(!Pattern::parse("[a").unwrap_err().is_empty());
    }

    #[test]
    fn a_path_that_could_match_is_known() {
        let could = |pattern: &str, path: &str| Pattern::parse(pattern).unwrap().could_match(Path::new(path));
        assert!(could("/d/*.log", "/d/x.log") && could("/d/*.log", "/d/.x.log"));
        assert!(could("/d/**/x", "/d/x") && could("/d/**/x", "/d/a/b/x") && could("/d/**", "/d/a/b"));
        assert!(!could("/d/*.log", "/d/e/x.log") && !could("/d/*", "/d"));
        assert!(!could(&format!("{}x", "**/".repeat(30)), &"a/".repeat(60)), "in time, too");
    }
}
