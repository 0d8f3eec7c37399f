//! Dead letters: kept, where no journal does it, remembered to be shown, and counted.

use crate::admin::DeadLetterView;
use crate::io::dead::{DeadLetterError, DeadLetterFile, Envelopes};
use crate::mutex::lock;
use crate::pipeline::plan::LocalTask;
use crate::report::{DeadReason, DeadTally};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use worker_core::config::{Graph, TaskId, TaskName};
use worker_core::event::DeadLetter;

/// How many are remembered to be shown.
const SHOWN: usize = 200;

#[derive(Debug)]
pub(super) struct DeadLetters {
    graph: Arc<Graph>,
    file: Mutex<DeadLetterFile>,
    /// Of the tasks of this node.
    envelopes: BTreeMap<TaskId, Envelopes>,
    shown: Mutex<VecDeque<DeadLetterView>>,
    tally: Mutex<DeadTally>,
}

impl DeadLetters {
    pub(super) fn new(graph: Arc<Graph>, file: DeadLetterFile, tasks: &[LocalTask]) -> Self {
        let envelopes = tasks.iter().map(|task| (task.id, task.envelopes())).collect();
        let file = Mutex::new(file);
        Self { graph, file, envelopes, shown: Mutex::default(), tally: Mutex::default() }
    }

    /// Keeps a commit's dead letters in memory mode, and says how many it has kept. On a full disk the rest is to be given again; where
    /// they cannot be kept at all the pipeline fails, for nothing may be lost silently.
    pub(super) fn keep(&self, task: TaskId, letters: &[DeadLetter]) -> (usize, Result<(), DeadLetterError>) {
        let name = |task: TaskId| self.graph.task(task).name.as_str();
        let envelopes = self.envelopes.get(&task).copied().unwrap_or_default();
        let mut file = lock(&self.file);
        for (kept, letter) in letters.iter().enumerate() {
            let from = letter.origin.map(|(link, _)| name(self.graph.link(link).from));
            if let Err(error) = file.put(name(task), from, letter, envelopes) {
                return (kept, Err(error));
            }
        }
        (letters.len(), Ok(()))
    }

    /// Whether all that were kept are still there.
    pub(super) fn check(&self) -> Result<(), DeadLetterError> {
        lock(&self.file).check()
    }

    /// How many were kept, and where, if any were.
    pub(super) fn kept(&self) -> (u64, Option<PathBuf>) {
        let file = lock(&self.file);
        (file.count(), file.path().map(std::path::Path::to_owned))
    }

    pub(super) fn remember(&self, task: TaskId, letters: &[DeadLetter]) {
        let task = &self.graph.task(task).name;
        let (at_ms, stage) = (super::process::unix_ms(), TaskName::of(task).stage);
        let mut tally = lock(&self.tally);
        let mut shown = lock(&self.shown);
        for letter in letters {
            tally.count(stage, &letter.reason);
            if shown.len() == SHOWN {
                shown.pop_front();
            }
            shown.push_back(DeadLetterView {
                at_ms,
                task: task.clone(),
                reason: letter.reason.clone(),
                attempts: letter.attempts,
                record_bytes: letter.record.len() as u64,
            });
        }
    }

    /// The last `max` of them.
    pub(super) fn shown(&self, max: usize) -> Vec<DeadLetterView> {
        let shown = lock(&self.shown);
        shown.iter().skip(shown.len().saturating_sub(max)).cloned().collect()
    }

    pub(super) fn reasons(&self) -> Vec<DeadReason> {
        lock(&self.tally).reasons()
    }
}
