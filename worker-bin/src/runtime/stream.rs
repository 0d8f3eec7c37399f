//! Feeds stream children.

use super::collect::Collector;
use super::context::{Reporter, StageProgram, TaskContext};
use super::journal::{Replayed, TaskJournal};
use super::measure::ProgramRun;
use super::window::WindowOutput;
use crate::child::{HasRead, Idle, Manner, Replay, StreamEvents, StreamHandle, TaskEnv, start_stream};
use crate::logging::{batch_span, failed};
use crate::mutex::lock;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tracing::Span;
use worker_core::event::{Failure, Output, StreamAction, StreamEvent};
use worker_core::replay::{Divergence, Suppressor};
use worker_proto::Batch;

/// Runs the windows of one task, one at a time.
#[derive(Debug)]
pub struct StreamPort {
    context: TaskContext,
    stage: StageProgram,
    collector: Arc<Shared>,
    child: Mutex<Option<(u64, StreamHandle)>>,
    /// Where a window's input is read back from; `None` in memory mode.
    journal: Option<Arc<TaskJournal>>,
    queue_bytes_max: u64,
}

impl StreamPort {
    pub fn new(
        context: TaskContext,
        stage: StageProgram,
        collector: Collector,
        journal: Option<Arc<TaskJournal>>,
        queue_bytes_max: u64,
    ) -> Self {
        let collector = Arc::new(Shared { present: AtomicU64::new(0), held: Mutex::new((0, collector)) });
        Self { context, stage, collector, child: Mutex::default(), journal, queue_bytes_max }
    }

    pub fn act(&self, action: StreamAction) {
        match action {
            StreamAction::Start { window, replay, header } => self.begin(window, replay, header),
            StreamAction::Feed { window, batch } => self.feed(window, batch),
            StreamAction::Close { window } => self.close(window),
            StreamAction::Kill => self.leave(Manner::Close),
        }
    }

    fn begin(&self, window: u64, replay: bool, header: Option<Bytes>) {
        let TaskContext { reporter, launcher, runtime, env } = &self.context;
        let env = TaskEnv { batch_id: window, attempt: if replay { 2 } else { 1 }, ..env.clone() };
        let _in_runtime = runtime.enter();
        let before = self.journal.as_ref().map(|_| Suppressor::new([]));
        let window_output = Arc::new(Mutex::new(WindowOutput::new(before)));
        let journal = self.journal.as_ref().filter(|_| replay);
        let replay = journal.map(|journal| replay_of(journal, window, Arc::clone(&window_output)));
        let events = Events {
            window,
            start: self.collector.present.fetch_add(1, Ordering::AcqRel) + 1,
            reporter: reporter.clone(),
            collector: Arc::clone(&self.collector),
            journal: self.journal.clone(),
            window_output,
            queue_bytes_max: self.queue_bytes_max,
            program: reporter.program(),
        };
        let (program, header) =
            (Arc::clone(&self.stage.program), header.or_else(|| self.stage.header.clone()));
        let _within = batch_span(&env.task, env.batch_id, env.attempt).entered();
        let handle = start_stream(launcher, program, env, header, replay, events);
        *lock(&self.child) = Some((window, handle));
    }

    fn feed(&self, window: u64, batch: Batch) {
        if let Some((_, child)) = lock(&self.child).as_ref().filter(|(w, _)| *w == window) {
            child.feed(batch);
        }
    }

    fn close(&self, window: u64) {
        if let Some((_, child)) = lock(&self.child).as_ref().filter(|(w, _)| *w == window) {
            child.close();
        }
    }

    /// Brings its program to its end in good order; what it prints is of no use.
    pub(super) fn leave(&self, manner: Manner) {
        if let Some((_, child)) = &*lock(&self.child) {
            child.leave(manner);
        }
    }

    pub(super) fn kill(&self) {
        if let Some((_, child)) = lock(&self.child).take() {
            child.kill();
        }
    }
}

/// Reads a window back from the journal: what it printed, to be compared, then its input, at the child's pace.
fn replay_of(journal: &TaskJournal, window: u64, output: Arc<Mutex<WindowOutput>>) -> Replay {
    let asked = journal.window(window);
    Box::pin(async move {
        let Replayed { printed, input } = asked.await.map_err(|_| "its journal is closed".to_owned())??;
        *lock(&output) = WindowOutput::new(Some(Suppressor::new(printed)));
        Ok(input)
    })
}

/// The collector, which is the present program's: one that was killed and is not gone yet neither adds to it nor empties it.
#[derive(Debug)]
struct Shared {
    /// The latest start.
    present: AtomicU64,
    /// With the start whose output is held.
    held: Mutex<(u64, Collector)>,
}

impl Shared {
    fn of<R>(&self, start: u64, f: impl FnOnce(&mut Collector) -> R) -> Option<R> {
        let mut held = lock(&self.held);
        if self.present.load(Ordering::Acquire) != start {
            return None;
        }
        let (holder, collector) = &mut *held;
        if std::mem::replace(holder, start) != start {
            collector.discard();
        }
        Some(f(collector))
    }
}

/// What one window's child says, told to the node.
struct Events {
    window: u64,
    /// Which start of a program of this task it is.
    start: u64,
    reporter: Reporter,
    collector: Arc<Shared>,
    journal: Option<Arc<TaskJournal>>,
    window_output: Arc<Mutex<WindowOutput>>,
    /// So much output may wait for the journal before the program is held up, in bytes.
    queue_bytes_max: u64,
    program: ProgramRun,
}

impl Events {
    fn explain(&self, divergence: &Divergence) -> String {
        let Divergence { first, records, now } = divergence;
        let before = self.journal.as_ref().map(|j| j.printed_again(self.window, *first));
        let (before, now) = differing(before.unwrap_or_default().as_slice(), now);
        format!(
            "the program, run again over the same input, printed something else: among its records {} to {} of this window \
             it now printed {now}, where {before} was committed before; a stream's program must be deterministic (sort the \
             keys, fix seeds), or use mode = \"batch\"; --fresh starts over",
            first + 1,
            first + records
        )
    }
}

/// The first record of each side that the other has not, for people.
fn differing(before: &[Batch], now: &[Batch]) -> (String, String) {
    let records = |batches: &[Batch]| -> Vec<Vec<u8>> {
        batches.iter().flat_map(|b| (0..b.len()).map(|i| b.record(i).to_vec())).collect()
    };
    let (before, now) = (records(before), records(now));
    let show = |mine: &[Vec<u8>], other: &[Vec<u8>]| {
        let found = mine.iter().find(|record| !other.contains(record)).or(mine.first());
        found.map_or("nothing".to_owned(), |r| {
            format!("`{}`", String::from_utf8_lossy(r).trim_end().escape_debug())
        })
    };
    (show(&before, &now), show(&now, &before))
}

impl StreamEvents for Events {
    fn fed(&mut self, cost: u64) {
        self.reporter.tell(StreamEvent::Fed { window: self.window, cost });
    }

    fn read(&mut self, read: HasRead) {
        let HasRead { records, bytes, is_behind } = read;
        self.reporter.tell(StreamEvent::Read { window: self.window, records, bytes, is_behind });
    }

    fn output(&mut self, batch: Batch, after_close: bool) -> Result<(), String> {
        let batch = lock(&self.window_output).fresh(batch, |divergence| self.explain(divergence))?;
        if batch.is_empty() {
            return Ok(());
        }
        // Only where there is a commit it has to be in, that of its program's good end, it waits for one.
        if after_close && self.journal.is_some() {
            let waits = |full| self.reporter.waits_for_room(full);
            let held = self.collector.of(self.start, |collector| collector.hold(batch, &waits));
            return held.unwrap_or(Ok(()));
        }
        if let Some(journal) = &self.journal {
            tokio::task::block_in_place(|| journal.wait_for_room(self.queue_bytes_max));
        }
        let route = |collector: &mut Collector| lock(&self.window_output).route(batch, collector);
        if let Some(output) = self.collector.of(self.start, route) {
            self.reporter.tell(StreamEvent::Output { window: self.window, output });
        }
        Ok(())
    }

    fn takes_print(&self) -> bool {
        self.journal.is_some() || self.reporter.takes_print()
    }

    fn idle(&mut self, rest: Option<Idle>) {
        self.reporter.idle(rest);
    }

    fn exited(&mut self, result: Result<(), Failure>, early: bool) {
        let ended = self
            .collector
            .of(self.start, |collector| lock(&self.window_output).ended(result.clone(), collector));
        let result = ended.unwrap_or_else(|| result.map(|()| Output::default()));
        self.program.ended(&result);
        failed(&Span::current(), &result);
        self.reporter.tell(StreamEvent::Exited { window: self.window, result, early });
    }
}
