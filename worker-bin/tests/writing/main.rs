//! What helps to write a pipeline and to know what one has, as a user sees it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod completions;
mod explain;
mod fmt;
mod graph;
mod init;
mod json;
mod man;
mod version;

use assert_cmd::Command;
use std::path::Path;

/// What a command came to.
#[derive(Debug)]
struct Done {
    status: i32,
    out: String,
    err: String,
}

/// Runs `worker` in a directory.
fn worker(dir: &Path, args: &[&str]) -> Done {
    let output = Command::cargo_bin("worker").unwrap().current_dir(dir).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}
