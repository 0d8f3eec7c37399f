//! The buffers that chunks of records are read into, used again and again: the pages of a fresh one have to be cleared, and are in no
//! processor's cache.
//!
//! Limit: [`FREE_BYTES_MAX`] are kept for the next chunks. Who has nothing to do gives them back with [`release`].

use crate::mutex::lock;
use bytes::Bytes;
use std::sync::Mutex;

/// The size of all of them, in bytes.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

/// How much is kept at most, in bytes.
const FREE_BYTES_MAX: usize = 24 << 20;

/// The one used last, which may be in a cache yet, is the next to be used. It is one for all tasks, as theirs is the memory: what a source
/// has read is free when a program was given it.
static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty buffer with room for [`BUFFER_BYTES`].
pub(crate) fn take() -> Vec<u8> {
    lock(&FREE).pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
}

/// What was written to a buffer, which is taken again when nobody needs that any more. Any other memory is only freed.
pub(crate) fn filled(buffer: Vec<u8>) -> Bytes {
    if buffer.capacity() == BUFFER_BYTES { Bytes::from_owner(Lent(buffer)) } else { Bytes::from(buffer) }
}

/// Gives a buffer back that nothing of is needed.
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == BUFFER_BYTES {
        buffer.clear();
        let mut free = lock(&FREE);
        if free.len() < FREE_BYTES_MAX / BUFFER_BYTES {
            free.push(buffer);
        }
    }
}

/// Frees what is kept for chunks to come.
pub(crate) fn release() {
    drop(std::mem::take(&mut *lock(&FREE)));
}

/// A buffer with something in it.
#[derive(Debug)]
struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests of this process take and give back, too: what they do may hide a mistake here, never make one.
    #[test]
    fn a_buffer_is_not_used_again_while_a_part_of_it_is_needed() {
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend_from_slice(b"kept|free");
        let at = buffer.as_ptr();
        let all = filled(buffer);
        let kept = all.slice(0..4);
        drop(all);
        let others: Vec<_> = (0..200).map(|_| take()).collect();
        assert!(others.iter().all(|other| other.as_ptr() != at && other.is_empty()));
        assert_eq!(kept, &b"kept"[..]);
        others.into_iter().for_each(give_back);
        assert!(lock(&FREE).len() <= FREE_BYTES_MAX / BUFFER_BYTES);
    }

    #[test]
    fn what_is_of_another_size_is_not_kept() {
        let bytes = filled(b"small".to_vec());
        assert_eq!(bytes, &b"small"[..]);
        drop(bytes);
        give_back(vec![0; 2 * BUFFER_BYTES]);
        assert!(lock(&FREE).iter().all(|buffer| buffer.capacity() == BUFFER_BYTES && buffer.is_empty()));
    }
}
