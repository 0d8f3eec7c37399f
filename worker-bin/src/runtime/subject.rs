//! The engine as its admin address sees it.

use super::engine::{Engine, lock};
use crate::admin::{
    AdminCommand, Changed, DeadLetterView, Graph, GraphTask, Subject, TapAsk, Tapped, WaitWords,
};
use crate::explain::{Explanation, History, Snapshot};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use worker_core::config::TaskName;
use worker_core::event::{DeadLetter, Event, TaskEvent};

/// How many dead letters are remembered to be shown.
const DEAD_SHOWN: usize = 200;

/// A handle on the engine, for as long as the process lives.
#[derive(Clone, Debug)]
pub(super) struct Admin(pub(super) Arc<Engine>);

impl Subject for Admin {
    fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    fn has_ended(&self) -> bool {
        self.0.watch().has_ended()
    }

    fn explanation(&self) -> Explanation {
        self.0.explanation()
    }

    fn history(&self) -> History {
        self.0.watch().history()
    }

    fn graph(&self) -> Graph {
        self.0.watch().with_outline(|outline| {
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
            }
        })
    }

    fn metrics(&self) -> String {
        self.0.scrape().render()
    }

    fn dead_letters(&self, max: usize) -> Vec<DeadLetterView> {
        let dead = lock(&self.0.dead_shown);
        dead.iter().skip(dead.len().saturating_sub(max)).cloned().collect()
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.0.watch().news()
    }

    fn order(&self, order: AdminCommand) -> Result<Changed, String> {
        match order {
            AdminCommand::Pause(stage) => self.0.pause(&stage, true),
            AdminCommand::Resume(stage) => self.0.pause(&stage, false),
            AdminCommand::Drain => {
                self.0.ask_for_drain();
                Ok(Changed { did: "stopping: what was accepted is finished".to_owned(), tasks: Vec::new() })
            }
            AdminCommand::Log(filter) => {
                crate::logging::set_filter(&filter)?;
                Ok(Changed { did: format!("logging by {filter}"), tasks: Vec::new() })
            }
        }
    }

    fn tap(&self, ask: TapAsk) -> Result<mpsc::Receiver<Tapped>, String> {
        self.0.has_stage(&ask.stage)?;
        self.0.taps.open(&ask, &self.0.runtime)
    }
}

impl Engine {
    /// Holds the tasks of a stage on this node up, or lets them go on.
    fn pause(self: &Arc<Self>, stage: &str, paused: bool) -> Result<Changed, String> {
        let tasks: Vec<_> =
            self.local_tasks().filter(|(_, name)| TaskName::of(name).is_task_of(stage)).collect();
        self.has_stage(stage)?;
        if tasks.is_empty() {
            return Err(format!("no task of {stage} runs on this node"));
        }
        self.act(|node, now| {
            for (task, _) in &tasks {
                node.handle(now, Event::Task(*task, TaskEvent::Pause { paused }));
            }
        });
        self.look();
        let names = tasks.into_iter().map(|(_, name)| name.to_owned()).collect();
        let did = format!("{} {stage}", if paused { "paused" } else { "resumed" });
        tracing::warn!(stage, "{did}, by the user");
        Ok(Changed { did, tasks: names })
    }

    /// The pipeline has such a source, stage or sink, on whatever node.
    fn has_stage(&self, stage: &str) -> Result<(), String> {
        let stages =
            self.watch().with_outline(|o| o.stages.iter().map(|s| s.name.clone()).collect::<Vec<_>>());
        if stages.iter().any(|name| name == stage) {
            return Ok(());
        }
        Err(format!("there is no stage {stage}; there are {}", stages.join(", ")))
    }

    /// Remembers dead letters, to show them.
    pub(super) fn show_dead(&self, task: &str, letters: &[DeadLetter]) {
        if letters.is_empty() {
            return;
        }
        let at_ms = super::observe::unix_ms();
        let stage = TaskName::of(task).stage;
        let mut tally = lock(&self.dead_tally);
        let mut shown = lock(&self.dead_shown);
        for letter in letters {
            tally.count(stage, &letter.reason);
            if shown.len() == DEAD_SHOWN {
                shown.pop_front();
            }
            shown.push_back(DeadLetterView {
                at_ms,
                task: task.to_owned(),
                reason: letter.reason.clone(),
                attempts: letter.attempts,
                record_bytes: letter.record.len() as u64,
            });
        }
    }
}
