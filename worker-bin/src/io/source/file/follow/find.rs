//! The files that match now.

use super::super::Pattern;
use super::super::paths::{AllMatches, outside};
use super::known::FileKey;
use crate::io::identity::FileId;
use crate::io::source::{SourceError, Written};
use crate::text::pathname;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// When something was written last, in seconds and nanoseconds.
pub(super) type Modified = (i64, i64);

/// A file that is there.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    pub(super) key: FileKey,
    pub(super) length: u64,
    pub(super) modified: Modified,
}

impl Seen {
    pub(super) fn of(path: &Path, metadata: &Metadata) -> Self {
        Self {
            path: path.to_owned(),
            key: FileKey::of(metadata),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    pub(super) fn at(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        metadata.is_file().then(|| Self::of(path, &metadata))
    }

    /// The file, if it is still there; nothing if another is.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        // What is a named pipe by now is not waited for.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        let file = match crate::descriptors::patiently("open a file", || options.open(&self.path)) {
            Err(error) if is_gone(&error) => return Ok(None),
            file => file?,
        };
        let is_it = FileKey::of(&file.metadata()?) == self.key;
        Ok(Some(file).filter(|_| is_it))
    }
}

/// What to look for, and where.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) base: PathBuf,
    patterns: Vec<String>,
    /// The state directory, none of whose files is input.
    own: Option<PathBuf>,
    pub(super) written: Arc<Written>,
    /// What was said of paths that cannot be read.
    said: HashSet<PathBuf>,
    /// The first look, at the start of the run, takes nothing as it comes.
    is_first: bool,
}

/// The files that were found, and the directories in which more may appear.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<Seen>,
    pub(super) directories: BTreeSet<PathBuf>,
}

impl Finder {
    pub(super) fn new(base: &Path, patterns: &[String], own: Option<PathBuf>) -> Self {
        let (base, patterns) = (base.to_owned(), patterns.to_owned());
        Self { base, patterns, own, written: Arc::default(), said: HashSet::new(), is_first: true }
    }

    /// `None`: a place cannot be looked into for now, so nobody knows.
    ///
    /// # Errors
    /// At the first look what cannot be followed; later a file that a sink writes.
    pub(super) fn find(&mut self) -> Result<Option<Found>, SourceError> {
        let is_first = std::mem::take(&mut self.is_first);
        let paths = match self.paths() {
            Err(error) if !is_first => {
                self.say_once(&self.base.clone(), &error.to_string());
                return Ok(None);
            }
            paths => paths?,
        };
        let mut found = Found { files: Vec::new(), directories: self.roots() };
        for path in paths {
            found.files.extend(self.look(&path, is_first)?);
            self.add_directories(&path, &mut found.directories);
        }
        Ok(Some(found))
    }

    /// Whether a change at `path` may be one of what is looked for.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        let matches = |pattern: &String| {
            let pattern = self.base.join(pattern);
            let parsed = pattern.to_str().and_then(|pattern| Pattern::parse(pattern).ok());
            pattern == path || parsed.is_none_or(|pattern| pattern.could_match(path))
        };
        // Below other directories are files that links lead to.
        !self.fixed().any(|fixed| path.starts_with(fixed)) || self.patterns.iter().any(matches)
    }

    fn paths(&self) -> Result<Vec<PathBuf>, SourceError> {
        let mut matches = AllMatches::so_far(&self.base, &self.patterns)?;
        match &self.own {
            Some(own) => outside(matches, own),
            None => matches.try_fold(Vec::new(), |mut paths, found| {
                paths.push(found?.path);
                Ok(paths)
            }),
        }
    }

    fn look(&mut self, path: &Path, is_first: bool) -> Result<Option<Seen>, SourceError> {
        let metadata = path.metadata();
        self.judge(path, metadata, is_first)
    }

    /// What to make of a path where there was something; it may be gone at any step, at the first look, too.
    fn judge(
        &mut self,
        path: &Path,
        there: io::Result<Metadata>,
        is_first: bool,
    ) -> Result<Option<Seen>, SourceError> {
        let metadata = match there {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable(path, error, is_first),
        };
        if let Some(sink) = self.written.get(&FileId::of(&metadata)) {
            return Err(SourceError::Written { path: path.to_owned(), sink: sink.clone() });
        }
        if !metadata.is_file() {
            if is_first {
                return Err(match metadata.is_dir() {
                    true => SourceError::Directory { path: path.to_owned() },
                    false => SourceError::NotFollowed { path: path.to_owned() },
                });
            }
            self.say_once(path, "it is no regular file, and only those are followed");
            return Ok(None);
        }
        if let Err(error) = rustix::fs::access(path, rustix::fs::Access::READ_OK) {
            return self.unreadable(path, error.into(), is_first);
        }
        self.said.remove(path);
        Ok(Some(Seen::of(path, &metadata)))
    }

    fn unreadable(
        &mut self,
        path: &Path,
        error: io::Error,
        is_first: bool,
    ) -> Result<Option<Seen>, SourceError> {
        if is_gone(&error) {
            return Ok(None);
        }
        if is_first {
            return Err(SourceError::Open { path: path.to_owned(), source: error });
        }
        self.say_once(path, &error.to_string());
        Ok(None)
    }

    fn say_once(&mut self, path: &Path, why: &str) {
        if self.said.insert(path.to_owned()) {
            tracing::warn!(
                "{} is not read for now: {why}; it is tried again until that works",
                path.display()
            );
        }
    }

    /// The directories that the patterns begin with, or as much of them as there is.
    pub(super) fn roots(&self) -> BTreeSet<PathBuf> {
        let there = |mut root: PathBuf| {
            while !root.is_dir() && root.pop() {}
            if root.as_os_str().is_empty() { PathBuf::from(".") } else { root }
        };
        self.fixed().map(there).collect()
    }

    /// As much of each pattern as is one directory, with what it is relative to.
    fn fixed(&self) -> impl Iterator<Item = PathBuf> {
        self.patterns.iter().map(|pattern| {
            let parts: Vec<_> = Path::new(pattern).components().collect();
            let is_magic = |part: &Component<'_>| part.as_os_str().to_str().is_some_and(Pattern::is_magic);
            let directories = &parts[..parts.len().saturating_sub(1)];
            let fixed = directories.iter().take_while(|part| !is_magic(part));
            let named =
                |part: &Component<'_>| part.as_os_str().to_str().map_or_else(PathBuf::new, pathname::to_path);
            fixed.fold(self.base.clone(), |fixed, part| fixed.join(named(part)))
        })
    }

    /// The directory of a file, and those on the way to it; where it is a link, that of the file, too.
    fn add_directories(&self, path: &Path, directories: &mut BTreeSet<PathBuf>) {
        let fixed: Vec<PathBuf> = self.fixed().collect();
        let is_below = |directory: &&Path| fixed.iter().any(|fixed| directory.starts_with(fixed));
        for directory in path.ancestors().skip(1).take_while(is_below) {
            let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            if !directories.insert(directory.to_owned()) {
                break;
            }
        }
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
            && let Some(directory) = path.canonicalize().ok().as_deref().and_then(Path::parent)
        {
            directories.insert(directory.to_owned());
        }
    }

    /// Whether directories may appear that nobody watches yet.
    pub(super) fn has_many_directories(&self) -> bool {
        let is_one = |(fixed, pattern): (PathBuf, &String)| {
            fixed.is_dir() && self.base.join(pathname::to_path(pattern)).parent() == Some(fixed.as_path())
        };
        !self.fixed().zip(&self.patterns).all(is_one)
    }
}

/// Where files are by now that have left the path they had: in the same directory, by another name.
#[derive(Debug, Default)]
pub(super) struct Renamed(BTreeMap<PathBuf, BTreeMap<u64, Vec<PathBuf>>>);

impl Renamed {
    pub(super) fn find(&mut self, path: &Path, key: FileKey) -> Option<Seen> {
        let is_it = |seen: &Seen| seen.key.may_be(key);
        if let Some(seen) = Seen::at(path).filter(is_it) {
            return Some(seen);
        }
        let parent = path.parent()?;
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let listed = self.0.entry(parent.to_owned()).or_insert_with(|| list(parent));
        listed.get(&key.inode)?.iter().find_map(|path| Seen::at(path).filter(is_it))
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn list(directory: &Path) -> BTreeMap<u64, Vec<PathBuf>> {
    let mut files: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        files.entry(entry.ino()).or_default().push(entry.path());
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_between_two_steps_of_the_first_look_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        std::fs::write(&path, "a line\n").unwrap();
        let mut finder = Finder::new(dir.path(), &["app.log*".to_owned()], None);
        let metadata = path.metadata();
        assert!(finder.judge(&path, path.metadata(), true).unwrap().is_some());
        std::fs::rename(&path, dir.path().join("app.log.1")).unwrap();
        assert!(finder.judge(&path, metadata, true).unwrap().is_none());
        let below = dir.path().join("app.log.1/x");
        assert!(finder.judge(&below, below.metadata(), true).unwrap().is_none());
    }
}
