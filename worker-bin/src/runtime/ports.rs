//! What carries out the work of each task.

use super::batch::BatchPort;
use super::blockers::Blockers;
use super::cell::Tell;
use super::collect::{Collector, Disk};
use super::context::{Reporter, TaskContext, task_env};
use super::dispatch::When;
use super::durable::empty_state;
use super::ended::{RunError, system};
use super::journaled::Journaled;
use super::measure::TaskMeasure;
use super::open::{OpenedRole, OpenedTask};
use super::records::RecordsPort;
use super::sink::{SinkPort, SinkThread};
use super::source::{SourcePort, SourceThread};
use super::stream::StreamPort;
use super::tap::Taps;
use crate::chaos::{Chaos, may_be_killed};
use crate::child::records::RecordsRules;
use crate::child::{Launcher, Manner, TaskEnv};
use crate::io::sink::Moved;
use crate::io::spill::SpillStore;
use crate::pipeline::RecordsState;
use crate::pipeline::plan::{LocalTask, Plan, RecordsSettings};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use worker_core::config::{RecordsSpec, TaskId, TaskKind, TaskName};
use worker_core::event::{BatchAction, Commit, RecordsAction, SinkAction, StreamAction, TaskAction};
use worker_core::route::{PartitionBy, Router};
use worker_proto::Batch;

/// The ports of a node's tasks, by task id; `None` for tasks of other nodes.
pub(super) struct Ports {
    by_task: Vec<Option<Port>>,
    taps: Arc<Taps>,
}

enum Port {
    Source(SourcePort),
    Batch(BatchPort),
    Stream(StreamPort),
    Records(RecordsPort),
    Sink(SinkPort),
}

/// A thread that is started when the node may act.
#[derive(Debug)]
pub(super) enum Thread {
    Source(Box<SourceThread>),
    Sink(Box<SinkThread>),
}

/// What all ports have in common.
pub(super) struct Context<'a> {
    pub(super) cell: Weak<dyn Tell>,
    pub(super) blockers: &'a Arc<Blockers>,
    pub(super) measures: &'a [Arc<TaskMeasure>],
    pub(super) store: &'a Arc<SpillStore>,
    pub(super) taps: &'a Arc<Taps>,
    pub(super) launcher: &'a Launcher,
    pub(super) scratch: &'a Path,
    pub(super) chaos: Option<&'a Arc<Chaos>>,
}

impl Ports {
    /// With the threads among them, not started yet.
    pub(super) fn new(
        plan: &Plan,
        tasks: Vec<OpenedTask>,
        journaled: &mut Journaled,
        around: &Context<'_>,
    ) -> Result<(Self, Vec<Thread>), RunError> {
        let mut by_task: Vec<Option<Port>> = plan.graph.tasks.iter().map(|_| None).collect();
        let mut threads = Vec::new();
        let mut warned: BTreeMap<String, Arc<AtomicBool>> = BTreeMap::new();
        for OpenedTask { task, role } in tasks {
            let journal = journaled.journals.of(task.id).cloned();
            let dies = may_be_killed(&plan.graph.task(task.id).kind, journal.is_some());
            let context = around.of(&task, dies)?;
            let disk = journal.clone().map_or_else(|| Disk::Spill(Arc::clone(around.store)), Disk::Journal);
            let receiver =
                |link| TaskName::of(&plan.graph.task(plan.graph.link(link).to).name).stage.to_owned();
            let router = Router::new(task.edges.clone(), task.framing_out.envelope()).named(receiver);
            let budget = plan.limits.outbox_bytes;
            let collector = Collector::new(task.id, router, budget, Box::new(disk), Arc::clone(around.taps));
            by_task[task.id.0 as usize] = Some(match role {
                OpenedRole::Source(input) => {
                    let (port, thread) = SourcePort::new(context, *input, collector, journal);
                    threads.push(Thread::Source(Box::new(thread)));
                    Port::Source(port)
                }
                OpenedRole::Batch(program) => {
                    let warned = warned.entry(TaskName::of(&task.name).stage.to_owned()).or_default();
                    let port = BatchPort::new(context, program, collector, journal);
                    Port::Batch(port.saying_once_with(Arc::clone(warned)))
                }
                OpenedRole::Stream(program) => {
                    Port::Stream(StreamPort::new(context, program, collector, journal, budget))
                }
                OpenedRole::Records(program, settings) => match &plan.graph.task(task.id).kind {
                    TaskKind::Records(spec) => {
                        let state = journaled.keyed.remove(&task.id);
                        let state = state.unwrap_or_else(|| empty_state(&task, &settings));
                        let rules = records_rules(&task, &settings, spec);
                        let program = program.program;
                        Port::Records(RecordsPort::new(context, program, rules, collector, state, journal))
                    }
                    TaskKind::Source | TaskKind::Batch(_) | TaskKind::Stream(_) | TaskKind::Sink => continue,
                },
                OpenedRole::Sink(target) => {
                    let (port, thread) = SinkPort::new(context, target, journaled.storage.clone());
                    threads.push(Thread::Sink(Box::new(thread)));
                    Port::Sink(port)
                }
            });
        }
        Ok((Self { by_task, taps: Arc::clone(around.taps) }, threads))
    }

    /// Work is of the task's own kind: ports are made after the same plan as the node's tasks.
    pub(super) fn work(&self, task: TaskId, work: TaskAction, when: When) {
        self.taps.taken(task, given(&work));
        match (work, self.port(task)) {
            (TaskAction::Source(action), Some(Port::Source(source))) => source.act(action),
            (TaskAction::Batch(action), Some(Port::Batch(batch))) => batch.act(action, when),
            (TaskAction::Stream(action), Some(Port::Stream(stream))) => stream.act(action),
            (TaskAction::Records(action), Some(Port::Records(records))) => records.act(action, when),
            (TaskAction::Sink(action), Some(Port::Sink(sink))) => sink.act(action),
            (work, _) => debug_assert!(false, "task {} has no port for {work:?}", task.0),
        }
    }

    /// Takes over the state changes of a commit that no journal takes over.
    pub(super) fn apply_state(&self, task: TaskId, commit: &Commit) {
        if let Some(Port::Records(records)) = self.port(task) {
            records.apply(commit);
        }
    }

    fn port(&self, task: TaskId) -> Option<&Port> {
        self.by_task.get(task.0 as usize)?.as_ref()
    }

    pub(super) fn is_here(&self, task: TaskId) -> bool {
        self.port(task).is_some()
    }

    /// What each sink's writes are counted by.
    pub(super) fn sinks(&self) -> Vec<(TaskId, Moved)> {
        let moved = |(task, port): (TaskId, &Option<Port>)| match port {
            Some(Port::Sink(sink)) => Some((task, sink.moved())),
            Some(Port::Source(_) | Port::Batch(_) | Port::Stream(_) | Port::Records(_)) | None => None,
        };
        (0_u32..).map(TaskId).zip(&self.by_task).filter_map(moved).collect()
    }

    /// Asks all children that still run to come to their end; nothing that they say counts any more.
    pub(super) fn leave(&self, manner: Manner) {
        for port in self.by_task.iter().flatten() {
            match port {
                Port::Source(source) => source.leave(),
                Port::Batch(batch) => batch.leave(),
                Port::Stream(stream) => stream.leave(manner),
                Port::Records(records) => records.leave(manner),
                Port::Sink(_) => {}
            }
        }
    }

    /// Sinks' threads end behind what they were given.
    pub(super) fn stop_sinks(&self) {
        for port in self.by_task.iter().flatten() {
            if let Port::Sink(sink) = port {
                sink.stop();
            }
        }
    }

    /// Ends threads and children.
    pub(super) fn stop(&self) {
        for port in self.by_task.iter().flatten() {
            match port {
                Port::Source(source) => source.leave(),
                Port::Batch(batch) => batch.kill(),
                Port::Stream(stream) => stream.kill(),
                Port::Records(records) => records.kill(),
                Port::Sink(sink) => sink.stop(),
            }
        }
    }

    /// Waits until every sink's thread has ended.
    pub(super) async fn sinks_gone(&self) {
        for port in self.by_task.iter().flatten() {
            if let Port::Sink(sink) = port {
                sink.gone().await;
            }
        }
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

impl Thread {
    pub(super) fn start(self) -> std::io::Result<()> {
        match self {
            Thread::Source(source) => source.start(),
            Thread::Sink(sink) => sink.start(),
        }
    }
}

impl Context<'_> {
    fn of(&self, task: &LocalTask, dies: bool) -> Result<TaskContext, RunError> {
        let tmpdir = self.scratch.join(task.name.replace('/', "-"));
        std::fs::create_dir(&tmpdir).map_err(|e| system("make a directory for temporary files", e))?;
        let measure = Arc::clone(&self.measures[task.id.0 as usize]);
        Ok(TaskContext {
            reporter: Reporter::new(task.id, self.cell.clone(), Arc::clone(self.blockers), measure),
            launcher: self.launcher.clone(),
            runtime: tokio::runtime::Handle::current(),
            env: TaskEnv { chaos: self.chaos.filter(|_| dies).cloned(), ..task_env(task, tmpdir) },
        })
    }
}

/// The records that are given with this work.
fn given(work: &TaskAction) -> &[Batch] {
    match work {
        TaskAction::Batch(BatchAction::Run(run)) => &run.input,
        TaskAction::Stream(StreamAction::Feed { batch, .. })
        | TaskAction::Records(RecordsAction::Request { batch, .. }) => std::slice::from_ref(batch),
        TaskAction::Sink(SinkAction::Write { batches, .. }) => batches,
        TaskAction::Source(_)
        | TaskAction::Batch(BatchAction::Kill)
        | TaskAction::Stream(StreamAction::Start { .. } | StreamAction::Close { .. } | StreamAction::Kill)
        | TaskAction::Records(
            RecordsAction::Start { .. }
            | RecordsAction::Tick { .. }
            | RecordsAction::End { .. }
            | RecordsAction::Kill,
        )
        | TaskAction::Sink(SinkAction::Header { .. } | SinkAction::Close)
        | TaskAction::Journal(_) => &[],
    }
}

fn records_rules(task: &LocalTask, settings: &RecordsSettings, spec: &RecordsSpec) -> RecordsRules {
    RecordsRules {
        partition_by: settings.key.clone(),
        envelope_in: task.framing_in.envelope(),
        inline: settings.state == RecordsState::Inline,
        in_flight: usize::try_from(spec.in_flight).unwrap_or(usize::MAX),
        in_flight_bytes: spec.in_flight_bytes,
        is_read: !task.edges.is_empty(),
        keys_wanted: task.edges.iter().any(|edge| edge.by == Some(PartitionBy::Given)),
    }
}
