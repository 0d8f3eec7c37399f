//! Whether an error comes of a disk that is full, so that it is worth waiting for room.

use crate::io::dead::DeadLogError;
use crate::io::sink::SinkError;
use std::error::Error;
use std::io;
use worker_journal::{StateError, StorageError};

/// A disk or quota that has no room. A sync that fails is never that: what the disk has then is not known, and the process must end.
pub(crate) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if is_sync(error) {
            return false;
        }
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_sync(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(StorageError::Io { what: "sync", .. }))
        || matches!(error.downcast_ref(), Some(StateError::Io { what: "sync the directory", .. }))
        || matches!(error.downcast_ref(), Some(SinkError::Sync { .. }))
        || matches!(error.downcast_ref(), Some(DeadLogError::Sync { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::DurableError;
    use std::path::Path;
    use worker_journal::JournalError;

    fn no_room() -> io::Error {
        io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
    }

    #[test]
    fn a_full_disk_is_known_through_every_layer_and_a_failed_sync_is_none() {
        let write = StorageError::Full { what: "write", path: "x".to_owned(), source: no_room() };
        assert!(is_full(&DurableError::Journal(JournalError::Storage(write))));
        let state = StateError::io("write", Path::new("x"))(no_room());
        assert!(is_full(&DurableError::State(state)));
        let sync = StateError::io("sync the directory", Path::new("x"))(no_room());
        assert!(!is_full(&DurableError::State(sync)));
        let sync = || StorageError::Io { what: "sync", path: "x".to_owned(), source: no_room() };
        assert!(!is_full(&DurableError::Journal(JournalError::Storage(sync()))));
        assert!(!is_full(&DurableError::Storage(sync())));
        let path = "x".into();
        assert!(!is_full(&DurableError::Dead(DeadLogError::Sync { path, source: no_room() })));
        assert!(!is_full(&io::Error::other("broken")));
    }
}
