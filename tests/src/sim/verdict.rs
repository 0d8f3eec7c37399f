//! What must be so when a run is over.

use super::NodeEnd;
use super::check::{Check, Checked, require};
use super::model::Life;
use super::plan::{SPILL_OF_ALL, StageKind, link_id, task_id};
use super::program::{has_key, marked, outputs_of};
use super::world::World;
use bytes::Bytes;
use worker_core::config::TaskId;
use worker_proto::{Epoch, LinkId, Seq};

impl World {
    /// The last checks: everything arrived, everybody went home, nothing was sent too often.
    pub(super) fn judge(&mut self) -> Checked {
        self.check_everything_arrived()?;
        self.check_everybody_ended()?;
        if self.plan.is_journaled() {
            self.check_dead()?;
            return self.check_results();
        }
        if !self.has_failed() {
            self.check_loss_is_bounded()?;
        }
        self.check_retry_traffic()
    }

    /// A link whose two ends are alive has delivered every record committed to it.
    fn check_everything_arrived(&self) -> Checked {
        if self.has_failed() {
            return Ok(());
        }
        for (at, truth) in self.model.links.iter().enumerate() {
            let (from, to) =
                (self.node_of(self.model.graph.links[at].from), self.node_of(self.model.graph.links[at].to));
            let receiver = self.model.graph.links[at].to;
            let exempt = truth.cancelled || self.stops_early(receiver) || !self.can_go_on(receiver);
            // What went through a process that died is looked at from end to end, in `check_loss_is_bounded`.
            let may_lose = self.nodes[from].deaths + self.nodes[to].deaths > 0 && !self.plan.is_journaled();
            if exempt || !self.is_alive(from) || may_lose {
                continue;
            }
            let Some(life) = self.present_life(from, link_id(at)) else { continue };
            // Where a node stays dead, input does not end: a stream's last window has its records, but is not over.
            let may_wait =
                self.is_stream(receiver) && self.nodes.iter().any(|node| node.state == NodeEnd::Down);
            let missing: Vec<Seq> = life.missing().filter(|&seq| !may_wait || seq > life.given).collect();
            let ends = self.nodes[to].state == NodeEnd::Finished || self.nodes[to].draining;
            let check = if ends { Check::Loss } else { Check::Drain };
            require(missing.is_empty(), check, || {
                let name = self.model.graph.link_name(link_id(at));
                let (count, all) = (missing.len(), life.records.len());
                format!(
                    "{name}: {count} of {all} records never arrived, first {}{}",
                    missing[0],
                    self.reasons()
                )
            })?;
        }
        for task in (0..self.model.graph.tasks.len()).map(task_id) {
            let node = self.node_of(task);
            let is_source =
                matches!(self.plan.stages[self.plan.stage_of(task)].kind, StageKind::Source { .. });
            if is_source && self.can_go_on(task) && (self.nodes[node].deaths == 0 || self.plan.is_journaled())
            {
                let ended = match self.disks.get(node) {
                    Some(disk) => disk.tasks[&task].has_ended(),
                    None => self.nodes[node].driver.source_is_done(task),
                };
                require(ended, Check::Drain, || {
                    format!(
                        "source {} was not read to its end{}",
                        self.model.graph.task(task).name,
                        self.reasons()
                    )
                })?;
            }
        }
        Ok(())
    }

    /// Every process that can end has ended.
    fn check_everybody_ended(&self) -> Checked {
        let down = |node: &super::world::Process| node.state == NodeEnd::Down && !node.ghost;
        if self.nodes.iter().any(down) && !self.plan.is_journaled() {
            return Ok(());
        }
        // A new life cannot be told what was finished with the old one by a process that is gone.
        let died = self.nodes.iter().any(|node| node.deaths > 0) && !self.plan.is_journaled();
        let somebody_left_early = died && self.nodes.iter().any(|node| node.core.is_none());
        for (at, node) in self.nodes.iter().take(self.plan.nodes).enumerate() {
            let ended = match node.state {
                NodeEnd::Finished => true,
                NodeEnd::Halted(_) => self.has_failed(),
                NodeEnd::Up | NodeEnd::Down => somebody_left_early || self.failed_at.is_some(),
            };
            require(ended, Check::Drain, || format!("node {at} has not ended{}", self.reasons()))?;
        }
        Ok(())
    }

    /// Per link into a process that died: what is lost is at most what its living sender reported.
    fn check_loss_is_bounded(&self) -> Checked {
        for (at, truth) in self.model.links.iter().enumerate() {
            let spec = self.model.graph.links[at];
            let (from, to) = (self.node_of(spec.from), self.node_of(spec.to));
            if truth.cancelled || self.stops_early(spec.to) {
                continue;
            }
            if self.nodes[from].deaths > 0
                || self.nodes[to].deaths == 0
                || self.nodes[to].state == NodeEnd::Down
            {
                continue;
            }
            let Some(life) = self.present_life(from, link_id(at)) else { continue };
            let sent = (1..=life.records.len() as u64).map(Seq);
            let lost: Vec<Seq> = sent.filter(|&seq| !self.survives(spec.to, life, seq)).collect();
            let allowed = truth.reported_lost + self.reported_behind(to);
            require(lost.len() as u64 <= allowed, Check::LossBound, || {
                let name = self.model.graph.link_name(link_id(at));
                format!(
                    "{name}: {} records are lost ({}…), {} reported",
                    lost.len(),
                    lost[0],
                    truth.reported_lost
                )
            })?;
        }
        Ok(())
    }

    /// What is reported of links out of a node: its new life repeats to tasks that had ended what its old life gave them.
    fn reported_behind(&self, node: usize) -> u64 {
        let links = self.model.graph.links.iter().zip(&self.model.links);
        links.filter(|(spec, _)| self.node_of(spec.from) == node).map(|(_, truth)| truth.reported_lost).sum()
    }

    /// Whether the effects of a record that was sent to `task` are outside, or with a process that never died.
    fn survives(&self, task: TaskId, life: &Life, seq: Seq) -> bool {
        if !life.is_effected(seq) {
            return false;
        }
        if self.nodes[self.node_of(task)].deaths == 0 || life.is_dead(seq) {
            return true;
        }
        let index = self.plan.stage_of(task);
        let stage = &self.plan.stages[index];
        let Some(record) = life.record(seq) else { return false };
        let lives = 0..=self.nodes[self.node_of(task)].life;
        let readers: Vec<usize> = (0..self.plan.stages.len())
            .filter(|&reader| self.plan.stages[reader].from.contains(&index))
            .collect();
        let wants = |&&reader: &&usize| !self.plan.tasks_of(reader).any(|task| self.stops_early(task));
        let some_life_made_it = |made_in: u64| {
            let position = if made_in > 0 { format!("'{made_in}") } else { String::new() };
            let outputs = match stage.kind {
                StageKind::Batch { program, .. } => outputs_of(program, record, stage.letter, &position),
                StageKind::Stream { .. } => vec![marked(record, stage.letter, &position, None)],
                StageKind::Source { .. } | StageKind::Records { .. } | StageKind::Sink { .. } => Vec::new(),
            };
            outputs
                .iter()
                .all(|output| readers.iter().filter(wants).all(|&reader| self.arrived(reader, output)))
        };
        lives.into_iter().any(some_life_made_it)
    }

    fn arrived(&self, stage: usize, record: &Bytes) -> bool {
        if self.plan.stages[stage].needs_field() && !has_key(record) {
            return true;
        }
        self.plan.tasks_of(stage).any(|task| {
            let Some((link, epoch, seq)) = self.model.find(task, record) else { return false };
            let life = &self.model.links[link.0 as usize].lives[&epoch];
            self.survives(task, life, seq)
        })
    }

    /// I8e: what was sent is at most what there was, and one window for each time the link was opened.
    fn check_retry_traffic(&self) -> Checked {
        for (at, truth) in self.model.links.iter().enumerate() {
            let traffic = self.wire.traffic(link_id(at));
            let offered: u64 =
                truth.lives.values().map(|life| life.cost(Seq::ZERO, Seq(life.records.len() as u64))).sum();
            let window = self.plan.limits.credit_bytes + self.plan.limits.shared_credit_bytes + 400;
            let most = offered + traffic.opens * window;
            require(traffic.cost <= most, Check::RetryTraffic, || {
                let name = self.model.graph.link_name(link_id(at));
                format!("{name}: sent {} bytes of {offered}, opened {} times", traffic.cost, traffic.opens)
            })?;
        }
        Ok(())
    }

    /// Tuples sent more than once, counted each time.
    pub(super) fn retries(&self) -> u64 {
        (0..self.model.links.len()).map(|at| self.wire.traffic(link_id(at)).retried).sum()
    }

    fn present_life(&self, node: usize, link: LinkId) -> Option<&Life> {
        let epoch = self.model.key(Epoch(self.nodes[node].config.incarnation.0));
        self.model.links[link.0 as usize].lives.get(&epoch)
    }

    pub(super) fn node_of(&self, task: TaskId) -> usize {
        usize::from(self.model.graph.task(task).node.0)
    }

    /// It runs, and somebody takes what it gives: at least one of its outputs leads to a task that can go on, or to a node that
    /// is dead, for which it may spill as much as there is.
    fn can_go_on(&self, task: TaskId) -> bool {
        let mut outputs = self.model.graph.links.iter().filter(|link| link.from == task).peekable();
        let is_end = outputs.peek().is_none();
        let fits = self.plan.limits.spill_bytes >= SPILL_OF_ALL;
        let spills = |to: TaskId| fits && self.nodes[self.node_of(to)].state == NodeEnd::Down;
        self.is_alive(self.node_of(task))
            && (is_end || outputs.any(|link| self.can_go_on(link.to) || spills(link.to)))
    }

    fn is_stream(&self, task: TaskId) -> bool {
        matches!(self.plan.stages[self.plan.stage_of(task)].kind, StageKind::Stream { .. })
    }

    fn is_alive(&self, node: usize) -> bool {
        matches!(self.nodes[node].state, NodeEnd::Up | NodeEnd::Finished)
    }

    /// Nobody reads on from this task, or it does not read on itself.
    pub(super) fn stops_early(&self, task: TaskId) -> bool {
        self.model.tasks[task.0 as usize].stops_early
    }

    /// What the cores themselves say about why nothing moves.
    fn reasons(&self) -> String {
        let mut text = String::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if let Some(core) = &node.core {
                for task in core.status().tasks.iter().filter(|task| !task.done) {
                    text.push_str(&format!("\n  node {at}: {task:?}"));
                }
                for stall in core.stalls() {
                    text.push_str(&format!("\n  node {at}: {stall:?}"));
                }
            }
        }
        text
    }
}
