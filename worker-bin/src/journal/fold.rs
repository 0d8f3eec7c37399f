//! What the marks of commits add up to.

use bytes::Bytes;
use std::fmt;

/// The sum of a task's marks ([`Commit::mark`](worker_core::event::Commit::mark)), as checkpoints keep it.
///
/// After `restore` of every chunk that `snapshot` gave, in order, it must be what it was then; `apply` goes on from there.
pub trait Fold: fmt::Debug + Send {
    /// Adds the next mark.
    fn apply(&mut self, mark: &[u8]);

    /// Gives the whole sum in chunks; each becomes one record, so they should have about a mebibyte.
    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8]));

    /// Takes the next chunk of a snapshot.
    fn restore(&mut self, chunk: &[u8]);

    /// What [`TaskState::mark`](worker_core::recovery::TaskState::mark) becomes.
    fn mark(&self) -> Option<Bytes> {
        None
    }
}

/// Of a source or sink the newest mark counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestMark(Option<Bytes>);

impl Fold for NewestMark {
    fn apply(&mut self, mark: &[u8]) {
        self.0 = Some(Bytes::copy_from_slice(mark));
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        if let Some(mark) = &self.0 {
            chunk(mark);
        }
    }

    fn restore(&mut self, chunk: &[u8]) {
        self.apply(chunk);
    }

    fn mark(&self) -> Option<Bytes> {
        self.0.clone()
    }
}

impl<F: Fold + ?Sized> Fold for Box<F> {
    fn apply(&mut self, mark: &[u8]) {
        (**self).apply(mark);
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        (**self).snapshot(chunk);
    }

    fn restore(&mut self, chunk: &[u8]) {
        (**self).restore(chunk);
    }

    fn mark(&self) -> Option<Bytes> {
        (**self).mark()
    }
}
