//! A pipeline as it is meant: checked, with defaults and paths resolved.

mod mode;

pub use mode::{BatchMode, EarlyExit, Mode, RecordsMode, RecordsState, StreamMode};

pub use crate::io::sink::Exists;
pub use crate::io::source::Header;

use super::delivery::Delivery;
use super::diagnostics::{At, SourceText, Warning};
use crate::io::sink::{SinkEnd, file::OneFile, file::Parts, program::Reads, stdout::StandardOutput};
use crate::io::source::{SourceEnd, file::Files, program::Prints, stdin::StandardInput};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A checked pipeline. Two are equal if they mean the same, wherever in their files it stands.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name; by default the file's name without extension.
    pub name: String,
    /// What is promised: as the file says, until [`Pipeline::with_state`] has heard the command line.
    pub delivery: Delivery,
    /// Where what must survive is kept, absolute; where delivery is exactly-once, `None` only if neither the file nor the
    /// command line says it.
    pub state_dir: Option<PathBuf>,
    /// Limits of memory and disk.
    pub budgets: Budgets,
    /// Where relative paths start: the directory of the file.
    pub dir: PathBuf,
    /// In the order of the file; at least one.
    pub sources: Vec<Source>,
    /// Upstream stages come before those that read from them; otherwise in the order of the file.
    pub stages: Vec<Stage>,
    /// In the order of the file; at least one.
    pub sinks: Vec<Sink>,
    /// Where the file says what is to be promised, if it does.
    pub(super) delivery_at: Option<At>,
    pub(super) text: SourceText,
    pub(super) noticed: Vec<Warning>,
}

/// Limits of memory and disk, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Longest record, without its terminator.
    pub max_record_bytes: u64,
    /// What a receiver takes ahead, per link.
    pub credit_bytes: u64,
    /// What a sender holds in memory, per link.
    pub outbox_bytes: u64,
    /// What a sender spills to disk, per link.
    pub spill_limit_bytes: u64,
    /// Where it spills; `None` is the system's temporary directory.
    pub spill_dir: Option<PathBuf>,
}

/// Where records come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub name: String,
    pub input: SourceInput,
    /// What is done with the first line of each file.
    pub header: Header,
    pub framing: Framing,
    /// Nodes that read it; empty if the file does not say.
    pub place: Vec<PlaceName>,
    pub(super) at: At,
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceInput {
    /// Files that match a glob, sorted by name.
    Files {
        /// As written; relative to [`Pipeline::dir`].
        pattern: String,
        /// Where it is written.
        at: At,
    },
    /// The worker's own standard input.
    Stdin,
    /// What a program prints.
    Program(Program),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Lines,
    /// With a zero byte.
    Nul,
}

/// A name in `place`.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceName {
    pub node: String,
    /// Where it is written.
    pub at: At,
}

/// Where a stage or sink reads from: a position in [`Pipeline::sources`] or [`Pipeline::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    Source(usize),
    Stage(usize),
}

/// An executable between sources and sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub name: String,
    /// What it reads from; at least one.
    pub from: Vec<Origin>,
    pub program: Program,
    pub mode: Mode,
    /// Exit statuses that count as success; sorted.
    pub ok_exit: Vec<u8>,
    /// Number of tasks; `None`: see [`super::plan()`].
    pub partitions: Option<u32>,
    /// What decides the partition a record goes to; `None`: any.
    pub partition_by: Option<KeyRule>,
    /// Killed after this long without moving a byte or using the processor; `None`: never.
    pub timeout: Option<Duration>,
    /// How the records it reads end.
    pub framing_in: Framing,
    /// How what it prints is split.
    pub framing_out: Framing,
    /// Nodes it runs on; empty: any.
    pub place: Vec<PlaceName>,
    pub(super) at: At,
    pub(super) partitions_at: At,
    pub(super) key_at: At,
}

/// What decides the partition of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// A field of the line.
    Field {
        /// Counts from 1.
        index: u32,
        /// Between fields; `None`: runs of blanks.
        delimiter: Option<String>,
    },
    /// A column of comma-separated values with quotes.
    Csv(Column),
    /// A place in a JSON document, as a JSON pointer.
    Json(String),
    Record,
    /// The key that the answers of the records stages before it name.
    Answer,
}

/// A column of comma-separated values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Counts from 1.
    Number(u32),
    /// As the header line of the source calls it.
    Name(String),
}

/// An executable and its surroundings.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// Where it runs; absolute.
    pub cwd: PathBuf,
    /// Variables set for it.
    pub env: BTreeMap<String, EnvValue>,
    /// Whether it gets only those variables, and none of the worker's.
    pub clear_env: bool,
    pub(super) at: At,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    Text(String),
    /// The worker's variable of this name.
    Env(String),
    /// The content of this file, without a last newline; absolute.
    File(PathBuf),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub name: String,
    /// What it reads from; at least one.
    pub from: Vec<Origin>,
    pub target: SinkTarget,
    /// Number of tasks, where it can have several; `None`: see [`super::plan()`].
    pub partitions: Option<u32>,
    /// What decides the partition a record goes to; `None`: any.
    pub partition_by: Option<KeyRule>,
    /// How the records it reads end.
    pub framing: Framing,
    /// Nodes it runs on; empty if the file does not say.
    pub place: Vec<PlaceName>,
    pub(super) at: At,
    pub(super) partitions_at: At,
    pub(super) key_at: At,
}

/// What a sink writes.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkTarget {
    File {
        path: PathBuf,
        /// What happens to one that is there.
        exists: Exists,
        /// Where it is written.
        at: At,
    },
    /// A directory with one file per partition, `part-00000` and so on.
    Directory {
        path: PathBuf,
        /// What happens to files that are there.
        exists: Exists,
        /// Where it is written.
        at: At,
    },
    /// The worker's own standard output.
    Stdout,
    /// A program's standard input.
    Program(Program),
}

impl Framing {
    /// The byte that ends a record.
    #[must_use]
    pub fn terminator(self) -> u8 {
        match self {
            Self::Lines => b'\n',
            Self::Nul => 0,
        }
    }

    /// As it is written in a pipeline file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Nul => "nul",
        }
    }
}

impl Budgets {
    /// The directory to spill to.
    #[must_use]
    pub fn spill_dir(&self) -> PathBuf {
        self.spill_dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl Pipeline {
    /// The name of a source or stage.
    #[must_use]
    pub fn origin_name(&self, origin: Origin) -> &str {
        match origin {
            Origin::Source(index) => &self.sources[index].name,
            Origin::Stage(index) => &self.stages[index].name,
        }
    }

    /// How the records of a source or stage end.
    #[must_use]
    pub fn origin_framing(&self, origin: Origin) -> Framing {
        match origin {
            Origin::Source(index) => self.sources[index].framing,
            Origin::Stage(index) => self.stages[index].framing_out,
        }
    }

    /// The file this was read from, as messages call it.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.text.name()
    }

    /// A path as the file would write it: relative to [`Pipeline::dir`] where it lies below.
    #[must_use]
    pub fn shown_path(&self, path: &Path) -> PathBuf {
        shown_path(&self.dir, path)
    }
}

/// A path as a file in `dir` would write it: relative where it lies below.
pub(crate) fn shown_path(dir: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix(dir) {
        Ok(rest) if rest.as_os_str().is_empty() => PathBuf::from("."),
        Ok(rest) => rest.to_owned(),
        Err(_) => path.to_owned(),
    }
}

impl Program {
    pub(crate) fn at(&self) -> &At {
        &self.at
    }
}

impl SourceInput {
    #[must_use]
    pub fn end(&self) -> Arc<dyn SourceEnd> {
        match self {
            Self::Files { pattern, at } => Arc::new(Files { pattern: pattern.clone(), at: at.clone() }),
            Self::Stdin => Arc::new(StandardInput),
            Self::Program(program) => Arc::new(Prints(program.clone())),
        }
    }
}

impl SinkTarget {
    #[must_use]
    pub fn end(&self) -> Arc<dyn SinkEnd> {
        let file = |path: &PathBuf, exists: &Exists, at: &At| OneFile {
            path: path.clone(),
            exists: *exists,
            at: at.clone(),
        };
        match self {
            Self::File { path, exists, at } => Arc::new(file(path, exists, at)),
            Self::Directory { path, exists, at } => Arc::new(Parts(file(path, exists, at))),
            Self::Stdout => Arc::new(StandardOutput),
            Self::Program(program) => Arc::new(Reads(program.clone())),
        }
    }
}

impl PartialEq for Pipeline {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.delivery == other.delivery
            && self.state_dir == other.state_dir
            && self.budgets == other.budgets
            && self.dir == other.dir
            && self.sources == other.sources
            && self.stages == other.stages
            && self.sinks == other.sinks
    }
}
