//! The journal over files that something has happened to: what comes back is what was once said, or it is refused; then it goes on.
//!
//! The first byte chooses between a history that is written and then damaged, and files that are given as they are, whose checksums
//! are made right first: without that no byte gets further than they do.

mod history;
mod sealed;

use super::{Input, is_fit_to_print};
use worker_core::event::{Body, Chunk, Commit, CommitId};
use worker_core::{Batch, Fingerprint, JournalId, LinkId, Seq};
use worker_journal::{Fold, Identity, Journal, JournalError, MemStorage, Opened, Settings};

const LINKS: [LinkId; 2] = [LinkId(1), LinkId(2)];

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() {
        b's' => sealed::run(&mut input),
        _ => history::run(&mut input),
    }
}

fn identity() -> Identity {
    Identity {
        task: "a/0".to_owned(),
        fingerprint: Fingerprint(1),
        outputs: LINKS.to_vec(),
        new_id: JournalId(7),
    }
}

/// Segments so small that a short history has several.
fn small() -> Settings {
    Settings { first_segment_bytes: 1024, segment_bytes_max: 2048 }
}

/// What a task's positions add up to: their sum and the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Positions {
    sum: u64,
    newest: Vec<u8>,
}

impl Fold for Positions {
    fn apply(&mut self, position: &[u8]) {
        self.sum = self.sum.wrapping_add(position.iter().map(|&byte| u64::from(byte)).sum());
        self.newest = position.to_vec();
    }

    fn snapshot(&self, chunk: &mut dyn FnMut(&[u8])) {
        chunk(&[&self.sum.to_le_bytes()[..], &self.newest].concat());
    }

    fn restore(&mut self, chunk: &[u8]) {
        let (sum, newest) = chunk.split_at(chunk.len().min(8));
        let mut bytes = [0; 8];
        bytes[..sum.len()].copy_from_slice(sum);
        *self = Self { sum: u64::from_le_bytes(bytes), newest: newest.to_vec() };
    }
}

type MemJournal = Journal<MemStorage, Positions>;

fn open(disk: &MemStorage) -> Result<Opened<MemStorage, Positions>, JournalError> {
    Journal::open(disk.clone(), &identity(), small(), Positions::default())
}

fn sync(journal: &mut MemJournal) {
    while let Some(ticket) = journal.to_sync() {
        let position = ticket.run().expect("this disk does not fail");
        journal.synced(position);
    }
}

fn lines(text: &str) -> Batch {
    Batch::from_terminated(text.to_owned().into(), b'\n')
}

/// A commit of one record.
fn one_more(id: u64, link: LinkId, first: Seq) -> Commit {
    let chunk = Chunk { link, body: Body::Memory(lines("more\n")) };
    Commit { outputs: vec![(first, chunk)], ..Commit::empty(CommitId(id)) }
}

/// A refusal says what is wrong with the files, and blames nobody else.
fn is_about_the_files(error: &JournalError) {
    is_fit_to_print(&error.to_string());
    let is = matches!(error, JournalError::Damaged { .. } | JournalError::NotOurs { .. });
    assert!(is, "{error:?}");
}
