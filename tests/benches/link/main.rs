//! Link throughput between two processes over loopback, against bare TCP, in turn in one run.
//!
//! ```text
//! cargo bench -p worker-tests --bench link            # 5 rounds of 2 s each
//! cargo bench -p worker-tests --bench link -- 9 5     # 9 rounds of 5 s
//! ```
//!
//! *worker*: 100-byte records from a source task on one node to a sink task on another, each node a process of its own with
//! the real core and the real net layer; counted are records the receiving core took (deduplicated, in order) and the
//! sender saw acknowledged. *bare*: 100-byte records with a 4-byte length, written 64 KiB at a time on one socket, read
//! 64 KiB at a time and walked record by record. Neither does anything else with a record.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use worker_tests::spread;

mod end;

/// The allocator of the worker's binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORD_BYTES: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let seconds = |i: usize, default: u64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    match args.first().map(String::as_str) {
        Some("bare-receiver") => {
            end_with_parent();
            bare_receiver();
        }
        Some("node") => {
            end_with_parent();
            end::receive();
        }
        _ => compare(seconds(0, 5), Duration::from_secs(seconds(1, 2))),
    }
}

fn compare(rounds: u64, time: Duration) {
    println!(
        "link: {RECORD_BYTES}-byte records, two processes, loopback; {rounds} rounds of {time:?} each, in turn"
    );
    // Not counted: the first touch of memory and the sockets' growth.
    bare(Duration::from_millis(500));
    worker(Duration::from_millis(500));
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let (bare, worker) = (bare(time), worker(time));
        let ratio = worker / bare;
        println!(
            "round {round}: bare {:.1} M/s, worker {:.1} M/s, ratio {ratio:.2}",
            bare / 1e6,
            worker / 1e6
        );
        ratios.push(ratio);
    }
    let (low, mid, high) = spread(ratios);
    println!(
        "worker / bare TCP: median {mid:.2} (lowest {low:.2}, highest {high:.2}); good is 0.6, excellent 0.9"
    );
}

/// Starts this program again in another role; its first line on standard output is its port.
fn partner(role: &str) -> (Child, BufReader<std::process::ChildStdout>, u16) {
    let exe = std::env::current_exe().expect("this program's path");
    let mut child = Command::new(exe)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a partner");
    let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("the partner's port");
    let port = line.trim().parse().expect("a port");
    (child, said, port)
}

/// Records a second.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(records: u64, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64()
}

fn bare(time: Duration) -> f64 {
    let (mut child, mut said, port) = partner("bare-receiver");
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    socket.set_nodelay(true).expect("set TCP_NODELAY");
    let length = u32::try_from(RECORD_BYTES).expect("small").to_be_bytes();
    let record = [&length[..], &[b'x'; RECORD_BYTES]].concat();
    let block = record.repeat(64 * 1024 / record.len());
    let begun = Instant::now();
    while begun.elapsed() < time {
        socket.write_all(&block).expect("write");
    }
    socket.shutdown(std::net::Shutdown::Write).expect("shut down");
    let mut line = String::new();
    said.read_line(&mut line).expect("the count");
    let took = begun.elapsed();
    child.wait().expect("the partner ends");
    rate(line.trim().parse().expect("a count"), took)
}

/// No partner outlives who started it, however that ended: its standard input ends then.
fn end_with_parent() {
    std::thread::spawn(|| {
        let end = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(i32::from(end.is_err()));
    });
}

fn bare_receiver() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    println!("{}", listener.local_addr().expect("bound").port());
    let (mut socket, _) = listener.accept().expect("accept");
    let mut buffer = vec![0_u8; 128 * 1024];
    let (mut held, mut records) = (0, 0_u64);
    loop {
        let read = socket.read(&mut buffer[held..held + 64 * 1024]).expect("read");
        if read == 0 {
            break;
        }
        let end = held + read;
        let mut at = 0;
        while let Some(head) = buffer[at..end].first_chunk::<4>() {
            let length = u32::from_be_bytes(*head) as usize;
            if at + 4 + length > end {
                break;
            }
            records += 1;
            at += 4 + length;
        }
        buffer.copy_within(at..end, 0);
        held = end - at;
    }
    println!("{records}");
}

fn worker(time: Duration) -> f64 {
    let (mut child, mut said, port) = partner("node");
    let (records, took) = end::send(port, time);
    let mut line = String::new();
    said.read_line(&mut line).expect("the count");
    child.wait().expect("the partner ends");
    assert_eq!(line.trim().parse(), Ok(records), "every record arrived once and was acknowledged");
    rate(records, took)
}
