//! The files that a pattern stands for, sorted by name, while directories behind them are not read yet.

use super::pattern::{Part, Pattern, Unlisted};
use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fs::DirEntry;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Reads each directory once, when its turn comes in the order of names, and directories on the way to it.
///
/// Of each it knows which parts of the pattern its names may be: after `**` more than one.
#[derive(Debug)]
pub(super) struct Walk {
    pattern: Pattern,
    /// Until it is read.
    base: Option<PathBuf>,
    /// Directories, each in the one before, with what was found in them and not gone through yet.
    open: Vec<Directory>,
}

/// A file that was found.
#[derive(Debug)]
pub(in crate::io::source) struct Found {
    pub(in crate::io::source) path: PathBuf,
    pub(super) is_link: bool,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    entries: std::vec::IntoIter<Entry>,
}

/// A name that matches.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: OsString,
    is_link: bool,
    /// The pattern ends with it; unless it is a link to a directory.
    is_last: bool,
    /// The parts that names in it may be, if it is a directory.
    within: Vec<usize>,
}

impl Walk {
    pub(super) fn new(pattern: Pattern, base: &Path) -> Self {
        Self { pattern, base: Some(base.to_owned()), open: Vec::new() }
    }

    fn next_found(&mut self) -> Result<Option<Found>, Unlisted> {
        if let Some(base) = self.base.take() {
            let mut parts = Vec::new();
            self.may_be(0, &mut parts);
            self.enter(base, &parts)?;
        }
        while let Some(directory) = self.open.last_mut() {
            let Some(entry) = directory.entries.next() else {
                self.open.pop();
                continue;
            };
            let path = directory.path.join(&entry.name);
            if !entry.within.is_empty() {
                self.enter(path.clone(), &entry.within)?;
            }
            if entry.is_last && !(entry.is_link && leads_to_directory(&path)) {
                return Ok(Some(Found { path, is_link: entry.is_link }));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, path: PathBuf, parts: &[usize]) -> Result<(), Unlisted> {
        let entries = self.entries(&path, parts)?.into_iter();
        self.open.push(Directory { path, entries });
        Ok(())
    }

    /// What of a directory matches one of these parts, sorted.
    fn entries(&self, dir: &Path, parts: &[usize]) -> Result<Vec<Entry>, Unlisted> {
        let mut entries = Vec::new();
        let mut is_listed = false;
        for &part in parts {
            match &self.pattern.0[part] {
                Part::Name(name) => entries.extend(self.named(dir, part, name)?),
                Part::Names { .. } | Part::Directories => is_listed = true,
            }
        }
        if is_listed {
            for entry in listed(dir)? {
                entries.extend(self.matching(dir, &entry, parts)?);
            }
        }
        entries.sort_unstable_by(Entry::by_name);
        entries.dedup_by(|entry, kept| entry.name == kept.name && kept.join(entry));
        Ok(entries)
    }

    /// The one that is `name`, without listing the directory, which may be forbidden.
    fn named(&self, dir: &Path, part: usize, name: &OsStr) -> Result<Option<Entry>, Unlisted> {
        let mut entry = Entry { name: name.to_owned(), is_link: false, is_last: false, within: Vec::new() };
        if part + 1 < self.pattern.0.len() {
            self.may_be(part + 1, &mut entry.within);
            return Ok(Some(entry));
        }
        let Some(metadata) = there(dir, dir.join(name).symlink_metadata())? else { return Ok(None) };
        (entry.is_link, entry.is_last) = (metadata.is_symlink(), true);
        Ok(Some(entry).filter(|_| !metadata.is_dir()))
    }

    fn matching(&self, dir: &Path, entry: &DirEntry, parts: &[usize]) -> Result<Option<Entry>, Unlisted> {
        let name = entry.file_name();
        let mut matching = parts.iter().filter(|part| self.is_match(**part, &name)).peekable();
        if matching.peek().is_none() {
            return Ok(None);
        }
        let Some(kind) = there(&dir.join(&name), entry.file_type())? else { return Ok(None) };
        let (mut is_last, mut within) = (false, Vec::new());
        for &part in matching {
            let may_end = part + 1 == self.pattern.0.len();
            is_last |= may_end && !kind.is_dir();
            match self.pattern.0[part] {
                // It goes through no link.
                Part::Directories if kind.is_dir() => self.may_be(part, &mut within),
                Part::Names { .. } if !may_end && (kind.is_dir() || kind.is_symlink()) => {
                    self.may_be(part + 1, &mut within);
                }
                Part::Directories | Part::Names { .. } | Part::Name(_) => {}
            }
        }
        let found = Entry { name, is_link: kind.is_symlink(), is_last, within };
        Ok(Some(found).filter(|found| found.is_last || !found.within.is_empty()))
    }

    /// Whether a name in a listing is one of those that a part stands for.
    fn is_match(&self, part: usize, name: &OsStr) -> bool {
        match &self.pattern.0[part] {
            Part::Name(_) => false,
            Part::Names { pattern, hidden } => (*hidden || !is_hidden(name)) && pattern.is_match(name),
            Part::Directories => !is_hidden(name),
        }
    }

    /// Adds the parts that a name may be where it may be `part`: `**` stands for no directory, too.
    fn may_be(&self, part: usize, parts: &mut Vec<usize>) {
        if part < self.pattern.0.len() && !parts.contains(&part) {
            parts.push(part);
        }
        if matches!(self.pattern.0.get(part), Some(Part::Directories)) && part + 1 < self.pattern.0.len() {
            self.may_be(part + 1, parts);
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Found, Unlisted>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_found().inspect_err(|_| self.open.clear()).transpose()
    }
}

impl Entry {
    /// As the whole paths are sorted, part by part: `..` before all names.
    fn by_name(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| entry.name != "..";
        key(self).cmp(&key(other)).then_with(|| self.name.cmp(&other.name))
    }

    fn join(&mut self, other: &mut Self) -> bool {
        self.is_link |= other.is_link;
        self.is_last |= other.is_last;
        for part in other.within.drain(..) {
            if !self.within.contains(&part) {
                self.within.push(part);
            }
        }
        true
    }
}

/// Where it leads to what cannot be known, it is found, and opening it says why.
fn leads_to_directory(path: &Path) -> bool {
    path.metadata().is_ok_and(|target| target.is_dir())
}

fn listed(dir: &Path) -> Result<Vec<DirEntry>, Unlisted> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    Ok(there(dir, std::fs::read_dir(dir).and_then(Iterator::collect))?.unwrap_or_default())
}

/// What is there, if anything is; that it cannot be known is an error at `path`.
fn there<T>(path: &Path, found: io::Result<T>) -> Result<Option<T>, Unlisted> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(Unlisted { path: path.to_owned(), source }),
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Bytes before and behind the slash, and some that are no text.
    const BYTES: &[u8] = b"a-0.\xff\x01";

    fn name() -> impl Strategy<Value = OsString> {
        let bytes = proptest::collection::vec(proptest::sample::select(BYTES), 1..3);
        bytes
            .prop_map(|bytes| OsString::from(OsStr::from_bytes(&bytes)))
            .prop_filter("names", |name| !is_hidden(name))
    }

    fn pattern() -> impl Strategy<Value = String> {
        let part = proptest::sample::select(&["*", "**", "a", "a*", "?", "[!a]*", "*a", "0"][..]);
        proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
    }

    fn made(files: &[Vec<OsString>]) -> (tempfile::TempDir, BTreeSet<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let mut made = BTreeSet::new();
        for names in files {
            let path = names.iter().fold(dir.path().to_owned(), |path, name| path.join(name));
            // Where a file stands in the way of a directory, or the reverse, there is one of them.
            if std::fs::create_dir_all(path.parent().unwrap()).is_ok() && std::fs::write(&path, "").is_ok() {
                made.insert(path);
            }
        }
        (dir, made)
    }

    proptest! {
        #[test]
        fn files_come_in_the_order_of_their_whole_paths_each_once(
            files in proptest::collection::vec(proptest::collection::vec(name(), 1..5), 0..30),
            pattern in pattern(),
        ) {
            let (dir, made) = made(&files);
            // What ends with directories stands for what is in them.
            let of_files = if pattern.ends_with("**") { format!("{pattern}/*") } else { pattern.clone() };
            let of_files = Pattern::parse(&of_files).unwrap();
            let matches = |path: &&PathBuf| of_files.could_match(path.strip_prefix(dir.path()).unwrap());
            let sorted: Vec<PathBuf> = made.iter().filter(matches).cloned().collect();
            let walked: Vec<PathBuf> = Pattern::parse(&pattern).unwrap().walk(dir.path()).map(|found| found.unwrap().path).collect();
            prop_assert_eq!(walked, sorted);
        }
    }

    #[test]
    fn a_directory_is_read_when_its_turn_has_come() {
        let (dir, _) = made(&["a", "b"].map(|name| vec![name.into(), "x".into()]));
        for pattern in ["*/*", "**/*", "**", "**/[xy]"] {
            let mut walk = Pattern::parse(pattern).unwrap().walk(dir.path());
            assert_eq!(walk.next().unwrap().unwrap().path, dir.path().join("a/x"), "{pattern}");
            let later = dir.path().join("b/y");
            std::fs::write(&later, "").unwrap();
            let rest: Vec<_> = walk.map(|found| found.unwrap().path).collect();
            assert_eq!(rest, [dir.path().join("b/x"), later.clone()], "{pattern}");
            std::fs::remove_file(later).unwrap();
        }
    }
}
