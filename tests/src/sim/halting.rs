//! When a pipeline has to fail, and that it fails for nothing else.

use super::check::{Check, Checked, require};
use super::fault::Fault;
use super::plan::StageKind;
use super::program::{BatchProgram, RecordsProgram};
use super::world::World;
use worker_core::config::{MaxDead, OnError, TaskId};
use worker_core::event::{Commit, NodeError, StreamStep};

/// How long a process whose pipeline has failed may wait for peers that it is just greeting, in µs.
const PATIENCE_US: u64 = 4_000_000;

/// A limit that a commit has passed.
#[derive(Debug)]
pub(super) struct Overdue {
    node: usize,
    life: u64,
    since: u64,
    what: String,
}

impl World {
    /// The pipeline was to fail, or has failed for a good reason.
    pub(super) fn has_failed(&self) -> bool {
        self.plan.halts || self.failed_at.is_some()
    }

    /// A process halts: for a reason there is.
    pub(super) fn halts(&mut self, node: usize, error: &NodeError) -> Checked {
        let due = self.plan.halts
            || match error {
                NodeError::Task { task, why } => self.must_fail(task, why),
                // One that was replaced and does not know may reach a limit, and say so while it is listened to.
                NodeError::Remote { .. } => self.failed_at.is_some() || self.ghost_failed,
                NodeError::Peer { why, .. } => self.has_gone_back() || self.seems_in_use(node, why),
                _ => false,
            };
        require(due, Check::Halt, || format!("node {node}: {error}"))?;
        self.failed_at.get_or_insert(self.now);
        Ok(())
    }

    fn must_fail(&self, task: &str, why: &str) -> bool {
        let at = self.model.graph.tasks.iter().position(|spec| spec.name == task);
        let Some(task) = at.map(super::plan::task_id) else { return false };
        let kind = &self.plan.stages[self.plan.stage_of(task)].kind;
        let truth = &self.model.tasks[task.0 as usize];
        match kind {
            StageKind::Batch { program, spec, .. } => {
                let may_fail = match program {
                    BatchProgram::FailOn(_) | BatchProgram::Chance(_) | BatchProgram::KillOn(_) => true,
                    BatchProgram::FailAlways => true,
                    BatchProgram::Identity | BatchProgram::Filter(_) | BatchProgram::Multiply(_) => false,
                };
                (why.contains("max_dead") && over(spec.max_dead, truth.letters.len()))
                    || (why.contains("on_error") && spec.on_error == OnError::Halt && may_fail)
                    || (is_of_all(why) && may_fail && self.may_be_unproven(task))
            }
            StageKind::Records { program, spec, .. } => {
                let may_fail = match program {
                    RecordsProgram::Fail(_) | RecordsProgram::DieOn(_) | RecordsProgram::Chance(_) => true,
                    RecordsProgram::Count | RecordsProgram::Flip => false,
                };
                (why.contains("max_dead") && over(spec.max_dead, truth.letters.len()))
                    || (why.contains("on_error") && spec.on_error == OnError::Halt && may_fail)
                    || (is_of_all(why) && may_fail && self.may_be_unproven(task))
            }
            StageKind::Stream { spec, .. } => {
                // In memory mode the core alone keeps a window's input.
                (why.contains("replay_limit")
                    && (!self.plan.is_journaled() || truth.admitted_most() > spec.replay_bytes))
                    // A share is looked at when there are more than so many.
                    || (why.contains("max_dead") && truth.letters.len() > 100)
            }
            StageKind::Source { .. } | StageKind::Sink { .. } => false,
        }
    }

    /// A name may be in use for 15 s: a life that is dead is taken for a living one by a peer that was stopped meanwhile.
    fn seems_in_use(&self, node: usize, why: &str) -> bool {
        let is_long = |fault: &Fault| matches!(fault, Fault::Pause { for_us: 9_000_000.., .. });
        let was_stopped = self.plan.faults.iter().any(|scheduled| is_long(&scheduled.fault));
        was_stopped && self.nodes[node].deaths > 0 && why.contains("another living process")
    }

    /// As far as is known, no program of the task's stage has ever ended well. A success may have died before it was committed.
    fn may_be_unproven(&self, task: TaskId) -> bool {
        let has_died = self.nodes[self.node_of(task)].deaths > 0;
        has_died || !self.model.has_succeeded(task)
    }

    /// Whether a commit, which the model has, passes a limit: the process has to halt then.
    pub(super) fn check_limits(&mut self, node: usize, task: TaskId, commit: &Commit) -> Checked {
        let kind = &self.plan.stages[self.plan.stage_of(task)].kind;
        let truth = &self.model.tasks[task.0 as usize];
        let (max_dead, on_error) = match kind {
            StageKind::Batch { spec, .. } => (spec.max_dead, spec.on_error),
            StageKind::Records { spec, .. } => (spec.max_dead, spec.on_error),
            StageKind::Source { .. } | StageKind::Stream { .. } | StageKind::Sink { .. } => {
                (MaxDead::Unlimited, OnError::DeadLetter)
            }
        };
        let name = &self.model.graph.task(task).name;
        let failed = commit.dead.iter().any(|letter| letter.origin.is_some() && letter.cause.is_some());
        require(!failed || on_error == OnError::DeadLetter, Check::Limits, || {
            format!("{name}: a record that failed is dead-lettered, and on_error is halt")
        })?;
        let replay_max = match kind {
            StageKind::Stream { spec, .. } => spec.replay_bytes,
            StageKind::Source { .. }
            | StageKind::Batch { .. }
            | StageKind::Records { .. }
            | StageKind::Sink { .. } => u64::MAX,
        };
        let is_admitted = matches!(commit.stream, Some(StreamStep::Admit { .. }));
        let what = if !commit.dead.is_empty() && over(max_dead, truth.letters.len()) {
            format!("{name} has {} dead letters", truth.letters.len())
        } else if is_admitted && truth.admitted_cost() > replay_max {
            format!("{name} keeps {} bytes of one window", truth.admitted_cost())
        } else {
            return Ok(());
        };
        let life = self.nodes[node].life;
        self.overdue.push(Overdue { node, life, since: self.now, what });
        Ok(())
    }

    /// Who has passed a limit has halted, unless it died.
    pub(super) fn check_overdue(&self, finished: Option<usize>) -> Checked {
        for Overdue { node, life, since, what } in &self.overdue {
            let process = &self.nodes[*node];
            let goes_on = process.life == *life && process.core.is_some() && !process.paused;
            let late = self.now > since + PATIENCE_US || finished == Some(*node);
            require(!(goes_on && late), Check::Limits, || format!("{what}, and node {node} goes on"))?;
        }
        Ok(())
    }
}

/// It halts because every record so far failed.
fn is_of_all(why: &str) -> bool {
    why.contains("no program of this stage has ever succeeded") || why.contains("records all failed")
}

fn over(max: MaxDead, dead: usize) -> bool {
    matches!(max, MaxDead::Records(most) if dead as u64 > most)
}
