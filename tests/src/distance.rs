//! A line between two nodes that is long: what goes in comes out after a while, and only so much a second.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What is read from a socket at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What a line takes before it makes the sender wait, as time: the buffer of a router.
const BUFFER: Duration = Duration::from_millis(10);

/// How a line is.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// From one end to the other and back.
    pub round_trip: Duration,
    /// In each direction.
    pub bytes_per_s: u64,
}

impl Line {
    /// 50 ms and 1 Gbit/s: between data centres of a continent.
    pub const FAR: Self = Self { round_trip: Duration::from_millis(50), bytes_per_s: 125_000_000 };
}

/// A proxy that is such a line. Connections to [`address`](Self::address) lead to where it was told; it takes them for as long as the
/// process lives.
#[derive(Debug)]
pub struct Distance {
    address: SocketAddr,
}

impl Distance {
    /// A line to `to`, from a free port of this machine.
    ///
    /// # Panics
    /// If no port can be bound.
    #[must_use]
    pub fn to(to: impl Into<String>, line: Line) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind the near end of a line");
        let address = listener.local_addr().expect("it is bound");
        let to = to.into();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let to = to.clone();
                std::thread::spawn(move || join(near, &to, line));
            }
        });
        Self { address }
    }

    /// Its near end.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Joins a connection to one to the far end; who is not there is as if the line were cut.
fn join(near: TcpStream, to: &str, line: Line) {
    let Ok(far) = TcpStream::connect(to) else { return };
    let ends = [&near, &far].map(|end| (end.set_nodelay(true), end.try_clone()));
    let [(Ok(()), Ok(near_out)), (Ok(()), Ok(far_out))] = ends else { return };
    for (from, out) in [(near, far_out), (far, near_out)] {
        let way = Arc::new(Way::new(line));
        let into = Arc::clone(&way);
        std::thread::spawn(move || into.fill(from));
        std::thread::spawn(move || way.drain(out));
    }
}

/// One direction of a connection.
struct Way {
    line: Line,
    under_way: Mutex<UnderWay>,
    changed: Condvar,
}

#[derive(Default)]
struct UnderWay {
    /// What arrives when; an empty piece is the end.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: u64,
    /// Nobody takes what arrives.
    broken: bool,
}

impl Way {
    fn new(line: Line) -> Self {
        Self { line, under_way: Mutex::default(), changed: Condvar::new() }
    }

    /// As much as the line holds, both ends' buffers included.
    fn bytes_max(&self) -> u64 {
        let held = self.line.round_trip / 2 + BUFFER * 2;
        u64::try_from(u128::from(self.line.bytes_per_s) * held.as_micros() / 1_000_000).unwrap_or(u64::MAX)
    }

    /// Puts what comes from a socket on the line.
    fn fill(&self, mut from: TcpStream) {
        let mut free = Instant::now();
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = from.read(&mut piece).unwrap_or(0);
            piece.truncate(read);
            let now = Instant::now();
            let micros = read as u64 * 1_000_000 / self.line.bytes_per_s.max(1);
            free = free.max(now) + Duration::from_micros(micros);
            if !self.put(free + self.line.round_trip / 2, piece) || read == 0 {
                return;
            }
            std::thread::sleep(free.saturating_duration_since(now + BUFFER));
        }
    }

    fn put(&self, due: Instant, piece: Vec<u8>) -> bool {
        let is_full = |way: &mut UnderWay| way.bytes >= self.bytes_max() && !way.broken;
        let way = self.under_way.lock().expect("no panic while it was held");
        let mut way = self.changed.wait_while(way, is_full).expect("no panic while it was held");
        way.bytes += piece.len() as u64;
        way.pieces.push_back((due, piece));
        self.changed.notify_all();
        !way.broken
    }

    /// Gives what has arrived to the other socket.
    fn drain(&self, mut out: TcpStream) {
        loop {
            let way = self.under_way.lock().expect("no panic while it was held");
            let is_empty = |way: &mut UnderWay| way.pieces.is_empty();
            let way = self.changed.wait_while(way, is_empty).expect("no panic while it was held");
            let due = way.pieces.front().map_or_else(Instant::now, |(due, _)| *due);
            drop(way);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let mut way = self.under_way.lock().expect("no panic while it was held");
            let Some((_, piece)) = way.pieces.pop_front() else { continue };
            way.bytes -= piece.len() as u64;
            drop(way);
            self.changed.notify_all();
            if piece.is_empty() || out.write_all(&piece).is_err() {
                break;
            }
        }
        // The end goes on to who reads; who has gone is written to no more.
        out.shutdown(Shutdown::Write).ok();
        self.under_way.lock().expect("no panic while it was held").broken = true;
        self.changed.notify_all();
    }
}
