//! Passing records, shown to whoever asks, at no cost for those who pass.
//!
//! Where records pass, a counter says whether anybody looks: one relaxed load a batch. If somebody does, the batch is offered
//! to a queue with a limit in batches and in bytes; what does not fit is counted and forgotten. Records become text in a task
//! of their own ([`show`]), outside of the node's lock, at the pace of the reader.
//!
//! What a stage's tasks *take* is seen where it is given to them, so a batch that is tried again is seen again. What they *give* is
//! seen once it counts: output of a run that fails is never shown, and a record is shown once, to however many stages it goes.

mod show;
#[cfg(test)]
mod tests;

use crate::admin::{TapAsk, TapSide, Tapped};
use crate::io::dead::Envelopes;
use crate::mutex::lock;
use crate::pipeline::plan::{LocalTask, Role};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use worker_core::config::TaskId;
use worker_core::event::DeadLetter;
use worker_core::route::{Envelope, PartitionBy};
use worker_proto::Batch;

/// How many may look at once.
const TAPS_MAX: usize = 8;

/// What waits for one reader, in batches.
const QUEUE_BATCHES: usize = 1024;

/// What waits for one reader, in bytes; and one batch in any case, for a record may be larger.
const QUEUE_BYTES: u64 = 4 << 20;

/// Batches up to this cost are copied, so that they hold no larger buffer.
const COPY_BYTES_MAX: u64 = 4 << 10;

/// What larger ones are charged at least, in bytes: they may hold a buffer that is larger than they are.
const SHARED_BYTES: u64 = 64 << 10;

/// What a batch takes beside its records, in bytes.
const BATCH_BYTES: u64 = 256;

/// Records on their way to the reader as text.
const TEXT_RECORDS: usize = 8;

/// Everything that can be looked at on this node, and who looks.
#[derive(Debug)]
pub struct Taps {
    count: AtomicUsize,
    open: Mutex<Open>,
    tasks: BTreeMap<TaskId, Tappable>,
    /// Readers that are not done yet.
    shown: watch::Sender<usize>,
}

/// What is known of a task of this node.
#[derive(Debug)]
struct Tappable {
    name: String,
    stage: String,
    /// The only side of a source or sink that is inside the pipeline.
    end: Option<TapSide>,
    envelopes: Envelopes,
    /// What it is routed by.
    key_in: Option<PartitionBy>,
    /// What its output is routed by, by any of the stages behind it.
    keys_out: Vec<PartitionBy>,
    /// How many stages and sinks take its output.
    ways: usize,
}

#[derive(Debug, Default)]
struct Open {
    taps: Vec<Tap>,
    /// The run is over.
    closed: bool,
}

/// One look, as the engine sees it.
#[derive(Debug)]
struct Tap {
    tasks: Vec<TaskId>,
    side: TapSide,
    queue: mpsc::Sender<Passed>,
    fill: Arc<Fill>,
}

/// What both sides of a queue count.
#[derive(Debug, Default)]
struct Fill {
    bytes: AtomicU64,
    skipped: AtomicU64,
}

/// Records that pass, on their way to a reader.
#[derive(Clone, Debug)]
struct Passed {
    task: TaskId,
    batch: Batch,
    beside: Beside,
    charge: u64,
    /// Records left out before these.
    skipped: u64,
}

/// What belongs to output records and is not in them.
#[derive(Clone, Debug, Default)]
struct Beside {
    /// Keys that were given with them.
    keys: Vec<Option<Bytes>>,
    /// Those among them that lack a key, once for each way out.
    dead: Vec<Bytes>,
}

/// Output that is shown when the run that gave it turns out well.
#[derive(Debug, Default)]
pub(super) struct Held {
    outputs: Vec<(Batch, Beside)>,
    bytes: u64,
    skipped: u64,
}

impl Taps {
    #[must_use]
    pub fn new(tasks: &[LocalTask]) -> Arc<Self> {
        let tasks = tasks.iter().map(|task| (task.id, Tappable::new(task))).collect();
        Arc::new(Self {
            count: AtomicUsize::new(0),
            open: Mutex::default(),
            tasks,
            shown: watch::Sender::new(0),
        })
    }

    /// Records that a task is given.
    #[inline]
    pub(super) fn taken(&self, task: TaskId, batches: &[Batch]) {
        if self.is_tapped() {
            for batch in batches {
                self.offer(task, TapSide::In, batch, &Beside::default());
            }
        }
    }

    /// Whether anybody looks at anything.
    #[inline]
    pub(super) fn is_tapped(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Output of a task that counts, before it goes to several stages; `dead` are those of its records that lack a key.
    pub(super) fn given(&self, task: TaskId, batch: &Batch, keys: &[Option<Bytes>], dead: &[DeadLetter]) {
        self.offer(task, TapSide::Out, batch, &Beside::new(keys, dead));
    }

    /// Output of a run that turned out well.
    pub(super) fn given_at_once(&self, task: TaskId, held: &mut Held) {
        let Held { outputs, skipped, .. } = std::mem::take(held);
        for (batch, beside) in &outputs {
            self.offer(task, TapSide::Out, batch, beside);
        }
        if skipped > 0 {
            let open = lock(&self.open);
            for tap in open.taps.iter().filter(|tap| tap.side == TapSide::Out && tap.tasks.contains(&task)) {
                tap.fill.skipped.fetch_add(skipped, Ordering::Relaxed);
            }
        }
    }

    /// Begins a look; it ends when the receiver is dropped, or with the run.
    pub(super) fn open(
        self: &Arc<Self>,
        ask: &TapAsk,
        runtime: &tokio::runtime::Handle,
    ) -> Result<mpsc::Receiver<Tapped>, String> {
        let (tasks, side) = self.wanted(ask)?;
        let wanted = ask.key.as_ref().map(|key| self.reader(ask, &tasks, side, key)).transpose()?;
        let (queue, passing) = mpsc::channel(QUEUE_BATCHES);
        let (text, shown) = mpsc::channel(TEXT_RECORDS);
        let fill = Arc::new(Fill::default());
        {
            let mut open = lock(&self.open);
            if open.closed {
                return Err("the run is over".to_owned());
            }
            if open.taps.len() >= TAPS_MAX {
                return Err(format!("{TAPS_MAX} taps are open already; end one of them first"));
            }
            open.taps.push(Tap { tasks, side, queue, fill: Arc::clone(&fill) });
            self.count.store(open.taps.len(), Ordering::Relaxed);
        }
        self.shown.send_modify(|readers| *readers += 1);
        let show = show::Show { taps: Arc::clone(self), side, wanted, passing, fill, text };
        runtime.spawn(show.run());
        Ok(shown)
    }

    /// No more records come; what waits for readers still gets to them.
    pub(super) fn close(&self) {
        let mut open = lock(&self.open);
        (open.closed, open.taps) = (true, Vec::new());
        self.count.store(0, Ordering::Relaxed);
    }

    /// Gives readers a moment for what waits for them. One that does not read is not waited for.
    pub(super) async fn drained(&self, patience: Duration) {
        let mut readers = self.shown.subscribe();
        if *readers.borrow() > 0 {
            tokio::time::timeout(patience, readers.wait_for(|readers| *readers == 0)).await.ok();
        }
    }

    /// The reader is gone, or has everything.
    fn end(&self, fill: &Arc<Fill>) {
        let mut open = lock(&self.open);
        open.taps.retain(|tap| !Arc::ptr_eq(&tap.fill, fill));
        self.count.store(open.taps.len(), Ordering::Relaxed);
        drop(open);
        self.shown.send_modify(|readers| *readers = readers.saturating_sub(1));
    }

    fn offer(&self, task: TaskId, side: TapSide, batch: &Batch, beside: &Beside) {
        // Held while offering, so that the limits hold among tasks; nothing in it waits.
        let open = lock(&self.open);
        for tap in open.taps.iter().filter(|tap| tap.side == side && tap.tasks.contains(&task)) {
            tap.offer(task, batch, beside);
        }
    }

    /// The tasks of a stage here, and the side on which they are seen.
    fn wanted(&self, ask: &TapAsk) -> Result<(Vec<TaskId>, TapSide), String> {
        let of_stage = self.tasks.iter().filter(|(_, task)| task.stage == ask.stage);
        let tasks: Vec<TaskId> = of_stage.map(|(id, _)| *id).collect();
        let Some(first) = tasks.first().and_then(|id| self.tasks.get(id)) else {
            return Err(format!("no task of {} runs on this node", ask.stage));
        };
        match (first.end, ask.side) {
            (Some(TapSide::Out), TapSide::In) => Err(format!(
                "source {} takes nothing from the pipeline; --out shows what it reads",
                ask.stage
            )),
            // What a sink writes is what it takes.
            (Some(TapSide::In), TapSide::Out) => Ok((tasks, TapSide::In)),
            (_, side) => Ok((tasks, side)),
        }
    }

    /// What finds the records of one key.
    fn reader(
        &self,
        ask: &TapAsk,
        tasks: &[TaskId],
        side: TapSide,
        key: &str,
    ) -> Result<show::Wanted, String> {
        let stage = &ask.stage;
        let Some(task) = tasks.first().and_then(|id| self.tasks.get(id)) else {
            return Err(format!("no task of {stage} runs on this node"));
        };
        let (by, envelope) = match side {
            TapSide::In => (task.key_in.as_slice(), task.envelopes.taken),
            TapSide::Out => (task.keys_out.as_slice(), task.envelopes.given),
        };
        match (side, by) {
            (TapSide::In, []) => Err(format!(
                "{stage} has no partition_by, so what it takes has no key; leave --key out, or filter the output of worker tap"
            )),
            (TapSide::In, [PartitionBy::Given]) => Err(format!(
                "{stage} is partitioned by keys that are not in its records; --out at the stage before it knows them"
            )),
            (TapSide::Out, []) => Err(format!(
                "no stage behind {stage} has partition_by, so what it gives has no key; leave --key out, or filter the output \
                 of worker tap"
            )),
            (TapSide::In | TapSide::Out, by) => Ok(show::Wanted::new(key, by, envelope)),
        }
    }

    fn name(&self, task: TaskId) -> &str {
        self.tasks.get(&task).map_or("", |task| task.name.as_str())
    }

    fn envelope(&self, task: TaskId, side: TapSide) -> Envelope {
        let envelopes = self.tasks.get(&task).map(|task| task.envelopes).unwrap_or_default();
        match side {
            TapSide::In => envelopes.taken,
            TapSide::Out => envelopes.given,
        }
    }

    /// How many ways out a task has.
    fn ways(&self, task: TaskId) -> usize {
        self.tasks.get(&task).map_or(1, |task| task.ways)
    }
}

impl Tappable {
    fn new(task: &LocalTask) -> Self {
        let ways = task.edges.iter().filter(|edge| !edge.links.is_empty());
        let mut keys_out: Vec<PartitionBy> = Vec::new();
        for by in ways.clone().filter_map(|edge| edge.by.clone()) {
            if !keys_out.contains(&by) {
                keys_out.push(by);
            }
        }
        Self {
            name: task.name.clone(),
            stage: task.stage.clone(),
            end: match task.role {
                Role::Source(_) => Some(TapSide::Out),
                Role::Stage(_) => None,
                Role::Sink(_) => Some(TapSide::In),
            },
            envelopes: task.envelopes(),
            key_in: task.by.clone(),
            keys_out,
            ways: ways.count(),
        }
    }
}

impl Tap {
    /// Puts records in line, or counts them where there is no room.
    fn offer(&self, task: TaskId, batch: &Batch, beside: &Beside) {
        let charge = charge(batch) + beside.bytes();
        let held = self.fill.bytes.load(Ordering::Relaxed);
        let records = batch.len() as u64;
        if held > 0 && held + charge > QUEUE_BYTES {
            self.fill.skipped.fetch_add(records, Ordering::Relaxed);
            return;
        }
        let skipped = self.fill.skipped.swap(0, Ordering::Relaxed);
        let passed = Passed { task, batch: kept(batch), beside: beside.clone(), charge, skipped };
        self.fill.bytes.fetch_add(charge, Ordering::Relaxed);
        if self.queue.try_send(passed).is_err() {
            self.fill.bytes.fetch_sub(charge, Ordering::Relaxed);
            self.fill.skipped.fetch_add(skipped + records, Ordering::Relaxed);
        }
    }
}

impl Beside {
    fn new(keys: &[Option<Bytes>], dead: &[DeadLetter]) -> Self {
        Self { keys: keys.to_vec(), dead: dead.iter().map(|letter| letter.record.clone()).collect() }
    }

    fn bytes(&self) -> u64 {
        let keys: usize = self.keys.iter().flatten().map(Bytes::len).sum();
        let dead: usize = self.dead.iter().map(Bytes::len).sum();
        (keys + dead) as u64 + (self.keys.len() + self.dead.len()) as u64 * size_of::<Bytes>() as u64
    }
}

impl Held {
    /// Keeps output until it counts, as far as a reader could take it.
    pub(super) fn keep(&mut self, batch: &Batch, dead: &[DeadLetter]) {
        let beside = Beside::new(&[], dead);
        let bytes = charge(batch) + beside.bytes();
        if self.bytes > 0 && self.bytes + bytes > QUEUE_BYTES {
            self.skipped += batch.len() as u64;
            return;
        }
        self.bytes += bytes;
        self.outputs.push((kept(batch), beside));
    }
}

/// A batch to be kept for a while: a copy, if it is small.
fn kept(batch: &Batch) -> Batch {
    if batch.cost() <= COPY_BYTES_MAX { batch.compact() } else { batch.clone() }
}

/// What keeping a batch costs, in bytes.
fn charge(batch: &Batch) -> u64 {
    let own = if batch.cost() <= COPY_BYTES_MAX { batch.cost() } else { batch.cost().max(SHARED_BYTES) };
    own + BATCH_BYTES
}
