//! The same bytes into one file and into a journal.

use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use worker_core::event::{Body, Chunk, Commit, CommitId};
use worker_journal::{
    DirFile, DirStorage, Identity, Journal, NewestPosition, Settings, SyncTicket, random_id,
};
use worker_proto::{Batch, Fingerprint, LinkId, Seq};

type DirJournal = Journal<DirStorage, NewestPosition>;

const LINK: LinkId = LinkId(1);
const JOURNAL: &str = "journal";

/// So many commits that are all the same.
pub(super) struct Commits {
    batch: Batch,
    count: u64,
}

impl Commits {
    pub(super) fn of(commit_bytes: u64, bytes: u64) -> Self {
        let line = [b"0123456789abcdef".repeat(6), b"xyz\n".to_vec()].concat();
        let lines = usize::try_from(commit_bytes).expect("small").div_ceil(line.len());
        let batch = Batch::from_terminated(Bytes::from(line.repeat(lines)), b'\n');
        let count = (bytes / batch.cost()).max(1);
        Self { batch, count }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.count * self.batch.cost()
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

pub(super) fn one_file(directory: &Path, commits: &Commits) {
    let path = directory.join("file");
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).expect("create the file");
    for _ in 0..commits.count {
        file.write_all(commits.batch.raw_ends()).expect("write");
        file.write_all(commits.batch.payload()).expect("write");
    }
    file.sync_data().expect("sync");
    std::fs::remove_file(path).expect("remove the file");
}

/// Appends while another thread syncs; what is durable is acknowledged, if that is wanted, and then the journal is removed. Gives
/// how many syncs it took.
pub(super) fn journal(directory: &Path, commits: &Commits, acknowledge: bool) -> u64 {
    let journal = Arc::new(Mutex::new(open(directory)));
    let (tickets, waiting) = mpsc::sync_channel(1);
    let syncer = std::thread::spawn({
        let journal = journal.clone();
        let records = if acknowledge { commits.batch.len() as u64 } else { 0 };
        move || sync_all(&journal, &waiting, records)
    });
    let lock = || journal.lock().unwrap_or_else(PoisonError::into_inner);
    for id in 1..=commits.count {
        let chunk = Chunk { link: LINK, body: Body::Memory(commits.batch.clone()) };
        let first = Seq((id - 1) * commits.batch.len() as u64 + 1);
        let commit = Commit { outputs: vec![(first, chunk)], ..Commit::empty(CommitId(id)) };
        let ticket = {
            let mut journal = lock();
            journal.append(&commit, None).expect("append");
            journal.to_sync().map(|ticket| (id, ticket))
        };
        // Whoever syncs now takes the next ticket when it is done.
        if let Some(ticket) = ticket
            && matches!(tickets.try_send(ticket), Err(mpsc::TrySendError::Disconnected(_)))
        {
            break;
        }
    }
    drop(tickets);
    let mut syncs = syncer.join().expect("the syncer is well");
    if let Some(ticket) = lock().to_sync() {
        ticket.run().expect("sync");
        syncs += 1;
    }
    if acknowledge {
        forget(directory);
    }
    syncs
}

fn sync_all(
    journal: &Mutex<DirJournal>,
    waiting: &Receiver<(u64, SyncTicket<DirFile>)>,
    records: u64,
) -> u64 {
    let mut syncs = 0;
    while let Ok((id, ticket)) = waiting.recv() {
        let position = ticket.run().expect("sync");
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.synced(position);
        journal.acknowledged(LINK, Seq(id * records));
        syncs += 1;
    }
    syncs
}

/// A journal of which everything is live.
pub(super) fn fill(directory: &Path, commits: &Commits) {
    journal(directory, commits, false);
    // Says that everything is durable, so that nothing is written anew.
    let mut durable = open(directory);
    durable.note(&worker_core::event::Attempt::default()).expect("append");
    drop(durable);
    File::open(directory.join(JOURNAL)).and_then(|dir| dir.sync_all()).expect("sync the directory");
}

/// Reads it as its next life does.
pub(super) fn reopen(directory: &Path, commits: &Commits) {
    assert_eq!(open(directory).live_bytes(), commits.bytes());
}

pub(super) fn forget(directory: &Path) {
    std::fs::remove_dir_all(directory.join(JOURNAL)).expect("remove the journal");
}

fn open(directory: &Path) -> DirJournal {
    let identity = Identity {
        task: "bench/0".to_owned(),
        fingerprint: Fingerprint(1),
        outputs: vec![LINK],
        new_id: random_id(),
    };
    let storage = DirStorage::new(&directory.join(JOURNAL)).expect("a directory");
    Journal::open(storage, &identity, Settings::default(), NewestPosition::default())
        .expect("open the journal")
        .journal
}
