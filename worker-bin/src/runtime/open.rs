//! Opens everything a run needs before anything is read: inputs, outputs, programs.

use super::batch::StageProgram;
use super::source::Input;
use crate::child::Program;
use crate::io::sink::{FileSink, SinkError, SinkWriter, StreamSink};
use crate::io::source::{FileSource, Header, SourceError, SourceOptions, Stop, StreamSource};
use crate::pipeline::plan::{LocalTask, Plan, RecordsSettings, Role, SourceTask, StageTask, Target};
use crate::pipeline::{self, ProgramError, SourceInput};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use thiserror::Error;

/// What every task of this node needs, opened.
#[derive(Debug)]
pub struct Opened {
    pub(super) tasks: Vec<OpenedTask>,
    /// Size of all input, where it is known.
    pub(super) total_bytes: Option<u64>,
    /// How much of it was read.
    pub(super) done_bytes: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(super) struct OpenedTask {
    pub(super) task: LocalTask,
    pub(super) role: OpenedRole,
}

#[derive(Debug)]
pub(super) enum OpenedRole {
    Source(Input),
    Batch(StageProgram),
    Stream(StageProgram),
    Records(StageProgram, Box<RecordsSettings>),
    Sink(OpenedSink),
}

/// Where a sink task writes.
pub(super) enum OpenedSink {
    Writer(Box<dyn SinkWriter>),
    Program(Arc<Program>),
}

impl std::fmt::Debug for OpenedSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenedSink")
    }
}

/// Why a run cannot begin.
#[derive(Debug, Error)]
pub enum OpenError {
    /// An input cannot be read.
    #[error("source {name}: {error}")]
    Source {
        /// Which.
        name: String,
        /// Why.
        error: SourceError,
    },
    /// An output cannot be written.
    #[error("sink {name}: {error}")]
    Sink {
        /// Which.
        name: String,
        /// Why.
        error: SinkError,
    },
    /// A sink would write what a source reads.
    #[error("sink {sink} would write {}, which source {source_name} reads; choose another path for the sink", path.display())]
    ReadsItself {
        /// The sink.
        sink: String,
        /// The source.
        source_name: String,
        /// The file.
        path: PathBuf,
    },
    /// Two sinks would write one file, which has two names.
    #[error("sinks {other} and {sink} write to one file: {} is it too; give each its own path", path.display())]
    OneFile {
        /// The later sink.
        sink: String,
        /// The earlier sink.
        other: String,
        /// The later sink's path.
        path: PathBuf,
    },
    /// A program is missing or cannot be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The system has no descriptors left.
    #[error("cannot prepare to read standard input: {0}")]
    System(#[from] std::io::Error),
}

/// Opens sources first (nothing is read of them yet), then sinks, so that a pattern never matches a file a sink makes.
///
/// # Errors
/// The first thing that cannot be opened.
pub fn open(plan: &Plan, dir: &Path, max_record: usize, limit: Option<u64>) -> Result<Opened, OpenError> {
    let done_bytes = Arc::new(AtomicU64::new(0));
    let mut total_bytes = Some(0_u64);
    let mut tasks = Vec::new();
    let mut read: Vec<(String, PathBuf)> = Vec::new();
    for task in &plan.local {
        let role = match &task.role {
            Role::Source(source) => {
                let input = open_source(task, source, dir, max_record, limit, &mut read, &done_bytes)?;
                total_bytes = total_bytes.zip(input.total_bytes()).map(|(all, one)| all + one);
                OpenedRole::Source(input)
            }
            Role::Stage(stage) => open_stage(task, stage, max_record)?,
            Role::Sink(_) => continue,
        };
        tasks.push(OpenedTask { task: task.clone(), role });
    }
    let mut written: Vec<(String, PathBuf)> = Vec::new();
    for task in &plan.local {
        let Role::Sink(sink) = &task.role else { continue };
        let role = OpenedRole::Sink(open_sink(task, &sink.target, max_record, &read, &mut written)?);
        tasks.push(OpenedTask { task: task.clone(), role });
    }
    Ok(Opened { tasks, total_bytes, done_bytes })
}

fn open_source(
    task: &LocalTask,
    source: &SourceTask,
    dir: &Path,
    max_record: usize,
    limit: Option<u64>,
    read: &mut Vec<(String, PathBuf)>,
    done_bytes: &Arc<AtomicU64>,
) -> Result<Input, OpenError> {
    let header = match source.header {
        pipeline::Header::Keep => Header::Keep,
        pipeline::Header::Skip => Header::Skip,
        pipeline::Header::Repeat => Header::Repeat,
    };
    let options = SourceOptions { terminator: task.terminator_out, max_record, header, limit };
    let fail = |error| OpenError::Source { name: task.stage.clone(), error };
    Ok(match &source.input {
        SourceInput::Files { pattern, .. } => {
            if let Some(stream) = lone_stream(dir, pattern, &options).map_err(fail)? {
                return Ok(stream.into_input(done_bytes));
            }
            let files = FileSource::open(dir, &[Path::new(pattern)], &options).map_err(fail)?;
            read.extend(files.files().iter().map(|path| (task.stage.clone(), path.clone())));
            Input::reader(Box::new(files), None, Arc::clone(done_bytes))
        }
        SourceInput::Stdin => {
            let stop = Stop::new()?;
            let stdin = StreamSource::stdin(&options, stop.clone()).map_err(fail)?;
            Input::reader(Box::new(stdin), Some(stop), Arc::clone(done_bytes))
        }
        SourceInput::Program(program) => {
            let command = program.command(&task.stage)?;
            let program = child_program(task, command, max_record);
            Input::program(program, options, Stop::new()?, Arc::clone(done_bytes))
        }
    })
}

/// A named pipe or a device: read as it comes, and no longer than until the run is to stop.
struct LoneStream {
    reader: StreamSource,
    stop: Stop,
}

impl LoneStream {
    fn into_input(self, done_bytes: &Arc<AtomicU64>) -> Input {
        Input::reader(Box::new(self.reader), Some(self.stop), Arc::clone(done_bytes))
    }
}

/// The one path that `pattern` stands for, opened, if that is no regular file.
fn lone_stream(
    dir: &Path,
    pattern: &str,
    options: &SourceOptions,
) -> Result<Option<LoneStream>, SourceError> {
    let path = dir.join(pattern);
    let is_stream = std::fs::metadata(&path).is_ok_and(|m| {
        let kind = m.file_type();
        kind.is_fifo() || kind.is_char_device()
    });
    let opened = is_stream.then(|| Ok((std::fs::File::open(&path)?, Stop::new()?))).transpose();
    let opened = opened.map_err(|source: std::io::Error| SourceError::Open { path: path.clone(), source })?;
    Ok(opened.map(|(file, stop)| {
        let reader = StreamSource::new(file.into(), path.display().to_string(), options, stop.clone());
        LoneStream { reader, stop }
    }))
}

fn open_stage(task: &LocalTask, stage: &StageTask, max_record: usize) -> Result<OpenedRole, OpenError> {
    let command = stage.program.command(&task.stage)?;
    let mut program = child_program(task, command, max_record);
    program.ok_exit.clone_from(&stage.ok_exit);
    program.timeout = stage.timeout;
    let stage_program = StageProgram { program: Arc::new(program), header: stage.header.clone() };
    Ok(match (&stage.mode, &stage.records) {
        (_, Some(settings)) => OpenedRole::Records(stage_program, settings.clone()),
        (pipeline::Mode::Stream(_), None) => OpenedRole::Stream(stage_program),
        (pipeline::Mode::Batch(_) | pipeline::Mode::Records(_), None) => OpenedRole::Batch(stage_program),
    })
}

fn open_sink(
    task: &LocalTask,
    target: &Target,
    max_record: usize,
    read: &[(String, PathBuf)],
    written: &mut Vec<(String, PathBuf)>,
) -> Result<OpenedSink, OpenError> {
    let fail = |error| OpenError::Sink { name: task.stage.clone(), error };
    Ok(match target {
        Target::File { path, exists } => {
            let exists = match exists {
                pipeline::Exists::Error => crate::io::sink::Exists::Error,
                pipeline::Exists::Replace => crate::io::sink::Exists::Replace,
                pipeline::Exists::Append => crate::io::sink::Exists::Append,
            };
            let sink = FileSink::open(path, exists).map_err(fail)?;
            if let Some((source_name, path)) = read.iter().find(|(_, path)| sink.writes(path)) {
                let (source_name, path) = (source_name.clone(), path.clone());
                return Err(OpenError::ReadsItself { sink: task.stage.clone(), source_name, path });
            }
            if let Some((other, _)) = written.iter().find(|(_, path)| sink.writes(path)) {
                let (sink, other, path) = (task.stage.clone(), other.clone(), path.clone());
                return Err(OpenError::OneFile { sink, other, path });
            }
            written.push((task.stage.clone(), path.clone()));
            OpenedSink::Writer(Box::new(sink))
        }
        Target::Stdout => OpenedSink::Writer(Box::new(StreamSink::stdout().map_err(fail)?)),
        Target::Program(program) => {
            let command = program.command(&task.stage)?;
            OpenedSink::Program(Arc::new(child_program(task, command, max_record)))
        }
    })
}

fn child_program(task: &LocalTask, command: pipeline::Command, max_record: usize) -> Program {
    let mut program = Program::new(task.stage.clone(), command.argv);
    program.cwd = Some(command.cwd);
    program.env = command.env;
    program.clear_env = command.clear_env;
    program.terminator = task.terminator_out;
    program.max_record = max_record;
    program
}
