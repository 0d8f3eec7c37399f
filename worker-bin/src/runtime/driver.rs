//! What drives one process's node: made in the order in which its parts need each other, and ended.

use super::blockers::Blockers;
use super::carry::Carriers;
use super::cell::{Cell, End, Tell};
use super::dead::DeadLetters;
use super::durable::Durable;
use super::ended::{RunError, system};
use super::journaled::{Journaled, Journals};
use super::link::Connections;
use super::log::NodeLog;
use super::measure::TaskMeasure;
use super::open::OpenedTask;
use super::options::Options;
use super::peers::KeepPeer;
use super::ports::{Context, Ports, Thread};
use super::process::life;
use super::scratch::{self, Scratch};
use super::spill::{SpillContext, SpillPort};
use super::storage::{disk_bytes, explained};
use super::tap::Taps;
use super::trace::Tracer;
use crate::child::{Launcher, Manner};
use crate::io::dead::DeadLetterFile;
use crate::io::spill::SpillStore;
use crate::pipeline::plan::Plan;
use crate::report::LeftState;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::sync::oneshot;
use worker_core::config::{NodeConfig, Retry};
use worker_core::event::Attempt;
use worker_core::{Node, Time};
use worker_proto::Incarnation;

/// How long programs may take to end before it is said that they are waited for.
const QUIET_WAIT: Duration = Duration::from_secs(1);

/// How long the end of a run that failed waits for what is being written.
const WRITES_WAIT: Duration = Duration::from_secs(1);

/// The node, and all who carry out what it asks for.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) cell: Arc<Cell>,
    pub(super) connections: Arc<Connections>,
    pub(super) ports: Arc<Ports>,
    pub(super) spill: Arc<SpillPort>,
    pub(super) taps: Arc<Taps>,
    pub(super) dead: Arc<DeadLetters>,
    journals: Journals,
    durable: Option<Durable>,
    /// Removed at the end of the run; tasks and threads may live longer.
    scratch: Option<Scratch>,
}

impl Driver {
    /// Makes everything and lets the node act.
    pub(super) fn start(
        plan: &Plan,
        tasks: Vec<OpenedTask>,
        durable: Option<Durable>,
        launcher: &Launcher,
        options: &Options,
        measures: &[Arc<TaskMeasure>],
    ) -> Result<(Self, oneshot::Receiver<End>), RunError> {
        let graph = Arc::new(plan.graph.clone());
        let blockers = Arc::new(Blockers::default());
        let dead_file = DeadLetterFile::new(options.dead_letters.clone());
        let dead = Arc::new(DeadLetters::new(Arc::clone(&graph), dead_file, &plan.local));
        let spill_context = SpillContext {
            graph: Arc::clone(&graph),
            blockers: Arc::clone(&blockers),
            dead: Arc::clone(&dead),
        };
        // First, because it makes the directory and says clearly why it cannot.
        let (spill, spill_orders) = SpillPort::new(&options.spill_dir, spill_context)?;
        let scratch = scratch_in(&options.spill_dir)?;
        let config = node_config(plan, options, durable.as_ref());
        let mut journaled = Journaled::of(&graph, measures, durable);
        let (sender, ended) = oneshot::channel();
        let tracer = Tracer::new(Arc::clone(&graph), journaled.states.is_some());
        let cell = Cell::new(make_node(config, &journaled), tracer, sender);
        let peers = (plan.nodes.clone(), options.addresses.clone());
        let connections = Connections::new(&cell, peers, options.chaos.clone(), options.tls.clone());
        let taps = Taps::new(&plan.local);
        let teller: Arc<dyn Tell> = Arc::clone(&cell) as Arc<dyn Tell>;
        let around = Context {
            cell: Arc::downgrade(&teller),
            blockers: &blockers,
            measures,
            store: &spill.store,
            taps: &taps,
            launcher,
            scratch: scratch.path(),
            chaos: options.chaos.as_ref(),
        };
        let (ports, threads) = Ports::new(plan, tasks, &mut journaled, &around)?;
        if let Some(storage) = &journaled.storage {
            storage.starts(&around.cell);
        }
        let Journaled { journals, threads: journal_threads, durable, peers, .. } = journaled;
        let failed = |error| system("start a thread", error);
        spill_orders.start(&cell).map_err(failed)?;
        journal_threads.into_iter().try_for_each(|thread| thread.start(&cell)).map_err(failed)?;
        threads.into_iter().try_for_each(Thread::start).map_err(failed)?;
        let peers = peers.map(|(keeper, thread)| thread.start(&cell).map(|()| keeper)).transpose();
        let peers = peers.map_err(failed)?;
        let (ports, spill, scratch) = (Arc::new(ports), Arc::new(spill), Some(scratch));
        let driver = Self { cell, connections, ports, spill, taps, dead, journals, durable, scratch };
        driver.cell.start(Box::new(driver.carriers(graph, peers)));
        Ok((driver, ended))
    }

    fn carriers(&self, graph: Arc<worker_core::config::Graph>, peers: Option<Sender<KeepPeer>>) -> Carriers {
        Carriers {
            connections: Arc::clone(&self.connections),
            ports: Arc::clone(&self.ports),
            journals: self.journals.clone(),
            peers,
            spill: Arc::clone(&self.spill),
            dead: Arc::clone(&self.dead),
            log: NodeLog::new(Arc::clone(&graph), self.connections.refusals()),
            graph,
        }
    }

    /// Brings all children that still run to their end, each within its `stop_grace`, unless `hurry` comes before that.
    pub(super) async fn leave(&self, launcher: &Launcher, manner: Manner, hurry: impl Future<Output = ()>) {
        self.ports.leave(manner);
        let ended = async {
            if tokio::time::timeout(QUIET_WAIT, launcher.all_ended()).await.is_err() {
                tracing::warn!("waiting for programs to end: they get stop_grace; a signal ends them now");
                launcher.all_ended().await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = hurry => {}
        }
    }

    /// Lets what is being written come to its end, so that it is counted: nothing new is.
    pub(super) async fn settle_writes(&self) {
        self.ports.stop_sinks();
        tokio::time::timeout(WRITES_WAIT, self.ports.sinks_gone()).await.ok();
    }

    /// Ends threads, children and connections; connections get a moment for their last word.
    pub(super) async fn stop(&self) {
        self.connections.wait_closed(Duration::from_secs(2)).await;
        self.ports.stop();
        tokio::time::timeout(Duration::from_secs(1), self.ports.sinks_gone()).await.ok();
    }

    /// Removes the directories that programs were given for their own files. To be called when all children are gone.
    pub(super) fn remove_scratch(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            let path = scratch.path().to_owned();
            if let Err(error) = scratch.close() {
                tracing::warn!(%error, path = %path.display(), "cannot remove temporary files");
            }
        }
        self.spill.leave();
    }

    /// With a journal: notes that nothing is in flight, for this is no death, and that all is done, if it is.
    pub(super) async fn close_journals(&mut self) -> Result<(), String> {
        for journal in self.journals.iter() {
            journal.note(Attempt::default());
            journal.fence().await.ok();
            journal.say_costs();
        }
        let done = self.cell.status().tasks.iter().all(|task| task.done);
        let finished = self.durable.as_mut().filter(|_| done).map(Durable::finish);
        if let Some(Ok(())) = finished {
            for journal in self.journals.iter() {
                journal.finish();
                journal.fence().await.ok();
            }
        }
        self.journals.iter().for_each(|journal| journal.stop());
        match finished {
            Some(Err(error)) => Err(self.explained(&error.to_string())),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Why the run fails, and that its state directory is gone, where it is.
    pub(super) fn explained(&self, why: &str) -> String {
        self.durable.as_ref().map_or_else(|| why.to_owned(), |durable| explained(durable.dir(), why))
    }

    /// What is left of the state directory where all of this node is done; how large that is.
    pub(super) fn left_state(&self) -> Option<LeftState> {
        let durable = self.durable.as_ref().filter(|durable| durable.was_finished())?;
        let bytes = Some(disk_bytes(durable.dir())).filter(|bytes| *bytes > 0)?;
        Some(LeftState { dir: durable.dir().display().to_string(), bytes })
    }

    /// What was accepted and not done is kept for the next life.
    pub(super) fn keeps(&self) -> bool {
        self.durable.is_some()
    }

    /// How many records were dead-lettered, and where they are, if there are any.
    pub(super) fn dead_letters(&self) -> (u64, Option<PathBuf>) {
        let Some(durable) = &self.durable else { return self.dead.kept() };
        let dead = self.cell.status().tasks.iter().map(|task| task.counters.dead_records).sum();
        (dead, (dead > 0).then(|| durable.dead_dir()))
    }
}

/// Whether temporary files can be made now, which a run begins with.
///
/// # Errors
/// As starting the run.
pub fn try_spill_dir(options: &Options) -> Result<(), RunError> {
    // It may be what fills the disk.
    scratch::sweep(&options.spill_dir);
    let store = SpillStore::new(&options.spill_dir)?;
    let tried = scratch_in(&options.spill_dir).map(drop);
    store.leave();
    tried
}

/// A directory for the files of programs, removed at the end of the run.
fn scratch_in(dir: &Path) -> Result<Scratch, RunError> {
    Scratch::make(dir).map_err(|e| system("make a directory for temporary files in the spill directory", e))
}

fn make_node(config: NodeConfig, journaled: &Journaled) -> Node {
    let Some(states) = &journaled.states else { return Node::new(config, Time::ZERO) };
    let mut node = Node::with_journal(config, Time::ZERO, states);
    node.knows_peers(Time::ZERO, &journaled.known_peers);
    if journaled.durable.as_ref().is_some_and(Durable::was_finished) {
        node.was_finished(Time::ZERO);
    }
    node
}

fn node_config(plan: &Plan, options: &Options, durable: Option<&Durable>) -> NodeConfig {
    let incarnation = durable.map_or_else(life, Durable::incarnation);
    NodeConfig {
        cluster: options.name.clone(),
        nodes: plan.nodes.clone(),
        me: plan.me,
        incarnation: Incarnation(incarnation),
        pipeline: plan.semantic_fingerprint,
        placement: plan.placement_fingerprint,
        graph: plan.graph.clone(),
        slots: plan.slots,
        limits: plan.limits,
        // Who comes back is found within a second; a dial that is refused costs nothing, and the jitter spreads them.
        redial: Retry { max_attempts: 1, initial: Duration::from_millis(100), max: Duration::from_secs(1) },
        linger: options.linger,
        seed: incarnation,
    }
}
