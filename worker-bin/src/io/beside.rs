//! New files beside others: for what is not complete yet, and to see whether something may be written in a place.

use super::made::missing;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A new file in the directory of `path`, for as long as it is not complete.
pub(crate) fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let fresh = path.with_file_name(name);
    // One of a process with this id that died. Nobody's link is followed.
    std::fs::remove_file(&fresh).ok();
    let file = OpenOptions::new().write(true).create_new(true).open(&fresh)?;
    Ok((fresh, file))
}

/// Where a link leads to that is `path`, if nothing is there.
pub(crate) fn dangling(path: &Path) -> Option<PathBuf> {
    let gone = path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    std::fs::read_link(path).ok().filter(|_| gone)
}

/// Why a file can be neither made nor replaced.
#[derive(Debug)]
pub(crate) enum WriteRefused {
    /// Something else is there, such as a directory.
    NoFile(&'static str),
    System(io::Error),
}

/// Whether a file can be made at `path`, or replaced; nothing is left of that.
pub(crate) fn try_writing(path: &Path) -> Result<(), WriteRefused> {
    match path.metadata() {
        Ok(there) if there.is_dir() => return Err(WriteRefused::NoFile("a directory")),
        Ok(there) if !there.is_file() => return Err(WriteRefused::NoFile("a device or a pipe")),
        Ok(_) | Err(_) => {}
    }
    if path.file_name().is_none() {
        return Err(WriteRefused::NoFile("no name of a file"));
    }
    let probe = beside(path).and_then(|(probe, _)| std::fs::remove_file(probe));
    probe.map_err(WriteRefused::System)
}

/// Makes a directory and those above it, and sees with `works` whether it will do; where it does not, nothing is left that
/// was not there before.
pub(crate) fn make_directory(path: &Path, works: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let missing = missing(path);
    let made = std::fs::create_dir_all(path).and_then(|()| works());
    if made.is_err() {
        for directory in missing {
            std::fs::remove_dir(directory).ok();
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_try() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        try_writing(&at("new")).unwrap();
        assert_eq!(names(), 0);
        std::fs::write(at("file"), "kept").unwrap();
        try_writing(&at("file")).unwrap();
        for wrong in
            [at("file/d.jsonl"), at("missing/d.jsonl"), dir.path().to_owned(), "/dev/null".into(), "".into()]
        {
            assert!(try_writing(&wrong).is_err(), "{}", wrong.display());
        }
        assert_eq!((names(), std::fs::read(at("file")).unwrap()), (1, b"kept".to_vec()));

        let refused = || Err(io::ErrorKind::PermissionDenied.into());
        assert!(make_directory(&at("a/b/c"), refused).is_err());
        assert!(make_directory(&at("file/b"), || Ok(())).is_err());
        assert_eq!(names(), 1);
        std::fs::create_dir(at("there")).unwrap();
        assert!(make_directory(&at("there/below"), refused).is_err());
        assert!(at("there").is_dir() && !at("there/below").exists());
        make_directory(&at("x/y"), || Ok(())).unwrap();
        assert!(at("x/y").is_dir());
    }
}
