//! Opens everything a run needs before anything is read: inputs, outputs, programs.

use super::context::StageProgram;
use super::durable::Durable;
use super::source::{Input, ProgramInput, Rest, Sampler};
use crate::child::{PrintsTo, Program};
use crate::io::made::Made;
use crate::io::sink::{self, SinkEnd, SinkError, SinkWriter};
use crate::io::source::file::{ReferredFiles, SourceFiles};
use crate::io::source::program::Prints;
use crate::io::source::{self, FileSource, Lives, SourceError, SourceOptions, Stop, Total, Written};
use crate::pipeline::plan::{LocalTask, Plan, RecordsSettings, Role, SourceTask, StageTask};
use crate::pipeline::{self, ProgramError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use thiserror::Error;

/// What every task of this node needs, opened.
#[derive(Debug)]
pub struct Opened {
    pub(super) tasks: Vec<OpenedTask>,
    /// Size of each source's input.
    pub(super) totals: Vec<Total>,
    /// How much of it was read.
    pub(super) done_bytes: Arc<AtomicU64>,
    /// Behind the tasks, for it is dropped behind them.
    pub(super) made: Made,
}

impl Opened {
    /// The run does not begin after all: what this start has made is removed.
    pub fn take_back(mut self, durable: Option<Durable>) {
        // A state that stays has the positions of its sinks' files.
        if !durable.is_none_or(Durable::take_back) {
            self.made.keep();
        }
    }
}

#[derive(Debug)]
pub(super) struct OpenedTask {
    pub(super) task: LocalTask,
    pub(super) role: OpenedRole,
}

#[derive(Debug)]
pub(super) enum OpenedRole {
    Source(Box<Input>),
    Batch(StageProgram),
    Stream(StageProgram),
    Records(StageProgram, Box<RecordsSettings>),
    Sink(Box<dyn SinkWriter>),
}

/// Why a run cannot begin.
#[derive(Debug, Error)]
pub enum OpenError {
    /// An input cannot be read.
    #[error("source {name}: {error}")]
    Source {
        name: String,
        #[source]
        error: SourceError,
    },
    /// An output cannot be written.
    #[error("sink {name}: {error}")]
    Sink {
        name: String,
        #[source]
        error: SinkError,
    },
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
    #[error("{0}")]
    Program(#[from] ProgramError),
    /// A task's journal cannot be written.
    #[error("{0}")]
    Durable(#[from] super::durable::DurableError),
    /// The system refuses what every source needs.
    #[error("cannot prepare to read: {0}")]
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
    let (written, made) = (Written::new(), Made::default());
    let mut opening = Opening { dir, max_record, limit, durable, done_bytes, written, made };
    opening.what_was_read(&plan.local)?;
    let mut totals = Vec::new();
    let mut tasks = Vec::new();
    for task in &plan.local {
        let role = match &task.role {
            Role::Source(source) => {
                let input = opening.source(task, source)?;
                totals.push(input.total());
                OpenedRole::Source(Box::new(input))
            }
            Role::Stage(stage) => open_stage(task, stage, max_record)?,
            Role::Sink(_) => continue,
        };
        tasks.push(OpenedTask { task: task.clone(), role });
    }
    for task in &plan.local {
        let Role::Sink(sink) = &task.role else { continue };
        let role = OpenedRole::Sink(opening.sink(task, &*sink.target)?);
        tasks.push(OpenedTask { task: task.clone(), role });
    }
    keep_apart(&mut tasks, &Arc::new(std::mem::take(&mut opening.written)))?;
    opening.begin_sinks(&mut tasks)?;
    Ok(Opened { tasks, totals, done_bytes: opening.done_bytes, made: opening.made })
}

/// Whether chunks of a source go on as they were read: by a key they are spread over links.
fn goes_on_whole(task: &LocalTask) -> bool {
    task.edges.iter().any(|edge| edge.by.is_none() || edge.links.len() == 1)
}

/// A source must not read what a sink writes: two names can be one file.
fn keep_apart(tasks: &mut [OpenedTask], written: &Arc<Written>) -> Result<(), OpenError> {
    for OpenedTask { task, role } in tasks {
        let OpenedRole::Source(input) = role else { continue };
        if let Some((path, sink)) = input.would_read(written) {
            return Err(OpenError::ReadsItself { sink, source_name: task.stage.clone(), path });
        }
    }
    Ok(())
}

/// What opening the ends of a pipeline needs, and what it has opened.
struct Opening<'a> {
    dir: &'a Path,
    max_record: usize,
    limit: Option<u64>,
    durable: Option<&'a mut Durable>,
    done_bytes: Arc<AtomicU64>,
    written: Written,
    /// What sinks have made, where nothing keeps that it was.
    made: Made,
}

impl Opening<'_> {
    fn source(&mut self, task: &LocalTask, source: &SourceTask) -> Result<Input, OpenError> {
        let max_record = self.max_record;
        // A limit counts what goes on.
        let limit = self.limit.filter(|_| source.sampling.is_none());
        let options = SourceOptions {
            framing: task.framing_out.clone(),
            max_record,
            header: source.header,
            limit,
            on_long: source.on_long,
            on_damage: source.on_damage,
            is_plain: false,
        };
        let (done_bytes, stop) = (Arc::clone(&self.done_bytes), Stop::new()?);
        if self.durable.as_ref().is_some_and(|d| d.has_ended(task.id)) {
            let nothing = FileSource::of(Vec::new(), &options);
            return Ok(Input::reader(Box::new(nothing), stop, done_bytes));
        }
        let position = self.durable.as_ref().and_then(|durable| durable.position(task.id));
        let (position, rest) = Rest::after(position);
        let envelope = task.framing_out.envelope();
        let sampler = |how| Sampler::new(how, task.partition, envelope, self.limit);
        let rest = rest.sampled(source.sampling.clone().map(sampler));
        let durable = self.durable.as_ref().map(|durable| Lives {
            position,
            given: rest.done_before(),
            list: durable.list_path(&task.name),
            may_refer: source.sampling.is_none() && goes_on_whole(task) && durable.may_refer(task.id),
            state: durable.dir(),
        });
        let opening = source::Opening {
            dir: self.dir,
            options,
            task: (task.partition, task.partitions),
            stop,
            durable,
        };
        let opened = source.input.open(&opening);
        let source::Opening { options, stop, durable, .. } = opening;
        let position = durable.and_then(|lives| lives.position);
        match opened.map_err(|error| OpenError::Source { name: task.stage.clone(), error })? {
            source::Opened::Reader(mut reader) => {
                if let (Some(position), Some(durable)) = (reader.begin(), self.durable.as_deref_mut()) {
                    durable.first_position(task.id, position)?;
                }
                if let (Some(files), Some(durable)) = (reader.input_files(), self.durable.as_deref_mut()) {
                    durable.reads(task.id, files);
                }
                if let Some(warning) = reader.warning() {
                    tracing::warn!(source = task.stage, "{warning}");
                }
                Ok(Input::reader(reader, stop, done_bytes).behind(rest))
            }
            source::Opened::Program(prints) => {
                let Prints { program, ok_exit, restart } = *prints;
                let mut program = child_program(task, program.command(&task.stage)?, max_record);
                program.ok_exit = ok_exit.into_iter().map(i32::from).collect();
                let input = ProgramInput::new(program, restart, options, position);
                Ok(Input::program(input, stop, done_bytes).behind(rest))
            }
        }
    }

    /// What sources gave may still be needed of their files, whether they have ended or not: all that is not there is said at once.
    fn what_was_read(&mut self, tasks: &[LocalTask]) -> Result<(), OpenError> {
        let Some(durable) = self.durable.as_deref_mut() else { return Ok(()) };
        for task in tasks.iter().filter(|task| matches!(task.role, Role::Source(_))) {
            // At the first start, and of other sources than files, there is none.
            if let Ok(files) = SourceFiles::load(&durable.list_path(&task.name)) {
                durable.reads(task.id, Arc::new(ReferredFiles::of(files)));
            }
        }
        Ok(durable.check_inputs()?)
    }

    fn sink(&mut self, task: &LocalTask, target: &dyn SinkEnd) -> Result<Box<dyn SinkWriter>, OpenError> {
        let position = self.durable.as_ref().map(|durable| durable.position(task.id));
        if let Some(durable) = self.durable.as_deref().filter(|d| d.has_ended(task.id)) {
            let delivered = position.flatten().map_or(Ok(()), |position| target.delivered(&position));
            match delivered {
                // What a finished run has written is its owner's.
                Err(error) if durable.was_finished() => tracing::warn!("{}", error.afterwards()),
                result => result.map_err(|error| OpenError::Sink { name: task.stage.clone(), error })?,
            }
            return Ok(Box::new(Complete));
        }
        let lives = position.as_ref().map(|position| sink::Lives { position: position.as_deref() });
        let opened = target.open(task.framing_in.terminator(), lives);
        let opened = opened.map_err(|error| OpenError::Sink { name: task.stage.clone(), error })?;
        // A program's tasks are a stage's.
        let Some(mut writer) = opened else { return Ok(Box::new(Complete)) };
        if self.durable.as_ref().is_none_or(|durable| durable.is_first_start()) {
            self.made.add(writer.take_made());
        }
        self.check_file(task, writer.as_ref())?;
        Ok(writer)
    }

    /// A sink must not write what another one writes.
    fn check_file(&mut self, task: &LocalTask, writer: &dyn SinkWriter) -> Result<(), OpenError> {
        let (Some(path), Some(identity)) = (writer.place(), writer.identity()) else { return Ok(()) };
        let (sink, path) = (task.stage.clone(), path.to_owned());
        match self.written.insert(identity, sink.clone()) {
            Some(other) => Err(OpenError::OneFile { sink, other, path }),
            None => Ok(()),
        }
    }

    /// A sink's first position is durable before its first write: a later life would not know its file else.
    fn begin_sinks(&mut self, tasks: &mut [OpenedTask]) -> Result<(), OpenError> {
        let begun = self.begin_each(tasks);
        if begun.is_err() {
            // Where one has a position by now, it is known that its file is there; it may be tried once more.
            self.made.keep();
        }
        begun
    }

    fn begin_each(&mut self, tasks: &mut [OpenedTask]) -> Result<(), OpenError> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        for OpenedTask { task, role } in tasks {
            let OpenedRole::Sink(writer) = role else { continue };
            let fail = |error| OpenError::Sink { name: task.stage.clone(), error };
            if let (Some(position), None) = (writer.begin().map_err(fail)?, durable.position(task.id)) {
                durable.first_position(task.id, position)?;
            }
        }
        // Those of sources, too: nothing is read before.
        Ok(durable.first_positions_durable()?)
    }
}

/// A sink whose end is committed: nothing comes any more.
#[derive(Debug)]
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

fn open_stage(task: &LocalTask, stage: &StageTask, max_record: usize) -> Result<OpenedRole, OpenError> {
    let command = stage.program.command(&task.stage)?;
    let mut program = child_program(task, command, max_record);
    program.ok_exit.clone_from(&stage.ok_exit);
    program.timeout = stage.timeout;
    // Where answers are printed they are read, whoever gives them.
    program.prints_to =
        if stage.gives || stage.records.is_some() { PrintsTo::Records } else { PrintsTo::Log };
    program.envelope_in = task.framing_in.envelope();
    if let pipeline::Mode::Batch(batch) = &stage.mode {
        (program.takes, program.gives) = (batch.input.takes(), batch.output);
    }
    let gives_header = matches!(&stage.mode, pipeline::Mode::Batch(batch) if batch.output_header);
    let stage_program =
        StageProgram { program: Arc::new(program), header: stage.header.clone(), gives_header };
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
    program.stop_grace = command.stop_grace;
    program.confinement = command.confinement;
    program.framing = task.framing_out.clone();
    program.max_record = max_record;
    program
}
