//! How often what was made to fail, over all lives of a worker.

use super::{Fault, Injected};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counted here, and, where the process may die, noted in a file before the fault happens.
#[derive(Debug, Default)]
pub struct Counts {
    here: [AtomicU64; Fault::ALL.len()],
    file: Option<(File, PathBuf)>,
}

impl Counts {
    /// Goes on with what earlier lives have noted in `path`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { here: Default::default(), file: Some((file, path.to_owned())) })
    }

    pub(super) fn add(&self, fault: Fault) {
        if let Some(count) = self.here.get(fault as usize) {
            count.fetch_add(1, Relaxed);
        }
        if let Some((file, _)) = &self.file {
            // One write, so that lines of several threads do not mix. What is not noted is not counted, and changes no result.
            (&*file).write_all(format!("{}\n", fault.name()).as_bytes()).ok();
        }
    }

    /// Of this life and all before it.
    pub(super) fn injected(&self) -> Injected {
        let here = |fault: Fault| self.here.get(fault as usize).map_or(0, |count| count.load(Relaxed));
        match self.file.as_ref().and_then(|(_, path)| Injected::noted(path).ok()) {
            Some(noted) => noted,
            None => Injected::of(here),
        }
    }
}

impl Injected {
    /// What all lives have noted in a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn noted(path: &Path) -> io::Result<Self> {
        let noted = std::fs::read_to_string(path)?;
        Ok(Self::of(|fault| noted.lines().filter(|line| *line == fault.name()).count() as u64))
    }

    fn of(count: impl Fn(Fault) -> u64) -> Self {
        Self {
            programs: count(Fault::Program),
            links: count(Fault::Link),
            disks: count(Fault::Disk),
            syncs: count(Fault::Sync),
            slow: count(Fault::Slow),
            nodes: count(Fault::Process),
        }
    }
}
