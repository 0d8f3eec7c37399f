//! Records over TCP, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const BLOCK_BYTES: usize = 64 * 1024;

pub(super) fn send(to: SocketAddr, record_bytes: usize, time: Duration) {
    let mut socket = TcpStream::connect(to).expect("connect");
    socket.set_nodelay(true).expect("set TCP_NODELAY");
    let length = u32::try_from(record_bytes).expect("small").to_be_bytes();
    let record = [&length[..], &vec![b'x'; record_bytes]].concat();
    let block = record.repeat(BLOCK_BYTES / record.len());
    let begun = Instant::now();
    while begun.elapsed() < time {
        socket.write_all(&block).expect("write");
    }
    socket.shutdown(Shutdown::Write).expect("shut down");
}

/// Prints where it listens, and in the end how many records came.
#[expect(clippy::print_stdout, reason = "its standard output is read by who started it")]
pub(super) fn receive() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    println!("{}", listener.local_addr().expect("bound").port());
    let (mut socket, _) = listener.accept().expect("accept");
    let mut buffer = vec![0_u8; 2 * BLOCK_BYTES];
    let (mut held, mut records) = (0, 0_u64);
    loop {
        let read = socket.read(&mut buffer[held..held + BLOCK_BYTES]).expect("read");
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
