//! Files and directories that are on stable storage when a call returns.
//!
//! Every step passes a [fault point](crate::fault) named after `what`: `WHAT.open`, `WHAT.write`, `WHAT.sync`, `WHAT.rename`,
//! `WHAT.directory`.

use crate::descriptors;
use crate::fault;
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Gives the file `path` the content `bytes`, whole or not at all: readable by its owner only, put in place by a rename.
///
/// # Errors
/// What the system says; the old file, if there was one, is then still there or has been replaced whole.
pub fn replace_file(path: &Path, bytes: &[u8], what: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE_MODE);
    let mut open = || fault::around(&format!("{what}.open"), || options.open(&fresh));
    let mut file = descriptors::patiently("write a file of the state", &mut open)?;
    fault::around(&format!("{what}.write"), || file.write_all(bytes))?;
    fault::around(&format!("{what}.sync"), || file.sync_all())?;
    fault::around(&format!("{what}.rename"), || std::fs::rename(&fresh, path))?;
    sync_directory(parent(path), what)
}

/// Makes the directory `path`, open to its owner only, if there is none; the one it is in must exist.
///
/// # Errors
/// What the system says.
pub fn make_directory(path: &Path, what: &str) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result?,
    }
    // Also if it was there: the process that made it may have died before this.
    sync_directory(parent(path), what)
}

/// Makes the names in the directory `path` durable: what was created, renamed or removed in it.
///
/// # Errors
/// What the system says.
pub fn sync_directory(path: &Path, what: &str) -> io::Result<()> {
    fault::around(&format!("{what}.directory"), || sync(&descriptors::open(path)?))
}

/// Makes `path`'s directory durable, and those above it as far as they may be opened.
///
/// # Errors
/// What the system says.
pub(super) fn sync_directories_of(path: &Path, what: &str) -> io::Result<()> {
    sync_directory(parent(path), what)?;
    for above in path.ancestors().skip(2) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match File::open(above) {
            Ok(directory) => sync(&directory)?,
            // A directory that we may not open is not one that this process has made.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The directory that `path` is in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

fn sync(directory: &File) -> io::Result<()> {
    match rustix::fs::fsync(directory) {
        // Some file systems have nothing to sync for a directory.
        Err(Errno::INVAL | Errno::ROFS) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        for content in ["first, and long", "second"] {
            replace_file(&path, content.as_bytes(), "test").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_directory_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub");
        make_directory(&path, "test").unwrap();
        make_directory(&path, "test").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(make_directory(&dir.path().join("file"), "test").is_err());
    }

    #[test]
    fn relative_names_are_in_the_current_directory() {
        assert_eq!(parent(Path::new("out")), Path::new("."));
        assert_eq!(parent(Path::new("/out")), Path::new("/"));
        assert_eq!(parent(Path::new("a/out")), Path::new("a"));
        sync_directories_of(Path::new("src/out"), "test").unwrap();
    }
}
