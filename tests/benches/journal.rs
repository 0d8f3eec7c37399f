//! The journal's speed beside its limits, in turns in one process: appending with group commit against one file written with
//! one sync, and opening a journal of which everything is live.
//!
//! ```text
//! cargo bench -p worker-tests --bench journal                      # 1 GiB in commits of 128 KiB, 3 rounds, where TMPDIR is
//! cargo bench -p worker-tests --bench journal -- 256 128 5 /dev/shm # 256 MiB, 5 rounds, there
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use bytes::Bytes;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use worker_core::event::{Body, Chunk, Commit, CommitId};
use worker_journal::{
    DirFile, DirStorage, Identity, Journal, NewestPosition, Settings, SyncTicket, random_id,
};
use worker_proto::{Batch, Fingerprint, LinkId, Seq};
use worker_tests::spread;

type Failure = Box<dyn Error + Send + Sync>;
type DirJournal = Journal<DirStorage, NewestPosition>;

const LINK: LinkId = LinkId(1);

fn main() -> Result<(), Failure> {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let directory = if args.len() > 3 { PathBuf::from(args.remove(3)) } else { std::env::temp_dir() };
    let number = |at: usize, otherwise| args.get(at).map_or(Ok(otherwise), |text| text.parse::<u64>());
    let (bytes, commit_bytes, rounds) = (number(0, 1024)? << 20, number(1, 128)? << 10, number(2, 3)?);
    let directory = tempfile::tempdir_in(directory)?;
    let line = [b"0123456789abcdef".repeat(6), b"xyz\n".to_vec()].concat();
    let payload = Bytes::from(line.repeat(usize::try_from(commit_bytes)?.div_ceil(line.len())));
    let batch = Batch::from_terminated(payload, b'\n');
    let commits = bytes / batch.cost();
    println!("journal: {commits} commits of {} bytes, {rounds} rounds in turn", batch.cost());
    let mut ratios = [Vec::new(), Vec::new(), Vec::new()];
    // The first round warms up.
    for round in 0..=rounds {
        let file = one_file(directory.path(), &batch, commits)?;
        let journal = journal(directory.path(), &batch, commits, true)?;
        let scan = recovery(directory.path(), &batch, commits)?;
        let rate = |took: Duration| (commits * batch.cost()) as f64 / took.as_secs_f64() / 1e9;
        let cost =
            |spent: Spent| format!("{:.2} GB/s ({:.2} s processor)", rate(spent.wall), spent.processor);
        println!(
            "round {round}: file {}, journal {}, opened again in {:.2} s, {}",
            cost(file),
            cost(journal),
            scan.wall.as_secs_f64(),
            cost(scan)
        );
        if round > 0 {
            ratios[0].push(file.wall.div_duration_f64(journal.wall));
            ratios[1].push(journal.processor / file.processor);
            ratios[2].push(rate(scan.wall));
        }
    }
    let [speed, processor, scan] = ratios.map(spread);
    println!(
        "journal / file: speed {:.2} (lowest {:.2}, highest {:.2}), processor time {:.2}",
        speed.1, speed.0, speed.2, processor.1
    );
    println!("recovery: {:.2} GB/s (lowest {:.2}, highest {:.2})", scan.1, scan.0, scan.2);
    Ok(())
}

/// What a part of this process took.
#[derive(Clone, Copy)]
struct Spent {
    wall: Duration,
    /// In seconds, of all threads.
    processor: f64,
}

struct Begun(Instant, Duration);

impl Begun {
    fn now() -> Self {
        Self(Instant::now(), processor_time())
    }

    fn spent(&self) -> Spent {
        Spent { wall: self.0.elapsed(), processor: (processor_time() - self.1).as_secs_f64() }
    }
}

/// Of all threads, in steps of 10 ms.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("read /proc/self/stat");
    let fields = stat.rsplit(')').next().expect("fields").split_whitespace().skip(11).take(2);
    Duration::from_millis(
        fields.map(|ticks| ticks.parse::<u64>().expect("a number of ticks")).sum::<u64>() * 10,
    )
}

fn one_file(directory: &Path, batch: &Batch, commits: u64) -> Result<Spent, Failure> {
    let path = directory.join("file");
    let begun = Begun::now();
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    for _ in 0..commits {
        file.write_all(batch.raw_ends())?;
        file.write_all(batch.payload())?;
    }
    file.sync_data()?;
    let took = begun.spent();
    std::fs::remove_file(path)?;
    Ok(took)
}

/// Appends while another thread syncs; what is durable is acknowledged, if that is wanted.
fn journal(directory: &Path, batch: &Batch, commits: u64, acknowledge: bool) -> Result<Spent, Failure> {
    let path = directory.join("journal");
    let journal = Arc::new(Mutex::new(open(&path)?));
    let (tickets, waiting) = mpsc::sync_channel(1);
    let begun = Begun::now();
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
    let took = begun.spent();
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
fn recovery(directory: &Path, batch: &Batch, commits: u64) -> Result<Spent, Failure> {
    journal(directory, batch, commits, false)?;
    let path = directory.join("journal");
    // Says that everything is durable, so that nothing is written anew.
    let mut durable = open(&path)?;
    durable.note(&worker_core::event::Attempt::default())?;
    drop(durable);
    File::open(&path)?.sync_all()?;
    let begun = Begun::now();
    let journal = open(&path)?;
    let took = begun.spent();
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
        Journal::open(DirStorage::new(path)?, &identity, Settings::default(), NewestPosition::default())?;
    Ok(opened.journal)
}

fn commit(id: u64, first: Seq, chunk: Chunk) -> Commit {
    Commit { outputs: vec![(first, chunk)], ..Commit::empty(CommitId(id)) }
}
