//! What carries out the actions of each task, made before the engine stands.

use super::batch::BatchPort;
use super::collect::{Collector, Disk};
use super::engine::Engine;
use super::journal::JournalThreads;
use super::journaled::Journaled;
use super::open::{OpenedRole, OpenedTask};
use super::records::RecordsPort;
use super::sink::{SinkPort, SinkThread};
use super::source::{SourcePort, SourceThread};
use super::stream::StreamPort;
use super::tap::Taps;
use super::{RunError, system};
use crate::io::spill::SpillStore;
use crate::pipeline::plan::Plan;
use std::path::Path;
use std::sync::Arc;
use worker_core::config::TaskKind;
use worker_core::route::Router;

/// A thread that is started when the engine stands.
#[derive(Debug)]
pub(super) enum Thread {
    Source(Box<SourceThread>),
    Sink(Box<SinkThread>),
}

/// What carries out the actions of one task.
pub(super) enum Port {
    Source(SourcePort),
    Batch(BatchPort),
    Stream(StreamPort),
    Records(RecordsPort),
    Sink(SinkPort),
}

/// What all ports have in common.
pub(super) struct Context<'a> {
    pub(super) store: &'a Arc<SpillStore>,
    pub(super) taps: &'a Arc<Taps>,
    pub(super) scratch: &'a Path,
}

/// What carries out each task's actions, and the threads among them, not started yet.
pub(super) fn make_ports(
    plan: &Plan,
    tasks: Vec<OpenedTask>,
    journaled: &mut Journaled,
    around: &Context<'_>,
) -> Result<(Vec<Option<Port>>, Vec<Thread>), RunError> {
    let mut ports: Vec<Option<Port>> = plan.graph.tasks.iter().map(|_| None).collect();
    let mut threads = Vec::new();
    for OpenedTask { task, role } in tasks {
        let tmpdir = around.scratch.join(task.name.replace('/', "-"));
        std::fs::create_dir(&tmpdir).map_err(|e| system("make a directory for temporary files", e))?;
        let journal = journaled.journal(task.id);
        let staging = journal.clone().map_or_else(|| Disk::Spill(Arc::clone(around.store)), Disk::Journal);
        let router = Router::new(task.edges.clone(), task.terminator_out);
        let (memory_max, taps) = (plan.limits.outbox_bytes, Arc::clone(around.taps));
        let collector = Collector::new(task.id, router, memory_max, Box::new(staging), taps);
        ports[task.id.0 as usize] = Some(match role {
            OpenedRole::Source(input) => {
                let (port, thread) = SourcePort::new(&task, input, collector, tmpdir);
                threads.push(thread);
                Port::Source(port)
            }
            OpenedRole::Batch(program) => Port::Batch(BatchPort::new(&task, program, collector, tmpdir)),
            OpenedRole::Stream(program) => Port::Stream(StreamPort::new(
                &task,
                program,
                collector,
                tmpdir,
                journal,
                plan.limits.outbox_bytes,
            )),
            OpenedRole::Records(program, settings) => match &plan.graph.task(task.id).kind {
                TaskKind::Records(spec) => {
                    let state = journaled.keyed.remove(&task.id);
                    let state = state.unwrap_or_else(|| RecordsPort::empty_state(&task, &settings));
                    let port = RecordsPort::new(&task, program, &settings, spec, collector, state, tmpdir);
                    Port::Records(port.with_journal(journal))
                }
                TaskKind::Source | TaskKind::Batch(_) | TaskKind::Stream(_) | TaskKind::Sink => continue,
            },
            OpenedRole::Sink(target) => {
                let (port, thread) = SinkPort::new(&task, target, tmpdir);
                threads.push(thread);
                Port::Sink(port)
            }
        });
    }
    Ok((ports, threads))
}

pub(super) fn start_threads(
    engine: &Arc<Engine>,
    journals: Vec<JournalThreads>,
    threads: Vec<Thread>,
) -> std::io::Result<()> {
    for thread in journals {
        thread.start(engine)?;
    }
    for thread in threads {
        match thread {
            Thread::Source(source) => source.start(engine),
            Thread::Sink(sink) => sink.start(engine),
        }?;
    }
    Ok(())
}
