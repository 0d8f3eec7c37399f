//! One living process a state directory.

use super::directory::StateError;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// How much of what the holder says about itself is shown, in bytes.
const HOLDER_BYTES_MAX: u64 = 200;

/// Keeps other processes out of a state directory while it exists. The kernel ends it with the process, whatever ends that;
/// children do not inherit it.
#[derive(Debug)]
pub struct Lock {
    /// The open file is the lock.
    _file: File,
}

impl Lock {
    /// The file's name in the directory.
    pub const NAME: &str = "worker.lock";

    /// Locks `directory`, which must exist.
    ///
    /// # Errors
    /// [`StateError::InUse`] names who holds it; [`StateError::Io`].
    pub fn take(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(Self::NAME);
        let failed = StateError::io("lock", &path);
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(&failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Who held it may have removed it with all that it had made.
            Ok(()) if !is_at(&file, &path) => return Self::take(directory),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let directory = directory.to_owned();
                return Err(StateError::InUse { directory, holder: holder(&mut file) });
            }
            Err(error) => return Err(failed(error.into())),
        }
        match write_holder(&file) {
            // On a full disk the lock holds without its words.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {}
            written => written.map_err(failed)?,
        }
        Ok(Self { _file: file })
    }

    /// Who holds the lock of a directory now, in its own words; `None` if nobody does.
    #[must_use]
    pub fn holder(directory: &Path) -> Option<String> {
        let mut file = File::open(directory.join(Self::NAME)).ok()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => Some(holder(&mut file)),
            Ok(()) | Err(_) => None,
        }
    }
}

/// Whether `path` is still the name of `file`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(file), Ok(named)) => (file.dev(), file.ino()) == (named.dev(), named.ino()),
        (Err(_), _) => true,
        (Ok(_), Err(error)) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn holder(file: &mut File) -> String {
    let mut text = Vec::new();
    // Without its words it is still somebody.
    file.take(HOLDER_BYTES_MAX).read_to_end(&mut text).ok();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { "another process".to_owned() } else { line.to_owned() }
}

fn write_holder(file: &File) -> io::Result<()> {
    // In place: on a full disk the room of the words before is all there is.
    let words = format!("process {}\n", std::process::id());
    file.write_all_at(words.as_bytes(), 0)?;
    file.set_len(words.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_directory_has_one_holder_who_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Lock::holder(directory.path()), None);
        let lock = Lock::take(directory.path()).unwrap();
        let me = format!("process {}", std::process::id());
        let refused = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(refused.contains(&me) && refused.contains("of its own"), "{refused}");
        assert_eq!(Lock::holder(directory.path()), Some(me));
        drop(lock);
        // Another test may just be starting a process, which has the open file until it is another program.
        let until = Instant::now() + Duration::from_secs(10);
        while let Err(error) = Lock::take(directory.path()) {
            assert!(Instant::now() < until, "{error}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_said() {
        let error = Lock::take(Path::new("/nonexistent/x")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/x/worker.lock"), "{error}");
    }
}
