//! The node behind its lock, and everything that carries out what it asks for.

use super::admin_listener::AdminListener;
use super::blockers::Blockers;
use super::complaints::Complaints;
use super::durable::Durable;
use super::journal::TaskJournal;
use super::journaled::Journaled;
use super::link::Connections;
use super::measure::TaskMeasure;
use super::observe::{self, Watch};
use super::open::Opened;
use super::ports::{Context, Port, make_ports, start_threads};
use super::progress::Progress;
use super::spill::SpillPort;
use super::storage::StorageGuard;
use super::tap::Taps;
use super::{Options, RunError, link, system};
use crate::admin::DeadLetterView;
use crate::admin::registry::Registration;
use crate::child::Launcher;
use crate::io::dead::DeadLetterFile;
use crate::io::sink::SinkError;
pub(super) use crate::mutex::lock;
use crate::otel::Otel;
use crate::pipeline::plan::Plan;
use crate::report::DeadTally;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, oneshot};
use worker_core::config::{Graph, NodeConfig, Retry, TaskId};
use worker_core::event::{Attempt, Event, NodeError, NodeEvent};
use worker_core::status::Status;
use worker_core::{Node, Time};
use worker_proto::Incarnation;

/// How a node's work ended.
#[derive(Debug)]
pub(super) enum End {
    Finished,
    Failed(NodeError),
    Stopped(i32),
}

/// One process's node and its surroundings.
pub(super) struct Engine {
    node: Mutex<Node>,
    begun: Instant,
    /// By task id; `None` for tasks of other nodes.
    pub(super) ports: Vec<Option<Port>>,
    measures: Vec<Arc<TaskMeasure>>,
    /// By task id; empty in memory mode.
    pub(super) journals: Vec<Option<Arc<TaskJournal>>>,
    storage: Option<Arc<StorageGuard>>,
    durable: Mutex<Option<Durable>>,
    pub(super) graph: Graph,
    /// Names of all nodes.
    pub(super) nodes: Vec<String>,
    pub(super) addresses: Vec<String>,
    pub(super) connections: Connections,
    pub(super) spill: SpillPort,
    pub(super) taps: Arc<Taps>,
    pub(super) launcher: Launcher,
    pub(super) runtime: tokio::runtime::Handle,
    dead: Mutex<DeadLetterFile>,
    pub(super) complaints: Complaints,
    wake_at: Mutex<Option<Time>>,
    timer: Notify,
    ended: Mutex<Option<oneshot::Sender<End>>>,
    progress: Progress,
    watch: Watch,
    pub(super) blockers: Blockers,
    pub(super) otel: Option<Arc<Otel>>,
    pub(super) dead_shown: Mutex<VecDeque<DeadLetterView>>,
    pub(super) dead_tally: Mutex<DeadTally>,
    drain_asked: Notify,
    registration: Mutex<Option<Registration>>,
    /// Removed at the end of the run; tasks and threads may hold the engine longer.
    scratch: Mutex<Option<tempfile::TempDir>>,
    me: std::sync::Weak<Engine>,
    limited: bool,
}

impl Engine {
    /// Builds everything, starts the node and lets it act.
    pub(super) async fn start(
        plan: Plan,
        opened: Opened,
        durable: Option<Durable>,
        launcher: Launcher,
        options: Options,
    ) -> Result<(Arc<Self>, oneshot::Receiver<End>), RunError> {
        let listener = link::listen(&plan, &options).await?;
        let admin = AdminListener::listen(&options.admin).await?;
        // First, because it makes the directory and says clearly why it cannot.
        let (spill, spill_orders) = SpillPort::new(&options.spill_dir)?;
        let scratch = scratch_in(&options.spill_dir)?;
        let (sender, receiver) = oneshot::channel();
        let config = node_config(&plan, &options, durable.as_ref());
        let mut journaled = Journaled::of(&plan, durable);
        let terminator = opened.tasks.first().map_or(b'\n', |t| t.task.terminator_in);
        let (total_bytes, done_bytes) = (opened.total_bytes, opened.done_bytes);
        let taps = Taps::new(&plan.local);
        let around = Context { store: &spill.store, taps: &taps, scratch: scratch.path() };
        let (ports, threads) = make_ports(&plan, opened.tasks, &mut journaled, &around)?;
        let node = make_node(config, &journaled);
        let Journaled { journals, threads: journal_threads, storage, durable, .. } = journaled;
        let outline = observe::outline(
            &plan,
            &options.name,
            options.delivery,
            options.stall_after,
            admin.as_ref().map(AdminListener::address),
        );
        let progress = Progress::new(&plan, options.progress, total_bytes, done_bytes);
        let engine = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            limited: options.limit.is_some(),
            node: Mutex::new(node),
            journals,
            storage,
            durable: Mutex::new(durable),
            begun: Instant::now(),
            ports,
            measures: plan.graph.tasks.iter().map(|_| Arc::default()).collect(),
            graph: plan.graph,
            nodes: plan.nodes,
            addresses: options.addresses,
            connections: Connections::default(),
            spill,
            taps,
            launcher,
            runtime: tokio::runtime::Handle::current(),
            dead: Mutex::new(DeadLetterFile::new(options.dead_letters, terminator)),
            complaints: Complaints::default(),
            wake_at: Mutex::new(None),
            timer: Notify::new(),
            ended: Mutex::new(Some(sender)),
            progress,
            watch: Watch::new(outline),
            blockers: Blockers::default(),
            otel: options.otel,
            dead_shown: Mutex::default(),
            dead_tally: Mutex::default(),
            drain_asked: Notify::new(),
            registration: Mutex::new(None),
            scratch: Mutex::new(Some(scratch)),
        });
        spill_orders.start(&engine).map_err(|e| system("start a thread", e))?;
        start_threads(&engine, journal_threads, threads).map_err(|e| system("start a thread", e))?;
        tokio::spawn(Arc::clone(&engine).keep_time());
        engine.act(|_, _| {});
        if let Some(listener) = listener {
            link::serve(&engine, listener);
        }
        engine.progress.start(&engine);
        engine.watch.start(&engine);
        engine.export_now_and_then();
        engine.be_reached(admin, options.progress != super::progress::Mode::None);
        Ok((engine, receiver))
    }

    /// Hands something that happened to the node and carries out what follows.
    pub(super) fn tell(self: &Arc<Self>, event: Event) {
        self.act(|node, now| node.handle(now, event));
    }

    /// Lets `f` use the node, then carries out what the node asks for, in order.
    pub(super) fn act<R>(self: &Arc<Self>, f: impl FnOnce(&mut Node, Time) -> R) -> R {
        self.watch.stir();
        let mut node = self.node();
        let result = f(&mut node, self.now());
        while let Some(action) = node.poll_action() {
            self.dispatch(&mut node, action);
        }
        let next = node.next_wake().map(|(at, _)| at);
        let mut wake_at = lock(&self.wake_at);
        if *wake_at != next {
            let sooner = next.is_some_and(|n| wake_at.is_none_or(|w| n < w));
            *wake_at = next;
            if sooner {
                self.timer.notify_one();
            }
        }
        result
    }

    /// Wakes the node when it asked to be.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let wake_at = *lock(&self.wake_at);
            match wake_at {
                None => self.timer.notified().await,
                Some(at) => {
                    let wait = at.since(self.now());
                    if wait.is_zero() {
                        self.act(|node, now| node.handle_wake(now));
                    } else {
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = self.timer.notified() => {}
                        }
                    }
                }
            }
        }
    }

    /// This engine, for those who are handed a plain reference.
    pub(super) fn me(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    /// Sources end before their input does.
    pub(super) fn is_limited(&self) -> bool {
        self.limited
    }

    pub(super) fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        lock(&self.node)
    }

    pub(super) fn status(&self) -> Status {
        self.node().status()
    }

    /// Counters and queues, and the reasons for which work waits, of one moment.
    pub(super) fn status_and_stalls(&self) -> (Status, Vec<worker_core::stall::Stall>) {
        let node = self.node();
        (node.status(), node.stalls())
    }

    /// Looks at the node for a moment.
    pub(super) fn with_node<R>(&self, f: impl FnOnce(&Node) -> R) -> R {
        f(&self.node())
    }

    /// What is measured of a task beside the core.
    pub(super) fn measure(&self, task: TaskId) -> &Arc<TaskMeasure> {
        &self.measures[task.0 as usize]
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(super) fn end(&self, end: End) {
        if let Some(sender) = lock(&self.ended).take() {
            sender.send(end).ok();
        }
    }

    /// Resolves when the user asks for an orderly stop by the admin address.
    pub(super) async fn drain_asked(&self) {
        self.drain_asked.notified().await;
    }

    pub(super) fn ask_for_drain(&self) {
        self.drain_asked.notify_one();
    }

    /// The tasks that run here, by name.
    pub(super) fn local_tasks(&self) -> impl Iterator<Item = (TaskId, &str)> {
        let tasks = (0_u32..).map(TaskId).zip(&self.graph.tasks);
        tasks.filter(|(id, _)| self.ports[id.0 as usize].is_some()).map(|(id, task)| (id, task.name.as_str()))
    }

    /// Others find this process by its entry in the runtime directory.
    pub(super) fn register(&self, registration: Registration) {
        *lock(&self.registration) = Some(registration);
    }

    /// The run is over, and the entry says how.
    pub(super) fn leave_registry(&self) {
        if let (Some(registration), Some(last)) = (lock(&self.registration).take(), self.watch.latest()) {
            registration.ended(last);
        }
    }

    pub(super) fn drain(self: &Arc<Self>) {
        self.tell(Event::Node(NodeEvent::Drain));
    }

    /// Says a last word to the peers, where the node has not done so by itself.
    pub(super) fn leave(self: &Arc<Self>) {
        self.act(Node::stop);
    }

    /// Ends threads, children and connections; connections get a moment for their last word.
    pub(super) async fn stop_all(self: &Arc<Self>) {
        self.connections.wait_closed(Duration::from_secs(2)).await;
        for port in self.ports.iter().flatten() {
            match port {
                Port::Source(source) => source.stop(),
                Port::Batch(batch) => batch.kill(),
                Port::Stream(stream) => stream.kill(),
                Port::Records(records) => records.kill(),
                Port::Sink(sink) => sink.stop(),
            }
        }
        let sinks_gone = async {
            for port in self.ports.iter().flatten() {
                if let Port::Sink(sink) = port {
                    sink.gone().await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(1), sinks_gone).await.ok();
    }

    /// Removes the directories that programs were given for their own files. To be called when all children are gone.
    pub(super) fn remove_scratch(&self) {
        if let Some(scratch) = lock(&self.scratch).take() {
            let path = scratch.path().to_owned();
            if let Err(error) = scratch.close() {
                tracing::warn!(%error, path = %path.display(), "cannot remove temporary files");
            }
        }
    }

    /// Keeps a commit's dead letters; without room for them the pipeline fails, for nothing may be lost silently.
    pub(super) fn keep_dead(
        &self,
        task: TaskId,
        letters: &[worker_core::event::DeadLetter],
    ) -> Result<(), String> {
        let task = &self.graph.task(task).name;
        let mut file = lock(&self.dead);
        for letter in letters {
            let from =
                letter.origin.map(|(link, _)| self.graph.task(self.graph.link(link).from).name.as_str());
            file.put(task, from, letter).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Whether a sink that has no room writes on the disk that the state is on, whose reserve could help it.
    pub(super) fn is_on_state_disk(&self, error: &SinkError) -> bool {
        let SinkError::Full { name, .. } = error else { return false };
        let device = |path: &Path| path.metadata().map(|m| std::os::unix::fs::MetadataExt::dev(&m)).ok();
        let state = lock(&self.durable).as_ref().and_then(|durable| device(durable.dir()));
        state.is_some() && state == device(Path::new(name))
    }

    /// A write on the disk that commits go to has found no room; says whether it is worth trying again at once.
    pub(super) fn storage_is_full(self: &Arc<Self>, why: &str) -> bool {
        self.storage.as_ref().is_some_and(|storage| storage.is_full_now(self, why))
    }

    /// With a journal: notes that nothing is in flight, for this is no death, and that all is done, if it is.
    pub(super) async fn close_journals(&self) -> Result<(), String> {
        for journal in self.journals.iter().flatten() {
            journal.note(Attempt::default());
            journal.fence().await.ok();
            journal.say_costs();
            journal.stop();
        }
        let done = {
            let node = self.node();
            node.status().tasks.iter().all(|task| task.done)
        };
        match lock(&self.durable).as_mut().filter(|_| done) {
            Some(durable) => durable.finish().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    pub(super) fn dead_letters(&self) -> (u64, Option<PathBuf>) {
        if let Some(durable) = lock(&self.durable).as_ref() {
            let dead = self.status().tasks.iter().map(|task| task.counters.dead).sum();
            return (dead, (dead > 0).then(|| durable.dead_dir()));
        }
        let file = lock(&self.dead);
        (file.count(), file.path().map(std::path::Path::to_owned))
    }

    pub(super) fn lost(&self) -> u64 {
        self.status().lost
    }

    pub(super) fn held_records(&self) -> u64 {
        let status = self.status();
        status.tasks.iter().map(|t| t.queued).sum::<u64>()
            + status.links.iter().map(|l| l.held_records).sum::<u64>()
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// A directory for the files of programs, removed at the end of the run.
fn scratch_in(dir: &Path) -> Result<tempfile::TempDir, RunError> {
    let made = tempfile::Builder::new().prefix("worker-").tempdir_in(dir);
    made.map_err(|e| system("make a directory for temporary files in the spill directory", e))
}

fn make_node(config: NodeConfig, journaled: &Journaled) -> Node {
    let Some(states) = &journaled.states else { return Node::new(config, Time::ZERO) };
    let mut node = Node::with_journal(config, Time::ZERO, states);
    if journaled.durable.as_ref().is_some_and(Durable::was_finished) {
        node.was_finished(Time::ZERO);
    }
    node
}

fn node_config(plan: &Plan, options: &Options, durable: Option<&Durable>) -> NodeConfig {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
    let incarnation = durable.map_or(clock, Durable::incarnation);
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
        redial: Retry { max_attempts: 1, initial: Duration::from_millis(100), max: Duration::from_secs(5) },
        linger: options.linger,
        seed: incarnation,
    }
}
