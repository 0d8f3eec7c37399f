//! What to run, and what a child is told about where it is.

use super::confinement::Confinement;
use super::stderr::LogLimit;
use super::wire::Start;
use crate::chaos::Chaos;
use crate::io::buffers::BUFFER_BYTES;
use crate::io::framing::Framing;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use worker_core::route::Envelope;

/// What a program is given to end, where the pipeline does not say it.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// A stage's, source's or sink's executable and the rules it runs under.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name of the stage, source or sink, for messages.
    pub stage: String,
    /// Executable and arguments; never empty. A name without a slash is searched in `PATH`.
    pub argv: Vec<OsString>,
    /// Working directory; the worker's own if `None`.
    pub cwd: Option<PathBuf>,
    /// Added to the environment.
    pub env: Vec<(OsString, OsString)>,
    /// Start from an empty environment instead of the worker's.
    pub clear_env: bool,
    /// What it may use and see.
    pub confinement: Confinement,
    /// Exit statuses that mean success.
    pub ok_exit: Vec<i32>,
    /// How long the child may do nothing; `None`: for ever.
    pub timeout: Option<Duration>,
    /// How long it may take to end when it is stopped: once its input has ended, and again once it was asked to end.
    pub stop_grace: Duration,
    /// Where what it prints goes.
    pub prints_to: PrintsTo,
    /// In what a batch is given to it.
    pub takes: Takes,
    /// Where its output is.
    pub gives: Gives,
    /// What of the records of its input is not content.
    pub envelope_in: Envelope,
    /// How the records of its output follow one another.
    pub framing: Framing,
    /// Longest record of its output, in bytes without what ends it.
    pub max_record: usize,
    /// About how many bytes of output make one batch.
    pub chunk_bytes: usize,
    /// Keeps what the children of this program say on standard error from flooding the log.
    pub log_limit: LogLimit,
}

/// Where what a program prints goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrintsTo {
    #[default]
    Records,
    /// Nobody reads records of it: it goes where its standard error goes.
    Log,
}

/// In what a batch is given to its program; in its words `{}` stands for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takes {
    #[default]
    Stdin,
    /// Each record is an argument.
    Arguments,
    /// A file has the batch.
    File,
}

/// Where the output of a batch program is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gives {
    #[default]
    Stdout,
    /// A file that it makes, whose name stands for `{out}` in its words. What it prints goes where its standard error goes.
    File,
}

/// What a child is told about where it is.
#[derive(Clone, Debug, Default)]
pub struct TaskEnv {
    /// `stage/partition`.
    pub task: String,
    /// Which partition, from 0.
    pub partition: u32,
    /// How many partitions the stage has.
    pub partitions: u32,
    /// The batch's or window's number, the same for every attempt of it.
    pub batch_id: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// A directory for the task's own files.
    pub tmpdir: PathBuf,
    /// What kills it on purpose.
    pub chaos: Option<Arc<Chaos>>,
}

impl Program {
    /// A program with the defaults of a stage: lines of at most 1 MiB, exit status 0, no timeout.
    #[must_use]
    pub fn new(stage: impl Into<String>, argv: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            stage: stage.into(),
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: None,
            env: Vec::new(),
            clear_env: false,
            confinement: Confinement::default(),
            ok_exit: vec![0],
            timeout: None,
            stop_grace: STOP_GRACE,
            prints_to: PrintsTo::Records,
            takes: Takes::Stdin,
            gives: Gives::Stdout,
            envelope_in: b'\n'.into(),
            framing: Framing::Lines,
            max_record: 1 << 20,
            chunk_bytes: BUFFER_BYTES,
            log_limit: LogLimit::default(),
        }
    }

    /// Its name for messages.
    pub(crate) fn name(&self) -> String {
        self.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// What the launcher is asked for; `fixed_hash` makes scripting languages iterate alike in every life of a task.
    pub(crate) fn start(&self, env: &TaskEnv, fixed_hash: bool) -> Start {
        let mut all: Vec<(OsString, OsString)> = Vec::with_capacity(self.env.len() + 9);
        if fixed_hash {
            all.extend(["PYTHONHASHSEED", "PERL_HASH_SEED"].map(|name| (name.into(), "0".into())));
        }
        all.extend(self.env.iter().cloned());
        all.extend([
            ("WORKER_TASK".into(), env.task.clone().into()),
            ("WORKER_STAGE".into(), self.stage.clone().into()),
            ("WORKER_PARTITION".into(), env.partition.to_string().into()),
            ("WORKER_PARTITIONS".into(), env.partitions.to_string().into()),
            ("WORKER_BATCH_ID".into(), env.batch_id.to_string().into()),
            ("WORKER_ATTEMPT".into(), env.attempt.to_string().into()),
            ("WORKER_TMPDIR".into(), env.tmpdir.clone().into()),
        ]);
        let (argv, cwd, clear_env) = (self.argv.clone(), self.cwd.clone(), self.clear_env);
        Start { argv, cwd, clear_env, env: all, confined: self.confinement.words() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_may_choose_the_hash_seed_but_not_the_task() {
        let mut program = Program::new("s", ["true"]);
        program.env = vec![("PYTHONHASHSEED".into(), "7".into()), ("WORKER_STAGE".into(), "x".into())];
        let env = program.start(&TaskEnv::default(), true).env;
        let last = |name: &str| env.iter().rev().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(
            (last("PYTHONHASHSEED"), last("PERL_HASH_SEED"), last("WORKER_STAGE")),
            ("7".into(), "0".into(), "s".into())
        );
    }
}
