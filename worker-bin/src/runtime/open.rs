//! Opens everything a run needs before anything is read: inputs, outputs, programs.

use super::batch::StageProgram;
use super::durable::Durable;
use super::source::Input;
use crate::child::Program;
use crate::io::sink::{DurableFileSink, FileSink, SinkError, SinkWriter, StreamSink};
use crate::io::source::{FileSource, Header, SourceError, SourceFiles, SourceOptions, Stop, StreamSource};
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
    Source { name: String, error: SourceError },
    /// An output cannot be written.
    #[error("sink {name}: {error}")]
    Sink { name: String, error: SinkError },
    /// A sink would write what a source reads.
    #[error("sink {sink} would write {}, which source {source_name} reads; choose another path for the sink", path.display())]
    ReadsItself { sink: String, source_name: String, path: PathBuf },
    /// Two sinks would write one file, which has two names.
    #[error("sinks {other} and {sink} write to one file: {} is it too; give each its own path", path.display())]
    OneFile {
        sink: String,
        other: String,
        /// The later sink's path.
        path: PathBuf,
    },
    /// A program is missing or cannot be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A task's journal cannot be written.
    #[error(transparent)]
    Durable(#[from] super::durable::DurableError),
    /// The system has no descriptors left.
    #[error("cannot prepare to read standard input: {0}")]
    System(#[from] std::io::Error),
}

/// Opens sources first (nothing is read of them yet), then sinks, so that a pattern never matches a file a sink makes.
/// With `durable` every end goes on where its task's journal says.
///
/// # Errors
/// The first thing that cannot be opened.
pub fn open(
    plan: &Plan,
    dir: &Path,
    max_record: usize,
    limit: Option<u64>,
    durable: Option<&mut Durable>,
) -> Result<Opened, OpenError> {
    let done_bytes = Arc::new(AtomicU64::new(0));
    let mut opening =
        Opening { dir, max_record, limit, durable, done_bytes, read: Vec::new(), written: Vec::new() };
    let mut total_bytes = Some(0_u64);
    let mut tasks = Vec::new();
    for task in &plan.local {
        let role = match &task.role {
            Role::Source(source) => {
                let input = opening.source(task, source)?;
                total_bytes = total_bytes.zip(input.total_bytes()).map(|(all, one)| all + one);
                OpenedRole::Source(input)
            }
            Role::Stage(stage) => open_stage(task, stage, max_record)?,
            Role::Sink(_) => continue,
        };
        tasks.push(OpenedTask { task: task.clone(), role });
    }
    for task in &plan.local {
        let Role::Sink(sink) = &task.role else { continue };
        let role = OpenedRole::Sink(opening.sink(task, &sink.target)?);
        tasks.push(OpenedTask { task: task.clone(), role });
    }
    opening.begin_sinks(&mut tasks)?;
    Ok(Opened { tasks, total_bytes, done_bytes: opening.done_bytes })
}

/// What opening the ends of a pipeline needs, and what it has opened.
struct Opening<'a> {
    dir: &'a Path,
    max_record: usize,
    limit: Option<u64>,
    durable: Option<&'a mut Durable>,
    done_bytes: Arc<AtomicU64>,
    /// Files that sources read, with the source's name.
    read: Vec<(String, PathBuf)>,
    /// Files that sinks write, with the sink's name.
    written: Vec<(String, PathBuf)>,
}

impl Opening<'_> {
    fn source(&mut self, task: &LocalTask, source: &SourceTask) -> Result<Input, OpenError> {
        let header = match source.header {
            pipeline::Header::Keep => Header::Keep,
            pipeline::Header::Skip => Header::Skip,
            pipeline::Header::Repeat => Header::Repeat,
        };
        let (max_record, limit) = (self.max_record, self.limit);
        let options = SourceOptions { terminator: task.terminator_out, max_record, header, limit };
        let fail = |error| OpenError::Source { name: task.stage.clone(), error };
        let done_bytes = Arc::clone(&self.done_bytes);
        let position = self.durable.as_ref().and_then(|d| d.position(task.id));
        if self.durable.as_ref().is_some_and(|d| d.has_ended(task.id)) {
            let nothing = FileSource::of(Vec::new(), &options);
            return Ok(Input::reader(Box::new(nothing), None, done_bytes));
        }
        Ok(match &source.input {
            SourceInput::Files { pattern, .. } => {
                let lone = lone_stream(self.dir, pattern, &options, position.as_deref()).map_err(fail)?;
                if let Some(stream) = lone {
                    return Ok(stream.into_input(&done_bytes));
                }
                let files = self.files(task, pattern, &options, position.as_deref()).map_err(fail)?;
                self.read.extend(files.files().iter().map(|path| (task.stage.clone(), path.clone())));
                Input::reader(Box::new(files), None, done_bytes)
            }
            SourceInput::Stdin => {
                let stop = Stop::new()?;
                let mut stdin = StreamSource::stdin(&options, stop.clone()).map_err(fail)?;
                if let Some(position) = &position {
                    stdin = stdin.resume(position).map_err(fail)?;
                }
                Input::reader(Box::new(stdin), Some(stop), done_bytes)
            }
            SourceInput::Program(program) => {
                let command = program.command(&task.stage)?;
                let program = child_program(task, command, max_record);
                Input::program(program, options, Stop::new()?, done_bytes, position)
            }
        })
    }

    /// The files of a pattern; in exactly-once those of the first start, with the lengths that they had.
    fn files(
        &self,
        task: &LocalTask,
        pattern: &str,
        options: &SourceOptions,
        position: Option<&[u8]>,
    ) -> Result<FileSource, SourceError> {
        let patterns = [Path::new(pattern)];
        let Some(durable) = &self.durable else { return FileSource::open(self.dir, &patterns, options) };
        let list = durable.list_path(&task.name);
        let source = match position {
            Some(position) => FileSource::resume(SourceFiles::load(&list)?, position, options)?,
            None => {
                let mut paths = crate::io::source::expand(self.dir, &patterns)?;
                // What this very run writes there is no input.
                let own = durable.dir().canonicalize().unwrap_or_else(|_| durable.dir().to_owned());
                paths.retain(|path| !path.canonicalize().is_ok_and(|path| path.starts_with(&own)));
                let files = SourceFiles::fix(paths, options)?;
                files.store(&list)?;
                FileSource::fixed(files, options)
            }
        };
        if let Some(warning) = source.warning() {
            tracing::warn!(source = task.stage, "{warning}");
        }
        Ok(source)
    }

    fn sink(&mut self, task: &LocalTask, target: &Target) -> Result<OpenedSink, OpenError> {
        let fail = |error| OpenError::Sink { name: task.stage.clone(), error };
        if self.durable.as_ref().is_some_and(|d| d.has_ended(task.id)) {
            return Ok(OpenedSink::Writer(Box::new(Complete)));
        }
        Ok(match target {
            Target::File { path, exists } => {
                let exists = match exists {
                    pipeline::Exists::Error => crate::io::sink::Exists::Error,
                    pipeline::Exists::Replace => crate::io::sink::Exists::Replace,
                    pipeline::Exists::Append => crate::io::sink::Exists::Append,
                };
                if let Some(durable) = &self.durable {
                    let position = durable.position(task.id);
                    let sink = DurableFileSink::open(path, exists, position.as_deref()).map_err(fail)?;
                    self.check_file(task, path, |path| sink.writes(path))?;
                    return Ok(OpenedSink::Writer(Box::new(sink)));
                }
                let sink = FileSink::open(path, exists).map_err(fail)?;
                self.check_file(task, path, |path| sink.writes(path))?;
                OpenedSink::Writer(Box::new(sink))
            }
            Target::Stdout => OpenedSink::Writer(Box::new(StreamSink::stdout().map_err(fail)?)),
            Target::Program(program) => {
                let command = program.command(&task.stage)?;
                OpenedSink::Program(Arc::new(child_program(task, command, self.max_record)))
            }
        })
    }

    /// A sink must not write what a source reads, nor what another sink writes.
    fn check_file(
        &mut self,
        task: &LocalTask,
        path: &Path,
        writes: impl Fn(&Path) -> bool,
    ) -> Result<(), OpenError> {
        let sink = task.stage.clone();
        if let Some((source_name, path)) = self.read.iter().find(|(_, path)| writes(path)) {
            let (source_name, path) = (source_name.clone(), path.clone());
            return Err(OpenError::ReadsItself { sink, source_name, path });
        }
        if let Some((other, _)) = self.written.iter().find(|(_, path)| writes(path)) {
            let (other, path) = (other.clone(), path.to_owned());
            return Err(OpenError::OneFile { sink, other, path });
        }
        self.written.push((sink, path.to_owned()));
        Ok(())
    }

    /// A sink's first position is durable before its first write: a later life would not know its file else.
    fn begin_sinks(&mut self, tasks: &mut [OpenedTask]) -> Result<(), OpenError> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        for OpenedTask { task, role } in tasks {
            let OpenedRole::Sink(OpenedSink::Writer(writer)) = role else { continue };
            let fail = |error| OpenError::Sink { name: task.stage.clone(), error };
            if let (Some(position), None) = (writer.begin().map_err(fail)?, durable.position(task.id)) {
                durable.first_position(task.id, position)?;
            }
        }
        Ok(())
    }
}

/// A sink whose end is committed: nothing comes any more.
struct Complete;

impl SinkWriter for Complete {
    fn write(&mut self, _: &[worker_proto::Batch]) -> Result<(), SinkError> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn count_into(&mut self, _: crate::io::sink::Moved) {}
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
    position: Option<&[u8]>,
) -> Result<Option<LoneStream>, SourceError> {
    let path = dir.join(pattern);
    let is_stream = std::fs::metadata(&path).is_ok_and(|m| {
        let kind = m.file_type();
        kind.is_fifo() || kind.is_char_device()
    });
    let opened = is_stream.then(|| Ok((std::fs::File::open(&path)?, Stop::new()?))).transpose();
    let opened = opened.map_err(|source: std::io::Error| SourceError::Open { path: path.clone(), source })?;
    let Some((file, stop)) = opened else { return Ok(None) };
    let mut reader = StreamSource::new(file.into(), path.display().to_string(), options, stop.clone());
    if let Some(position) = position {
        reader = reader.resume(position)?;
    }
    Ok(Some(LoneStream { reader, stop }))
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

fn child_program(task: &LocalTask, command: pipeline::Command, max_record: usize) -> Program {
    let mut program = Program::new(task.stage.clone(), command.argv);
    program.cwd = Some(command.cwd);
    program.env = command.env;
    program.clear_env = command.clear_env;
    program.terminator = task.terminator_out;
    program.max_record = max_record;
    program
}
