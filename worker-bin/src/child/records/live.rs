//! A child that is asked, from its start to its end.

use super::conversation::{Conversation, RecordsRules, line_bytes_max};
use super::effects::Answers;
use super::state::KeyedState;
use crate::child::failure::LastWords;
use crate::child::launcher::Launcher;
use crate::child::pipes::{Gauges, Stdin};
use crate::child::program::{Program, TaskEnv};
use crate::child::serve::{Running, Service};
use crate::child::stop::{Manner, StopOrder};
use crate::child::watch::Idle;
use crate::io::framing::Framing;
use crate::mutex::lock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc};
use tracing::Instrument as _;
use worker_core::event::{Failure, FailureKind};
use worker_proto::{Batch, LinkId, Seq};

/// About how much is written at once, in bytes.
const WRITE_BYTES: usize = 256 * 1024;

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
    commands: mpsc::UnboundedSender<RecordsCommand>,
    kill: Arc<Notify>,
    stop: Arc<StopOrder>,
}

#[derive(Debug)]
enum RecordsCommand {
    Request {
        link: LinkId,
        first_seq: Seq,
        batch: Batch,
    },
    Tick,
    End,
    /// Nothing it answers counts any more.
    Leave,
}

/// Starts `program`, whose framing and longest record are those of what it emits, on a tokio task of its own. It is given
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
    let (commands, received) = mpsc::unbounded_channel();
    let (kill, stop) = (Arc::new(Notify::new()), Arc::new(StopOrder::new()));
    let conversation = Conversation::new(&env.task, &program.framing, program.max_record, rules, state);
    let line_bytes = line_bytes_max(program.max_record);
    let asked = Asking {
        launcher: launcher.clone(),
        program: Program { framing: Framing::Lines, max_record: line_bytes, ..program.clone() },
        env,
        kill: Arc::clone(&kill),
        stop: Arc::clone(&stop),
        is_void: AtomicBool::new(false),
        conversation: Mutex::new(conversation),
        moved: Notify::new(),
        events: Mutex::new(Box::new(events)),
        gauges: Gauges::default(),
    };
    let live = async move {
        committed.await;
        asked.live(received).await;
    };
    tokio::spawn(live.in_current_span());
    RecordsHandle { commands, kill, stop }
}

impl RecordsHandle {
    /// Asks about records, in order.
    pub fn request(&self, link: LinkId, first_seq: Seq, batch: Batch) {
        // A child that has ended is asked nothing; its end was told.
        self.commands.send(RecordsCommand::Request { link, first_seq, batch }).ok();
    }

    /// Asks for a tick behind what was asked.
    pub fn tick(&self) {
        self.commands.send(RecordsCommand::Tick).ok();
    }

    /// Says that nothing comes any more.
    pub fn end(&self) {
        self.commands.send(RecordsCommand::End).ok();
    }

    /// Brings it to its end in good order, behind what was written to it; what it answers from now on does not count.
    pub fn leave(&self, manner: Manner) {
        self.commands.send(RecordsCommand::Leave).ok();
        self.stop.stop(manner);
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
    kill: Arc<Notify>,
    stop: Arc<StopOrder>,
    /// It is to leave: what it answers does not count.
    is_void: AtomicBool,
    /// Locked by this task alone, never across a wait.
    conversation: Mutex<Conversation>,
    /// Told when answers may have made room for requests.
    moved: Notify,
    events: Mutex<Box<dyn RecordsEvents>>,
    gauges: Gauges,
}

impl Asking {
    async fn live(self, commands: mpsc::UnboundedReceiver<RecordsCommand>) {
        let started = Running::start(&self.launcher, &self.program, &self.env, true, &self.kill).await;
        let (running, pipe) = match started {
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
            stop: &self.stop,
            on_idle: &on_idle,
            takes_print: &|| true,
        };
        let feed = self.feed(Stdin { pipe, gauges: &self.gauges }, commands);
        let mut deliver = |lines| self.take_lines(&lines);
        let ended = running.serve(&service, feed, &mut deliver).await;
        let result = ended.result.and_then(|()| {
            let answers = lock(&self.conversation).ended();
            answers.map_err(|unanswered| self.left_early(unanswered, ended.stderr_tail))
        });
        lock(&self.events).ended(result);
    }

    async fn feed(
        &self,
        stdin: Stdin<'_>,
        mut commands: mpsc::UnboundedReceiver<RecordsCommand>,
    ) -> io::Result<()> {
        let mut requests = lock(&self.conversation).hello();
        let mut pieces = VecDeque::new();
        loop {
            while let Ok(command) = commands.try_recv() {
                self.take_command(command);
            }
            if self.is_void.load(Relaxed) {
                stdin.close();
                return Ok(());
            }
            self.fill(&mut requests);
            if requests.is_empty() {
                if lock(&self.conversation).is_over() {
                    stdin.close();
                    return Ok(());
                }
                tokio::select! {
                    command = commands.recv() => match command {
                        Some(command) => self.take_command(command),
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

    fn take_command(&self, command: RecordsCommand) {
        let mut conversation = lock(&self.conversation);
        match command {
            RecordsCommand::Request { link, first_seq, batch } => {
                conversation.request(link, first_seq, batch)
            }
            RecordsCommand::Tick => conversation.tick(),
            RecordsCommand::End => conversation.end(),
            RecordsCommand::Leave => self.is_void.store(true, Relaxed),
        }
    }

    fn fill(&self, requests: &mut Vec<u8>) {
        let mut conversation = lock(&self.conversation);
        conversation.requests(requests, WRITE_BYTES);
        // Records without a key were answered on the way.
        self.tell(conversation);
    }

    fn take_lines(&self, lines: &Batch) -> Result<(), String> {
        if self.is_void.load(Relaxed) {
            return Ok(());
        }
        let mut conversation = lock(&self.conversation);
        let answered = conversation.lines(lines);
        self.gauges.answered.fetch_add(lines.len() as u64, Relaxed);
        self.tell(conversation);
        self.moved.notify_one();
        answered.map_err(|fault| format!("{} {fault}", self.program.name()))
    }

    fn tell(&self, mut conversation: MutexGuard<'_, Conversation>) {
        self.gauges.owed.store(conversation.owed(), Relaxed);
        if let Some(answers) = conversation.news() {
            drop(conversation);
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
