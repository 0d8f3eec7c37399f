//! What the positions of commits add up to.

use bytes::Bytes;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sum of a task's positions ([`Commit::position`](worker_core::event::Commit::position)), as checkpoints keep it.
///
/// After `restore` of every chunk that `snapshot` gave, in order, it must be what it was then; `apply` goes on from there.
pub trait Fold: fmt::Debug + Send {
    /// Adds the next position.
    fn apply(&mut self, position: &[u8]);

    /// Gives the whole sum in chunks; each becomes one record, so they should have about a mebibyte.
    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8]));

    /// Takes the next chunk of a snapshot.
    fn restore(&mut self, chunk: &[u8]);

    /// What [`TaskState::position`](worker_core::recovery::TaskState::position) becomes.
    fn position(&self) -> Option<Bytes> {
        None
    }
}

/// Of a source or sink the newest position counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestPosition(Option<Bytes>);

impl Fold for NewestPosition {
    fn apply(&mut self, position: &[u8]) {
        self.0 = Some(Bytes::copy_from_slice(position));
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        if let Some(position) = &self.0 {
            chunk(position);
        }
    }

    fn restore(&mut self, chunk: &[u8]) {
        self.apply(chunk);
    }

    fn position(&self) -> Option<Bytes> {
        self.0.clone()
    }
}

impl<F: Fold + ?Sized> Fold for Box<F> {
    fn apply(&mut self, position: &[u8]) {
        (**self).apply(position);
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        (**self).snapshot(chunk);
    }

    fn restore(&mut self, chunk: &[u8]) {
        (**self).restore(chunk);
    }

    fn position(&self) -> Option<Bytes> {
        (**self).position()
    }
}

/// A sum that others look at, too.
impl<F: Fold> Fold for Arc<Mutex<F>> {
    fn apply(&mut self, position: &[u8]) {
        lock(self).apply(position);
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        lock(self).snapshot(chunk);
    }

    fn restore(&mut self, chunk: &[u8]) {
        lock(self).restore(chunk);
    }

    fn position(&self) -> Option<Bytes> {
        lock(self).position()
    }
}

/// After a panic of another holder the sum is still what it was told.
fn lock<F>(sum: &Mutex<F>) -> MutexGuard<'_, F> {
    sum.lock().unwrap_or_else(PoisonError::into_inner)
}
