//! Locking as this program means it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a mutex guards, also after a panic of another holder: all we guard is whole between any two statements.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
