//! The thread that reads one source.

use super::collect::Collector;
use super::context::TaskContext;
use super::measure::ProgramRun;
use crate::child::{PipedChild, Program, start_source};
use crate::io::source::{Progress, SourceOptions, SourceReader, Stop, StreamSource};
use crate::logging::task_span;
use bytes::Bytes;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use worker_core::event::{Output, SourceAction, SourceEvent};

/// What a source task reads, opened as far as that is possible before the run.
#[derive(Debug)]
pub struct Input {
    kind: InputKind,
    stop: Stop,
    done_bytes: Arc<AtomicU64>,
    /// Where an earlier life of a program source was.
    position: Option<Bytes>,
}

#[derive(Debug)]
enum InputKind {
    Reader(Box<dyn SourceReader>),
    Program(Arc<Program>, SourceOptions),
}

impl Input {
    pub fn reader(reader: Box<dyn SourceReader>, stop: Stop, done_bytes: Arc<AtomicU64>) -> Self {
        Self { kind: InputKind::Reader(reader), stop, done_bytes, position: None }
    }

    pub(super) fn program(
        program: Program,
        options: SourceOptions,
        stop: Stop,
        done_bytes: Arc<AtomicU64>,
        position: Option<Bytes>,
    ) -> Self {
        Self { kind: InputKind::Program(Arc::new(program), options), stop, done_bytes, position }
    }

    pub(super) fn total_bytes(&self) -> Option<u64> {
        match &self.kind {
            InputKind::Reader(reader) => reader.progress().total_bytes,
            InputKind::Program(..) => None,
        }
    }
}

/// Orders for a source thread; at most the permits the core has given are waiting.
#[derive(Debug)]
pub struct SourcePort {
    orders: Sender<SourceCommand>,
    stopped: Arc<AtomicBool>,
    stop: Stop,
}

#[derive(Debug)]
enum SourceCommand {
    Read(u32),
    Stop,
}

/// The thread's side, until it is started.
#[derive(Debug)]
pub struct SourceThread {
    context: TaskContext,
    input: Input,
    collector: Collector,
    orders: Receiver<SourceCommand>,
    stopped: Arc<AtomicBool>,
}

impl SourcePort {
    pub fn new(context: TaskContext, input: Input, collector: Collector) -> (Self, SourceThread) {
        let (sender, orders) = channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let port = Self { orders: sender, stopped: Arc::clone(&stopped), stop: input.stop.clone() };
        (port, SourceThread { context, input, collector, orders, stopped })
    }

    pub fn act(&self, action: SourceAction) {
        match action {
            SourceAction::Read { chunks } => self.read(chunks),
            SourceAction::Stop => self.stop(),
        }
    }

    fn read(&self, chunks: u32) {
        self.orders.send(SourceCommand::Read(chunks)).ok();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.stop.stop();
        self.orders.send(SourceCommand::Stop).ok();
    }
}

/// The program whose output is read.
struct Running {
    child: PipedChild,
    run: ProgramRun,
    /// It may be stopped before its end.
    limited: bool,
}

impl SourceThread {
    pub fn start(self) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(self.context.env.task.clone());
        thread.spawn(move || self.live()).map(drop)
    }

    fn live(mut self) {
        let _within = task_span(&self.context.env.task).entered();
        match self.read_all() {
            Ok(complete) => self.context.reporter.tell(SourceEvent::Ended { complete }),
            Err(why) => self.context.reporter.failed(why),
        };
    }

    /// Reads as it is told; says whether that was all there is.
    fn read_all(&mut self) -> Result<bool, String> {
        let (kind, done_bytes) =
            (std::mem::replace(&mut self.input.kind, InputKind::none()), self.input.done_bytes.clone());
        let (mut reader, mut child) = match kind {
            InputKind::Reader(reader) => (reader, None),
            InputKind::Program(program, options) => {
                let (reader, child) = self.start_program(program, &options)?;
                (reader, Some(child))
            }
        };
        let mut last = Progress::default();
        let mut complete = false;
        'orders: while let Ok(order) = self.orders.recv() {
            let SourceCommand::Read(chunks) = order else { break };
            for _ in 0..chunks {
                if self.stopped.load(Ordering::Relaxed) {
                    break 'orders;
                }
                let chunk = reader.next_chunk().map_err(|e| e.to_string())?;
                let now = reader.progress();
                // A stopped reader gives back the part of a record that it had counted.
                done_bytes.fetch_add(now.done_bytes.saturating_sub(last.done_bytes), Ordering::Relaxed);
                last = now;
                complete = chunk.is_none() && !self.stopped.load(Ordering::Relaxed);
                let Some(batch) = chunk else { break 'orders };
                let output = Output { position: reader.position(), ..self.collector.route(batch) };
                if !self.context.reporter.tell(SourceEvent::Read { output }) {
                    break 'orders;
                }
            }
        }
        if let Some(child) = &mut child {
            self.end_program(child)?;
        }
        Ok(complete)
    }

    fn start_program(
        &self,
        program: Arc<Program>,
        options: &SourceOptions,
    ) -> Result<(Box<dyn SourceReader>, Running), String> {
        let TaskContext { reporter, launcher, runtime, env } = &self.context;
        let name = program.stage.clone();
        let mut run = reporter.program();
        let started = runtime.block_on(start_source(launcher, program, env));
        if started.is_err() {
            run.ended(&started);
        }
        let (stdout, child) = started.map_err(|failure| failure.message)?;
        let stop = self.input.stop.clone();
        let mut source = StreamSource::new(OwnedFd::from(stdout), name, options, stop);
        if let Some(position) = &self.input.position {
            source = source.resume(position).map_err(|e| e.to_string())?;
        }
        Ok((Box::new(source), Running { child, run, limited: options.limit.is_some() }))
    }

    /// The program has closed its output, or is to stop; only in the first case its exit status counts.
    fn end_program(&self, Running { child, run, limited }: &mut Running) -> Result<(), String> {
        let stopped = self.stopped.load(Ordering::Relaxed) || *limited;
        if stopped {
            child.kill();
        }
        let result = self.context.runtime.block_on(child.wait());
        if !stopped {
            run.ended(&result);
        }
        match result {
            Err(failure) if !stopped => Err(failure.message),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl InputKind {
    /// Left behind where the thread took the input.
    fn none() -> Self {
        #[derive(Debug)]
        struct Nothing;
        impl SourceReader for Nothing {
            fn next_chunk(&mut self) -> Result<Option<worker_proto::Batch>, crate::io::source::SourceError> {
                Ok(None)
            }
            fn progress(&self) -> Progress {
                Progress::default()
            }
            fn header(&self) -> Option<bytes::Bytes> {
                None
            }
        }
        Self::Reader(Box::new(Nothing))
    }
}
