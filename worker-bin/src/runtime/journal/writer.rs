//! The thread that appends to a journal, in the order of its commands, and waits while the disk is full.

use super::syncer::{fail, sync_all};
use super::{JournalCommand, JournalThreads, Replayed, Then};
use crate::descriptors;
use crate::io::dead::{DeadLogError, NewLetter};
use crate::logging::task_span;
use crate::mutex::lock;
use crate::runtime::cell::{Cell, Tell};
use crate::runtime::durable::AnyJournal;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use worker_core::event::{Commit, DeadLetter, Event, LinkEvent};
use worker_journal::JournalError;

/// How long to wait before a full disk is tried again.
const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// How many batches of a window are read back before the child has taken them.
const REPLAY_AHEAD: usize = 4;

impl JournalThreads {
    pub(in crate::runtime) fn start(self, cell: &Arc<Cell>) -> std::io::Result<()> {
        let (weak, shared) = (Arc::downgrade(cell), Arc::clone(&self.shared));
        let syncer = std::thread::Builder::new().name(format!("{} sync", shared.name));
        syncer.spawn(move || task_span(&shared.name).in_scope(|| sync_all(&shared, &weak)))?;
        let weak = Arc::downgrade(cell);
        let writer = std::thread::Builder::new().name(format!("{} log", self.shared.name));
        writer
            .spawn(move || task_span(&self.shared.name.clone()).in_scope(|| self.write_all(&weak)))
            .map(drop)
    }

    fn write_all(mut self, cell: &Weak<Cell>) {
        let mut later = VecDeque::new();
        loop {
            let command = match later.pop_front() {
                Some(command) => command,
                None => match self.commands.recv() {
                    Ok(command) => command,
                    Err(_) => break,
                },
            };
            let Some(cell) = cell.upgrade() else { break };
            let done = match command {
                JournalCommand::Stop => break,
                JournalCommand::Commit(commit, asked) => {
                    let appended = self.append(&cell, &commit, asked, &mut later);
                    self.shared.taken(commit.memory_cost());
                    appended
                }
                JournalCommand::Note(attempt) => {
                    self.until_there_is_room(&cell, &mut later, |s| s.journal().note(&attempt)).map(drop)
                }
                command @ (JournalCommand::Acknowledged(..)
                | JournalCommand::Load(..)
                | JournalCommand::Unstage(_)
                | JournalCommand::Window(..)
                | JournalCommand::Then(_)
                | JournalCommand::GiveBack
                | JournalCommand::Fence(_)) => self.needs_no_room(&cell, command),
            };
            if let Err(error) = done {
                fail(&cell, &self.shared, &error);
                break;
            }
        }
        self.shared.close();
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, AnyJournal> {
        lock(&self.shared.journal)
    }

    /// Dead letters are on stable storage before the commit that has them.
    fn append(
        &mut self,
        cell: &Arc<Cell>,
        commit: &Commit,
        asked: Instant,
        later: &mut VecDeque<JournalCommand>,
    ) -> Result<(), String> {
        let mut dead_len = None;
        if !commit.dead.is_empty() {
            let graph = Arc::clone(&self.graph);
            let from = |letter: &DeadLetter| {
                letter.origin.map(|(link, _)| graph.task(graph.link(link).from).name.as_str())
            };
            let ids: Vec<_> = commit.dead.iter().map(|l| l.batch_id.map(|id| id.to_string())).collect();
            let letters: Vec<_> = commit
                .dead
                .iter()
                .zip(&ids)
                .map(|(letter, id)| NewLetter { letter, from: from(letter), batch_id: id.as_deref() })
                .collect();
            dead_len = Some(self.until_there_is_room(cell, later, |s| s.dead.append(&letters))?);
        }
        let position = self.until_there_is_room(cell, later, |s| s.journal().append(commit, dead_len))?;
        self.shared.commits.fetch_add(1, Relaxed);
        lock(&self.shared.unsynced).commits.push_back((position, commit.id, asked));
        self.shared.appended.notify_one();
        Ok(())
    }

    /// Tries again and again while the disk is full; meanwhile it does what needs no room, and keeps the rest for `later`.
    fn until_there_is_room<T, E: MayBeFull>(
        &mut self,
        cell: &Arc<Cell>,
        later: &mut VecDeque<JournalCommand>,
        mut attempt: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, String> {
        loop {
            match attempt(self) {
                Ok(done) => return Ok(done),
                Err(error) if error.is_full() => {
                    let to: Weak<dyn Tell> = Arc::downgrade(&(Arc::clone(cell) as Arc<dyn Tell>));
                    if !error.is_about_descriptors() && self.storage.is_full_now(&to, &error.to_string()) {
                        continue;
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
            match self.commands.recv_timeout(FULL_DISK_WAIT) {
                Ok(
                    command @ (JournalCommand::Commit(..)
                    | JournalCommand::Note(_)
                    | JournalCommand::Fence(_)
                    | JournalCommand::Window(..)
                    | JournalCommand::Then(_)),
                ) => later.push_back(command),
                Ok(JournalCommand::Stop) => return Err("stopped while the disk was full".into()),
                Ok(command) => self.needs_no_room(cell, command)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("stopped while the disk was full".into()),
            }
        }
    }

    fn needs_no_room(&self, cell: &Cell, command: JournalCommand) -> Result<(), String> {
        match command {
            JournalCommand::Acknowledged(link, through) => self.journal().acknowledged(link, through),
            JournalCommand::Unstage(place) => self.journal().unstage(place),
            JournalCommand::Load(link, first_seq, records) => {
                let extents = self.journal().locate(link, first_seq, records).map_err(|e| e.to_string())?;
                let batch = worker_journal::join(extents.iter()).map_err(|e| e.to_string())?;
                cell.tell(Event::Link(link, LinkEvent::Loaded { first_seq, batch }));
            }
            JournalCommand::Fence(done) => drop(done),
            JournalCommand::Then(Then(act)) => act(),
            // Nobody listens when the child was killed meanwhile.
            JournalCommand::Window(window, asker) => drop(asker.send(self.replayed(window))),
            JournalCommand::GiveBack => return self.gives_back().map_err(|error| error.to_string()),
            JournalCommand::Commit(..) | JournalCommand::Note(_) | JournalCommand::Stop => {}
        }
        Ok(())
    }

    /// Segments go when a checkpoint that does not need them is durable.
    fn gives_back(&self) -> Result<(), JournalError> {
        let ticket = {
            let mut journal = self.journal();
            match journal.give_back() {
                Ok(true) => journal.to_sync(),
                Ok(false) => None,
                Err(error) if error.is_full() => None,
                Err(error) => return Err(error),
            }
        };
        if let Some(ticket) = ticket {
            let position = ticket.run()?;
            self.journal().synced(position);
        }
        Ok(())
    }

    fn replayed(&self, window: u64) -> Result<Replayed, String> {
        let (printed, extents) = {
            let journal = self.journal();
            let admitted = journal.admitted(window).map_err(|error| error.to_string())?;
            (journal.printed(window), admitted)
        };
        let (sender, input) = mpsc::channel(REPLAY_AHEAD);
        let read = move || {
            for extent in extents {
                let batch = extent.read().map_err(|error| error.to_string());
                let failed = batch.is_err();
                if sender.blocking_send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("{} again", self.shared.name));
        thread
            .spawn(read)
            .map_err(|error| format!("cannot start a thread to read its input back: {error}"))?;
        Ok(Replayed { printed, input })
    }
}

/// Errors that may mean that there is no room on the disk, for now.
trait MayBeFull: std::fmt::Display {
    fn is_full(&self) -> bool;
    /// Or rather none for one more open file.
    fn is_about_descriptors(&self) -> bool;
}

impl MayBeFull for JournalError {
    fn is_full(&self) -> bool {
        JournalError::is_full(self)
    }

    fn is_about_descriptors(&self) -> bool {
        JournalError::is_about_descriptors(self)
    }
}

impl MayBeFull for DeadLogError {
    fn is_full(&self) -> bool {
        matches!(self, DeadLogError::Full { .. })
    }

    fn is_about_descriptors(&self) -> bool {
        matches!(self, DeadLogError::Full { source, .. } if descriptors::none_left(source))
    }
}
