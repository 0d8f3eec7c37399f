//! What a task's journal is told: its steps, and what is about to be in flight.

use super::{Body, Chunk, CommitId, DeadLetter, Origin};
use crate::inbox::Piece;
use bytes::Bytes;
use std::collections::BTreeMap;
use worker_proto::{Epoch, JournalId, LinkId, Seq};

/// One atomic step of a task.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its number; goes on across the task's lives.
    pub id: CommitId,
    /// Input positions reached with this commit.
    pub inputs: Vec<InputDone>,
    /// Outputs in order.
    pub outputs: Vec<(Seq, Chunk)>,
    /// Dead letters.
    pub dead: Vec<DeadLetter>,
    /// The task's own end: every output link gets its `End` with this commit.
    pub ended: bool,
    /// What the task's driver wants to know again in its next life; opaque to the core. Of a source or sink the newest
    /// counts: where it is. Of a records task every one is a change of its state.
    pub position: Option<Bytes>,
    /// What a stream's window needs to be run again.
    pub stream: Option<StreamStep>,
    /// What is still in flight with it, as of the newest note: a death may come before another one.
    pub attempt: Attempt,
    /// Where the task is in the order of the source, with this commit, if its links are kept in order.
    pub turn: Option<Box<Turn>>,
    /// What is known of headers with this commit, if that has changed.
    pub headers: Option<Box<Headers>>,
    /// Of a source: where what it gives lies outside. Outputs that are those very records need not be kept.
    pub origin: Option<Box<Origin>>,
}

/// Headers of what a task reads and gives, each with what ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Of what it reads.
    pub taken: Option<Bytes>,
    /// Of what it gives: the first tuple of each of its links that is no boundary.
    pub given: Option<Bytes>,
    /// Where it came on each input: a tuple that is no record.
    pub at: BTreeMap<LinkId, Seq>,
}

/// Where a task is in the order of the source ([`LinkOrder`](crate::config::LinkOrder)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// How many chunks it has taken to their boundaries.
    pub taken: u64,
    /// How many it has closed, for each stage and sink that reads from it in order, in the order of their links.
    pub given: Vec<u64>,
}

impl Headers {
    /// What a header says: without a byte order mark, and without what ends it, which is nothing that two of them differ by.
    #[must_use]
    pub fn text(header: &[u8]) -> &[u8] {
        let header = header.strip_prefix("\u{feff}".as_bytes()).unwrap_or(header);
        let header = header.strip_suffix(b"\n").or(header.strip_suffix(b"\0")).unwrap_or(header);
        header.strip_suffix(b"\r").unwrap_or(header)
    }
}

impl Commit {
    /// A step in which nothing has happened yet.
    #[must_use]
    pub fn empty(id: CommitId) -> Self {
        Self {
            id,
            inputs: Vec::new(),
            outputs: Vec::new(),
            dead: Vec::new(),
            ended: false,
            position: None,
            stream: None,
            attempt: Attempt::default(),
            turn: None,
            headers: None,
            origin: None,
        }
    }

    /// What it holds in memory, in bytes of cost: outputs, and inputs that it admits.
    #[must_use]
    pub fn memory_cost(&self) -> u64 {
        let bodies = self.outputs.iter().map(|(_, chunk)| &chunk.body);
        let outputs: u64 =
            bodies.map(|body| if let Body::Memory(batch) = body { batch.cost() } else { 0 }).sum();
        let admitted = match &self.stream {
            Some(StreamStep::Admit { pieces, .. }) => pieces.iter().map(|piece| piece.batch.cost()).sum(),
            Some(StreamStep::Printed { .. } | StreamStep::Cut { .. } | StreamStep::Done { .. }) | None => 0,
        };
        outputs + admitted
    }
}

/// How far an input link is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputDone {
    /// Which link.
    pub link: LinkId,
    /// Life of the sending task.
    pub epoch: Epoch,
    /// The sending task's journal.
    pub journal: JournalId,
    /// Done through.
    pub through: Seq,
    /// The link's end is covered.
    pub ended: bool,
}

/// A step of a stream's window (`delivery = "exactly-once"`).
#[derive(Clone, Debug)]
pub enum StreamStep {
    /// Inputs that are about to be fed to the window's program.
    Admit {
        /// Number of the window.
        window: u64,
        /// The records, in the order of feeding, with their places on their links: a journal that has the senders' commits, too, may
        /// refer to them there.
        pieces: Vec<Piece>,
    },
    /// The commit's outputs are what the window's program printed next, while its standard input was open.
    Printed {
        /// Number of the window.
        window: u64,
        /// What was printed.
        printed: Printed,
    },
    /// Standard input is closed after what was admitted.
    Cut {
        /// Number of the window.
        window: u64,
    },
    /// The window is over: its inputs and what it printed need not be compared any more.
    Done {
        /// Number of the window.
        window: u64,
    },
}

/// A piece of what a program printed, before routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Printed {
    /// How many records.
    pub records: u64,
    /// xxh3-64 of their bytes, terminators included.
    pub hash: u64,
}

/// What is about to be in flight: if the process dies of it, its next life knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// How many records; 0: nothing is in flight.
    pub records: u64,
    /// Link and position of the first; with no records, of the first suspect.
    pub first: Option<(LinkId, Seq)>,
    /// In how many lives in a row the process died while this record alone was in flight on its node.
    pub alone: u32,
    /// With no records: so many were in flight when an earlier life died, and are to be tried again. With records: how many of them
    /// were that before they were tried.
    pub suspects: u64,
}
