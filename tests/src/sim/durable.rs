//! Processes and their disks: appending, syncing, dying, coming back, and being replaced while alive.

use super::NodeEnd;
use super::check::{Check, Checked, require};
use super::disk::DiskEntry;
use super::driver::{Later, Resume};
use super::plan::{DiskBug, Outside, StageKind};
use super::world::{Ev, Process, World};
use std::collections::BTreeMap;
use worker_core::config::{NodeIx, TaskId};
use worker_core::event::{
    Action, Body, Commit, Event, JournalAction, LinkEvent, NodeAction, NodeError, NodeEvent, SourceAction,
    TaskAction, TaskEvent,
};
use worker_core::recovery::{PeerState, TaskState};
use worker_proto::{Batch, LinkId, Seq};

/// How long a process that died of itself, or ended and is needed again, is away, in µs: least and most.
const AWAY_US: (u64, u64) = (1_000, 1_500_000);

/// In so many percent of what it is told a journal's writer is behind, where it may be.
const BEHIND_PERCENT: u64 = 20;

impl World {
    /// A commit goes into its task's journal.
    pub(super) fn append(&mut self, node: usize, task: TaskId, commit: Commit) -> Checked {
        let mut kept = commit;
        let mut outputs = Vec::new();
        for (first, chunk) in &mut kept.outputs {
            let batch = self.nodes[node].driver.unstage(&chunk.body)?;
            outputs.push((chunk.link, *first, batch.clone()));
            chunk.body = Body::Memory(batch);
        }
        let life = super::model::ONE_LIFE;
        self.model.commit(task, life, &kept, &outputs)?;
        self.check_limits(node, task, &kept)?;
        let cost: u64 = outputs.iter().map(|(_, _, batch)| batch.cost()).sum();
        let largest = &mut self.largest_commit[task.0 as usize];
        *largest = cost.max(*largest);
        self.add_entry(node, task, DiskEntry::Commit(Box::new(kept)))?;
        self.begin_sync(node, task)
    }

    pub(super) fn add_entry(&mut self, node: usize, task: TaskId, entry: DiskEntry) -> Checked {
        let (home, life) = (self.nodes[node].home, self.nodes[node].life);
        if self.plan.disk.behind_us > 0 && self.rng.chance(BEHIND_PERCENT) {
            let journal = self.disks[home].task(task)?;
            if !std::mem::replace(&mut journal.behind, true) {
                let at = self.now + self.rng.within(1, self.plan.disk.behind_us);
                self.at(at, Ev::WriterGoesOn { node, life, task });
            }
        }
        self.disks[home].append(task, entry)
    }

    /// Work begins when the task's journal has what was asked of it before; with `at_once` only behind work that waits so.
    pub(super) fn waits_for_writer(
        &mut self,
        node: usize,
        task: TaskId,
        work: TaskAction,
        at_once: bool,
    ) -> Checked<Option<TaskAction>> {
        let home = self.nodes[node].home;
        let Some(disk) = self.disks.get_mut(home) else { return Ok(Some(work)) };
        let journal = disk.task(task)?;
        if journal.has_work() || (!at_once && journal.has_orders()) {
            disk.begin_later(task, work)?;
            return Ok(None);
        }
        Ok(Some(work))
    }

    pub(super) fn writer_goes_on(&mut self, node: usize, life: u64, task: TaskId) -> Checked {
        if self.nodes[node].life != life || self.nodes[node].core.is_none() {
            return Ok(());
        }
        self.disks[self.nodes[node].home].task(task)?.behind = false;
        self.write_on(node, task)
    }

    /// A journal's writer does what it was told, if it can.
    fn write_on(&mut self, node: usize, task: TaskId) -> Checked {
        let home = self.nodes[node].home;
        while let Some((task, work)) = self.disks[home].write_on(task)? {
            self.begin(node, task, work)?;
        }
        for task in self.disks[home].sharing(task) {
            self.begin_sync(node, task)?;
        }
        Ok(())
    }

    /// A link's outputs are not needed any more.
    pub(super) fn release(&mut self, node: usize, link: LinkId, through: Seq) -> Checked {
        self.model.acknowledged(link, through)?;
        let from = self.model.graph.link(link).from;
        self.disks[self.nodes[node].home].release(from, link, through)
    }

    /// Reads outputs back from the journal.
    pub(super) fn load_back(&mut self, node: usize, link: LinkId, first_seq: Seq, records: u64) -> Checked {
        let from = self.model.graph.link(link).from;
        let batch = self.disks[self.nodes[node].home].task(from)?.load(link, first_seq, records)?;
        self.nodes[node].driver.moves(link);
        let at = self.now + self.plan.store_us;
        self.later(node, Later::of_node(at, Event::Link(link, LinkEvent::Loaded { first_seq, batch })));
        Ok(())
    }

    fn begin_sync(&mut self, node: usize, task: TaskId) -> Checked {
        let (home, life) = (self.nodes[node].home, self.nodes[node].life);
        let times = self.disks[home].times;
        if let Some(covered) = self.disks[home].task(task)?.begin_sync()? {
            let (least, most) = self.plan.disk.sync_us;
            let at = self.now + 1 + self.rng.within(least, most) * times;
            self.at(at, Ev::Synced { node, life, task, covered });
        }
        Ok(())
    }

    /// A sync is over: what it covers is durable, and told to the core.
    pub(super) fn synced(&mut self, node: usize, life: u64, task: TaskId, covered: usize) -> Checked {
        let process = &self.nodes[node];
        if process.life != life || process.core.is_none() {
            return Ok(());
        }
        let home = process.home;
        if std::mem::take(&mut self.disks[home].sync_fails) {
            // I9: nothing is known of what was not synced before, and the process ends.
            self.trace.note(self.now, format_args!("node {node}: a sync failed"));
            self.disks[home].task(task)?.fail_sync()?;
            self.die(node, false, true)?;
            self.restart_soon(node);
            return Ok(());
        }
        let mut commits = self.disks[home].synced(task, covered)?;
        for &commit in &commits {
            self.model.persisted(task, super::model::ONE_LIFE, commit);
        }
        if self.rng.chance(5) {
            commits.reverse();
        }
        let events = commits.into_iter().map(|commit| Event::Task(task, TaskEvent::Persisted { commit }));
        self.nodes[node].inputs.extend(events);
        self.begin_sync(node, task)?;
        self.settle(node)
    }

    pub(super) fn disk_full(&mut self, node: usize, full: bool) -> Checked {
        if std::mem::replace(&mut self.disks[node].full, full) == full {
            return Ok(());
        }
        self.nodes[node].driver.disk_full(full);
        if self.nodes[node].core.is_some() {
            for task in self.disks[node].tasks.keys().copied().collect::<Vec<_>>() {
                self.write_on(node, task)?;
            }
            if !self.nodes[node].paused {
                return self.input(node, Event::Node(NodeEvent::StorageFull { full }));
            }
            self.nodes[node].inputs.push_back(Event::Node(NodeEvent::StorageFull { full }));
        }
        Ok(())
    }

    /// A sink's write is in its file; gives what its driver says of it.
    pub(super) fn write_file(&mut self, node: usize, task: TaskId, batches: &[Batch]) -> Checked<u64> {
        let trusts = self.plan.disk.bug == Some(DiskBug::SinkCommitsFirst);
        let journal = self.disks[self.nodes[node].home].task(task)?;
        let records = batches.iter().flat_map(Batch::iter).map(bytes::Bytes::copy_from_slice);
        journal.file.extend(records);
        if !trusts {
            journal.file_synced = journal.file.len();
        }
        Ok(journal.file.len() as u64)
    }

    /// What is known of a peer is to be kept: for a while it may be lost.
    pub(super) fn keep_peer(&mut self, node: usize, peer: NodeIx, state: PeerState, version: u64) -> Checked {
        let home = self.nodes[node].home;
        self.disks[home].peers_asked.insert(peer, (state, version));
        let (_, most) = self.plan.disk.sync_us;
        let at = self.now + 1 + most * self.disks[home].times;
        self.later(node, Later::of_node(at, Event::Node(NodeEvent::PeerKept { peer, version })));
        Ok(())
    }

    /// It is on stable storage now, before the node hears of it.
    pub(super) fn peer_kept(&mut self, node: usize, peer: NodeIx, version: u64) {
        let disk = &mut self.disks[self.nodes[node].home];
        if let Some((state, _)) = disk.peers_asked.get(&peer).filter(|(_, asked)| *asked == version) {
            disk.peers.insert(peer, state.clone());
        }
    }

    /// The only record that is in flight on a node, as its disk says.
    fn alone_in_flight(&self, home: usize) -> Option<(TaskId, LinkId, Seq)> {
        let noted = || self.disks[home].tasks.iter().map(|(&task, journal)| (task, journal.attempt()));
        let (task, attempt) = noted().find(|(_, attempt)| attempt.records == 1)?;
        let (link, seq) = attempt.first?;
        (noted().map(|(_, attempt)| attempt.records).sum::<u64>() == 1).then_some((task, link, seq))
    }

    /// What is left of a process's work after it: on its disks, and in truth.
    pub(super) fn forget_process(&mut self, home: usize, power: bool) -> Checked {
        // A power cut brings an older note back, and nobody can tell it from one of what was in flight.
        let noted = self.alone_in_flight(home);
        self.disks[home].crash(power, &mut self.rng)?;
        let left: Vec<_> =
            self.disks[home].tasks.iter().map(|(&t, journal)| (t, journal.attempt())).collect();
        let back = self.alone_in_flight(home).filter(|back| noted != Some(*back));
        for record in noted.into_iter().chain(back) {
            *self.model.deaths_alone.entry(record).or_default() += 1;
        }
        let on_the_node = left.iter().map(|(_, attempt)| attempt.records).sum();
        for (task, attempt) in left {
            self.model.died_with(task, &attempt, on_the_node);
        }
        let left: Vec<(TaskId, u64)> =
            self.disks[home].tasks.iter().map(|(&task, journal)| (task, journal.commits())).collect();
        for (task, commits) in left {
            self.model.task_died(task, commits)?;
        }
        self.model.check_columns()
    }

    /// Reads the journals of a node for a new life.
    pub(super) fn recover(
        &mut self,
        node: usize,
    ) -> Checked<(BTreeMap<TaskId, TaskState>, BTreeMap<TaskId, Resume>)> {
        let (mut states, mut resume) = (BTreeMap::new(), BTreeMap::new());
        for (&task, journal) in &mut self.disks[node].tasks {
            let state = journal.recover(&self.plan)?;
            let committed = state.position.as_deref().map_or(0, super::fold::number);
            let stage = &self.plan.stages[self.plan.stage_of(task)];
            let read = match stage.kind {
                StageKind::Source { outside: Outside::Program { .. }, .. } => {
                    self.printed.goes_on(task, committed)
                }
                StageKind::Source { .. }
                | StageKind::Batch { .. }
                | StageKind::Stream { .. }
                | StageKind::Records { .. }
                | StageKind::Sink { .. } => committed,
            };
            resume.insert(task, Resume { read, keyed: journal.keyed() });
            states.insert(task, state);
        }
        Ok((states, resume))
    }

    pub(super) fn restart_soon(&mut self, node: usize) {
        let at = self.now + self.rng.within(AWAY_US.0, AWAY_US.1);
        self.restart_at(node, at);
    }

    pub(super) fn restart_at(&mut self, node: usize, at: u64) {
        if !std::mem::replace(&mut self.nodes[node].comes_back, true) {
            self.at(at, Ev::Restart { node });
        }
    }

    /// A process that is gone comes back.
    pub(super) fn restart(&mut self, node: usize) -> Checked {
        self.nodes[node].comes_back = false;
        match self.nodes[node].state {
            NodeEnd::Up | NodeEnd::Halted(_) => Ok(()),
            NodeEnd::Down => self.start(node),
            NodeEnd::Finished => {
                self.nodes[node].life += 1;
                self.forget_process(node, false)?;
                self.start(node)
            }
        }
    }

    /// A new life of a node begins while the old one, stopped, is not dead.
    pub(super) fn replace(&mut self, node: usize, life: u64, wakes_us: u64, dies_us: u64) -> Checked {
        let process = &self.nodes[node];
        if process.life != life || process.core.is_none() || !process.paused {
            return Ok(());
        }
        self.programs_end(node, false)?;
        let ghost = self.nodes.len();
        let fresh = Process::new(&self.plan, &self.model, node);
        let mut old = std::mem::replace(&mut self.nodes[node], fresh);
        (self.nodes[node].life, self.nodes[node].deaths) = (old.life + 1, old.deaths + 1);
        old.ghost = true;
        self.nodes.push(old);
        for (at, conn) in self.conns.iter_mut().enumerate() {
            for (which, end) in conn.ends.iter_mut().enumerate() {
                if end.node == node && end.life == life {
                    end.node = ghost;
                    self.wire.is_ghost(at, which);
                }
            }
        }
        self.trace.note(self.now, format_args!("node {node} is replaced; its old life is {ghost}"));
        // The new life finds what the old one had appended.
        self.forget_process(node, false)?;
        self.at(self.now + wakes_us, Ev::GhostWakes { node: ghost });
        self.at(self.now + wakes_us + dies_us, Ev::GhostDies { node: ghost });
        self.start(node)
    }

    pub(super) fn ghost_wakes(&mut self, node: usize) -> Checked {
        if self.nodes[node].core.is_none() {
            return Ok(());
        }
        self.trace.note(self.now, format_args!("node {node} wakes up"));
        self.forget_backlog(node);
        self.nodes[node].wake_at = None;
        self.resume(node)
    }

    pub(super) fn ghost_dies(&mut self, node: usize) {
        if self.nodes[node].core.take().is_some() {
            self.trace.note(self.now, format_args!("node {node} dies"));
            self.nodes[node].state = NodeEnd::Down;
            self.nodes[node].life += 1;
            self.hang_up(node, Some(false));
        }
    }

    /// What a process does that was replaced: it talks, but its journals and its programs are not its own any more.
    pub(super) fn perform_as_ghost(&mut self, node: usize, action: Action) -> Checked {
        match action {
            Action::Conn(conn, action) => self.connection(node, conn, action)?,
            // The fence: the journal has another owner.
            Action::Task(_, TaskAction::Journal(JournalAction::Persist(_))) => {
                self.at(self.now + 100, Ev::GhostDies { node })
            }
            Action::Node(NodeAction::Halt { error }) => {
                self.ghost_failed |= self.plan.may_fail() && matches!(error, NodeError::Task { .. });
                self.at(self.now + 5_000, Ev::GhostDies { node });
            }
            Action::Node(NodeAction::Finished) => self.at(self.now + 5_000, Ev::GhostDies { node }),
            Action::Link(..)
            | Action::Task(..)
            | Action::Node(NodeAction::Report(_) | NodeAction::KeepPeer { .. }) => {}
        }
        Ok(())
    }

    /// While the disk is full nothing new is admitted.
    pub(super) fn check_admission(&self, node: usize, action: &Action) -> Checked {
        let full = self.disks.get(self.nodes[node].home).is_some_and(|disk| disk.full);
        let told = self.nodes[node]
            .inputs
            .iter()
            .all(|input| !matches!(input, Event::Node(NodeEvent::StorageFull { .. })));
        require(
            !(full
                && told
                && matches!(action, Action::Task(_, TaskAction::Source(SourceAction::Read { .. })))),
            Check::Driver,
            || format!("node {node}: a source is to read while the disk is full"),
        )
    }
}
