//! Real children through the real launcher.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod batch;
mod confined;
mod containment;
mod idle;
mod launcher;
mod piped;
mod records;
mod stop;
mod stream;
mod unprivileged;

use bytes::Bytes;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use worker_bin::child::{
    BatchStats, Containment, Launcher, Oversight, PrintsTo, Program, TaskEnv, run_batch,
};
use worker_core::event::{Failure, Spent};
use worker_proto::Batch;

const DEADLINE: Duration = Duration::from_secs(60);

/// Where the binary is that tests run, if not where cargo has made it.
const BINARY: &str = "WORKER_TEST_BINARY";

/// What ends programs with the worker in tests that say nothing of it.
const CONTAINMENT: &str = "WORKER_TEST_CONTAINMENT";

fn binary() -> PathBuf {
    std::env::var_os(BINARY).map_or_else(|| env!("CARGO_BIN_EXE_worker").into(), PathBuf::from)
}

fn launcher() -> Launcher {
    match std::env::var(CONTAINMENT) {
        Ok(word) => launcher_by(Containment::of(&word).unwrap()),
        Err(_) => Launcher::start(&binary()).unwrap(),
    }
}

fn launcher_by(containment: Containment) -> Launcher {
    let started = Launcher::start_by(&binary(), containment);
    started.unwrap_or_else(|error| {
        panic!("this machine, for this user, does not give what is tested, {containment}: {error}")
    })
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
