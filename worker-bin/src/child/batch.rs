//! One batch through a fresh process.

use super::failure::patiently;
use super::handed::Handed;
use super::launcher::Launcher;
use super::pipes::{Gauges, Stdin};
use super::program::{Program, TaskEnv};
use super::serve::{Running, Service};
use super::stop::StopOrder;
use super::watch::IdleCallback;
use bytes::Bytes;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::sync::Notify;
use worker_core::event::{Failure, FailureKind, Spent};
use worker_proto::Batch;

/// What a successful run moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchStats {
    /// Bytes of standard input, header included.
    pub input_bytes: u64,
    /// Bytes of input that the program did not read before it ended well: no error, but worth a warning.
    pub unread_bytes: u64,
    pub output_bytes: u64,
    pub output_records: u64,
}

/// Who looks after a run.
#[derive(Clone, Copy)]
pub struct Oversight<'a> {
    /// Hears when the program rests with its work undone.
    pub on_idle: IdleCallback<'a>,
    /// Says that the run shall come to its end in good order; what it gives is of no use then.
    pub stop: &'a StopOrder,
}

impl Oversight<'_> {
    /// Nobody does.
    #[must_use]
    pub fn none() -> Self {
        static NEVER: StopOrder = StopOrder::new();
        Self { on_idle: &|_| {}, stop: &NEVER }
    }
}

impl std::fmt::Debug for Oversight<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oversight").field("stop", self.stop).finish_non_exhaustive()
    }
}

/// Runs `program` with `header` and `input` on its standard input, or in what else it [takes](Program::takes) them, and gives what
/// it prints to `on_output` in order, or what else it [gives](Program::gives).
///
/// What `on_output` was given counts only if the result is good. Its error kills the child and becomes a failure of kind
/// `Worker`. Dropping the future kills the child's process group.
pub async fn run_batch(
    launcher: &Launcher,
    program: &Program,
    env: &TaskEnv,
    header: Option<Bytes>,
    input: Vec<Batch>,
    on_output: &mut (dyn FnMut(Batch) -> Result<(), String> + Send),
    Oversight { on_idle, stop }: Oversight<'_>,
) -> (Result<BatchStats, Failure>, Spent) {
    let begun = Instant::now();
    let kill = Notify::new();
    let handed = patiently(program, &kill, || Handed::new(program, env, header.as_ref(), &input)).await;
    let started = match handed {
        Ok(handed) => {
            let running = Running::start(launcher, &handed.program, env, false, &kill).await;
            running.map(|running| (running, handed))
        }
        Err(failure) => Err(failure),
    };
    let ((running, pipe), mut handed) = match started {
        Ok(started) => started,
        Err(failure) => return (Err(failure), Spent { start: begun.elapsed(), total: begun.elapsed() }),
    };
    let start = begun.elapsed();
    drop(input);
    let mut pieces = std::mem::take(&mut handed.pieces);
    let input_bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    let gauges = Gauges::default();
    let refusal = FailureKind::Worker;
    let service = Service {
        program: &handed.program,
        env,
        gauges: &gauges,
        stream: false,
        gathers: false,
        refusal,
        kill: &kill,
        stop,
        on_idle,
        takes_print: &|| true,
    };
    let feed = async {
        let stdin = Stdin { pipe, gauges: &gauges };
        while !pieces.is_empty() {
            stdin.write(&mut pieces).await?;
        }
        stdin.close();
        Ok(())
    };
    let ended = running.serve(&service, feed, on_output).await;
    let result = match ended.result {
        Ok(()) => handed.read_output(on_output).await,
        Err(failure) => Err(failure),
    };
    let of_file = result.as_ref().copied().unwrap_or_default();
    let stats = BatchStats {
        input_bytes,
        unread_bytes: input_bytes - gauges.fed.load(Relaxed) + ended.unread,
        output_bytes: gauges.printed.load(Relaxed),
        output_records: ended.records + of_file,
    };
    (result.map(|_| stats), Spent { start, total: begun.elapsed() })
}
