//! What answers amount to.

use super::answer::{Answer, Emit, Text, decoded};
use super::changes::{push_del, push_put};
use super::fault::ProtocolFault;
use crate::io::framing::Framing;
use bytes::Bytes;
use worker_core::event::DeadLetter;
use worker_core::route::Envelope;
use worker_proto::Batch;

/// What is charged for a held answer beside its bytes.
const HELD_BYTES: u64 = 128;

/// Effects of answers, in the order of their requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    payload: Vec<u8>,
    /// As a [`Batch`] has them.
    ends: Vec<u8>,
    /// One for each record, where keys are wanted.
    keys: Vec<Option<Bytes>>,
    changes: Vec<u8>,
    dead: Vec<DeadLetter>,
    pub(super) records: u64,
}

/// How much there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    payload: usize,
    ends: usize,
    keys: usize,
    changes: usize,
}

/// What an answer must keep to.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// How the emitted records follow one another.
    pub(super) framing: Framing,
    /// Longest emitted record, in bytes without what ends it.
    pub(super) max_record: usize,
    /// Whether somebody reads what is emitted.
    pub(super) is_read: bool,
    /// Whether somebody is partitioned by the emitted keys.
    pub(super) keys_wanted: bool,
}

/// What went out, told to the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Input records that were answered, a contiguous run of them.
    pub records: u64,
    /// What they emitted, in their order.
    pub emitted: Batch,
    /// The key of each emitted record, if asked for; empty otherwise. A string takes its request's key, if there is one.
    pub keys: Vec<Option<Bytes>>,
    /// Changes of state, in order: what [`KeyedState::apply`](super::KeyedState::apply) takes. Empty: none.
    pub changes: Bytes,
    pub dead: Vec<DeadLetter>,
}

impl Answers {
    pub(super) fn none() -> Self {
        Effects::default().take()
    }
}

impl Effects {
    /// Adds what an answer says. `own_key`: the only one it may put and delete; `None`: any. On an error it may be half
    /// added: see [`Effects::cut_back`].
    pub(super) fn add(
        &mut self,
        answer: &Answer<'_>,
        own_key: Option<&[u8]>,
        rules: &Rules,
    ) -> Result<(), ProtocolFault> {
        let id = answer.id;
        for emit in answer.emit.as_slice() {
            self.emit(id, emit, own_key, rules)?;
        }
        let own = |key: &[u8]| match own_key {
            Some(own) if own != key => Err(ProtocolFault::foreign_key(id, key, own)),
            Some(_) | None => Ok(()),
        };
        for (Text(key), value) in answer.put.0.as_slice() {
            own(key)?;
            push_put(&mut self.changes, key, value);
        }
        for (Text(key), value) in answer.put_b64.iter().flat_map(|puts| puts.0.as_slice()) {
            let key = decoded(key, "put_b64").map_err(|why| ProtocolFault::Wrong { id, why })?;
            own(&key)?;
            push_put(&mut self.changes, &key, value);
        }
        for Text(key) in answer.del.as_slice() {
            own(key)?;
            push_del(&mut self.changes, key);
        }
        for Text(key) in answer.del_b64.iter().flatten() {
            let key = decoded(key, "del_b64").map_err(|why| ProtocolFault::Wrong { id, why })?;
            own(&key)?;
            push_del(&mut self.changes, &key);
        }
        Ok(())
    }

    fn emit(
        &mut self,
        id: u64,
        emit: &Emit<'_>,
        own_key: Option<&[u8]>,
        rules: &Rules,
    ) -> Result<(), ProtocolFault> {
        let record = emit.record.as_ref();
        if !rules.is_read {
            return Err(ProtocolFault::NobodyReads { id });
        }
        if record.len() > rules.max_record {
            return Err(ProtocolFault::LongRecord { id, bytes: record.len(), limit: rules.max_record });
        }
        match rules.framing.envelope() {
            Envelope::Terminated(byte) => {
                // What stands in the line as it is has no control characters.
                if matches!(emit.record, std::borrow::Cow::Owned(_)) && memchr::memchr(byte, record).is_some()
                {
                    return Err(ProtocolFault::Terminator { id, byte });
                }
                self.payload.extend_from_slice(record);
                self.payload.push(byte);
            }
            Envelope::Lines | Envelope::Bare | Envelope::Prefixed(_) | Envelope::Varint => {
                let framed = rules.framing.record(record);
                let words = || rules.framing.words();
                let framed = framed.map_err(|why| ProtocolFault::Unframed { id, words: words(), why })?;
                let bytes = framed.len() - usize::from(rules.framing.terminator().is_some());
                if bytes > rules.max_record {
                    return Err(ProtocolFault::LongRecord { id, bytes, limit: rules.max_record });
                }
                self.payload.extend_from_slice(&framed);
            }
        }
        self.push_end();
        if rules.keys_wanted {
            self.keys.push(emit.key.as_deref().or(own_key).map(Bytes::copy_from_slice));
        }
        Ok(())
    }

    /// Adds a record that goes no further.
    pub(super) fn dead_letter(&mut self, letter: DeadLetter) {
        self.dead.push(letter);
    }

    pub(super) fn extent(&self) -> Extent {
        Extent {
            payload: self.payload.len(),
            ends: self.ends.len(),
            keys: self.keys.len(),
            changes: self.changes.len(),
        }
    }

    /// Takes back what [`Effects::add`] added since.
    pub(super) fn cut_back(&mut self, to: Extent) {
        self.payload.truncate(to.payload);
        self.ends.truncate(to.ends);
        self.keys.truncate(to.keys);
        self.changes.truncate(to.changes);
    }

    /// The changes of state since.
    pub(super) fn changes_since(&self, extent: Extent) -> &[u8] {
        &self.changes[extent.changes..]
    }

    pub(super) fn all_changes(&self) -> &[u8] {
        &self.changes
    }

    pub(super) fn append(&mut self, other: Self) {
        let base = self.payload.len();
        self.payload.extend_from_slice(&other.payload);
        for end in other.ends.chunks_exact(size_of::<u32>()) {
            let end = u32::from_le_bytes([end[0], end[1], end[2], end[3]]) as usize + base;
            self.ends.extend_from_slice(&narrow(end).to_le_bytes());
        }
        self.keys.extend(other.keys);
        self.changes.extend_from_slice(&other.changes);
        self.dead.extend(other.dead);
        self.records += other.records;
    }

    /// What it is charged with while it is held, in bytes.
    pub(super) fn cost(&self) -> u64 {
        let letters: usize = self.dead.iter().map(|letter| letter.record.len() + letter.reason.len()).sum();
        let keys: usize = self.keys.iter().flatten().map(|key| key.len() + size_of::<Option<Bytes>>()).sum();
        (self.payload.len() + self.ends.len() + self.changes.len() + letters + keys) as u64 + HELD_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0 && self.ends.is_empty() && self.changes.is_empty() && self.dead.is_empty()
    }

    /// All of it, leaving nothing.
    pub(super) fn take(&mut self) -> Answers {
        // The next round will likely be as large.
        let fresh = Self {
            payload: Vec::with_capacity(self.payload.len()),
            ends: Vec::with_capacity(self.ends.len()),
            ..Self::default()
        };
        let all = std::mem::replace(self, fresh);
        let emitted = Batch::from_parts(all.payload.into(), all.ends.into(), 0);
        Answers {
            records: all.records,
            emitted: emitted.expect("every record was pushed with its terminator and its end"),
            keys: all.keys,
            changes: all.changes.into(),
            dead: all.dead,
        }
    }

    fn push_end(&mut self) {
        self.ends.extend_from_slice(&narrow(self.payload.len()).to_le_bytes());
    }
}

fn narrow(end: usize) -> u32 {
    u32::try_from(end).expect("what is gathered between two takes is bounded far below 4 GiB")
}
