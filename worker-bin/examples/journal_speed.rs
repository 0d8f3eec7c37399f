//! The journal's speed beside its limits, measured in turns in one process: appending with group commit against one file
//! written with one sync, and the recovery scan.
//!
//!     cargo run --release -p worker-bin --example journal_speed -- [DIRECTORY] [MIB] [KIB_PER_COMMIT]

use bytes::Bytes;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use worker_bin::journal::{
    DirFile, DirStorage, Identity, Journal, NewestMark, Settings, SyncTicket, random_id,
};
use worker_core::event::{Body, Chunk, Commit, CommitId};
use worker_proto::{Batch, Fingerprint, LinkId, Seq};

type Failure = Box<dyn Error + Send + Sync>;
type DirJournal = Journal<DirStorage, NewestMark>;

const TURNS: usize = 5;
const LINK: LinkId = LinkId(1);

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let directory = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(directory)?;
    let bytes = args.next().map_or(Ok(1024), |mib| mib.parse::<u64>())? << 20;
    let commit_bytes = args.next().map_or(Ok(128), |kib| kib.parse::<usize>())? << 10;
    let line = [b"0123456789abcdef".repeat(6), b"xyz\n".to_vec()].concat();
    let payload = Bytes::from(line.repeat(commit_bytes.div_ceil(line.len())));
    let batch = Batch::from_terminated(payload, b'\n');
    let commits = bytes / batch.cost();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{commits} commits of {} bytes", batch.cost())?;
    let mut ratios = Vec::new();
    for turn in 0..=TURNS {
        let file = one_file(directory.path(), &batch, commits)?;
        let journal = journal(directory.path(), &batch, commits, true)?;
        let scan = recovery(directory.path(), &batch, commits)?;
        // The first turn warms up.
        if turn > 0 {
            let ratio = file.as_secs_f64() / journal.as_secs_f64();
            ratios.push(ratio);
            let rate = |took: Duration| (commits * batch.cost()) as f64 / took.as_secs_f64() / 1e9;
            writeln!(
                out,
                "file {:.2} GB/s, journal {:.2} GB/s: ratio {ratio:.2}; recovery {:.2} GB/s",
                rate(file),
                rate(journal),
                rate(scan)
            )?;
        }
    }
    ratios.sort_by(f64::total_cmp);
    writeln!(out, "median ratio {:.2}", ratios[ratios.len() / 2])?;
    Ok(())
}

fn one_file(directory: &Path, batch: &Batch, commits: u64) -> Result<Duration, Failure> {
    let path = directory.join("file");
    let start = Instant::now();
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    for _ in 0..commits {
        file.write_all(batch.raw_ends())?;
        file.write_all(batch.payload())?;
    }
    file.sync_data()?;
    let took = start.elapsed();
    std::fs::remove_file(path)?;
    Ok(took)
}

/// Appends while another thread syncs; what is durable is acknowledged, if that is wanted.
fn journal(directory: &Path, batch: &Batch, commits: u64, acknowledge: bool) -> Result<Duration, Failure> {
    let path = directory.join("journal");
    let journal = Arc::new(Mutex::new(open(&path)?));
    let (tickets, waiting) = mpsc::sync_channel(1);
    let start = Instant::now();
    let syncer = std::thread::spawn({
        let journal = journal.clone();
        let records = if acknowledge { batch.len() as u64 } else { 0 };
        move || sync_all(&journal, &waiting, records)
    });
    let lock = || journal.lock().unwrap_or_else(PoisonError::into_inner);
    for id in 1..=commits {
        let chunk = Chunk { link: LINK, body: Body::Memory(batch.clone()) };
        let first = Seq((id - 1) * batch.len() as u64 + 1);
        let ticket = {
            let mut journal = lock();
            journal.append(&commit(id, first, chunk), None)?;
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
    syncer.join().map_err(|_| "the syncer panicked")??;
    if let Some(ticket) = lock().to_sync() {
        ticket.run()?;
    }
    let took = start.elapsed();
    if acknowledge {
        std::fs::remove_dir_all(path)?;
    }
    Ok(took)
}

fn sync_all(
    journal: &Mutex<DirJournal>,
    waiting: &Receiver<(u64, SyncTicket<DirFile>)>,
    records: u64,
) -> Result<(), Failure> {
    while let Ok((id, ticket)) = waiting.recv() {
        let position = ticket.run()?;
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.synced(position);
        journal.acknowledged(LINK, Seq(id * records));
    }
    Ok(())
}

/// Reads a journal of which everything is live, as its next life does.
fn recovery(directory: &Path, batch: &Batch, commits: u64) -> Result<Duration, Failure> {
    journal(directory, batch, commits, false)?;
    let path = directory.join("journal");
    // Says that everything is durable, so that nothing is written anew.
    let mut durable = open(&path)?;
    durable.note(&worker_core::event::Attempt::default())?;
    drop(durable);
    File::open(&path)?.sync_all()?;
    let start = Instant::now();
    let journal = open(&path)?;
    let took = start.elapsed();
    assert_eq!(journal.live_bytes(), commits * batch.cost());
    std::fs::remove_dir_all(path)?;
    Ok(took)
}

fn open(path: &Path) -> Result<DirJournal, Failure> {
    let identity = Identity {
        task: "bench/0".to_owned(),
        fingerprint: Fingerprint(1),
        outputs: vec![LINK],
        new_id: random_id(),
    };
    let opened =
        Journal::open(DirStorage::new(path)?, &identity, Settings::default(), NewestMark::default())?;
    Ok(opened.journal)
}

fn commit(id: u64, first: Seq, chunk: Chunk) -> Commit {
    Commit {
        id: CommitId(id),
        inputs: Vec::new(),
        outputs: vec![(first, chunk)],
        dead: Vec::new(),
        ended: false,
        mark: None,
        stream: None,
    }
}
