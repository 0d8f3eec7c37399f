//! What survives a process: a journal for each task and a file for each sink, as a simulated disk keeps them.
//!
//! The journal is a list of entries of which a prefix is on stable storage. A sync covers what was appended when it began. When
//! the process is killed everything appended is still there; when power is lost, any part of what was not synced is gone
//! from some point on. A life that begins takes what it finds for granted only after it has made it durable.

mod copy;
mod kept;
mod keyed;
mod letters;
mod real;
mod writer;

use super::check::{Check, Checked, Violation, require};
use super::fold;
use super::plan::{DiskBug, Plan, StageKind};
use super::rng::Rng;
use bytes::Bytes;
pub(super) use copy::DiskCopy;
use keyed::{Keyed, no_state};
use letters::Letters;
use real::Real;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use worker_core::config::{Graph, NodeIx, TaskId};
use worker_core::event::{Attempt, Body, Chunk, Commit, CommitId, TaskAction};
use worker_core::fault::Bug;
use worker_core::recovery::{PeerState, TaskState};
use worker_proto::{Batch, Epoch, JournalId, LinkId, Seq};

/// The disk of one node.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) tasks: BTreeMap<TaskId, TaskDisk>,
    /// What is kept of the peers.
    pub(super) peers: BTreeMap<NodeIx, PeerState>,
    /// What is asked to be kept and is not durable, with its version.
    pub(super) peers_asked: BTreeMap<NodeIx, (PeerState, u64)>,
    /// Nothing more can be appended.
    pub(super) full: bool,
    /// The next sync fails.
    pub(super) sync_fails: bool,
    /// How many times slower it is than usual.
    pub(super) times: u64,
    /// How many entries were asked of all journals.
    asked: u64,
}

/// What is kept of one task.
#[derive(Debug)]
pub(super) struct TaskDisk {
    id: JournalId,
    outputs: Vec<LinkId>,
    /// Of a records stage: its state, of this life of its task.
    keyed: Option<Keyed>,
    /// Changes of it that are applied too late; for a bug only.
    deferred: Vec<Bytes>,
    /// The admission of a stream's input that is appended too late; for a bug only.
    late: Option<DiskEntry>,
    letters: Letters,
    bug: Option<DiskBug>,
    entries: Vec<DiskEntry>,
    /// When each was asked for, by all of the disk: where tasks share a journal, their order in it.
    asked: Vec<u64>,
    /// So many entries are on stable storage.
    durable: usize,
    /// So many are known to the core to be, or were there before it began.
    told: usize,
    /// The life that writes; what an older one appends is refused.
    epoch: Epoch,
    pub(super) syncing: bool,
    /// The writer is behind with what it was told.
    pub(super) behind: bool,
    /// What it was told and has not done.
    waiting: VecDeque<(u64, writer::WriterCommand)>,
    /// Outputs that can be read back.
    outputs_kept: BTreeMap<(LinkId, Seq), Batch>,
    /// What a sink has written, and how much of it is on stable storage.
    pub(super) file: Vec<Bytes>,
    pub(super) file_synced: usize,
    /// The worker's own journal, in a share of the runs.
    real: Option<Real>,
}

/// Up to where a journal is left.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// So many entries of its only task.
    Entries(usize),
    /// What was asked for until then.
    Asked(u64),
}

/// One record of a journal.
#[derive(Clone, Debug)]
pub(super) enum DiskEntry {
    /// A life of the task begins.
    Life(Epoch),
    /// A commit, its outputs in memory.
    Commit(Box<Commit>),
    /// What is about to be in flight.
    Note(Attempt),
    /// A link's outputs are not needed any more through here.
    Released(LinkId, Seq),
}

/// What a stream's window is run again from.
#[derive(Debug, Default)]
pub(super) struct WindowKept {
    pub(super) inputs: Vec<Batch>,
    pub(super) printed: Vec<worker_core::event::Printed>,
}

impl Disk {
    pub(super) fn new(plan: &Plan, graph: &Graph, node: u16) -> Self {
        let own = (0..graph.tasks.len()).map(super::plan::task_id).filter(|&t| graph.task(t).node.0 == node);
        let tasks = own.map(|task| {
            let links = graph.links.iter().enumerate().filter(|(_, link)| link.from == task);
            let outputs: Vec<LinkId> = links.map(|(at, _)| super::plan::link_id(at)).collect();
            let is_keyed = matches!(plan.stages[plan.stage_of(task)].kind, StageKind::Records { .. });
            let id = match plan.column_of(task) {
                Some(column) => JournalId(9_000_000 + u64::from(node) * 1_000 + column),
                None => JournalId(7_000 + u64::from(task.0)),
            };
            let real = plan.has_real_journals().then(|| Real::new(id, outputs.clone()));
            let keyed = is_keyed.then(no_state);
            (task, TaskDisk { real, keyed, bug: plan.disk.bug, ..TaskDisk::new(id, outputs) })
        });
        Self {
            tasks: tasks.collect(),
            peers: BTreeMap::new(),
            peers_asked: BTreeMap::new(),
            full: false,
            sync_fails: false,
            times: 1,
            asked: 0,
        }
    }

    pub(super) fn task(&mut self, task: TaskId) -> Checked<&mut TaskDisk> {
        self.tasks
            .get_mut(&task)
            .ok_or_else(|| Violation::new(Check::Driver, format!("task {} is not on this disk", task.0)))
    }

    /// The process is gone, and with `power` what was not synced, from some point on.
    pub(super) fn crash(&mut self, power: bool, rng: &mut Rng) -> Checked {
        self.peers_asked.clear();
        let journals: BTreeSet<JournalId> = self.tasks.values().map(|task| task.id).collect();
        for id in journals {
            let cut = power.then(|| self.cut(id, rng));
            let sharing = self.tasks.values_mut().filter(|task| task.id == id);
            sharing.map(|task| task.crash(cut, rng)).collect::<Checked<Vec<()>>>()?;
        }
        Ok(())
    }

    /// Up to where a journal is left after a loss of power: at least what is on stable storage, of all who share it.
    fn cut(&self, id: JournalId, rng: &mut Rng) -> Cut {
        let sharing: Vec<&TaskDisk> = self.tasks.values().filter(|task| task.id == id).collect();
        if let [alone] = sharing.as_slice() {
            return Cut::Entries(alone.durable + rng.index(alone.entries.len() - alone.durable + 1));
        }
        let durable = sharing.iter().filter_map(|task| task.asked[..task.durable].last().copied()).max();
        let durable = durable.unwrap_or_default();
        let asked = sharing.iter().flat_map(|task| &task.asked).copied();
        let mut ends: Vec<u64> = asked.filter(|asked| *asked > durable).chain([durable]).collect();
        ends.sort_unstable();
        Cut::Asked(ends[rng.index(ends.len())])
    }

    /// The tasks that share a journal with this one, and itself.
    pub(super) fn sharing(&self, task: TaskId) -> Vec<TaskId> {
        let id = self.tasks.get(&task).map(|task| task.id);
        self.tasks.iter().filter(|(_, other)| Some(other.id) == id).map(|(&task, _)| task).collect()
    }

    fn next_asked(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// Appends to a task's journal; what it is sure of comes with a sync.
    pub(super) fn append(&mut self, task: TaskId, entry: DiskEntry) -> Checked {
        let waits = self.full || self.sharing(task).iter().any(|other| self.tasks[other].has_orders());
        let asked = self.next_asked();
        self.task(task)?.append(entry, asked, waits)
    }

    pub(super) fn begin_later(&mut self, task: TaskId, work: TaskAction) -> Checked {
        let asked = self.next_asked();
        self.task(task)?.begin_later(asked, work);
        Ok(())
    }

    /// The writer of a task's journal does what it was told, in order, until there is work to begin.
    pub(super) fn write_on(&mut self, task: TaskId) -> Checked<Option<(TaskId, TaskAction)>> {
        let sharing = self.sharing(task);
        if self.full || sharing.iter().any(|other| self.tasks[other].behind) {
            return Ok(None);
        }
        loop {
            let first = |task: &TaskId| Some((self.tasks[task].waits_since()?, *task));
            let Some((_, next)) = sharing.iter().filter_map(first).min() else { return Ok(None) };
            if let Some(work) = self.task(next)?.write_next()? {
                return Ok(Some((next, work)));
            }
        }
    }

    /// A sync of a task's journal is over: what else is in it before that is durable, too. Gives the task's commits.
    pub(super) fn synced(&mut self, task: TaskId, covered: usize) -> Checked<Vec<CommitId>> {
        let commits = self.task(task)?.synced(covered)?;
        let to = self.tasks[&task].asked[..covered].last().copied().unwrap_or_default();
        for other in self.sharing(task) {
            let other = self.task(other)?;
            other.durable = other.durable.max(other.asked.partition_point(|asked| *asked <= to));
        }
        Ok(commits)
    }

    pub(super) fn release(&mut self, task: TaskId, link: LinkId, through: Seq) -> Checked {
        self.task(task)?.forget_outputs(link, through);
        self.append(task, DiskEntry::Released(link, through))
    }
}

impl TaskDisk {
    fn new(id: JournalId, outputs: Vec<LinkId>) -> Self {
        Self {
            id,
            outputs,
            keyed: None,
            deferred: Vec::new(),
            late: None,
            letters: Letters::default(),
            bug: None,
            entries: Vec::new(),
            asked: Vec::new(),
            durable: 0,
            told: 0,
            epoch: Epoch(0),
            syncing: false,
            behind: false,
            waiting: VecDeque::new(),
            outputs_kept: BTreeMap::new(),
            file: Vec::new(),
            file_synced: 0,
            real: None,
        }
    }

    fn crash(&mut self, cut: Option<Cut>, rng: &mut Rng) -> Checked {
        let power = cut.is_some();
        (self.syncing, self.behind) = (false, false);
        self.waiting.clear();
        self.deferred.clear();
        self.late = None;
        self.keyed = self.keyed.as_ref().map(|_| no_state());
        if let Some(real) = &mut self.real {
            let state = real.crash(power.then(|| rng.any()), self.keyed.as_ref())?;
            let durable = if power { self.durable } else { self.entries.len() };
            let kept = real::survivors(state, &self.entries, durable, &self.outputs)?;
            self.truncate(kept);
        } else if let Some(cut) = cut {
            self.truncate(match cut {
                Cut::Entries(kept) => kept,
                Cut::Asked(end) => self.asked.partition_point(|asked| *asked <= end),
            });
        }
        if power {
            let kept = self.file_synced + rng.index(self.file.len() - self.file_synced + 1);
            self.file.truncate(kept);
            self.lose_letters(rng);
        }
        Ok(())
    }

    fn truncate(&mut self, kept: usize) {
        self.entries.truncate(kept);
        self.asked.truncate(kept);
    }

    /// Number of the last commit that is there.
    pub(super) fn commits(&self) -> u64 {
        let last = self.entries.iter().rev().find_map(DiskEntry::commit);
        last.map_or(0, |commit| commit.id.0)
    }

    /// A new life reads what is there, makes it durable, and begins.
    pub(super) fn recover(&mut self, plan: &Plan) -> Checked<TaskState> {
        if plan.bug == Some(Bug::RecomputeInsteadOfResend) {
            self.forget_unacknowledged();
        }
        let opened = match &mut self.real {
            Some(real) => Some(real.begin(self.keyed.as_ref())?),
            None => None,
        };
        let epoch = opened.as_ref().map_or(Epoch(self.epoch.0 + 1), |state| state.epoch);
        require(epoch > self.epoch, Check::Fence, || format!("life {epoch} comes after {}", self.epoch))?;
        self.epoch = epoch;
        self.asked.push(self.asked.last().copied().unwrap_or_default());
        self.entries.push(DiskEntry::Life(epoch));
        if plan.disk.bug != Some(DiskBug::RecoveryTrustsCache) {
            self.durable = self.entries.len();
        }
        self.told = self.durable;
        let mut state = fold::task_state(&self.entries, &self.outputs, self.id, plan.disk.bug);
        if let Some(opened) = opened {
            require(self.keyed.is_some() || opened.position == state.position, Check::Recovery, || {
                format!("the position is {:?}, not {:?}", opened.position, state.position)
            })?;
            state = opened;
        }
        self.recover_keyed(&mut state)?;
        self.recover_letters()?;
        self.outputs_kept.clear();
        for entry in &self.entries {
            if let Some(commit) = entry.commit() {
                for (first, chunk) in &commit.outputs {
                    keep(&mut self.outputs_kept, *first, chunk);
                }
            }
        }
        for (&link, output) in &state.outputs {
            self.outputs_kept.retain(|&(l, first), batch| l != link || last(first, batch) > output.through);
        }
        self.cut_file(&state)?;
        Ok(state)
    }

    /// A sink's file may be longer than what was committed, never shorter.
    fn cut_file(&mut self, state: &TaskState) -> Checked {
        if !self.outputs.is_empty() {
            return Ok(());
        }
        let committed =
            usize::try_from(state.position.as_deref().map_or(0, fold::number)).expect("few records");
        require(self.file.len() >= committed, Check::SinkFile, || {
            format!("the file has {} records, {committed} are committed", self.file.len())
        })?;
        self.file.truncate(committed);
        self.file_synced = self.file.len();
        Ok(())
    }

    /// Only for [`Bug::RecomputeInsteadOfResend`]: commits go back to where all outputs were acknowledged.
    fn forget_unacknowledged(&mut self) {
        let mut released: BTreeMap<LinkId, Seq> = BTreeMap::new();
        for entry in &self.entries {
            if let DiskEntry::Released(link, through) = entry {
                released.insert(*link, *through);
            }
        }
        let unacknowledged = |entry: &DiskEntry| {
            entry.commit().is_some_and(|commit| {
                let past = |(first, chunk): &(Seq, Chunk)| {
                    first.plus(chunk.body.records()).before()
                        > released.get(&chunk.link).copied().unwrap_or_default()
                };
                commit.outputs.iter().any(past)
            })
        };
        if let Some(at) = self.entries.iter().position(unacknowledged) {
            self.truncate(at);
        }
    }

    fn forget_outputs(&mut self, link: LinkId, through: Seq) {
        self.outputs_kept.retain(|&(l, first), batch| l != link || last(first, batch) > through);
    }

    /// Begins a sync, if one is needed; gives how much it will cover.
    pub(super) fn begin_sync(&mut self) -> Checked<Option<usize>> {
        let needed = self.entries[self.told..].iter().any(|entry| entry.commit().is_some());
        if !needed || self.syncing {
            return Ok(None);
        }
        self.syncing = true;
        if let Some(real) = &mut self.real {
            real.begin_sync()?;
        }
        Ok(Some(self.entries.len()))
    }

    /// I9: the sync under way fails.
    pub(super) fn fail_sync(&mut self) -> Checked {
        self.real.as_mut().map_or(Ok(()), Real::fail_sync)
    }

    /// A sync is over; gives the commits that became durable with it.
    fn synced(&mut self, covered: usize) -> Checked<Vec<CommitId>> {
        self.syncing = false;
        if let Some(real) = &mut self.real {
            real.synced()?;
        }
        let from = self.told.min(covered);
        self.told = self.told.max(covered);
        self.durable = self.durable.max(covered);
        Ok(self.entries[from..covered].iter().filter_map(DiskEntry::commit).map(|commit| commit.id).collect())
    }

    /// What was noted as in flight and not settled.
    pub(super) fn attempt(&self) -> Attempt {
        fold::attempt(&self.entries)
    }

    /// Of a source or sink: how far it is committed.
    pub(super) fn committed_position(&self) -> u64 {
        let newest =
            self.entries.iter().rev().filter_map(DiskEntry::commit).find_map(|c| c.position.as_deref());
        newest.map_or(0, fold::number)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.entries.iter().filter_map(DiskEntry::commit).any(|commit| commit.ended)
    }
}

impl DiskEntry {
    pub(super) fn commit(&self) -> Option<&Commit> {
        match self {
            Self::Commit(commit) => Some(commit),
            Self::Life(_) | Self::Note(_) | Self::Released(..) => None,
        }
    }
}

fn keep(kept: &mut BTreeMap<(LinkId, Seq), Batch>, first: Seq, chunk: &Chunk) {
    if let Body::Memory(batch) = &chunk.body {
        kept.insert((chunk.link, first), batch.clone());
    }
}

fn last(first: Seq, batch: &Batch) -> Seq {
    first.plus(batch.len() as u64).before()
}
