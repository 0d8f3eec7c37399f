//! File patterns as a shell has them, over names of any bytes.

use globset::{GlobBuilder, GlobMatcher};
use std::ffi::{OsStr, OsString};
use std::fs::DirEntry;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// A path whose parts may stand for many names: `*`, `?` and `[abc]` for all but a slash and a leading dot, `**` for any
/// number of directories.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Name(OsString),
    Names {
        matcher: GlobMatcher,
        /// It names the leading dot itself.
        hidden: bool,
    },
    Directories,
}

/// A directory that cannot be listed.
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

    /// What is there, sorted by name; directories are left out. A directory that is not there holds nothing.
    pub(crate) fn find(&self, base: &Path) -> Result<Vec<PathBuf>, Unlisted> {
        let mut found = Vec::new();
        find(base, &self.0, &mut found)?;
        found.sort();
        found.dedup();
        Ok(found)
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
            _ if !Pattern::is_magic(name) => return Ok(Self::Name(name.into())),
            _ if name.contains("**") => return Err("`**` must be a part of the path by itself".to_owned()),
            _ => {}
        }
        // Braces mean themselves.
        let text: String = name.chars().fold(String::new(), |text, c| match c {
            '{' | '}' => text + "[" + c.encode_utf8(&mut [0; 4]) + "]",
            _ => text + c.encode_utf8(&mut [0; 4]),
        });
        let glob = GlobBuilder::new(&text).literal_separator(true).backslash_escape(false).build();
        let matcher = glob.map_err(|error| error.kind().to_string())?.compile_matcher();
        Ok(Self::Names { matcher, hidden: name.starts_with('.') })
    }
}

fn find(dir: &Path, parts: &[Part], found: &mut Vec<PathBuf>) -> Result<(), Unlisted> {
    let Some((first, rest)) = parts.split_first() else { return Ok(()) };
    match first {
        Part::Name(name) => {
            let path = dir.join(name);
            match rest.is_empty() {
                true if path.symlink_metadata().is_ok() && !path.is_dir() => found.push(path),
                true => {}
                false => find(&path, rest, found)?,
            }
        }
        Part::Names { matcher, hidden } => {
            for entry in listed(dir)? {
                let name = entry.file_name();
                if (*hidden || !is_hidden(&name)) && matcher.is_match(&name) {
                    go_on(&entry, rest, found)?;
                }
            }
        }
        Part::Directories => {
            if !rest.is_empty() {
                find(dir, rest, found)?;
            }
            for entry in listed(dir)?.iter().filter(|entry| !is_hidden(&entry.file_name())) {
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_directory {
                    find(&entry.path(), parts, found)?;
                } else if rest.is_empty() {
                    go_on(entry, rest, found)?;
                }
            }
        }
    }
    Ok(())
}

/// With an entry whose name matches.
fn go_on(entry: &DirEntry, rest: &[Part], found: &mut Vec<PathBuf>) -> Result<(), Unlisted> {
    let path = entry.path();
    let is_directory = match entry.file_type() {
        Ok(kind) if !kind.is_symlink() => kind.is_dir(),
        _ => path.is_dir(),
    };
    match (is_directory, rest.is_empty()) {
        (true, false) => find(&path, rest, found),
        (false, true) => {
            found.push(path);
            Ok(())
        }
        (true, true) | (false, false) => Ok(()),
    }
}

fn listed(dir: &Path) -> Result<Vec<DirEntry>, Unlisted> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match std::fs::read_dir(dir).and_then(Iterator::collect) {
        Ok(entries) => Ok(entries),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(source) => Err(Unlisted { path: dir.to_owned(), source }),
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

fn matches(parts: &[Part], names: &[&OsStr]) -> bool {
    match (parts.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Part::Directories, rest)), _) => {
            matches(rest, names)
                || names.split_first().is_some_and(|(_, left)| matches(parts, left) || rest.is_empty())
        }
        (Some((Part::Name(own), rest)), Some((name, left))) => own == name && matches(rest, left),
        (Some((Part::Names { matcher, .. }, rest)), Some((name, left))) => {
            matcher.is_match(name) && matches(rest, left)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn found(dir: &tempfile::TempDir, pattern: &str) -> Vec<Vec<u8>> {
        let found = Pattern::parse(pattern).unwrap().find(dir.path()).unwrap();
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
            let unlisted = Pattern::parse("*/*").unwrap().find(dir.path()).unwrap_err();
            assert_eq!(unlisted.path, closed);
        }
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
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
    }
}
