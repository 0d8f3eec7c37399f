//! Wrong files, inputs and peers: each has a defined end and a message that says where and what to do. Nothing panics, which
//! the harness checks of every process; nothing hangs, for every wait has a deadline.

mod files;
mod peers;
mod programs;

/// A stage between the lines a source of three numbers and standard output.
fn with_stage(body: &str) -> String {
    format!("[source.in]\nrun = ['seq', '1', '3']\n\n[stage.work]\n{body}\n\n[sink.out]\nstdout = true\n")
}
