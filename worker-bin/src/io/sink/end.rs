//! What every kind of sink answers about itself: whoever has to know asks it, and nobody else knows the kinds.

use super::{SinkError, SinkWriter};
use crate::io::resource::Resource;
use crate::io::shared::{Comparable, Shared};
use crate::pipeline::{At, KeyRule, Stage};
use std::fmt::Debug;
use std::path::Path;

pub type AnySink = Shared<dyn SinkEnd>;

/// What a sink writes, as a pipeline file describes it.
pub trait SinkEnd: Comparable + Debug + Send + Sync {
    /// As the graph of `worker check` says it, such as `writes out.txt`; paths below `dir` are shown relative to it.
    fn describe(&self, dir: &Path) -> String;

    /// Where the file says it; `None`: where it names the sink.
    fn at(&self) -> Option<&At> {
        None
    }

    /// What it holds while it runs.
    fn holds(&self) -> Vec<Resource>;

    /// Why it is not the same on every node of a cluster, such as `writes a local file`; then `place` must say where it is.
    fn local(&self) -> Option<&'static str>;

    /// How many tasks it has.
    fn tasks(&self) -> Tasks;

    /// What one of its tasks writes; `None`: the same as all.
    fn partition(&self, _number: u32) -> Option<AnySink> {
        None
    }

    /// What may be doubled at a crash though everything else counts once; `None`: nothing.
    fn at_a_crash(&self) -> Option<&'static str>;

    /// The same, writing behind what is there; `None`: it always does.
    fn appending(&self) -> Option<AnySink> {
        None
    }

    /// The same, of a program whose records stand under a header that only letters know; `None`: it runs none.
    fn headed_by_letters(&self) -> Option<AnySink> {
        None
    }

    /// Whether it writes behind what is there.
    fn appends(&self) -> bool {
        false
    }

    /// What is there and stops a new run from beginning.
    fn in_the_way(&self) -> Option<&Path> {
        None
    }

    /// The program that it gives its records to, and how: its tasks are a stage's, without output.
    fn stage(&self) -> Option<&Stage> {
        None
    }

    /// The same with what its sink says of keys: a program may keep values by them.
    fn keyed(&self, _rule: Option<&KeyRule>) -> Option<AnySink> {
        None
    }

    /// Whether what it has written up to `position` is still there, in a file that is not written to any more.
    ///
    /// # Errors
    /// What others have done to it.
    fn delivered(&self, _position: &[u8]) -> Result<(), SinkError> {
        Ok(())
    }

    /// Finds everything that a run needs; what is there already stays as it is. Its records end with `terminator`. `lives`: every
    /// record is to count once. `None`: it is run as a stage.
    ///
    /// # Errors
    /// Why the run cannot begin.
    fn open(
        &self,
        terminator: Option<u8>,
        lives: Option<Lives<'_>>,
    ) -> Result<Option<Box<dyn SinkWriter>>, SinkError>;
}

/// How many tasks a sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// One, and why.
    One(&'static str),
    /// As `partitions` says, else one.
    Any,
    /// As `partitions` says, else as many as what it reads from.
    AsUpstream,
}

/// A sink's earlier lives, and what they have left for this one.
#[derive(Clone, Copy, Debug)]
pub struct Lives<'a> {
    /// What the last [`SinkWriter::position`] to be committed was; `None` in the first life.
    pub position: Option<&'a [u8]>,
}
