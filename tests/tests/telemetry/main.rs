//! What a running worker tells machines: metrics, what is made of them, and the log.

mod logs;
mod metrics;
mod shipped;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use worker_tests::process::{Scratch, Start, free_port};

const PATIENCE: Duration = Duration::from_secs(30);

/// What orders carry.
const TOKEN: &str = "a token of a test";

/// The worker with an admin address, and where that is.
fn with_admin<'a>(scratch: &Scratch, mut start: Start<'a>) -> (Start<'a>, String) {
    let address = format!("127.0.0.1:{}", free_port());
    start.command.args(["--admin", &address]);
    let entries = scratch.path("entries").to_string_lossy().into_owned();
    (start.env("WORKER_RUNTIME_DIR", &entries).env("WORKER_ADMIN_TOKEN", TOKEN), address)
}

/// Asks over plain HTTP; gives status and body, or why there is no answer.
fn ask(address: &str, method: &str, path: &str, body: &str) -> Result<(u16, String), String> {
    ask_with("", address, method, path, body)
}

/// The same with further lines of the request's head.
fn ask_with(
    head: &str,
    address: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n{head}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
    Ok((status, body.to_owned()))
}
