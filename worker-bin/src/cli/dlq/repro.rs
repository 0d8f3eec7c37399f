//! `worker dlq repro`: a directory in which the program of a stage can be run on one dead letter again.

mod script;

use super::Failed;
use super::args::ReproArgs;
use super::store::{LetterId, Store, StoreError};
use crate::child::Takes;
use crate::child::records::single_request;
use crate::cli::exit::say;
use crate::io::dead::Letter;
use crate::pipeline::plan::{LocalTask, Plan, Role, StageTask, plan};
use crate::pipeline::{self, Cluster, Mode, Pipeline, ProgramError, RecordsState, StateOptions};
use crate::text::escape::one_line;
use crate::text::names;
use script::Script;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;
use worker_core::config::NodeIx;
use worker_core::route::{PartitionBy, RecordKey};

/// Why there is nothing to run, or nowhere to put it.
#[derive(Debug, Error)]
pub(super) enum ReproError {
    /// The stage is gone.
    #[error(
        "dead letter {id} is of stage `{stage}`, which {file} does not have any more{stages}; take the file \
         that the run was made with"
    )]
    NoStage { id: LetterId, stage: String, file: String, stages: String },
    /// No program saw it.
    #[error("dead letter {id} never reached a program: {reason}; `worker dlq show` shows it")]
    NoProgram {
        id: LetterId,
        /// Why it was dead-lettered.
        reason: String,
    },
    /// The program cannot be found.
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("{} is there and not an empty directory; name another with --out, or remove it", .0.display())]
    Taken(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}: {source}; name a directory with --out that this user may write", path.display())]
    Write { path: PathBuf, source: io::Error },
}

pub(super) fn repro(args: &ReproArgs) -> Result<ExitCode, Failed> {
    let id: LetterId = args.id.parse()?;
    let options = StateOptions { dir: args.from.state.as_deref(), ..StateOptions::default() };
    let loaded = pipeline::load(&args.file, &args.from.set).and_then(|pipeline| pipeline.with_state(options));
    let pipeline = loaded.map_err(StoreError::from)?;
    let store = match &args.from.letters {
        Some(letters) => Store::find(Some(letters), &args.from)?.0,
        None => Store::of(&pipeline)?,
    };
    let letter = store.letter(&id)?;
    let plan = plan(&pipeline, &Cluster::single(), NodeIx(0)).map_err(StoreError::from)?;
    let (task, stage) = stage_of(&plan, &pipeline, &id, &letter)?;
    let case = Case::new(&id, &letter, task, stage)?;
    case.write(&args.out)?;
    say(&format!(
        "{} has the input, the command and the environment: sh {}",
        args.out.display(),
        quoted(&args.out)
    ));
    Ok(ExitCode::SUCCESS)
}

fn quoted(out: &Path) -> String {
    shell_words::quote(&out.join("run.sh").to_string_lossy()).into_owned()
}

fn stage_of<'a>(
    plan: &'a Plan,
    pipeline: &Pipeline,
    id: &LetterId,
    letter: &Letter,
) -> Result<(&'a LocalTask, &'a StageTask), ReproError> {
    if letter.origin.is_none() {
        return Err(ReproError::NoProgram { id: id.clone(), reason: one_line(letter.reason.as_bytes()) });
    }
    let of_stage = |task: &&LocalTask| task.stage == letter.stage;
    let tasks = || plan.local.iter().filter(of_stage);
    let task = tasks().find(|task| task.name == letter.task).or_else(|| tasks().next());
    match task.map(|task| (task, &task.role)) {
        Some((task, Role::Stage(stage))) => Ok((task, stage)),
        Some((_, Role::Source(_) | Role::Sink(_))) | None => Err(ReproError::NoStage {
            id: id.clone(),
            stage: one_line(letter.stage.as_bytes()),
            file: pipeline.file_name().to_owned(),
            stages: names::tail(
                &letter.stage,
                "stages there",
                pipeline.stages.iter().map(|stage| stage.name.as_str()),
            ),
        }),
    }
}

/// What was run, and on what.
struct Case<'a> {
    id: &'a LetterId,
    letter: &'a Letter,
    stage: &'a StageTask,
    input: Vec<u8>,
    script: Script<'a>,
    /// What is not as it was.
    differs: Vec<&'static str>,
}

impl<'a> Case<'a> {
    fn new(
        id: &'a LetterId,
        letter: &'a Letter,
        task: &'a LocalTask,
        stage: &'a StageTask,
    ) -> Result<Self, ReproError> {
        let mut differs = vec![
            "The record is alone; it may have been in one batch with others before. What the script does not set in \
             its environment is as in your shell, not as the worker had it.",
        ];
        if matches!(stage.mode, Mode::Records(_)) {
            differs.push("The program is not given the state that it had put under the record's key.");
        }
        if stage.program.env.values().any(|value| !matches!(value, pipeline::EnvValue::Text(_))) {
            differs.push("Values that the pipeline file takes from elsewhere are not copied: run.sh takes them from there too.");
        }
        if stage.program.confine != pipeline::Confine::default() {
            differs.push("Limits, user and sandbox of the stage are not applied: it runs as you do.");
        }
        let input = input(letter, task, stage);
        let script = Script { id, letter, task, stage, found: found(stage, &task.stage) };
        Ok(Self { id, letter, stage, input, script, differs })
    }

    fn write(&self, dir: &Path) -> Result<(), ReproError> {
        let failed = |path: &Path, source| ReproError::Write { path: path.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut entries = dir.read_dir().map_err(|_| ReproError::Taken(dir.to_owned()))?;
                if entries.next().is_some() {
                    return Err(ReproError::Taken(dir.to_owned()));
                }
            }
            result => result.map_err(|source| failed(dir, source))?,
        }
        let files = [
            ("input", 0o600, self.input.clone()),
            ("run.sh", 0o700, self.script.text().into_bytes()),
            ("README.txt", 0o600, self.readme().into_bytes()),
        ];
        for (name, mode, content) in files {
            let path = dir.join(name);
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
            let written = file.and_then(|mut file| file.write_all(&content));
            written.map_err(|source| failed(&path, source))?;
        }
        Ok(())
    }

    fn readme(&self) -> String {
        let Letter { reason, attempts, time, stage, .. } = self.letter;
        let fine: Vec<String> = self.stage.ok_exit.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "Dead letter {} of stage `{}`, dead-lettered at {} after {attempts} {}:\n\n    {}\n\n\
             sh run.sh   runs the program as the worker ran it, on this record alone\n\
             input       {}\n\n\
             It succeeds with exit status {}. ",
            self.id,
            one_line(stage.as_bytes()),
            one_line(time.as_bytes()),
            if *attempts == 1 {
                "attempt"
            } else {
                "attempts, those of larger batches that it was in included"
            },
            one_line(reason.as_bytes()),
            match takes(self.stage) {
                Takes::Stdin => "what it gets on standard input",
                Takes::Arguments => "what it gets as an argument",
                Takes::File => "the file that it gets",
            },
            fine.join(" or "),
        );
        if matches!(self.stage.mode, Mode::Records(_)) {
            text += "An answer with \"fail\" dead-letters the record, whatever the status. ";
        }
        if let Some(timeout) = self.stage.timeout {
            text += &format!("The worker kills it when it does nothing for {timeout:?}. ");
        }
        text += "\n\nWhat differs from the run of the worker:\n";
        for difference in &self.differs {
            text += &format!("- {difference}\n");
        }
        if !self.letter.stderr_tail.is_empty() {
            text += "\nWhat it said last on standard error:\n\n";
            for line in self.letter.stderr_tail.lines() {
                text += &format!("    {}\n", one_line(line.as_bytes()));
            }
        }
        text
    }
}

/// The program's file, if it is on this machine and its name alone would not find it.
fn found(stage: &StageTask, owner: &str) -> Option<PathBuf> {
    let found = || stage.program.command(owner).ok().map(|command| command.program);
    if stage.program.clear_env { found() } else { None }
}

/// In what the program is given its input.
fn takes(stage: &StageTask) -> Takes {
    match &stage.mode {
        Mode::Batch(batch) => batch.input.takes(),
        Mode::Stream(_) | Mode::Records(_) => Takes::Stdin,
    }
}

fn input(letter: &Letter, task: &LocalTask, stage: &StageTask) -> Vec<u8> {
    if let Mode::Records(records) = &stage.mode {
        let by = stage.records.as_ref().and_then(|records| records.key.clone());
        // A key that came beside the record is not in the letter.
        let by = by.filter(|by| *by != PartitionBy::Given);
        let mut key = by.map(|by| RecordKey::new(by, task.framing_in.envelope()));
        let key = key.as_mut().and_then(|key| key.of(&letter.record).ok());
        return single_request(&letter.task, key, &letter.record, records.state == RecordsState::Inline);
    }
    if takes(stage) == Takes::Arguments {
        return letter.record.to_vec();
    }
    let mut input = Vec::new();
    match &letter.header {
        Some(header) => task.framing_in.wrap(header, &mut input),
        None => input.extend_from_slice(stage.header.as_deref().unwrap_or_default()),
    }
    task.framing_in.wrap(&letter.record, &mut input);
    input
}

#[cfg(test)]
mod tests;
