//! What a node may hold, by its limits.

use super::check::{Check, Checked, Violation, require};
use super::disk::TaskDisk;
use super::model::LinkTruth;
use super::plan::{Stage, StageKind, link_id};
use super::world::World;
use worker_core::Node;
use worker_core::config::{LinkSpec, TaskId};
use worker_proto::LinkId;

/// What is not used for so long is given back, in µs: two looks, and two round trips.
const IDLE_US: u64 = 3_000_000;

/// No record of a simulated source, with all that stages add to it, costs more.
pub(super) const RECORD_BYTES_MAX: u64 = 330;

impl World {
    /// The core's own count is right; a planted bug is for the other rules to find.
    pub(super) fn check_sums(&self, node: usize) -> Checked {
        let (Some(core), None, None) = (&self.nodes[node].core, self.plan.bug, self.plan.disk.bug) else {
            return Ok(());
        };
        core.check().map_err(|wrong| Violation::new(Check::Sums, format!("node {node}: {wrong}")))
    }

    /// Slots are in use by programs that run, and by nothing else.
    pub(super) fn check_slots(&mut self, node: usize) -> Checked {
        let process = &mut self.nodes[node];
        let (Some(core), runs) = (&process.core, process.driver.runs) else { return Ok(()) };
        // Programs may wait until the journal has what was asked of it.
        let waits =
            self.disks.get(process.home).is_some_and(|disk| disk.tasks.values().any(TaskDisk::has_work));
        if waits || process.ghost || std::mem::replace(&mut process.runs_seen, runs) == runs {
            return Ok(());
        }
        let (used, slots) = core.status().slots;
        require(used == runs, Check::Slots, || {
            format!("node {node}: {used} of {slots} slots are used, and {runs} programs run")
        })
    }

    /// I7: what a node holds, by its own count and by what the observer sees, stays within its budgets.
    pub(super) fn check_budgets(&mut self, node: usize) -> Checked {
        let Some(core) = &self.nodes[node].core else { return Ok(()) };
        if self.nodes[node].ghost {
            return Ok(());
        }
        let limits = self.plan.limits;
        let mut budget: u64 = self.own_tasks(node).map(|task| self.task_budget(task)).sum();
        if self.plan.is_journaled() {
            // Half a budget of outputs may wait to be durable, and what was begun before that adds to it.
            budget += self
                .own_tasks(node)
                .map(|task| limits.outbox_bytes / 2 + 5 * self.largest_commit[task.0 as usize])
                .sum::<u64>();
        }
        for (at, (truth, spec)) in self.model.links.iter().zip(&self.model.graph.links).enumerate() {
            let is_here = |task| usize::from(self.model.graph.task(task).node.0) == node;
            if is_here(spec.from) {
                budget += self.check_outbox(core, link_id(at), truth)?;
            }
            if is_here(spec.to) {
                budget += limits.credit_bytes + RECORD_BYTES_MAX;
                self.check_inbox(truth, *spec)?;
            }
        }
        budget += limits.shared_credit_bytes;
        let is_to = |link: LinkId| {
            let to = self.model.graph.link(link).to;
            // Who wants nothing more drops what comes.
            let takes = !self.stops_early(to) && !self.model.tasks[to.0 as usize].ended;
            takes && usize::from(self.model.graph.task(to).node.0) == node
        };
        let promised = self.wire.promised(limits.credit_bytes, is_to);
        require(promised <= limits.shared_credit_bytes, Check::SharedCredit, || {
            format!(
                "node {node} may be sent {promised} bytes beyond what each link has, {} are for all",
                limits.shared_credit_bytes
            )
        })?;
        // Outputs that wait for their commit are not in an outbox yet.
        let held = if self.plan.persist_us == 0 { core.memory_bytes() } else { 0 };
        require(held <= budget, Check::Memory, || {
            format!("node {node} holds {held} bytes, its limits allow {budget}")
        })
    }

    /// Where nothing has gone wrong, no program works, no receiver is behind and nothing has moved for a while, no link has more credit or
    /// room than its own.
    pub(super) fn check_idle(&self) -> Checked {
        let moves_by_itself =
            |stage: &Stage| !matches!(stage.kind, StageKind::Source { .. } | StageKind::Sink { .. });
        let is_quiet = self.plan.faults.is_empty() && !self.plan.stages.iter().any(moves_by_itself);
        if !is_quiet || self.now - self.wire.moved_us() < IDLE_US {
            return Ok(());
        }
        let status = || self.nodes.iter().filter_map(|node| node.core.as_ref()).map(Node::status);
        let is_idle =
            status().all(|status| status.inbound.iter().all(|link| link.counters.queued_bytes == 0));
        if !is_idle {
            return Ok(());
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let (used, all) = node.core.as_ref().map_or((0, 0), |core| core.status().shared_credit);
            require(used == 0, Check::SharedCredit, || {
                format!("node {at} is idle, and its links have {used} of {all} bytes that they share")
            })?;
        }
        Ok(())
    }

    /// What an outbox has in memory, by its documented limits; gives the most it may have there at all.
    ///
    /// However much credit there is, what stays in memory is the budget, or one entry that came while it was empty; the entry
    /// at the cursor, read back to be sent; and the last entry while it is small, at most a quarter of the budget. An entry
    /// is one output, or outputs joined while they are small. On its way outside may be half a budget, past which no work
    /// begins, and what was begun before: four chunks that a source reads ahead, at most. What makes room for a chunk by
    /// leaving only changes from one sum to the other.
    fn check_outbox(&self, core: &Node, link: LinkId, truth: &LinkTruth) -> Checked<u64> {
        let (budget, largest) = (self.plan.limits.outbox_bytes, truth.largest_output);
        let stays = budget.max(largest) + largest.max(budget / 4) + budget / 4;
        let held = core.outbox(link).map_or(0, |outbox| outbox.memory_cost() - outbox.storing_cost());
        let shared = self.plan.limits.shared_credit_bytes;
        require(held <= stays + shared, Check::Memory, || {
            let name = self.model.graph.link_name(link);
            format!("{name}: {held} bytes stay in its outbox, its limits allow {stays}")
        })?;
        Ok(stays + budget / 2 + 4 * largest)
    }

    /// What reached the receiver and was not given to its program, as seen from outside.
    fn check_inbox(&self, truth: &LinkTruth, spec: LinkSpec) -> Checked {
        let ended = truth.local || truth.cancelled || self.model.tasks[spec.to.0 as usize].ended;
        let limits = self.plan.limits;
        let most =
            limits.credit_bytes + limits.shared_credit_bytes + RECORD_BYTES_MAX + self.task_budget(spec.to);
        let held = truth.lives.values().map(|life| life.cost(life.taken(), life.received)).max().unwrap_or(0);
        require(held <= most || ended, Check::Memory, || {
            let name = &self.model.graph.task(spec.to).name;
            format!("{name}: holds {held} bytes of one link, its limits allow {most}")
        })
    }

    /// What a task may hold beside its links: a batch at work and one being formed, or what is on its way to a stream.
    fn task_budget(&self, task: TaskId) -> u64 {
        match &self.plan.stages[self.plan.stage_of(task)].kind {
            StageKind::Batch { spec, .. } => 2 * (spec.max_bytes + RECORD_BYTES_MAX),
            StageKind::Stream { .. } => 1024 * 1024 + 256 * 1024,
            StageKind::Records { spec, .. } => 2 * (spec.in_flight_bytes + RECORD_BYTES_MAX),
            StageKind::Sink { .. } | StageKind::Source { .. } => 0,
        }
    }
}
