//! The state directory of a run with `delivery = "exactly-once"`, opened: what every task goes on from.

mod error;
mod together;

pub use error::DurableError;

use super::first_start::FirstStart;
use super::peers::PeersFile;
use super::process::life;
use crate::child::records::KeyedState;
use crate::full::is_full;
use crate::io::beside::dangling;
use crate::io::dead::{DeadLetterLog, log_path, read_letters};
use crate::io::source::file::list_path;
use crate::manifest::{COLUMN, JOURNALS, Manifest, journal_name};
use crate::pipeline::plan::{
    LocalTask, Plan, RecordsSettings, Role, differences, moves, placement, render, semantics,
};
use crate::text::escape::shortened;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use worker_core::config::TaskId;
use worker_core::event::{Commit, CommitId};
use worker_core::recovery::TaskState;
use worker_journal::{
    DirStorage, EndedAt, Fold, InputFiles, Journal, Lock, Member, MemberIdentity, NewestPosition,
    OpenedMember, OpenedShared, Reserve, Settings, SharedIdentity, StateError, make_directory, random_id,
};
use worker_proto::Fingerprint;

/// How long to wait for another process to give up the directory, and how often to look.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// The journal of any kind of task.
pub(super) type AnyJournal = Journal<DirStorage, Box<dyn Fold>>;

/// A state directory, held by this process.
#[derive(Debug)]
pub struct Durable {
    dir: PathBuf,
    pub(super) columns: Vec<DurableColumn>,
    pub(super) tasks: BTreeMap<TaskId, DurableTask>,
    pub(super) reserve: Option<Reserve>,
    pub(super) peers: Option<PeersFile>,
    manifest: Manifest,
    /// All of it was made by this start.
    first: Option<FirstStart>,
    /// Held as long as the process lives.
    _lock: Lock,
}

/// A journal, and the tasks that share it.
#[derive(Debug)]
pub(super) struct DurableColumn {
    pub(super) name: String,
    pub(super) journal: AnyJournal,
    /// In the order of the journal's members.
    pub(super) members: Vec<TaskId>,
    /// Where the journal of the life before ended.
    pub(super) ended_at: Option<EndedAt>,
}

/// One task's part of it.
#[derive(Debug)]
pub(super) struct DurableTask {
    /// Which of the columns has its journal, and as which member.
    column: usize,
    member: Member,
    pub(super) state: TaskState,
    pub(super) dead: DeadLetterLog,
    /// What a records program had kept, as of the last commit.
    pub(super) keyed: Option<Arc<Mutex<KeyedState>>>,
}

/// What a state directory has in it before it has a manifest.
pub(super) const OURS: [&str; 10] = [
    "manifest.json.tmp",
    "worker.lock",
    "reserve",
    JOURNALS,
    "tasks.removed",
    "dead",
    "sources",
    "replays",
    "peers.json",
    "peers.json.new",
];

/// How much of the names of tasks without their journal is shown, in characters.
const MISSING_SHOWN: usize = 80;

/// Names that are shown of what does not belong there.
const NAMES_SHOWN: usize = 3;

/// Refuses a directory that is in use for something else, which a state would be strewn over, and which `--fresh` would look
/// for its own things in.
///
/// # Errors
/// [`DurableError::Foreign`].
pub fn not_foreign(dir: &Path) -> Result<(), DurableError> {
    if dir.join("manifest.json").exists() {
        return Ok(());
    }
    if let Some(target) = dangling(dir) {
        return Err(DurableError::Dangling { dir: dir.to_owned(), target });
    }
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut foreign: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !OURS.contains(&name.as_str()) && !name.starts_with('.') && name != "lost+found")
        .collect();
    foreign.sort();
    let more = foreign.len().saturating_sub(NAMES_SHOWN);
    foreign.truncate(NAMES_SHOWN);
    let mut names = foreign.iter().map(|name| shortened(name, 40)).collect::<Vec<_>>().join(", ");
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    if names.is_empty() { Ok(()) } else { Err(DurableError::Foreign { dir: dir.to_owned(), names }) }
}

/// What opening a state directory has found.
#[derive(Debug)]
pub enum Found {
    /// What every task goes on from.
    Open(Box<Durable>),
    /// The pipeline is finished, with so many dead letters.
    Finished { dead: u64 },
}

impl Durable {
    /// Opens `dir`, or makes it; `alone`: no other node may still need this one when its work is done.
    ///
    /// # Errors
    /// [`DurableError`]; nothing was changed then but the epochs of tasks.
    pub fn open(plan: &Plan, name: &str, dir: &Path, alone: bool) -> Result<Found, DurableError> {
        let first = FirstStart::look(dir);
        make_directory(dir)?;
        let lock = take_lock(dir)?;
        let (semantics, placement) = (semantics_here(plan), placement(plan));
        let known = Manifest::load(dir)?;
        let is_new = known.is_none();
        let mut manifest = match known {
            Some(manifest) => manifest,
            None => Manifest {
                pipeline: name.to_owned(),
                node: plan.nodes[usize::from(plan.me.0)].clone(),
                semantics: semantics.clone(),
                placement: placement.clone(),
                columns: if has_journals_of_tasks(dir) { None } else { Some(plan.journals()) },
                ..Manifest::default()
            },
        };
        check(dir, name, &manifest, &semantics, &placement)?;
        if manifest.finished && alone {
            return Ok(Found::Finished { dead: letters_in(&dead_dir(dir)) });
        }
        // Also of a directory of a version that did not keep them.
        manifest.headers.clone_from(&plan.headers);
        // A clock that was set back must not make this life older than the one before it.
        manifest.incarnation = life().max(manifest.incarnation.saturating_add(1));
        let peers = PeersFile::load(dir, &plan.nodes)?;
        let mut reserve = Reserve::new(dir)?;
        let begin = || {
            let opened = open_columns(plan, dir, manifest.columns, is_new)?;
            // The manifest comes last: from then on every task must have its journal.
            manifest.store(dir)?;
            Ok::<_, DurableError>(opened)
        };
        let (columns, tasks) = match begin() {
            // A start may have the room that commits may have.
            Err(error) if is_full(&error) && reserve.give_up()? => begin()?,
            begun => begun?,
        };
        let (dir, reserve) = (dir.to_owned(), Some(reserve));
        Ok(Found::Open(Box::new(Self {
            dir,
            columns,
            tasks,
            reserve,
            peers: Some(peers),
            manifest,
            first,
            _lock: lock,
        })))
    }

    /// Nothing of it was there before, and nothing has begun.
    pub(super) fn is_first_start(&self) -> bool {
        self.first.is_some()
    }

    /// The run does not begin: removes what this start has made of the state. Whether it is gone.
    pub fn take_back(self) -> bool {
        let undone = self.first.as_ref().map(|first| first.undo(&self.dir, &OURS));
        if let Some(Err(error)) = &undone {
            tracing::warn!(%error, path = %self.dir.display(), "cannot remove the state of a run that did not begin");
        }
        matches!(undone, Some(Ok(())))
    }

    /// Gives the reserve up for what found no room at the start; whether that has changed something.
    pub fn makes_room(&mut self, error: &(dyn std::error::Error + 'static)) -> bool {
        is_full(error)
            && self.reserve.as_mut().is_some_and(|reserve| reserve.give_up().is_ok_and(|given_up| given_up))
    }

    /// This life of the process; higher than any before.
    pub(super) fn incarnation(&self) -> u64 {
        self.manifest.incarnation
    }

    /// Whether an earlier life has finished everything here.
    pub(super) fn was_finished(&self) -> bool {
        self.manifest.finished
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the task's driver was.
    pub(super) fn position(&self, task: TaskId) -> Option<Bytes> {
        self.tasks.get(&task)?.state.position.clone()
    }

    /// Whether the task's end is committed.
    pub(super) fn has_ended(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|t| t.state.ended)
    }

    /// Where the list of a source's files is kept.
    pub(super) fn list_path(&self, task: &str) -> PathBuf {
        list_path(&self.dir, task)
    }

    /// Where dead letters are.
    pub(super) fn dead_dir(&self) -> PathBuf {
        dead_dir(&self.dir)
    }

    /// Appends a task's first position; it is durable when [`Self::first_positions_durable`] has returned.
    pub(super) fn first_position(&mut self, task: TaskId, position: Bytes) -> Result<(), DurableError> {
        let Some(DurableTask { column, member, state, .. }) = self.tasks.get_mut(&task) else {
            return Ok(());
        };
        let Some(DurableColumn { journal, .. }) = self.columns.get_mut(*column) else { return Ok(()) };
        let (id, attempt) = (CommitId(state.commits + 1), state.attempt);
        let commit = Commit { position: Some(position.clone()), attempt, ..Commit::empty(id) };
        journal.append_of(*member, &commit, None)?;
        (state.commits, state.position) = (commit.id.0, Some(position));
        Ok(())
    }

    /// What a source reads, where its journal may refer to it.
    pub(super) fn reads(&mut self, task: TaskId, files: Arc<dyn InputFiles>) {
        let Some(DurableTask { column, member, .. }) = self.tasks.get(&task) else { return };
        if let Some(DurableColumn { journal, .. }) = self.columns.get_mut(*column) {
            journal.reads(*member, files);
        }
    }

    /// Whether the journal of a source may refer to what that reads.
    pub(super) fn may_refer(&self, task: TaskId) -> bool {
        let column = self.tasks.get(&task).and_then(|task| self.columns.get(task.column));
        column.is_some_and(|column| column.journal.refers())
    }

    /// That what is referred to of files that were read is there.
    pub(super) fn check_inputs(&self) -> Result<(), DurableError> {
        Ok(self.columns.iter().try_for_each(|column| column.journal.check_inputs())?)
    }

    /// Makes the first positions durable, with one sync for all of a journal.
    pub(super) fn first_positions_durable(&mut self) -> Result<(), DurableError> {
        for DurableColumn { journal, .. } in &mut self.columns {
            if let Some(ticket) = journal.to_sync() {
                let position = ticket.run()?;
                journal.synced(position);
            }
        }
        Ok(())
    }

    /// Notes that everything of this node is done.
    pub(super) fn finish(&mut self) -> Result<(), DurableError> {
        self.manifest.finished = true;
        Ok(self.manifest.store(&self.dir)?)
    }
}

/// What changes results, and what this node adds to it: the headers that its programs are given.
fn semantics_here(plan: &Plan) -> BTreeMap<String, String> {
    let mut texts = semantics(plan).clone();
    for task in &plan.local {
        if let Role::Stage(stage) = &task.role
            && let Some(header) = &stage.header
        {
            let text = String::from_utf8_lossy(header).trim_end().to_owned();
            texts.insert(format!("stage.{}.header", task.stage), format!("{text:?}"));
        }
    }
    texts
}

/// A process that was killed holds its lock until its last write is over.
fn take_lock(dir: &Path) -> Result<Lock, StateError> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match Lock::take(dir) {
            Err(StateError::InUse { .. }) if Instant::now() < until => std::thread::sleep(LOCK_LOOK),
            result => return result,
        }
    }
}

/// How many dead letters a directory has.
fn letters_in(dir: &Path) -> u64 {
    read_letters(dir).map_or(0, |letters| letters.filter(Result::is_ok).count() as u64)
}

fn check(
    dir: &Path,
    name: &str,
    manifest: &Manifest,
    semantics: &BTreeMap<String, String>,
    placement: &BTreeMap<String, String>,
) -> Result<(), DurableError> {
    let dir = dir.to_owned();
    if manifest.pipeline != name {
        let (found, expected) = (manifest.pipeline.clone(), name.to_owned());
        return Err(DurableError::OtherPipeline { dir, found, expected });
    }
    let changed = differences(&manifest.semantics, semantics);
    if !changed.is_empty() {
        return Err(DurableError::Changed { dir, differences: render(&changed) });
    }
    let moved = moves(&manifest.placement, placement);
    if !moved.is_empty() {
        return Err(DurableError::Moved { dir, differences: render(&moved) });
    }
    Ok(())
}

/// Whether an older version has begun here, which gave each task a journal of its own: its manifest is lost.
fn has_journals_of_tasks(dir: &Path) -> bool {
    let journals = std::fs::read_dir(dir.join(JOURNALS)).into_iter().flatten().flatten();
    let is_column = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(COLUMN);
    journals.into_iter().any(|journal| !is_column(&journal.file_name()) && has_journal(&journal.path()))
}

type Columns = (Vec<DurableColumn>, BTreeMap<TaskId, DurableTask>);

fn open_columns(
    plan: &Plan,
    dir: &Path,
    columns: Option<NonZeroU32>,
    is_new: bool,
) -> Result<Columns, DurableError> {
    DirStorage::new(&dir.join(JOURNALS))?;
    let mut members: BTreeMap<String, Vec<&LocalTask>> = BTreeMap::new();
    for task in &plan.local {
        members.entry(journal_name(columns, &task.name)).or_default().push(task);
    }
    let mut opened = Columns::default();
    for (name, members) in members {
        open_column(plan, dir, name, &members, is_new, &mut opened)?;
    }
    let (columns, tasks) = &opened;
    if let Some(behind) = together::behind(&plan.graph, tasks)
        && let Some(column) = columns.get(behind.column)
    {
        return Err(behind.error(&dir.join(JOURNALS).join(&column.name), column.ended_at.as_ref()));
    }
    Ok(opened)
}

fn open_column(
    plan: &Plan,
    dir: &Path,
    name: String,
    members: &[&LocalTask],
    is_new: bool,
    (columns, tasks): &mut Columns,
) -> Result<(), DurableError> {
    let path = dir.join(JOURNALS).join(&name);
    if !is_new && !has_journal(&path) {
        let task = members.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(DurableError::Missing { task: shortened(&task, MISSING_SHOWN), path });
    }
    let identity = SharedIdentity {
        tasks: members.iter().map(|task| member_identity(plan, task)).collect(),
        fingerprint: Fingerprint(plan.semantic_fingerprint.0 ^ plan.placement_fingerprint.0.rotate_left(32)),
        new_id: random_id(),
    };
    let (keyed, folds): (Vec<_>, Vec<_>) = members.iter().map(|task| sum_of(task)).unzip();
    let OpenedShared { journal, tasks: opened, ended_at, .. } =
        Journal::open_shared(DirStorage::new(&path)?, &identity, Settings::default(), folds)?;
    let column = columns.len();
    for (member, ((task, opened), keyed)) in (0..).map(Member).zip(members.iter().zip(opened).zip(keyed)) {
        let OpenedMember { state, dead_bytes, .. } = opened;
        let path = log_path(dir, &task.stage, task.partition);
        let dead = DeadLetterLog::open(path, task.name.clone(), task.envelopes(), dead_bytes.unwrap_or(0))?
            .headed(task.letters_header().cloned());
        tasks.insert(task.id, DurableTask { column, member, state, dead, keyed });
    }
    let members = members.iter().map(|task| task.id).collect();
    columns.push(DurableColumn { name, journal, members, ended_at });
    Ok(())
}

fn member_identity(plan: &Plan, task: &LocalTask) -> MemberIdentity {
    let links = (0_u32..).zip(&plan.graph.links);
    let outputs = links.filter(|(_, link)| link.from == task.id).map(|(at, _)| worker_proto::LinkId(at));
    MemberIdentity { task: task.name.clone(), outputs: outputs.collect() }
}

/// What puts a task's positions together, and, of a records program, what else looks at it.
fn sum_of(task: &LocalTask) -> (Option<Arc<Mutex<KeyedState>>>, Box<dyn Fold>) {
    let keyed = match &task.role {
        Role::Stage(stage) => stage.records.as_ref().map(|records| empty_state(task, records)),
        Role::Source(_) | Role::Sink(_) => None,
    };
    let summed = match &task.role {
        Role::Source(source) => source.input.sum(),
        Role::Stage(_) | Role::Sink(_) => None,
    };
    let fold: Box<dyn Fold> = match (&keyed, summed) {
        (Some(state), _) => Box::new(Arc::clone(state)),
        (None, Some(sum)) => sum,
        (None, None) => Box::new(NewestPosition::default()),
    };
    (keyed, fold)
}

/// The empty state of a task's program, to be filled by its journal where it has one.
pub(super) fn empty_state(task: &LocalTask, settings: &RecordsSettings) -> Arc<Mutex<KeyedState>> {
    Arc::new(Mutex::new(KeyedState::new(&task.name, settings.state_budget_bytes)))
}

fn has_journal(path: &Path) -> bool {
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    files.into_iter().any(|file| file.path().extension().is_some_and(|extension| extension == "wj"))
}

/// Where the dead letters of a state directory are.
#[must_use]
pub fn dead_dir(state: &Path) -> PathBuf {
    state.join("dead")
}
