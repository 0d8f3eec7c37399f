//! A crash-safe mail queue: an outbox and a journal for each destination, and nothing else of the worker.
//!
//! ```text
//! mailqueue DIR [DEST=CALLS…] < mails
//! ```
//!
//! A line of `mails` is a mail, `DEST BODY`, and its number in there is its id. After a crash the same command goes on: an
//! input that has only grown may be given again, lines that the queue has are left out. In DIR:
//!
//! - `queue/DEST/`, a journal: mails accepted, and how far they are settled (delivered, or refused for good).
//! - `sent/DEST` stands for the other side: `ID BODY`, a line a delivery. The first CALLS calls of a life find nobody there. It is
//!   not synced: after a loss of power it may have less than was delivered, which a server with a disk of its own would have.
//! - `dead/DEST`: mails refused for good, `ID BODY`, a tab, and why: those whose body begins with `!`.
//!
//! What holds through `kill -9` at any moment (`tests/mailqueue.rs` sees to it), and through loss of power:
//!
//! - **Nothing is lost** of the first N lines once `accepted N` is printed.
//! - **Order**: a mail that fails for now is tried again before any behind it to the same destination, after a wait that
//!   doubles, with jitter. Other destinations do not wait for it.
//! - **Duplicates**: a crash between a delivery and its commit delivers one mail a destination again, before any other. A
//!   receiver that leaves out an id that is not above its last one has each mail once.
//! - **Dead letters** are there once: the commit has the length of their file, and the next life cuts it back to that.
//! - **Memory** holds 64 KiB a destination, the rest is read back from the journal; the disk bounds what is accepted.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells what it does")]

mod destination;
mod servers;

use destination::Destination;
use servers::Servers;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use std::{fs, io, thread};
use worker_core::Time;
use worker_core::rng::Rng;
use worker_journal::{Lock, make_directory};

type Failure = Box<dyn std::error::Error>;

/// How many lines may wait to be accepted, and so how many one sync serves.
const LINES_MAX: usize = 256;
const IDLE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(dir) = args.next().map(PathBuf::from) else {
        eprintln!("usage: mailqueue DIR [DEST=CALLS…] < mails");
        return ExitCode::FAILURE;
    };
    match Servers::new(dir.join("sent"), args).and_then(|servers| run(&dir, servers)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mailqueue: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &Path, mut servers: Servers) -> Result<(), Failure> {
    for part in ["queue", "sent", "dead"] {
        make_directory(&dir.join(part))?;
    }
    let _lock = Lock::take(dir)?;
    let mut queue = Queue::open(dir)?;
    let (sender, lines) = sync_channel(LINES_MAX);
    thread::spawn(move || io::stdin().lines().try_for_each(|line| sender.send(line)));
    let (start, mut rng) = (Instant::now(), Rng::new(u64::from(std::process::id())));
    while !(queue.input_ended && queue.destinations.values().all(Destination::is_settled)) {
        let before = queue.lines;
        let due = queue.destinations.values().filter_map(Destination::due).min();
        let now = Time::since_start(start, Instant::now());
        queue.accept(&lines, due.map_or(IDLE, |due| due.since(now).min(IDLE)))?;
        let now = Time::since_start(start, Instant::now());
        for destination in queue.destinations.values_mut() {
            destination.deliver(now, &mut rng, &mut servers)?;
            destination.make_durable()?;
        }
        if queue.lines > before {
            println!("accepted {}", queue.lines);
        }
    }
    for destination in queue.destinations.values() {
        println!("{destination}");
    }
    Ok(())
}

/// All destinations, and how far the input was read.
struct Queue {
    dir: PathBuf,
    destinations: BTreeMap<String, Destination>,
    lines: u64,
    input_ended: bool,
}

impl Queue {
    /// What earlier lives have accepted and not settled.
    fn open(dir: &Path) -> Result<Self, Failure> {
        let mut destinations = BTreeMap::new();
        for entry in fs::read_dir(dir.join("queue"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            destinations.insert(name.clone(), Destination::open(dir, &name)?);
        }
        Ok(Self { dir: dir.to_owned(), destinations, lines: 0, input_ended: false })
    }

    /// Takes the lines that are there, or come within `wait`.
    fn accept(&mut self, lines: &Receiver<io::Result<String>>, wait: Duration) -> Result<(), Failure> {
        let first = match lines.recv_timeout(wait) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                if self.input_ended {
                    thread::sleep(wait);
                }
                self.input_ended = true;
                return Ok(());
            }
        };
        for line in [first].into_iter().chain(lines.try_iter().take(LINES_MAX)) {
            let line = line?;
            self.lines += 1;
            let Some((name, body)) = line.split_once(' ').filter(|(name, _)| is_destination(name)) else {
                eprintln!("line {} is no mail, expected DEST BODY: {line:?}", self.lines);
                continue;
            };
            let destination = match self.destinations.entry(name.to_owned()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Destination::open(&self.dir, name)?),
            };
            destination.accept(self.lines, body)?;
        }
        Ok(())
    }
}

/// The name becomes a file's.
fn is_destination(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.chars().all(is_plain)
}
