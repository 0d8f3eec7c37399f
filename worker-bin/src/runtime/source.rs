//! The thread that reads one source.

mod program;
mod rest;
mod sample;
mod settle;

use super::collect::Collector;
use super::context::TaskContext;
use super::journal::TaskJournal;
use crate::child::{Manner, StopOrder};
use crate::io::source::{AsksForRoom, Progress, SourceReader, Stop, Total, Written};
use crate::logging::task_span;
pub(super) use program::ProgramInput;
use rest::Given;
pub(super) use rest::Rest;
pub(super) use sample::Sampler;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;
use worker_core::event::{Amount, Output, SourceAction, SourceEvent};
use worker_proto::Batch;

/// What a source task reads, opened as far as that is possible before the run.
#[derive(Debug)]
pub struct Input {
    kind: InputKind,
    stop: Stop,
    done_bytes: Arc<AtomicU64>,
    rest: Rest,
}

#[derive(Debug)]
enum InputKind {
    Reader(Box<dyn SourceReader>),
    Program(ProgramInput),
}

impl Input {
    pub fn reader(reader: Box<dyn SourceReader>, stop: Stop, done_bytes: Arc<AtomicU64>) -> Self {
        Self { kind: InputKind::Reader(reader), stop, done_bytes, rest: Rest::default() }
    }

    pub(super) fn program(input: ProgramInput, stop: Stop, done_bytes: Arc<AtomicU64>) -> Self {
        Self { kind: InputKind::Program(input), stop, done_bytes, rest: Rest::default() }
    }

    /// What earlier lives have given behind the position that it goes on from is given no more.
    pub(super) fn behind(self, rest: Rest) -> Self {
        Self { rest, ..self }
    }

    pub(super) fn total(&self) -> Total {
        match &self.kind {
            InputKind::Reader(reader) => reader.total(),
            InputKind::Program(_) => Total::default(),
        }
    }

    /// One of these files that it would read, and the sink that writes it.
    pub(super) fn would_read(&mut self, written: &Arc<Written>) -> Option<(PathBuf, String)> {
        match &mut self.kind {
            InputKind::Reader(reader) => reader.would_read(written),
            InputKind::Program(_) => None,
        }
    }
}

/// Orders for a source thread; at most the permits the core has given are waiting.
#[derive(Debug)]
pub struct SourcePort {
    commands: Sender<SourceCommand>,
    stopped: Arc<AtomicBool>,
    /// Ends reading, also where it waits for input.
    stop: Stop,
    /// Ends the program whose output is read, if it is one; then its end ends reading.
    program: Option<Arc<StopOrder>>,
}

#[derive(Debug)]
enum SourceCommand {
    Read(u32, Option<Amount>),
    Stop,
    /// Nobody wants what is read any more.
    Leave,
}

/// The thread's side, until it is started.
#[derive(Debug)]
pub struct SourceThread {
    kind: InputKind,
    reading: Reading,
}

/// What reading needs, whatever is read.
#[derive(Debug)]
struct Reading {
    context: TaskContext,
    collector: Collector,
    /// `None` in memory mode.
    journal: Option<Arc<TaskJournal>>,
    stop: Stop,
    done_bytes: Arc<AtomicU64>,
    commands: Receiver<SourceCommand>,
    stopped: Arc<AtomicBool>,
    permits: u32,
    /// The most that may be given with one permit.
    most: Option<Amount>,
    /// What was read and has still to be given.
    rest: Rest,
}

impl SourcePort {
    pub fn new(
        context: TaskContext,
        input: Input,
        collector: Collector,
        journal: Option<Arc<TaskJournal>>,
    ) -> (Self, SourceThread) {
        let (sender, commands) = channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let Input { kind, stop, done_bytes, rest } = input;
        let program = match &kind {
            InputKind::Program(input) => Some(input.order()),
            InputKind::Reader(_) => None,
        };
        let port = Self { commands: sender, stopped: Arc::clone(&stopped), stop: stop.clone(), program };
        let reading = Reading {
            context,
            collector,
            journal,
            stop,
            done_bytes,
            commands,
            stopped,
            permits: 0,
            most: None,
            rest,
        };
        (port, SourceThread { kind, reading })
    }

    pub fn act(&self, action: SourceAction) {
        match action {
            SourceAction::Read { chunks, most } => {
                drop(self.commands.send(SourceCommand::Read(chunks, most)));
            }
            SourceAction::Stop => self.stop(),
            SourceAction::Cancel => self.leave(),
        }
    }

    /// A program is asked to end, and what it says until then counts; reading of anything else ends where it is.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        match &self.program {
            Some(program) => program.stop(Manner::Terminate),
            None => self.stop.stop(),
        }
        self.commands.send(SourceCommand::Stop).ok();
    }

    /// Ends reading; nobody wants what would come.
    pub(super) fn leave(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.stop.stop();
        if let Some(program) = &self.program {
            program.stop(Manner::Terminate);
        }
        self.commands.send(SourceCommand::Leave).ok();
    }
}

/// Why a reader was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// It has nothing more.
    AtItsEnd,
    /// It was told to stop, or nobody hears of it any more.
    Stopped,
}

impl SourceThread {
    pub fn start(self) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(self.reading.context.env.task.clone());
        thread.spawn(move || self.live()).map(drop)
    }

    fn live(self) {
        let Self { kind, mut reading } = self;
        let _within = task_span(&reading.context.env.task).entered();
        let complete = match kind {
            InputKind::Reader(mut reader) => {
                if let Some(room) = reading.room() {
                    reader.asks_for_room(room);
                }
                reading.context.reporter.measure().lags(reader.lag());
                let left = reading.read(reader.as_mut(), Progress::default());
                left.map(|left| left == Left::AtItsEnd && !reading.is_stopped())
            }
            InputKind::Program(input) => input.run(&mut reading),
        };
        match complete {
            Ok(complete) => reading.context.reporter.tell(SourceEvent::Ended { complete }),
            Err(why) => {
                reading.settle();
                reading.context.reporter.failed(why)
            }
        };
    }
}

impl Reading {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Reads as it may, until it is stopped. What counts as read is added behind `last`.
    fn read(&mut self, reader: &mut dyn SourceReader, mut last: Progress) -> Result<Left, String> {
        while self.may_read(false) {
            if self.is_stopped() {
                break;
            }
            if !self.has_some(reader, &mut last)? {
                return Ok(Left::AtItsEnd);
            }
            if !self.give() {
                break;
            }
            self.let_go(reader)?;
        }
        reader.leave().map_err(|e| e.to_string())?;
        Ok(Left::Stopped)
    }

    /// Waits for a permit and uses it up; `false` where none comes any more. `goes_on`: being told to stop is not the end.
    fn may_read(&mut self, goes_on: bool) -> bool {
        while self.permits == 0 {
            match self.commands.recv() {
                Ok(SourceCommand::Read(chunks, most)) => self.is_permitted(chunks, most),
                Ok(SourceCommand::Stop) if goes_on => {
                    self.context.reporter.tell(SourceEvent::Closing);
                }
                Ok(SourceCommand::Stop | SourceCommand::Leave) | Err(_) => return false,
            }
        }
        self.permits -= 1;
        true
    }

    fn is_permitted(&mut self, chunks: u32, most: Option<Amount>) {
        self.permits += chunks;
        self.most = most;
    }

    /// Reads on where everything that was read is given; says whether there is anything to give.
    fn has_some(&mut self, reader: &mut dyn SourceReader, last: &mut Progress) -> Result<bool, String> {
        while self.rest.is_empty() {
            if self.rest.is_full() {
                return Ok(false);
            }
            // Only where it may be given in parts a later life may have to know where it began.
            let before = if self.most.is_some() { reader.position() } else { None };
            let chunk = reader.next_chunk().map_err(|e| e.to_string())?;
            self.count(last, reader.progress());
            let Some(batch) = chunk else { return Ok(false) };
            self.rest.hold(batch, reader, before);
        }
        Ok(true)
    }

    /// Gives of what was read as much as is permitted; says whether anybody was there to hear it.
    fn give(&mut self) -> bool {
        let Given { batch, letters, position, left_out, origin } = self.rest.give(self.most);
        let bytes = batch.bytes() as u64;
        let mut output = Output { position, bytes, left_out, origin, ..self.collector.route(batch) };
        output.dead.extend(letters);
        self.context.reporter.tell(SourceEvent::Read { output })
    }

    /// Gives the last records, which nobody has permitted; says whether anybody was there to hear it.
    fn give_at_once(&mut self, batch: Batch, reader: &mut dyn SourceReader) -> bool {
        self.rest.hold(batch, reader, None);
        self.most = None;
        self.give()
    }

    /// Tells a reader that keeps much of it what the journal has on stable storage.
    fn let_go(&self, reader: &mut dyn SourceReader) -> Result<(), String> {
        let position = self.journal.as_ref().and_then(|journal| journal.durable_position());
        let position = position.map(rest::within);
        match position.filter(|position| reader.keeps_much_before(position)) {
            Some(position) => reader.forget_before(&position).map_err(|e| e.to_string()),
            None => Ok(()),
        }
    }

    /// Whom a reader asks for room where there is none: the disk of commits is its own.
    fn room(&self) -> Option<AsksForRoom> {
        let (storage, reporter) =
            (Arc::clone(self.journal.as_ref()?.storage()), self.context.reporter.clone());
        Some(AsksForRoom::new(move |why| reporter.disk_is_full(&storage, why)))
    }

    fn count(&self, last: &mut Progress, now: Progress) {
        // A stopped reader gives back the part of a record that it had counted.
        let more = now.done_bytes.saturating_sub(last.done_bytes);
        self.done_bytes.fetch_add(more, Ordering::Relaxed);
        *last = now;
    }

    /// Waits until `at`, if it is not told to stop before.
    fn wait_until(&mut self, at: Instant) -> bool {
        loop {
            let left = at.saturating_duration_since(Instant::now());
            match self.commands.recv_timeout(left) {
                Ok(SourceCommand::Read(chunks, most)) => self.is_permitted(chunks, most),
                Ok(SourceCommand::Stop | SourceCommand::Leave) | Err(RecvTimeoutError::Disconnected) => {
                    return false;
                }
                Err(RecvTimeoutError::Timeout) => return true,
            }
        }
    }
}
