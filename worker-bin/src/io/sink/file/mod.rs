//! A file, or a directory with one for each partition.

mod durable;
mod plain;

pub use durable::{DurableFileSink, SinkSync};
pub use plain::{Exists, FileSink};

use super::{Lives, Opened, SinkEnd, SinkError, Tasks};
use crate::io::resource::Resource;
use crate::pipeline::{At, shown_path};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file.
#[derive(Clone, Debug)]
pub struct OneFile {
    /// Absolute.
    pub path: PathBuf,
    pub exists: Exists,
    pub at: At,
}

/// A directory with a file for each partition, `part-00000` and so on.
#[derive(Clone, Debug)]
pub struct Parts(pub OneFile);

impl SinkEnd for OneFile {
    fn describe(&self, dir: &Path) -> String {
        format!("writes {}", shown_path(dir, &self.path).display())
    }

    fn at(&self) -> Option<&At> {
        Some(&self.at)
    }

    fn holds(&self) -> Vec<Resource> {
        vec![Resource::File(self.path.clone())]
    }

    fn local(&self) -> Option<&'static str> {
        Some("writes a local file")
    }

    fn tasks(&self) -> Tasks {
        Tasks::One("one file has one sink task")
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        None
    }

    fn appending(&self) -> Option<Arc<dyn SinkEnd>> {
        Some(Arc::new(self.behind()))
    }

    fn in_the_way(&self) -> Option<&Path> {
        let is_full = || self.path.metadata().is_ok_and(|m| m.is_file() && m.len() > 0);
        (self.exists == Exists::Error && is_full()).then_some(&self.path)
    }

    fn open(&self, lives: Option<Lives<'_>>) -> Result<Opened, SinkError> {
        Ok(Opened::Writer(match lives {
            None => Box::new(FileSink::open(&self.path, self.exists)?),
            Some(lives) => Box::new(DurableFileSink::open(&self.path, self.exists, lives.position)?),
        }))
    }
}

impl OneFile {
    fn behind(&self) -> Self {
        Self { exists: Exists::Append, ..self.clone() }
    }
}

impl SinkEnd for Parts {
    fn describe(&self, dir: &Path) -> String {
        format!("writes {}/part-*", shown_path(dir, &self.0.path).display())
    }

    fn at(&self) -> Option<&At> {
        Some(&self.0.at)
    }

    fn holds(&self) -> Vec<Resource> {
        vec![Resource::Parts(self.0.path.clone())]
    }

    fn local(&self) -> Option<&'static str> {
        Some("writes local files")
    }

    fn tasks(&self) -> Tasks {
        Tasks::AsUpstream
    }

    fn partition(&self, number: u32) -> Option<Arc<dyn SinkEnd>> {
        Some(Arc::new(OneFile { path: part_path(&self.0.path, number), ..self.0.clone() }))
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        None
    }

    fn appending(&self) -> Option<Arc<dyn SinkEnd>> {
        Some(Arc::new(Self(self.0.behind())))
    }

    /// The directory itself is never written: its tasks are [`OneFile`]s.
    fn open(&self, _: Option<Lives<'_>>) -> Result<Opened, SinkError> {
        Err(SinkError::Directory { path: self.0.path.clone() })
    }
}

/// The file of one partition.
pub(in crate::io) fn part_path(dir: &Path, partition: u32) -> PathBuf {
    dir.join(format!("part-{partition:05}"))
}

/// Whether this could be the file of a partition.
pub(in crate::io) fn is_part(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("part-").is_some_and(|n| n.len() >= 5 && n.bytes().all(|b| b.is_ascii_digit()))
}
