//! Asking the workers of a test.

use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use worker_tests::process::{Running, Scratch, eventually};

/// How long anything may take to be said on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// What `worker why --json` says, and its exit status.
pub(crate) fn why(scratch: &Scratch, args: &[&str]) -> (Value, i32) {
    let finished = scratch.worker(&[&["why", "--json"], args].concat()).run();
    let said = serde_json::from_slice(&finished.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", String::from_utf8_lossy(&finished.stdout), finished.stderr)
    });
    (said, finished.status.code().expect("it ends by itself"))
}

/// What `worker why` says to people.
pub(crate) fn why_text(scratch: &Scratch, args: &[&str]) -> String {
    let finished = scratch.worker(&[&["why"], args].concat()).run();
    String::from_utf8_lossy(&finished.stdout).into_owned() + &finished.stderr
}

/// Waits until a chain is as wanted, and gives it.
pub(crate) fn chain(scratch: &Scratch, args: &[&str], what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, PATIENCE, || {
        let (said, _) = why(scratch, args);
        let chains = said["chains"].as_array().cloned().unwrap_or_default();
        chains.into_iter().find(&wanted).ok_or_else(|| said.to_string())
    })
}

/// The kinds of a chain's steps, from the nearest to the root, with the task that waits.
pub(crate) fn steps(chain: &Value) -> Vec<(String, String)> {
    let steps = chain["steps"].as_array().expect("steps");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    steps.iter().map(|step| (text(&step["task"]), text(&step["wait"]["kind"]))).collect()
}

/// The kind at a chain's root.
pub(crate) fn root_kind(chain: &Value) -> String {
    steps(chain).pop().unwrap_or_default().1
}

/// The admin address that a worker printed.
pub(crate) fn admin(worker: &mut Running<'_>) -> String {
    const SAID: &str = "admin API: http://";
    worker.wait_for_message(SAID, PATIENCE);
    let said = worker.stderr();
    let rest = &said[said.find(SAID).expect("it was waited for") + SAID.len()..];
    rest[..rest.find('/').expect("an address ends with a slash")].to_owned()
}

/// Status and body of a GET.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the admin address answers");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}
