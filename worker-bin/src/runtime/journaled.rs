//! The journals of a node's tasks, taken out of its state directory.

use super::durable::{Durable, DurableColumn, DurableTask};
use super::journal::{JournalThreads, MemberTask, TaskJournal, column_journal};
use super::measure::TaskMeasure;
use super::peers::{KeepPeer, PeersThread};
use super::storage::StorageGuard;
use crate::child::records::KeyedState;
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use worker_core::config::{Graph, NodeIx, TaskId};
use worker_core::recovery::{PeerState, TaskState};

/// The journals of all tasks, where there are any.
#[derive(Debug)]
pub(super) struct Journaled {
    pub(super) journals: Journals,
    pub(super) threads: Vec<JournalThreads>,
    pub(super) states: Option<BTreeMap<TaskId, TaskState>>,
    pub(super) keyed: BTreeMap<TaskId, Arc<Mutex<KeyedState>>>,
    pub(super) storage: Option<Arc<StorageGuard>>,
    /// What is known of the peers, and who keeps it.
    pub(super) known_peers: BTreeMap<NodeIx, PeerState>,
    pub(super) peers: Option<(Sender<KeepPeer>, PeersThread)>,
    pub(super) durable: Option<Durable>,
}

impl Journaled {
    pub(super) fn of(graph: &Arc<Graph>, measures: &[Arc<TaskMeasure>], durable: Option<Durable>) -> Self {
        let mut all = Self {
            journals: Journals::default(),
            threads: Vec::new(),
            states: None,
            keyed: BTreeMap::new(),
            storage: None,
            known_peers: BTreeMap::new(),
            peers: None,
            durable: None,
        };
        let Some(mut durable) = durable else { return all };
        let storage = Arc::new(StorageGuard::new(durable.dir().to_owned(), durable.reserve.take()));
        let mut states = BTreeMap::new();
        let mut journals: Vec<_> = graph.tasks.iter().map(|_| None).collect();
        let mut tasks = std::mem::take(&mut durable.tasks);
        for DurableColumn { name, journal, members, .. } in std::mem::take(&mut durable.columns) {
            let mut joining = Vec::with_capacity(members.len());
            for task in members {
                let Some(DurableTask { state, dead, keyed, .. }) = tasks.remove(&task) else { continue };
                joining.push(MemberTask { task, measure: Arc::clone(&measures[task.0 as usize]), dead });
                all.keyed.extend(keyed.map(|keyed| (task, keyed)));
                states.insert(task, state);
            }
            let (members, threads) = column_journal(name, graph, journal, joining, &storage);
            for journal in members {
                let task = journal.task();
                journals[task.0 as usize] = Some(journal);
            }
            all.threads.push(threads);
        }
        if let Some(file) = durable.peers.take() {
            all.known_peers = file.peers.clone();
            all.peers = Some(PeersThread::new(file, Arc::clone(&storage)));
        }
        all.journals = Journals(Some(journals.into()));
        (all.states, all.storage, all.durable) = (Some(states), Some(storage), Some(durable));
        all
    }
}

/// The journals of this node's tasks; none in memory mode.
#[derive(Clone, Debug, Default)]
pub(super) struct Journals(Option<Arc<[Option<Arc<TaskJournal>>]>>);

impl Journals {
    /// Whether every task has one.
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn of(&self, task: TaskId) -> Option<&Arc<TaskJournal>> {
        self.0.as_ref()?.get(task.0 as usize)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<TaskJournal>> {
        self.0.iter().flat_map(|all| all.iter().flatten())
    }
}
