//! Which requests share a key.

use super::state::KeyHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use xxhash_rust::xxh3::xxh3_64;

type Map<V> = HashMap<u64, V, BuildHasherDefault<KeyHasher>>;

/// A key, as far as order goes: two that collide (one pair in 2⁶⁴) are kept in order like one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyHash(u64);

impl KeyHash {
    pub(super) fn of(key: &[u8]) -> Self {
        Self(xxh3_64(key))
    }
}

/// The newest unanswered request of each key. Kept only for children that answer out of order.
#[derive(Debug, Default)]
pub(super) struct KeyOrder(Map<u64>);

impl KeyOrder {
    /// Takes a request; gives the one before it of the same key, 0 if there is none.
    pub(super) fn ask(&mut self, key: KeyHash, id: u64) -> u64 {
        self.0.insert(key.0, id).unwrap_or(0)
    }

    pub(super) fn answer(&mut self, key: KeyHash, id: u64) {
        if self.0.get(&key.0) == Some(&id) {
            self.0.remove(&key.0);
        }
    }
}

/// The keys with a request in flight, and the requests that wait for their key.
#[derive(Debug, Default)]
pub(super) struct OnePerKey {
    busy: Map<VecDeque<u64>>,
    /// How many wait for their key.
    pub(super) waiting: usize,
    /// May be written now.
    pub(super) free: VecDeque<u64>,
}

impl OnePerKey {
    /// Takes a request, which is free if its key is.
    pub(super) fn ask(&mut self, key: KeyHash, id: u64) {
        match self.busy.get_mut(&key.0) {
            Some(waiting) => {
                waiting.push_back(id);
                self.waiting += 1;
            }
            None => {
                self.busy.insert(key.0, VecDeque::new());
                self.free.push_back(id);
            }
        }
    }

    /// The key's request was answered: the next one is free.
    pub(super) fn answer(&mut self, key: KeyHash) {
        match self.busy.get_mut(&key.0).and_then(VecDeque::pop_front) {
            Some(next) => {
                self.free.push_back(next);
                self.waiting -= 1;
            }
            None => {
                self.busy.remove(&key.0);
            }
        }
    }
}
