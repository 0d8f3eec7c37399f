//! Real children through the real launcher.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod batch;
mod confined;
mod idle;
mod launcher;
mod piped;
mod records;
mod stop;
mod stream;

use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use worker_bin::child::{
    BatchStats, Launcher, Oversight, PidNamespace, PrintsTo, Program, TaskEnv, run_batch,
};
use worker_core::event::{Failure, Spent};
use worker_proto::Batch;

const DEADLINE: Duration = Duration::from_secs(60);

fn launcher() -> Launcher {
    launcher_in(PidNamespace::Auto)
}

fn launcher_in(allowed: PidNamespace) -> Launcher {
    Launcher::start_in(Path::new(env!("CARGO_BIN_EXE_worker")), allowed).unwrap()
}

fn env() -> TaskEnv {
    TaskEnv {
        task: "stage/3".into(),
        partition: 3,
        partitions: 4,
        batch_id: 77,
        attempt: 2,
        tmpdir: std::env::temp_dir(),
        chaos: None,
    }
}

fn sh(script: &str) -> Program {
    Program::new("stage", ["sh", "-c", script])
}

fn lines(text: impl Into<Bytes>) -> Batch {
    Batch::from_terminated(text.into(), b'\n')
}

/// What a batch run gave: its result, what it printed, what it cost.
struct Ran {
    result: Result<BatchStats, Failure>,
    output: Vec<u8>,
    spent: Spent,
}

impl Ran {
    fn failure(self) -> Failure {
        self.result.unwrap_err()
    }
}

async fn run_on(launcher: &Launcher, program: &Program, input: Vec<Batch>) -> Ran {
    let mut output = Vec::new();
    let mut keep = |batch: Batch| {
        output.extend_from_slice(batch.payload());
        Ok(())
    };
    let env = env();
    let run = run_batch(launcher, program, &env, None, input, &mut keep, Oversight::none());
    let (result, spent) = tokio::time::timeout(DEADLINE, run).await.expect("the run hangs");
    Ran { result, output, spent }
}

async fn run(program: &Program, input: impl Into<Bytes>) -> Ran {
    run_on(&launcher(), program, vec![lines(input)]).await
}

/// A duration for `sleep` that no other process uses, to find the process by.
fn unique_sleep() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("5{:03}.{}", NEXT.fetch_add(1, Ordering::Relaxed), std::process::id())
}

/// Command lines of the living processes that mention `marker` as an argument.
fn living(marker: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let command_lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let texts = command_lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    texts.filter(|line| line.starts_with("sleep") && line.contains(marker)).collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
