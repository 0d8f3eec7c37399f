//! The engine as its admin address sees it.

use super::cell::Cell;
use super::dead::DeadLetters;
use super::observe::Watch;
use super::scrape::Scraper;
use super::tap::Taps;
use crate::admin::{
    AdminCommand, Changed, DeadLetterView, Graph, GraphTask, Subject, TapAsk, Tapped, WaitWords, pages,
};
use crate::explain::{Drain, Explanation, History, Outline, Snapshot, StageKind};
use crate::metrics::Form;
use crate::text::names;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};
use worker_core::config::{TaskId, TaskName};
use worker_core::event::{Event, TaskEvent};
use worker_core::status::TaskStatus;

/// What can be asked of a run, and asked for, for as long as the process lives.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) cell: Arc<Cell>,
    pub(super) watch: Arc<Watch>,
    pub(super) scraper: Arc<Scraper>,
    pub(super) dead: Arc<DeadLetters>,
    pub(super) taps: Arc<Taps>,
    /// The tasks that run here, by name.
    pub(super) tasks: Vec<(TaskId, String)>,
    pub(super) ends: Arc<Ends>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Subject for Admin {
    fn snapshot(&self) -> Snapshot {
        self.watch.snapshot()
    }

    fn has_ended(&self) -> bool {
        self.watch.has_ended()
    }

    fn explanation(&self) -> Explanation {
        self.watch.explanation()
    }

    fn history(&self) -> History {
        self.watch.history()
    }

    fn graph(&self) -> Graph {
        self.watch.with_outline(|outline| {
            let graph = &outline.graph;
            let name = |task| graph.task(task).name.clone();
            let tasks = graph.tasks.iter().map(|task| GraphTask {
                name: task.name.clone(),
                stage: TaskName::of(&task.name).stage.to_owned(),
                node: outline.nodes[usize::from(task.node.0)].clone(),
            });
            Graph {
                pipeline: outline.pipeline.clone(),
                node: outline.nodes[usize::from(outline.me.0)].clone(),
                nodes: outline.nodes.clone(),
                stages: outline.stages.clone(),
                tasks: tasks.collect(),
                links: graph.links.iter().map(|link| (name(link.from), name(link.to))).collect(),
                reasons: WaitWords::all(),
                pages: pages(&outline.pipeline, &outline.nodes[usize::from(outline.me.0)], &outline.admins),
            }
        })
    }

    fn metrics(&self, form: Form) -> String {
        self.scraper.scrape().render(form)
    }

    fn dead_letters(&self, max: usize) -> Vec<DeadLetterView> {
        self.dead.shown(max)
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.watch.news()
    }

    fn order(&self, order: AdminCommand) -> Result<Changed, String> {
        match order {
            AdminCommand::Pause(stage) => self.pause(&stage, true),
            AdminCommand::Resume(stage) => self.pause(&stage, false),
            AdminCommand::Stop => Ok(ends_by(
                &self.ends.stop,
                "stopping: what was accepted is finished or, with state, kept for the next start",
            )),
            AdminCommand::StopNow => Ok(ends_by(
                &self.ends.stop_now,
                "stopping now: programs are killed, and what is not finished is lost or, with state, kept for the next start",
            )),
            AdminCommand::Drain => Ok(ends_by(&self.ends.drain, self.drain_words())),
            AdminCommand::EndDrain => match self.snapshot().drain {
                Some(Drain::Done) => Ok(ends_by(&self.ends.end_drain, "drained: it ends")),
                Some(Drain::UnderWay) => {
                    Err("it is not drained yet; /api/v1/stop ends it as it is".to_owned())
                }
                None => {
                    Err("it was not told to drain: POST /api/v1/drain does that, and /api/v1/stop ends it"
                        .to_owned())
                }
            },
            AdminCommand::Log(filter) => {
                let (before, now) = crate::logging::set_filter(&filter)?;
                Ok(Changed { did: format!("log filter: {before} → {now}"), tasks: Vec::new() })
            }
        }
    }

    fn tap(&self, ask: TapAsk) -> Result<mpsc::Receiver<Tapped>, String> {
        self.has_stage(&ask.stage)?;
        self.taps.open(&ask, &self.runtime)
    }
}

/// What the user has asked for of the run's end.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// An orderly stop.
    pub(super) stop: Notify,
    /// A stop at once.
    pub(super) stop_now: Notify,
    /// No new input, and an end when all is delivered.
    pub(super) drain: Notify,
    /// Everybody else is drained.
    pub(super) end_drain: Notify,
}

fn ends_by(order: &Notify, did: &str) -> Changed {
    order.notify_one();
    Changed { did: did.to_owned(), tasks: Vec::new() }
}

impl Admin {
    /// A node without sources takes what others send it.
    fn drain_words(&self) -> &'static str {
        let is_source = |outline: &Outline, name: &str| {
            let stage = TaskName::of(name).stage;
            outline.stages.iter().any(|s| s.name == stage && s.kind == StageKind::Source)
        };
        match self.watch.with_outline(|outline| self.tasks.iter().any(|(_, name)| is_source(outline, name))) {
            true => "draining: sources give no more, and it ends when all that was taken is delivered",
            false => "draining: it has no source of its own, and ends when those are drained that send to it",
        }
    }

    /// Holds the tasks of a stage on this node up, or lets them go on.
    fn pause(&self, stage: &str, paused: bool) -> Result<Changed, String> {
        let tasks: Vec<_> =
            self.tasks.iter().filter(|(_, name)| TaskName::of(name).is_task_of(stage)).collect();
        self.has_stage(stage)?;
        if tasks.is_empty() {
            return Err(format!("no task of {stage} runs on this node"));
        }
        let changed = self.cell.act(|node, now| {
            let is_due = |task: &TaskStatus| task.paused != paused && !(paused && task.done);
            let due: Vec<_> = node.status().tasks.iter().filter(|t| is_due(t)).map(|t| t.task).collect();
            let changed: Vec<_> = tasks.into_iter().filter(|(task, _)| due.contains(task)).collect();
            for (task, _) in &changed {
                node.handle(now, Event::Task(*task, TaskEvent::Pause { paused }));
            }
            changed
        });
        if changed.is_empty() {
            let is_so = if paused { "is paused already, or has ended" } else { "was not paused" };
            return Ok(Changed { did: format!("{stage} {is_so}: nothing is changed"), tasks: Vec::new() });
        }
        self.watch.look();
        let names = changed.into_iter().map(|(_, name)| name.clone()).collect();
        let did = format!("{} {stage}", if paused { "paused" } else { "resumed" });
        tracing::warn!(stage, "{did}, by the user");
        Ok(Changed { did, tasks: names })
    }

    /// The pipeline has such a source, stage or sink, on whatever node.
    fn has_stage(&self, stage: &str) -> Result<(), String> {
        let stages = self.watch.with_outline(|o| o.stages.iter().map(|s| s.name.clone()).collect::<Vec<_>>());
        if stages.iter().any(|name| name == stage) {
            return Ok(());
        }
        let there = names::tail(stage, "stages there", stages.iter().map(String::as_str));
        Err(format!("there is no stage {stage}{there}"))
    }
}
