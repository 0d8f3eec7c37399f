//! What every kind of source answers about itself: whoever has to know asks it, and nobody else knows the kinds.

use super::program::Prints;
use super::{SourceError, SourceOptions, SourceReader, Stop, StreamSource};
use crate::io::resource::Resource;
use crate::io::shared::{Comparable, Shared};
use crate::pipeline::keys::rate::Rate;
use crate::pipeline::keys::source::Source;
use crate::pipeline::{At, Problem, Program};
use bytes::Bytes;
use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use worker_journal::Fold;

pub type AnySource = Shared<dyn SourceEnd>;

/// What a source reads, as a pipeline file describes it. Relative paths start at the `dir` that is given.
pub trait SourceEnd: Comparable + Debug + Send + Sync {
    /// As the graph of `worker check` says it, such as `reads logs/*.log`.
    fn describe(&self) -> String;

    /// Where the file says it; `None`: where it names the source.
    fn at(&self) -> Option<&At> {
        None
    }

    /// What it holds while it runs.
    fn holds(&self, dir: &Path) -> Vec<Resource>;

    /// Why it is not the same on every node of a cluster, such as `reads local files`; then `place` must say where it is.
    fn local(&self) -> Option<&'static str>;

    fn ending(&self) -> Ending;

    /// What may be lost or doubled at a crash though everything else counts once; `None`: nothing.
    fn at_a_crash(&self) -> Option<&'static str>;

    /// How fast it makes records, if it says so.
    fn rate(&self) -> Option<Rate> {
        None
    }

    /// What is wrong with it, as that of `source`, though each key is right by itself; `max_record_bytes` is the pipeline's.
    fn check(&self, _source: &Source, _max_record_bytes: u64) -> Option<Problem> {
        None
    }

    /// Whether its records are paths that mean something only where it looks for them.
    fn gives_relative_paths(&self) -> bool {
        false
    }

    /// What is wrong with it now, and may be right when the run begins.
    fn missing(&self, _dir: &Path) -> Option<String> {
        None
    }

    /// The formats that its input is in now, as far as is known, and how many bytes of memory each takes at most while it is decoded.
    fn decodes(&self, _dir: &Path) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// How many bytes of memory decoding takes at most if its input is packed, where only the run shows whether it is.
    fn may_decode(&self, _dir: &Path) -> Option<u64> {
        None
    }

    /// Whether its first record may be a header.
    fn may_begin_with_header(&self) -> bool {
        true
    }

    /// Whether it has a header that is known before the run.
    fn has_header(&self) -> bool {
        false
    }

    /// The first record of its input with what ends it, before the run.
    ///
    /// # Errors
    /// Why it cannot be known.
    fn header(&self, _dir: &Path, _options: &SourceOptions) -> Result<Bytes, String> {
        Err("only files have a header that is known before the run".to_owned())
    }

    /// What its positions add up to, where that is more than the newest.
    fn sum(&self) -> Option<Box<dyn Fold>> {
        None
    }

    /// The program whose output it reads.
    fn program(&self) -> Option<&Program> {
        None
    }

    /// Finds everything that a run needs; nothing is read yet.
    ///
    /// # Errors
    /// Why the run cannot begin.
    fn open(&self, opening: &Opening<'_>) -> Result<Opened, SourceError>;
}

/// Whether a source comes to its end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Certain,
    /// Only what is at the other end knows.
    Unknown,
    Never,
}

/// What a source is opened with.
#[derive(Debug)]
pub struct Opening<'a> {
    pub dir: &'a Path,
    pub options: SourceOptions,
    /// Which of the source's tasks this is, from 0, and how many there are.
    pub task: (u32, u32),
    /// Whatever may wait for input ends when this says so.
    pub stop: Stop,
    /// Where every record counts once.
    pub durable: Option<Lives<'a>>,
}

/// A source's earlier lives, and what they have left for this one.
#[derive(Debug)]
pub struct Lives<'a> {
    /// What the last [`SourceReader::position`] to be committed was; `None` in the first life.
    pub position: Option<Bytes>,
    /// So many records behind it are done with.
    pub given: u64,
    /// A file of its own, for what is too large for a position.
    pub list: PathBuf,
    /// The journal may refer to what is read, where that stays.
    pub may_refer: bool,
    /// The state directory, none of whose files is input.
    pub state: &'a Path,
}

/// How an opened source is driven.
#[derive(Debug)]
pub enum Opened {
    /// By a thread of its own.
    Reader(Box<dyn SourceReader>),
    /// As a child process.
    Program(Box<Prints>),
}

impl Opening<'_> {
    /// A stream, going on where its earlier lives were.
    pub(super) fn stream(&self, stream: OwnedFd, name: String) -> Result<StreamSource, SourceError> {
        match &self.durable {
            None => Ok(StreamSource::new(stream, name, &self.options, self.stop.clone())),
            Some(lives) => StreamSource::kept(stream, name, &self.options, self.stop.clone(), lives),
        }
    }
}
