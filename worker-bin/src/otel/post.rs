//! One request over plain HTTP, blocking: all that OTLP needs of a client.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of an answer is read, in bytes: its first line says it all.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Sends a body, and says whether it was taken.
pub(super) fn post(address: &str, path: &str, body: &[u8]) -> io::Result<()> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut connected = None;
    for at in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&at, PATIENCE) {
            Ok(stream) => {
                connected = Some(stream);
                break;
            }
            Err(error) => last = error,
        }
    }
    let mut stream = connected.ok_or(last)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && (answer.len() as u64) < ANSWER_BYTES_MAX {
        let mut some = [0; 512];
        match stream.read(&mut some)? {
            0 => break,
            count => answer.extend_from_slice(&some[..count]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let line = answer.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("it answers {:?}", line.chars().take(100).collect::<String>()))),
    }
}
