//! A child that is asked, from its start to its end.

use super::effects::{Answers, Rules};
use super::fault::ProtocolFault;
use super::hello::push_hello;
use super::ledger::{Ledger, PendingRequests};
use super::state::KeyedState;
use crate::child::failure::LastWords;
use crate::child::launcher::Launcher;
use crate::child::pipes::{Gauges, Stdin};
use crate::child::program::{Program, TaskEnv};
use crate::child::serve::{Running, Service};
use crate::child::watch::Idle;
use crate::mutex::lock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc};
use tracing::Instrument as _;
use worker_core::event::{Failure, FailureKind};
use worker_core::route::{PartitionBy, RecordKey};
use worker_proto::{Batch, LinkId, Seq};

/// What an answer may have beside twice the longest record, in bytes.
const LINE_OVERHEAD_BYTES: usize = 4 * 1024;

/// About how much is written at once, in bytes.
const WRITE_BYTES: usize = 256 * 1024;

/// Answers held behind one that is missing, in bytes: at least, and at most, whatever the longest record.
const HELD_BYTES_MIN: usize = 64 << 20;
const HELD_BYTES_MAX: usize = 1 << 30;

/// How a stage's children are asked.
#[derive(Clone, Debug)]
pub struct RecordsRules {
    /// Where the key of a record is; `None`: the stage has no `partition_by`.
    pub partition_by: Option<PartitionBy>,
    /// The byte that ends the records that come in.
    pub terminator_in: u8,
    /// Each request carries its key's value (`state = "inline"`) instead of all state at the start. Only with keys.
    pub inline: bool,
    /// How many requests may be in flight; at least 1.
    pub in_flight: usize,
    /// How many bytes of them; one request may be larger.
    pub in_flight_bytes: u64,
    /// Some stage behind this one is partitioned by the emitted key.
    pub keys_wanted: bool,
}

/// What happens to a records child. Called on the child's own tokio task, never at once; must not block.
pub trait RecordsEvents: Send + 'static {
    /// The contiguous run of answered records grew, or a tick behind it was answered. Told once for each read, not for each
    /// record.
    fn answered(&mut self, answers: Answers);

    /// It rests with its work undone, or with all it was given unanswered; `None`: not any more.
    fn idle(&mut self, _rest: Option<Idle>) {}

    /// It has ended. The last call, and one that always comes.
    ///
    /// `Ok`: it answered the end and exited well; this is what it answered last. What was answered before a failure and told
    /// counts; nothing else does. After [`RecordsHandle::kill`] it is a failure of kind `Signal(9)`; a broken protocol is one
    /// of kind `Output`, a good exit before the end was answered one of kind `EarlyExit`.
    fn ended(&mut self, result: Result<Answers, Failure>);
}

/// Asks a records child. Dropping it kills the child.
#[derive(Debug)]
pub struct RecordsHandle {
    /// Unbounded here: what is fed and not answered is bounded by who feeds.
    orders: mpsc::UnboundedSender<RecordsCommand>,
    kill: Arc<Notify>,
}

#[derive(Debug)]
enum RecordsCommand {
    Request { link: LinkId, first_seq: Seq, batch: Batch },
    Tick,
    End,
}

/// Starts `program`, whose terminator and longest record are those of what it emits, on a tokio task of its own. It is given
/// the committed `state`, as it is when `committed` is done and the child was started.
#[must_use]
pub fn start_records(
    launcher: &Launcher,
    program: &Program,
    env: TaskEnv,
    rules: &RecordsRules,
    state: Arc<Mutex<KeyedState>>,
    committed: impl Future<Output = ()> + Send + 'static,
    events: impl RecordsEvents,
) -> RecordsHandle {
    let (orders, received) = mpsc::unbounded_channel();
    let kill = Arc::new(Notify::new());
    let line_bytes = program.max_record.saturating_mul(2).saturating_add(LINE_OVERHEAD_BYTES);
    let window = PendingRequests {
        requests: rules.in_flight.max(1),
        bytes: rules.in_flight_bytes.max(1),
        held_bytes: line_bytes.saturating_mul(2).clamp(HELD_BYTES_MIN, HELD_BYTES_MAX) as u64,
    };
    let answers = Rules {
        terminator: program.terminator,
        max_record: program.max_record,
        keys_wanted: rules.keys_wanted,
    };
    let key = rules.partition_by.clone().map(|by| RecordKey::new(by, rules.terminator_in));
    let inline = rules.inline.then(|| Arc::clone(&state));
    let asked = Asking {
        launcher: launcher.clone(),
        program: Program { terminator: b'\n', max_record: line_bytes, ..program.clone() },
        env,
        gives_state: !rules.inline,
        state,
        kill: Arc::clone(&kill),
        ledger: Mutex::new(Ledger::new(answers, window, rules.terminator_in, key, inline)),
        moved: Notify::new(),
        events: Mutex::new(Box::new(events)),
        gauges: Gauges::default(),
    };
    let live = async move {
        committed.await;
        asked.live(received).await;
    };
    tokio::spawn(live.in_current_span());
    RecordsHandle { orders, kill }
}

impl RecordsHandle {
    /// Asks about records, in order.
    pub fn request(&self, link: LinkId, first_seq: Seq, batch: Batch) {
        // A child that has ended is asked nothing; its end was told.
        self.orders.send(RecordsCommand::Request { link, first_seq, batch }).ok();
    }

    /// Asks for a tick behind what was asked.
    pub fn tick(&self) {
        self.orders.send(RecordsCommand::Tick).ok();
    }

    /// Says that nothing comes any more.
    pub fn end(&self) {
        self.orders.send(RecordsCommand::End).ok();
    }

    /// Kills it; what it has answered and was not told does not count.
    pub fn kill(&self) {
        self.kill.notify_one();
    }
}

impl Drop for RecordsHandle {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Asking {
    launcher: Launcher,
    program: Program,
    env: TaskEnv,
    gives_state: bool,
    state: Arc<Mutex<KeyedState>>,
    kill: Arc<Notify>,
    /// Locked by this task alone, never across a wait.
    ledger: Mutex<Ledger>,
    /// Told when answers may have made room for requests.
    moved: Notify,
    events: Mutex<Box<dyn RecordsEvents>>,
    gauges: Gauges,
}

impl Asking {
    async fn live(self, orders: mpsc::UnboundedReceiver<RecordsCommand>) {
        let (running, pipe) = match Running::start(&self.launcher, &self.program, &self.env, true).await {
            Ok(started) => started,
            Err(failure) => return lock(&self.events).ended(Err(failure)),
        };
        let on_idle = |idle| lock(&self.events).idle(idle);
        let service = Service {
            program: &self.program,
            env: &self.env,
            gauges: &self.gauges,
            stream: true,
            gathers: true,
            refusal: FailureKind::Output,
            kill: &self.kill,
            on_idle: &on_idle,
        };
        let feed = self.feed(Stdin { pipe, gauges: &self.gauges }, orders);
        let mut deliver = |lines| self.take_lines(&lines);
        let ended = running.serve(&service, feed, &mut deliver).await;
        let mut ledger = lock(&self.ledger);
        let result = match ended.result {
            Ok(()) if ledger.is_ended() => Ok(ledger.take().unwrap_or_else(Answers::none)),
            Ok(()) => Err(self.left_early(ledger.unanswered(), ended.stderr_tail)),
            Err(failure) => Err(failure),
        };
        drop(ledger);
        lock(&self.events).ended(result);
    }

    async fn feed(
        &self,
        stdin: Stdin<'_>,
        mut orders: mpsc::UnboundedReceiver<RecordsCommand>,
    ) -> io::Result<()> {
        let mut requests = self.hello();
        let mut pieces = VecDeque::new();
        loop {
            while let Ok(order) = orders.try_recv() {
                self.take_order(order);
            }
            self.fill(&mut requests);
            if requests.is_empty() {
                if lock(&self.ledger).is_ended() {
                    stdin.close();
                    return Ok(());
                }
                tokio::select! {
                    order = orders.recv() => match order {
                        Some(order) => self.take_order(order),
                        // The handle is gone, so the child is being killed.
                        None => return std::future::pending().await,
                    },
                    () = self.moved.notified() => {}
                }
                continue;
            }
            // The next ones will likely take as much.
            let fresh = Vec::with_capacity(requests.len());
            pieces.push_back(Bytes::from(std::mem::replace(&mut requests, fresh)));
            while !pieces.is_empty() {
                stdin.write(&mut pieces).await?;
            }
        }
    }

    fn hello(&self) -> Vec<u8> {
        let mut state = lock(&self.state);
        state.begin_life();
        let mut lines = Vec::new();
        let given = self.gives_state.then(|| state.entries()).into_iter().flatten();
        push_hello(&mut lines, &self.env.task, given);
        lines
    }

    fn take_order(&self, order: RecordsCommand) {
        let mut ledger = lock(&self.ledger);
        match order {
            RecordsCommand::Request { link, first_seq, batch } => ledger.feed(link, first_seq, batch),
            RecordsCommand::Tick => ledger.feed_tick(),
            RecordsCommand::End => ledger.feed_end(),
        }
    }

    fn fill(&self, requests: &mut Vec<u8>) {
        let mut ledger = lock(&self.ledger);
        ledger.fill(requests, WRITE_BYTES);
        self.gauges.owed.store(ledger.under_way() as u64, Relaxed);
        // Records without a key were answered on the way.
        self.tell(ledger);
    }

    fn take_lines(&self, lines: &Batch) -> Result<(), String> {
        let mut ledger = lock(&self.ledger);
        let answered: Result<(), ProtocolFault> = lines.iter().try_for_each(|line| ledger.answer(line));
        self.gauges.owed.store(ledger.under_way() as u64, Relaxed);
        self.gauges.answered.fetch_add(lines.len() as u64, Relaxed);
        self.tell(ledger);
        self.moved.notify_one();
        answered.map_err(|fault| format!("{} {fault}", self.program.name()))
    }

    /// What comes with the end counts only if the exit is good.
    fn tell(&self, mut ledger: MutexGuard<'_, Ledger>) {
        if ledger.is_ended() {
            return;
        }
        if let Some(answers) = ledger.take() {
            drop(ledger);
            lock(&self.events).answered(answers);
        }
    }

    fn left_early(&self, unanswered: usize, stderr_tail: String) -> Failure {
        let message = format!(
            "{} exited well before it had answered the end, with {unanswered} requests unanswered: it must answer every request \
             and read on until its standard input ends",
            self.program.name()
        );
        LastWords { stderr_tail, silent: self.gauges.printed.load(Relaxed) == 0 }
            .failure(FailureKind::EarlyExit, message)
    }
}
