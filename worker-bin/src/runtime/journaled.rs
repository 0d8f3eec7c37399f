//! The journals of a node's tasks, taken out of its state directory.

use super::durable::{Durable, DurableTask};
use super::journal::{JournalThreads, TaskJournal};
use super::storage::StorageGuard;
use crate::child::records::KeyedState;
use crate::pipeline::plan::Plan;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use worker_core::config::TaskId;
use worker_core::recovery::TaskState;

/// The journals of all tasks, where there are any.
#[derive(Debug)]
pub(super) struct Journaled {
    pub(super) journals: Vec<Option<Arc<TaskJournal>>>,
    pub(super) threads: Vec<JournalThreads>,
    pub(super) states: Option<BTreeMap<TaskId, TaskState>>,
    pub(super) keyed: BTreeMap<TaskId, Arc<Mutex<KeyedState>>>,
    pub(super) storage: Option<Arc<StorageGuard>>,
    pub(super) durable: Option<Durable>,
}

impl Journaled {
    pub(super) fn of(plan: &Plan, durable: Option<Durable>) -> Self {
        let mut all = Self {
            journals: Vec::new(),
            threads: Vec::new(),
            states: None,
            keyed: BTreeMap::new(),
            storage: None,
            durable: None,
        };
        let Some(mut durable) = durable else { return all };
        let storage = Arc::new(StorageGuard::new(durable.reserve.take()));
        let mut states = BTreeMap::new();
        all.journals = plan.graph.tasks.iter().map(|_| None).collect();
        for (task, DurableTask { journal, state, dead, keyed }) in std::mem::take(&mut durable.tasks) {
            let name = plan.graph.task(task).name.clone();
            let (journal, threads) = TaskJournal::new(task, name, journal, dead, Arc::clone(&storage));
            all.journals[task.0 as usize] = Some(journal);
            all.threads.push(threads);
            all.keyed.extend(keyed.map(|keyed| (task, keyed)));
            states.insert(task, state);
        }
        (all.states, all.storage, all.durable) = (Some(states), Some(storage), Some(durable));
        all
    }

    pub(super) fn journal(&self, task: TaskId) -> Option<Arc<TaskJournal>> {
        self.journals.get(task.0 as usize)?.clone()
    }
}
