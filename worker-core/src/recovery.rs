//! What a task's journal gives back to its next life.

use crate::event::{Attempt, Headers, Turn};
use bytes::Bytes;
use std::collections::BTreeMap;
use worker_proto::{Epoch, JournalId, LinkId, Seq};

/// Everything a task needs to go on: the sum of its durable commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// The life that begins; durable before the node is made.
    pub epoch: Epoch,
    /// Identifies the journal.
    pub journal: JournalId,
    /// Number of the last commit.
    pub commits: u64,
    /// Where each input link stands that was ever opened.
    pub inputs: BTreeMap<LinkId, InputState>,
    /// Where each output link stands that ever had a tuple or an end.
    pub outputs: BTreeMap<LinkId, OutputState>,
    /// The task's end is committed.
    pub ended: bool,
    /// The newest position of a source or sink.
    pub position: Option<Bytes>,
    /// Dead letters committed.
    pub dead: u64,
    /// The stream window that is under way.
    pub window: Option<WindowState>,
    /// Windows begun.
    pub windows: u64,
    /// What was noted as in flight and not settled by a commit.
    pub attempt: Attempt,
    /// Where it was in the order of the source, if its links are kept in order.
    pub turn: Option<Box<Turn>>,
    /// Headers of what it reads and gives.
    pub headers: Headers,
}

/// One input link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputState {
    /// Highest life of the sending task that was heard of.
    pub epoch: Epoch,
    /// The sending task's journal.
    pub journal: JournalId,
    /// Done through; the end has a number too.
    pub through: Seq,
    /// The end is covered.
    pub ended: bool,
}

/// One output link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputState {
    /// Number of the next tuple; behind the end, if there is one.
    pub next: Seq,
    /// Everything through here is acknowledged.
    pub through: Seq,
    /// The end's number.
    pub end: Option<Seq>,
    /// Tuples that are not acknowledged, in order, without gaps; the first may reach back before `through`.
    pub held: Vec<HeldOutput>,
}

/// Consecutive tuples that can be read back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldOutput {
    /// The first.
    pub first: Seq,
    /// How many; not 0.
    pub records: u64,
    /// Their cost, in bytes (see [`Batch::cost`](worker_proto::Batch::cost)).
    pub cost: u64,
}

/// A stream's window that was begun and is not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowState {
    /// Its number.
    pub window: u64,
    /// Its standard input is to be closed after what was admitted.
    pub cut: bool,
    /// Records admitted.
    pub records: u64,
    /// Their cost, in bytes.
    pub cost: u64,
    /// Records printed of it, and committed.
    pub printed_records: u64,
}

/// What a node keeps of a peer that it sends to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerState {
    /// The journal of each link's receiver, known since the link was first opened.
    pub receivers: BTreeMap<LinkId, JournalId>,
    /// The peer has everything, ends included: it is not needed any more.
    pub finished: bool,
}

impl TaskState {
    /// The state of a task that never ran.
    #[must_use]
    pub fn fresh(epoch: Epoch, journal: JournalId) -> Self {
        Self { epoch, journal, ..Self::default() }
    }
}

impl OutputState {
    /// A link on which nothing was sent yet.
    #[must_use]
    pub fn fresh() -> Self {
        Self { next: Seq(1), through: Seq::ZERO, end: None, held: Vec::new() }
    }
}
