//! Acknowledged 100-byte records over loopback, against bare TCP with 64 KiB writes in the same run.
//!
//! `cargo run --release -p worker-net --example throughput`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use worker_net::{CloseCause, Endpoint, Listener, Settings, Transmit, dial, drive};
use worker_proto::frame::{Ack, BatchFrame, Frame, Welcome};
use worker_proto::{Batch, Epoch, Incarnation, LinkId, Seq};

const RECORD_BYTES: usize = 100;
const RECORDS_PER_BATCH: usize = 1250;
const BATCHES: u64 = 32_000;
const CREDIT_BATCHES: u64 = 24;
const ROUNDS: usize = 5;

fn main() {
    for round in 0..=ROUNDS {
        let (bare, ours) = (Cost::of(bare), Cost::of(ours));
        let note = if round == 0 { " (warm-up)" } else { "" };
        let (rates, cpu) = ((bare.rate(), ours.rate()), (bare.cpu, ours.cpu));
        println!(
            "M records/s: bare TCP {:5.1}, worker-net {:5.1}: {:.2}{note}",
            rates.0,
            rates.1,
            rates.1 / rates.0
        );
        println!("  processor s: bare TCP {:5.2}, worker-net {:5.2}: {:.2}", cpu.0, cpu.1, cpu.1 / cpu.0);
    }
}

/// What moving all records took.
struct Cost {
    wall: Duration,
    /// Processor time of both ends, in seconds. Less disturbed by other programs than `wall`.
    cpu: f64,
}

impl Cost {
    fn of(run: fn() -> Duration) -> Self {
        let before = processor_seconds();
        Self { wall: run(), cpu: processor_seconds() - before }
    }

    /// Million records a second.
    fn rate(&self) -> f64 {
        BATCHES as f64 * RECORDS_PER_BATCH as f64 / self.wall.as_secs_f64() / 1e6
    }
}

fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn bare() -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let chunk = 64 * 1024;
    let total = usize::try_from(BATCHES).unwrap() * RECORDS_PER_BATCH * RECORD_BYTES;
    let start = Instant::now();
    let writer = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let buffer = vec![b'x'; 4 + chunk];
        for _ in 0..total / chunk {
            stream.write_all(&buffer).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = vec![0; 4 + chunk];
    while stream.read(&mut buffer).unwrap() > 0 {}
    stream.write_all(&[1]).unwrap();
    writer.join().unwrap();
    start.elapsed()
}

fn ours() -> Duration {
    let settings = Settings::default();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (says, hears) = std::sync::mpsc::channel();
    let start = Instant::now();
    let receiver = thread::spawn(move || {
        runtime().block_on(async move {
            let listener = Listener::bind("127.0.0.1:0", settings).await.unwrap();
            says.send(listener.address().unwrap().to_string()).unwrap();
            let greeted = listener.accept().await.greeted(&settings).await.unwrap();
            greeted.drive(1, Arc::new(Receiver::default()), Arc::new(Notify::new()), &settings).await;
        });
    });
    let address = hears.recv().unwrap();
    runtime().block_on(async move {
        let stream = dial(&address, &settings).await.unwrap();
        drive(stream, 1, Arc::new(Sender::new()), Arc::new(Notify::new()), &settings).await;
    });
    receiver.join().unwrap();
    start.elapsed()
}

struct Sender {
    batches: Vec<Batch>,
    sent_acked: Mutex<(u64, u64)>,
}

impl Sender {
    fn new() -> Self {
        let line = [vec![b'x'; RECORD_BYTES - 1], vec![b'\n']].concat();
        let batch = || Batch::from_terminated(line.repeat(RECORDS_PER_BATCH).into(), b'\n');
        Self { batches: (0..CREDIT_BATCHES).map(|_| batch()).collect(), sent_acked: Mutex::new((0, 0)) }
    }
}

impl Endpoint for Sender {
    fn frames(&self, _conn: u64, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            if let Frame::Ack(ack) = frame {
                self.sent_acked.lock().unwrap().1 = ack.through.0;
            }
        }
    }

    fn transmit(&self, _conn: u64, bytes_max: usize, out: &mut Vec<Frame>) -> Transmit {
        let mut state = self.sent_acked.lock().unwrap();
        let (sent, acked) = *state;
        if acked == BATCHES {
            return Transmit::Close;
        }
        let (mut sent, mut bytes) = (sent, 0);
        while bytes < bytes_max && sent < BATCHES && sent < acked + CREDIT_BATCHES {
            let batch = self.batches[usize::try_from(sent % CREDIT_BATCHES).unwrap()].clone();
            bytes += batch.bytes();
            sent += 1;
            let (link, epoch, first_seq) = (LinkId(0), Epoch(1), Seq(sent));
            out.push(Frame::Batch(BatchFrame { link, epoch, first_seq, batch }));
        }
        state.0 = sent;
        Transmit::Open
    }

    fn closed(&self, _conn: u64, _cause: CloseCause, _why: String) {}
}

#[derive(Default)]
struct Receiver {
    state: Mutex<(bool, u64, u64, Vec<Batch>)>,
}

impl Endpoint for Receiver {
    fn frames(&self, _conn: u64, frames: &mut Vec<Frame>) {
        let mut state = self.state.lock().unwrap();
        // As a task does: the last batches are dropped when the next have come.
        let mut inbox = Vec::new();
        for frame in frames.drain(..) {
            if let Frame::Batch(frame) = frame {
                assert_eq!(frame.first_seq.0, state.1 + 1);
                state.1 += 1;
                inbox.push(frame.batch);
            }
        }
        state.3 = inbox;
    }

    fn transmit(&self, _conn: u64, _bytes_max: usize, out: &mut Vec<Frame>) -> Transmit {
        let mut state = self.state.lock().unwrap();
        if !state.0 {
            state.0 = true;
            out.push(Frame::Welcome(Welcome { node: "b".into(), incarnation: Incarnation(1) }));
        }
        if state.2 < state.1 {
            state.2 = state.1;
            let through = Seq(state.1);
            out.push(Frame::Ack(Ack {
                link: LinkId(0),
                epoch: Epoch(1),
                through,
                finished: through,
                credit: 0,
            }));
        }
        Transmit::Open
    }

    fn closed(&self, _conn: u64, _cause: CloseCause, _why: String) {}
}
