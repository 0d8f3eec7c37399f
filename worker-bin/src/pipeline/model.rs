//! A pipeline as it is meant: checked, with defaults and paths resolved.

pub use super::keys::batch::{BatchMode, Input};
pub use super::keys::confine::Confine;
pub use super::keys::failures::Failures;
pub use super::keys::pipeline::Budgets;
pub use super::keys::program::{EnvValue, Program, Restart};
pub use super::keys::records::{RecordsMode, RecordsState};
pub use super::keys::sink::Sink;
pub use super::keys::source::Source;
pub use super::keys::stage::{Mode, Stage};
pub use super::keys::stream::{EarlyExit, StreamMode};
pub use super::keys::test::{ByEnd, Test};
pub use super::keys::{Column, KeyRule, Order, PlaceName, Share};

pub use crate::io::framing::Framing;
pub use crate::io::sink::Exists;
pub use crate::io::source::Header;
pub(crate) use crate::io::source::{OnDamage, OnLong};

use super::delivery::Delivery;
use super::diagnostics::{At, SourceText, Warning};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    /// By source, the header that the state there was begun with, which counts whatever its input begins with now.
    pub(super) headers: BTreeMap<String, Bytes>,
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
    /// What `worker test` tries, in the order of the file; nothing of it changes what a run does.
    pub tests: Vec<Test>,
    /// Where the file says what is to be promised, if it does.
    pub(super) delivery_at: Option<At>,
    pub(super) text: SourceText,
    pub(super) noticed: Vec<Warning>,
}

/// Where a stage or sink reads from: a position in [`Pipeline::sources`] or [`Pipeline::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    Source(usize),
    Stage(usize),
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

    /// How the records of a source or stage follow one another.
    #[must_use]
    pub fn origin_framing(&self, origin: Origin) -> &Framing {
        match origin {
            Origin::Source(index) => &self.sources[index].framing,
            Origin::Stage(index) => &self.stages[index].framing_out,
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
            && self.tests == other.tests
    }
}
