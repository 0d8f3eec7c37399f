//! What is made before it is known whether a run begins.

use std::io;
use std::path::{Path, PathBuf};

/// Files and directories that were not there before: removed again when this is dropped, as far as nothing is in them, unless they
/// are [kept](Made::keep).
#[derive(Debug, Default)]
pub struct Made {
    files: Vec<PathBuf>,
    /// From the innermost.
    directories: Vec<PathBuf>,
}

impl Made {
    /// Makes the directories that `path` is in.
    pub(crate) fn directories_of(path: &Path) -> io::Result<Self> {
        let Some(parent) = path.parent() else { return Ok(Self::default()) };
        let made = Self { files: Vec::new(), directories: missing(parent) };
        std::fs::create_dir_all(parent)?;
        Ok(made)
    }

    /// With a file that was made in them.
    pub(crate) fn and_file(mut self, path: &Path) -> Self {
        self.files.push(path.to_owned());
        self
    }

    /// With what was made after it.
    pub(crate) fn add(&mut self, mut later: Self) {
        self.files.append(&mut later.files);
        later.directories.append(&mut self.directories);
        self.directories = std::mem::take(&mut later.directories);
    }

    /// The run begins.
    pub fn keep(&mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed is empty and no harm.
        for file in self.files.drain(..).filter(|file| file.metadata().is_ok_and(|m| m.len() == 0)) {
            std::fs::remove_file(file).ok();
        }
        for directory in self.directories.drain(..) {
            std::fs::remove_dir(directory).ok();
        }
    }
}

/// Which of `directory` and those above it are not there, from the innermost.
pub(crate) fn missing(directory: &Path) -> Vec<PathBuf> {
    let above = directory.ancestors().filter(|above| !above.as_os_str().is_empty());
    above.take_while(|above| above.symlink_metadata().is_err()).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_again_unless_it_is_kept_or_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        let make = || {
            let made = Made::directories_of(&path).unwrap().and_file(&path);
            std::fs::write(&path, "").unwrap();
            made
        };
        drop(make());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let used = make();
        std::fs::write(&path, "x").unwrap();
        drop(used);
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        drop(make());
        assert!(path.parent().unwrap().is_dir(), "it was there before");
        std::fs::remove_dir_all(dir.path().join("a")).unwrap();
        make().keep();
        assert!(path.is_file());
    }

    #[test]
    fn of_several_files_the_directories_go_last_and_from_the_innermost() {
        let dir = tempfile::tempdir().unwrap();
        let mut all = Made::default();
        for name in ["a/one", "a/two", "a/b/three"] {
            let path = dir.path().join(name);
            all.add(Made::directories_of(&path).unwrap().and_file(&path));
            std::fs::write(&path, "").unwrap();
        }
        drop(all);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
