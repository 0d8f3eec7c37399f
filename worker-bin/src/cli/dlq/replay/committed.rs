//! Which letters of a run that is not finished are there to stay.

use super::error::ReplayError;
use crate::cli::dlq::store::Kept;
use crate::io::dead::{DeadLogError, log_path};
use crate::manifest::journal_dir;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use worker_core::config::TaskName;
use worker_journal::{DirStorage, JournalError, committed_dead_bytes};

/// How often a journal is read that its worker goes on with, and may have tidied meanwhile.
const READS_MAX: u32 = 5;

/// What the journals of an unfinished run say about its letters.
///
/// A letter is in its file before the commit that it belongs to is in the journal. Should the worker die in between, the
/// letter goes, its record is processed again, and may well succeed.
#[derive(Debug)]
pub(super) struct Committed<'a> {
    state: &'a Path,
    /// How long the letters' files of the tasks of each journal are with what is committed: one is read once, however many tasks share it.
    journals: HashMap<PathBuf, BTreeMap<String, u64>>,
    /// The number of the last committed letter of each task.
    last: HashMap<String, u64>,
}

impl<'a> Committed<'a> {
    /// For a state directory; journals are read when they are needed.
    pub(super) fn new(state: &'a Path) -> Self {
        Self { state, journals: HashMap::new(), last: HashMap::new() }
    }

    /// Whether the commit of a letter is in the journal. Letters of replays are: only finished ones have any to choose.
    pub(super) fn has(&mut self, kept: &Kept) -> Result<bool, ReplayError> {
        if kept.id.replay.is_some() {
            return Ok(true);
        }
        let task = &kept.letter.task;
        let last = match self.last.get(task) {
            Some(&last) => last,
            None => {
                let last = self.read(task)?;
                self.last.insert(task.clone(), last);
                last
            }
        };
        Ok(kept.id.number <= last)
    }

    fn read(&mut self, task: &str) -> Result<u64, ReplayError> {
        let bytes = self.dead_bytes(task)?;
        let TaskName { stage, partition } = TaskName::of(task);
        let path = log_path(self.state, stage, partition.parse().unwrap_or(0));
        let lines = File::open(&path).and_then(|file| {
            let mut lines = 0;
            let mut reader = BufReader::new(file.take(bytes));
            while reader.skip_until(b'\n')? > 0 {
                lines += 1;
            }
            Ok(lines)
        });
        lines.map_err(|source| ReplayError::Letters(DeadLogError::Read { path, source }))
    }

    fn dead_bytes(&mut self, task: &str) -> Result<u64, ReplayError> {
        let journal = journal_dir(self.state, task);
        if !self.journals.contains_key(&journal) {
            let mut bytes = dead_bytes(&journal);
            for _ in 1..READS_MAX {
                if bytes.is_err() {
                    bytes = dead_bytes(&journal);
                }
            }
            self.journals.insert(journal.clone(), bytes.map_err(ReplayError::Journal)?);
        }
        Ok(self.journals.get(&journal).and_then(|tasks| tasks.get(task)).copied().unwrap_or(0))
    }
}

fn dead_bytes(journal: &Path) -> Result<BTreeMap<String, u64>, JournalError> {
    committed_dead_bytes(&DirStorage::existing(journal)?)
}
