//! The keyed state of one task.

use super::changes::{decode, push_put};
use crate::text::units::number;
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use thiserror::Error;
use worker_journal::Fold;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// About how large the pieces of a checkpoint are, in bytes.
const SNAPSHOT_BYTES: usize = 1 << 20;

/// What an entry is charged beside its key and value, in bytes.
const ENTRY_BYTES: u64 = 64;

/// What a task's program has put under its keys: as of the last commit, and what was answered since.
///
/// A value is JSON as the program wrote it, on one line, and is given back byte for byte. The state for a new child is that
/// of the last commit; with `state = "inline"` the running child is given [`KeyedState::current`] values.
///
/// Marks and snapshots have one form (described in its module): a row of changes. So recovery is [`KeyedState::apply`]
/// of the snapshot's pieces and then of each later commit's changes.
#[derive(Debug)]
pub struct KeyedState {
    task: String,
    bytes_max: u64,
    bytes: u64,
    damaged: bool,
    committed: Map<Short>,
    /// What was answered and not committed, only kept for inline state.
    answered: Map<Answered>,
}

/// The newest answer about a key whose changes are not all committed.
#[derive(Debug, Default)]
struct Answered {
    value: Option<Short>,
    /// Changes answered and not committed: the value alone would not tell, for it may come back to what it was.
    uncommitted: u64,
}

type Map<V> = HashMap<Short, V, BuildHasherDefault<KeyHasher>>;

/// A key or a value. A short one lies in the map itself: each place of memory that is looked at may cost as much as all else that is done
/// for an answer.
type Short = SmallVec<[u8; 16]>;

/// A task's state cannot go on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// It outgrew its budget.
    #[error(
        "the state of {task} takes {bytes} bytes for {entries} keys, more than its budget of {bytes_max}: raise \
         `state_budget`, use more partitions, or let the program `del` keys it is done with",
        bytes = number(*bytes), entries = number(*entries as u64), bytes_max = number(*bytes_max)
    )]
    OverBudget {
        /// `stage/partition`.
        task: String,
        /// What it takes: keys, values and 64 bytes an entry.
        bytes: u64,
        /// How many keys it has.
        entries: usize,
        /// The budget, in bytes.
        bytes_max: u64,
    },
    /// Stored changes are none.
    #[error(
        "a change of the state of {task} cannot be read: its journal is damaged, or of a newer version of the worker"
    )]
    Damaged {
        /// `stage/partition`.
        task: String,
    },
}

impl KeyedState {
    /// The empty state of `task` (`stage/partition`), which may take `bytes_max` bytes: keys, values and 64 an entry.
    #[must_use]
    pub fn new(task: impl Into<String>, bytes_max: u64) -> Self {
        Self {
            task: task.into(),
            bytes_max,
            bytes: 0,
            damaged: false,
            committed: Map::default(),
            answered: Map::default(),
        }
    }

    /// Takes over the changes of a commit, or a piece of a snapshot; [`KeyedState::check`] then says whether that was well.
    pub fn apply(&mut self, changes: &[u8]) {
        for change in decode(changes) {
            match change {
                Some((key, value)) => self.commit(key, value),
                None => self.damaged = true,
            }
        }
    }

    /// Whether the task can go on with it.
    ///
    /// # Errors
    /// [`StateError`]: it cannot.
    pub fn check(&self) -> Result<(), StateError> {
        let task = || self.task.clone();
        if self.damaged {
            return Err(StateError::Damaged { task: task() });
        }
        if self.bytes > self.bytes_max {
            let (bytes, bytes_max) = (self.bytes, self.bytes_max);
            return Err(StateError::OverBudget {
                task: task(),
                bytes,
                entries: self.committed.len(),
                bytes_max,
            });
        }
        Ok(())
    }

    /// The committed value of a key.
    #[must_use]
    pub fn committed(&self, key: &[u8]) -> Option<&[u8]> {
        self.committed.get(key).map(AsRef::as_ref)
    }

    /// The value of a key with all that was answered.
    #[must_use]
    pub fn current(&self, key: &[u8]) -> Option<&[u8]> {
        match self.answered.get(key) {
            Some(answered) => answered.value.as_deref(),
            None => self.committed(key),
        }
    }

    /// All committed keys and values, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.committed.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// The committed state as changes of about `piece_bytes` each, for a checkpoint. Applying all of them to an empty state
    /// gives this one; the order does not matter.
    pub fn snapshot(&self, piece_bytes: usize) -> impl Iterator<Item = Bytes> {
        let mut entries = self.entries();
        std::iter::from_fn(move || {
            let mut piece = Vec::new();
            while piece.len() < piece_bytes.max(1) {
                let Some((key, value)) = entries.next() else { break };
                push_put(&mut piece, key, value);
            }
            (!piece.is_empty()).then(|| piece.into())
        })
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.committed.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// What the committed state is charged with, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets what was answered and not committed: a new child begins.
    pub(super) fn begin_life(&mut self) {
        self.answered.clear();
    }

    /// Keeps an answer's changes until they are committed.
    pub(super) fn answer(&mut self, changes: &[u8]) {
        for (key, value) in decode(changes).flatten() {
            let answered = self.answered.entry(key.into()).or_default();
            answered.value = value.map(Into::into);
            answered.uncommitted += 1;
        }
    }

    fn commit(&mut self, key: &[u8], value: Option<&[u8]>) {
        if !self.answered.is_empty()
            && let Some(answered) = self.answered.get_mut(key)
        {
            answered.uncommitted -= 1;
            if answered.uncommitted == 0 {
                self.answered.remove(key);
            }
        }
        let cost = |value: &[u8]| key.len() as u64 + value.len() as u64 + ENTRY_BYTES;
        let before = match value {
            Some(value) => {
                self.bytes += cost(value);
                match self.committed.get_mut(key) {
                    Some(old) if old.len() == value.len() => {
                        old.copy_from_slice(value);
                        self.bytes -= cost(value);
                        return;
                    }
                    Some(old) => Some(std::mem::replace(old, value.into())),
                    None => self.committed.insert(key.into(), value.into()),
                }
            }
            None => self.committed.remove(key),
        };
        self.bytes -= before.map_or(0, |old| cost(&old));
    }
}

/// As the journal of a task keeps it, shared with the task's program: the journal's thread takes over the changes, when it has
/// appended their commits, and a new child waits for it.
impl Fold for KeyedState {
    fn apply(&mut self, changes: &[u8]) {
        self.apply(changes);
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        self.snapshot(SNAPSHOT_BYTES).for_each(|piece| chunk(&piece));
    }

    fn restore(&mut self, chunk: &[u8]) {
        self.apply(chunk);
    }
}

/// XXH3 of a key: several times as fast as the standard hash. Keys made to collide slow down only their own task.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_usize(&mut self, number: usize) {
        self.0 ^= number as u64;
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::changes::push_del;
    use super::*;
    use crate::mutex::lock;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    fn encoded(changes: &[(&str, Option<&str>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in changes {
            match value {
                Some(value) => push_put(&mut bytes, key.as_bytes(), value.as_bytes()),
                None => push_del(&mut bytes, key.as_bytes()),
            }
        }
        bytes
    }

    fn text(value: Option<&[u8]>) -> Option<&str> {
        value.map(|value| std::str::from_utf8(value).unwrap())
    }

    #[test]
    fn too_much_state_says_what_to_do() {
        let mut state = KeyedState::new("count/0", 2 * (64 + 2));
        state.apply(&encoded(&[("a", Some("1")), ("b", Some("1"))]));
        assert_eq!(state.check(), Ok(()));
        state.apply(&encoded(&[("c", Some("1"))]));
        let error = state.check().unwrap_err().to_string();
        assert!(
            error.contains("count/0") && error.contains("3 keys") && error.contains("`state_budget`"),
            "{error}"
        );
        state.apply(&encoded(&[("c", None)]));
        assert_eq!((state.check(), state.bytes()), (Ok(()), 2 * 66));
    }

    #[test]
    fn inline_values_are_the_newest_until_the_child_dies() {
        let mut state = KeyedState::new("t/0", 1000);
        state.apply(&encoded(&[("a", Some("1"))]));
        state.answer(&encoded(&[("a", Some("2"))]));
        state.answer(&encoded(&[("a", Some("3")), ("b", None)]));
        assert_eq!((text(state.current(b"a")), text(state.current(b"b"))), (Some("3"), None));
        state.apply(&encoded(&[("a", Some("2"))]));
        assert_eq!(text(state.current(b"a")), Some("3"), "a commit that is behind hides nothing newer");
        state.begin_life();
        assert_eq!(text(state.current(b"a")), Some("2"));
    }

    #[test]
    fn a_value_that_comes_back_is_still_the_newest() {
        let mut state = KeyedState::new("t/0", 1000);
        for value in ["1", "0", "1"] {
            state.answer(&encoded(&[("a", Some(value))]));
        }
        for value in ["1", "0", "1"] {
            state.apply(&encoded(&[("a", Some(value))]));
            assert_eq!(text(state.current(b"a")), Some("1"), "the last answer counts until it is committed");
        }
        assert!(state.answered.is_empty());
    }

    #[test]
    fn damaged_changes_are_refused() {
        let mut state = KeyedState::new("t/0", 1000);
        state.apply(&[5, b'a']);
        assert_eq!(state.check(), Err(StateError::Damaged { task: "t/0".into() }));
    }

    #[test]
    fn a_journal_gives_back_what_it_was_told() {
        let new = || Arc::new(Mutex::new(KeyedState::new("t/0", u64::MAX)));
        let (mut kept, mut restored) = (new(), new());
        for n in 0..100_000 {
            Fold::apply(&mut kept, &encoded(&[(&format!("key {}", n % 70_000), Some(&n.to_string()))]));
        }
        let mut pieces = 0;
        kept.snapshot(&mut |piece| {
            assert!(piece.len() < 2 * SNAPSHOT_BYTES);
            pieces += 1;
            restored.restore(piece);
        });
        let (kept, restored) = (lock(&kept), lock(&restored));
        assert!(pieces > 1 && kept.entries().all(|(key, value)| restored.committed(key) == Some(value)));
        assert_eq!((kept.len(), kept.bytes()), (restored.len(), restored.bytes()));
    }

    proptest! {
        #[test]
        fn a_snapshot_gives_the_same_state(
            all in prop::collection::vec(("[a-d]{1,2}", prop::option::of("[0-9]{0,5}")), 0..40),
            piece_bytes in 0usize..30,
        ) {
            let mut state = KeyedState::new("t/0", u64::MAX);
            let mut model = BTreeMap::new();
            for (key, value) in &all {
                state.apply(&encoded(&[(key, value.as_deref())]));
                match value {
                    Some(value) => model.insert(key.clone().into_bytes(), value.clone().into_bytes()),
                    None => model.remove(key.as_bytes()),
                };
            }
            let mut restored = KeyedState::new("t/0", u64::MAX);
            state.snapshot(piece_bytes).for_each(|piece| restored.apply(&piece));
            let entries: BTreeMap<_, _> =
                restored.entries().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            let bytes: usize = model.iter().map(|(key, value)| key.len() + value.len() + 64).sum();
            prop_assert_eq!((entries, restored.bytes()), (model, bytes as u64));
            prop_assert_eq!(state.bytes(), bytes as u64);
        }
    }
}
