//! Networks that are no good, as proxies, and a job over two nodes that they must not change.

use crate::process::Scratch;
use crate::sim::rng::Rng;
use rustix::net::sockopt::set_socket_linger;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Runs this without certificates and, at the same time, with them.
///
/// # Panics
/// One of both does.
pub fn both_ways(run: impl Fn(bool) + Sync) {
    std::thread::scope(|scope| {
        let ways = [false, true].map(|is_tls| {
            (
                is_tls,
                scope.spawn({
                    let run = &run;
                    move || run(is_tls)
                }),
            )
        });
        for (is_tls, way) in ways {
            assert!(way.join().is_ok(), "it failed {} certificates", if is_tls { "with" } else { "without" });
        }
    });
}

/// Records that go from node a to node b, and some of them back, exactly once.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// How many.
    pub records: u64,
    /// How many a second at most.
    pub a_second: u64,
}

impl Job {
    /// Its file, with budgets that it goes far past.
    #[must_use]
    pub fn pipeline(self) -> String {
        let Self { records, a_second } = self;
        format!(
            r#"
            [pipeline]
            name = "job"
            delivery = "exactly-once"
            max_record = "64KiB"
            credit = "256KiB"
            outbox = "512KiB"
            [source.in]
            generate = {{ records = {records}, bytes = 100, keys = 50, rate = "{a_second}/s", seed = 7 }}
            place = "a"
            [sink.sent]
            from = "in"
            file = "sent.txt"
            place = "a"
            [sink.copy]
            from = "in"
            file = "copy.txt"
            place = "b"
            [stage.keyed]
            from = "in"
            run = ["sed", "s/^/seen /"]
            partition_by = {{ field = 1 }}
            partitions = 2
            place = ["a", "b"]
            [sink.back]
            from = "keyed"
            file = "back.txt"
            place = "a"
            "#
        )
    }

    /// What its sinks have is what was sent: byte for byte where one link leads there, sorted where partitions meet.
    ///
    /// # Panics
    /// It is not.
    pub fn assert_equal(self, scratch: &Scratch) {
        let sent = scratch.text("sent.txt");
        assert_eq!(u64::try_from(sent.lines().count()), Ok(self.records), "all were made");
        same("copy.txt", &scratch.text("copy.txt"), &sent);
        let (mut back, sent) = (scratch.text("back.txt"), scratch.text("sent.txt"));
        let mut want: Vec<String> = sent.lines().map(|line| format!("seen {line}\n")).collect();
        let mut got: Vec<String> = back.lines().map(|line| format!("{line}\n")).collect();
        want.sort_unstable();
        got.sort_unstable();
        back = got.concat();
        same("back.txt", &back, &want.concat());
    }
}

fn same(name: &str, got: &str, want: &str) {
    if got == want {
        return;
    }
    let first = got.lines().zip(want.lines()).position(|(got, want)| got != want);
    let first = first.unwrap_or_else(|| got.lines().count().min(want.lines().count()));
    panic!(
        "{name} has {} lines instead of {}; line {first} is {:?} instead of {:?}",
        got.lines().count(),
        want.lines().count(),
        got.lines().nth(first),
        want.lines().nth(first)
    );
}

/// What a proxy does to what goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// Every byte comes alone.
    SplitsBytes,
    /// Connections end at any byte, without a word.
    Kills,
    /// What was said before is said again: frames in between, and all of a connection on another one after its end.
    Repeats,
    /// The same at any byte, which only who proves what he reads is to notice.
    RepeatsBytes,
    /// A connection that has ended for who dialled goes on for who was dialled, beside the next one.
    Reorders,
}

/// So often it does what ends a connection.
const FAULTS: u64 = 20;

/// How long a connection may be left in peace, in milliseconds.
const PEACE_MS: (u64, u64) = (20, 400);

/// How long what was said by one that has ended is held back.
const HELD_BACK: Duration = Duration::from_millis(300);

/// How long of a connection what is said is remembered, in bytes.
const MEMORY_BYTES: usize = 256 * 1024;

const PIECE_BYTES: usize = 16 * 1024;

/// A proxy in front of a node; it works for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Meddler {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: String,
    how: Meddling,
    left: AtomicU64,
    /// How long a connection may be left in peace, in milliseconds.
    peace_ms: (u64, u64),
    rng: Mutex<Rng>,
}

/// One connection through it.
struct Line {
    shared: Arc<Shared>,
    near: TcpStream,
    far: TcpStream,
    /// When it is ended, if it is.
    until: Instant,
    is_killed: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Meddler {
    /// One before `to`, on a free port of the loopback.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn before(to: impl Into<String>, how: Meddling, seed: u64) -> Self {
        Self::start(to.into(), how, (FAULTS, PEACE_MS), seed)
    }

    /// One that kills connections from time to time, until it is told to rest.
    #[must_use]
    pub fn killing(to: impl Into<String>, peace_ms: (u64, u64), seed: u64) -> Self {
        Self::start(to.into(), Meddling::Kills, (u64::MAX, peace_ms), seed)
    }

    /// It is as a good network from now on.
    pub fn rest(&self) {
        self.shared.left.store(0, Ordering::Relaxed);
    }

    fn start(to: String, how: Meddling, (left, peace_ms): (u64, (u64, u64)), seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (left, rng) = (AtomicU64::new(left), Mutex::new(Rng::new(seed)));
        let shared = Arc::new(Shared { to, how, left, peace_ms, rng });
        let (accepts, meddler) = (Arc::clone(&shared), Self { address, shared });
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let shared = Arc::clone(&accepts);
                std::thread::spawn(move || Line::join(shared, near));
            }
        });
        meddler
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done that ends connections.
    #[must_use]
    pub fn faults(&self) -> u64 {
        FAULTS - self.shared.left.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn within(&self, low: u64, high: u64) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).within(low, high)
    }

    /// Whether one more fault may be made; if so it is counted.
    fn may_fault(&self) -> bool {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.is_ok()
    }
}

impl Line {
    fn join(shared: Arc<Shared>, near: TcpStream) {
        // Who is not there is as one who hangs up.
        let Ok(far) = TcpStream::connect(&shared.to) else { return };
        let peace = Duration::from_millis(shared.within(shared.peace_ms.0, shared.peace_ms.1));
        for end in [&near, &far] {
            end.set_nodelay(true).ok();
            end.set_read_timeout(Some(Duration::from_millis(10))).ok();
        }
        let until = Instant::now() + peace;
        let line = Self { shared, near, far, until, is_killed: AtomicBool::new(false) };
        let said = std::thread::scope(|scope| {
            let up = scope.spawn(|| line.carry(Way::Up));
            line.carry(Way::Down);
            up.join().unwrap_or_default()
        });
        let is_repeated = matches!(line.shared.how, Meddling::Repeats | Meddling::RepeatsBytes);
        if is_repeated && !said.is_empty() && line.shared.may_fault() {
            line.say_all_again(&said);
        }
    }

    /// Carries one way until it ends; gives back what was said.
    fn carry(&self, way: Way) -> Vec<u8> {
        let (mut from, mut to) = match way {
            Way::Up => (&self.near, &self.far),
            Way::Down => (&self.far, &self.near),
        };
        let (mut said, mut frames) = (Vec::new(), Frames::default());
        let mut piece = vec![0; PIECE_BYTES];
        while !self.is_killed.load(Ordering::Relaxed) {
            let read = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => &piece[..read],
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => &[],
                Err(_) => break,
            };
            if said.len() < MEMORY_BYTES {
                said.extend_from_slice(read);
            }
            let written = match self.shared.how {
                Meddling::SplitsBytes => read.iter().try_for_each(|byte| to.write_all(&[*byte])),
                Meddling::Kills => self.kill_in_time(read, to),
                Meddling::Repeats => frames.pass_on(read, to, &self.shared),
                Meddling::RepeatsBytes => self.repeat_bytes(read, &said, to),
                Meddling::Reorders => self.hold_back(way, read, to),
            };
            if written.is_err() {
                break;
            }
        }
        self.end(way);
        said
    }

    /// One way has ended, so the other one does.
    fn end(&self, way: Way) {
        match self.shared.how {
            // Both are dropped without a word.
            Meddling::Kills if self.is_killed.load(Ordering::Relaxed) => {}
            // What is held back goes on to who was dialled, whatever the other one does.
            Meddling::Reorders if way == Way::Down => {
                self.near.shutdown(Shutdown::Both).ok();
            }
            Meddling::SplitsBytes
            | Meddling::Kills
            | Meddling::Repeats
            | Meddling::RepeatsBytes
            | Meddling::Reorders => {
                self.near.shutdown(Shutdown::Both).ok();
                self.far.shutdown(Shutdown::Both).ok();
            }
        }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.until && self.shared.may_fault()
    }

    fn kill_in_time(&self, read: &[u8], mut to: &TcpStream) -> std::io::Result<()> {
        if read.is_empty() || !self.is_due() {
            return to.write_all(read);
        }
        to.write_all(&read[..read.len() / 2])?;
        for end in [&self.near, &self.far] {
            set_socket_linger(end, Some(Duration::ZERO))?;
        }
        self.is_killed.store(true, Ordering::Relaxed);
        Err(ErrorKind::ConnectionReset.into())
    }

    fn repeat_bytes(&self, read: &[u8], said: &[u8], mut to: &TcpStream) -> std::io::Result<()> {
        to.write_all(read)?;
        if read.is_empty() || !self.is_due() {
            return Ok(());
        }
        let from = self.shared.within(0, said.len() as u64 - 1);
        let from = usize::try_from(from).unwrap_or_default();
        to.write_all(&said[from..said.len().min(from + 100)])
    }

    /// Who dialled is hung up on; what he has said until then comes later, behind what he says next.
    fn hold_back(&self, way: Way, read: &[u8], mut to: &TcpStream) -> std::io::Result<()> {
        if way == Way::Down || read.is_empty() || !self.is_due() {
            return to.write_all(read);
        }
        self.near.shutdown(Shutdown::Both)?;
        std::thread::sleep(HELD_BACK);
        to.write_all(read)?;
        Err(ErrorKind::ConnectionReset.into())
    }

    /// On a connection of its own, after its end.
    fn say_all_again(&self, said: &[u8]) {
        let Ok(mut again) = TcpStream::connect(&self.shared.to) else { return };
        again.set_read_timeout(Some(Duration::from_secs(1))).ok();
        again.write_all(said).ok();
        while again.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    }
}

/// What is said in frames, and the last of them.
#[derive(Default)]
struct Frames {
    rest: Vec<u8>,
    last: VecDeque<Vec<u8>>,
}

impl Frames {
    /// Each frame once, and an old one again now and then.
    fn pass_on(&mut self, read: &[u8], mut to: &TcpStream, shared: &Shared) -> std::io::Result<()> {
        self.rest.extend_from_slice(read);
        while let Some((length, _)) = self.rest.split_first_chunk::<4>() {
            let whole = 4 + u32::from_be_bytes(*length) as usize;
            if self.rest.len() < whole {
                break;
            }
            let frame: Vec<u8> = self.rest.drain(..whole).collect();
            to.write_all(&frame)?;
            self.last.push_back(frame);
            if self.last.len() > 8 {
                self.last.pop_front();
            }
            if shared.within(1, 100) <= 4 && shared.may_fault() {
                let which = usize::try_from(shared.within(0, self.last.len() as u64 - 1)).unwrap_or_default();
                to.write_all(&self.last[which])?;
            }
        }
        Ok(())
    }
}
