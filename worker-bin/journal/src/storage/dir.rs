//! A directory as storage.

use super::{Storage, StorageError, StorageFile};
use crate::fault;
use rustix::fs::{CWD, FallocateFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As many parts as one system call takes.
const PARTS_MAX: usize = 1024;

/// A directory of its own for the files, mode 0700.
#[derive(Debug)]
pub struct DirStorage {
    path: PathBuf,
    names: DirFile,
}

/// A file of a [`DirStorage`].
#[derive(Clone, Debug)]
pub struct DirFile {
    file: Arc<File>,
    path: Arc<Path>,
    /// Its data alone would not have the names in it.
    is_directory: bool,
}

impl DirStorage {
    /// The directory at `path`, made durably if it is missing.
    ///
    /// # Errors
    /// [`StorageError`]: it cannot be made or read.
    pub fn new(path: &Path) -> Result<Self, StorageError> {
        let made = fault::around("journal.mkdir", || DirBuilder::new().mode(0o700).create(path));
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(StorageError::new("make the directory", path.display(), error));
        }
        // Also if it was there: the process that made it may have died before this.
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)
            .and_then(|parent| fault::around("journal.syncdir", || parent.sync_all()))
            .map_err(|e| StorageError::new("sync", parent.display(), e))?;
        Self::existing(path)
    }

    /// The directory at `path`, which must exist; nothing is changed.
    ///
    /// # Errors
    /// [`StorageError`]: it is not there or cannot be read.
    pub fn existing(path: &Path) -> Result<Self, StorageError> {
        let names = File::open(path).map_err(|e| StorageError::new("open", path.display(), e))?;
        let names = DirFile { file: Arc::new(names), path: path.into(), is_directory: true };
        Ok(Self { path: path.to_owned(), names })
    }

    fn opened(&self, name: &str, write: bool) -> Result<DirFile, StorageError> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(write).open(&path);
        let file = file.map_err(|e| StorageError::new("open", path.display(), e))?;
        Ok(DirFile { file: Arc::new(file), path: path.into(), is_directory: false })
    }
}

impl Storage for DirStorage {
    type File = DirFile;

    fn list(&self) -> Result<Vec<String>, StorageError> {
        let entries = std::fs::read_dir(&self.path)
            .and_then(|entries| entries.map(|e| e.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>());
        let entries = entries.map_err(|e| StorageError::new("list", self.path.display(), e))?;
        Ok(entries.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    fn create(&self, name: &str, bytes: u64) -> Result<DirFile, StorageError> {
        let path = self.path.join(name);
        let failed = |e| StorageError::new("create", path.display(), e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = fault::around("journal.create", || options.open(&path))
            .and_then(|file| fault::around("journal.allocate", || allocate(&file, bytes)).map(|()| file));
        if file.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::AlreadyExists) {
            // A file without its room is of no use; if it stays, its contents say so.
            std::fs::remove_file(&path).ok();
        }
        Ok(DirFile { file: Arc::new(file.map_err(failed)?), path: path.into(), is_directory: false })
    }

    fn open(&self, name: &str) -> Result<DirFile, StorageError> {
        self.opened(name, true)
    }

    fn open_read_only(&self, name: &str) -> Result<DirFile, StorageError> {
        self.opened(name, false)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        let renamed = fault::around("journal.rename", || {
            match rustix::fs::renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
                // A file system without this flag: a hard link fails on a name that is taken, too.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    std::fs::hard_link(&from, &to).and_then(|()| std::fs::remove_file(&from))
                }
                other => other.map_err(io::Error::from),
            }
        });
        renamed.map_err(|e| StorageError::new("rename a file to", to.display(), e))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let path = self.path.join(name);
        fault::around("journal.unlink", || std::fs::remove_file(&path))
            .map_err(|e| StorageError::new("remove", path.display(), e))
    }

    fn names(&self) -> DirFile {
        self.names.clone()
    }

    fn describe(&self) -> String {
        self.path.display().to_string()
    }
}

impl StorageFile for DirFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<(), StorageError> {
        fault::around("journal.write", || {
            if let (Some(first), true) = (parts.first(), fault::is_short("journal.write")) {
                write_all(&self.file, &[IoSlice::new(&first[..first.len() / 2])], offset)?;
                return Err(fault::no_room());
            }
            let mut at = offset;
            for some in parts.chunks(PARTS_MAX) {
                at += write_all(&self.file, some, at)?;
            }
            Ok(())
        })
        .map_err(|e| StorageError::new("write", self.path.display(), e))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(StorageError::new("read", self.path.display(), e)),
            }
        }
        Ok(done)
    }

    fn sync(&self) -> Result<(), StorageError> {
        // Whatever the reason: what the disk has now is not known, so that this is never worth trying again.
        let failed =
            |source| StorageError::Io { what: "sync", path: self.path.display().to_string(), source };
        let sync = || if self.is_directory { self.file.sync_all() } else { self.file.sync_data() };
        fault::around("journal.sync", sync).map_err(failed)
    }

    fn bytes(&self) -> Result<u64, StorageError> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(|e| StorageError::new("read the size of", self.path.display(), e))?.len())
    }

    fn shrink(&self, bytes: u64) -> Result<(), StorageError> {
        self.file.set_len(bytes).map_err(|e| StorageError::new("cut", self.path.display(), e))
    }

    fn is_only_handle(&self) -> bool {
        Arc::strong_count(&self.file) == 1
    }
}

/// Reserves room, so that later writes need none; file systems that cannot are not asked to.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    loop {
        return match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::INTR) => continue,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes),
            other => other.map_err(io::Error::from),
        };
    }
}

fn write_all(file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<u64> {
    let total: usize = parts.iter().map(|p| p.len()).sum();
    let mut written = 0;
    while written < total {
        let n = if written == 0 {
            rustix::io::pwritev(file, parts, offset)
        } else {
            rustix::io::pwrite(file, rest(parts, written), offset + written as u64)
        };
        match n {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(written as u64)
}

/// What is left of the part that byte `done` lies in.
fn rest<'a>(parts: &'a [IoSlice<'_>], mut done: usize) -> &'a [u8] {
    for part in parts {
        if done < part.len() {
            return &part[done..];
        }
        done -= part.len();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_written_in_parts_read_renamed_and_removed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("task");
        let storage = DirStorage::new(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let file = storage.create("a", 4096).unwrap();
        assert_eq!(file.bytes().unwrap(), 4096);
        let bytes: Vec<u8> = (0..3000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let parts: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
        file.write_at(&parts, 5000).unwrap();
        file.sync().unwrap();
        storage.names().sync().unwrap();
        let mut read = vec![0; 4000];
        assert_eq!(file.read_at(&mut read, 5000).unwrap(), 3000);
        assert_eq!(read[..3000], bytes);

        assert!(matches!(storage.create("a", 1), Err(StorageError::Exists { .. })));
        storage.create("b", 1).unwrap();
        assert!(matches!(storage.rename("a", "b"), Err(StorageError::Exists { .. })));
        storage.rename("a", "c").unwrap();
        storage.remove("b").unwrap();
        assert_eq!(storage.list().unwrap(), ["c"]);
        assert!(file.is_only_handle());
        let other = file.clone();
        assert!(!file.is_only_handle());
        drop(other);
    }

    #[test]
    fn errors_name_the_file() {
        let storage = DirStorage::new(&tempfile::tempdir().unwrap().keep()).unwrap();
        let error = storage.open("none").unwrap_err().to_string();
        assert!(error.contains("/none") && error.starts_with("cannot open"), "{error}");
        std::fs::remove_dir(storage.describe()).unwrap();
    }
}
