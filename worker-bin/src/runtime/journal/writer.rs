//! The thread that appends to a column's journal, in the order of its commands, and waits while the disk is full.

use super::reader::ReadBack;
use super::syncer::{fail, sync_all};
use super::{Appended, JournalCommand, JournalThreads, Order, Replayed, Then};
use crate::descriptors;
use crate::io::dead::{DeadLogError, NewLetter};
use crate::mutex::lock;
use crate::runtime::cell::{Cell, Tell};
use crate::runtime::durable::AnyJournal;
use crate::runtime::trace::Mark;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use worker_core::event::{Attempt, Commit, DeadLetter};
use worker_journal::{Fold, Journal, JournalError, Member, Storage};
use worker_proto::Batch;

/// How long to wait before a full disk is tried again.
const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// How many pieces of a window are read back before the child has taken them, and how large one is, but for a larger record.
const REPLAY_AHEAD: usize = 4;
const REPLAY_BYTES: u64 = 256 * 1024;

impl JournalThreads {
    pub(in crate::runtime) fn start(self, cell: &Arc<Cell>) -> std::io::Result<()> {
        let (weak, column) = (Arc::downgrade(cell), Arc::clone(&self.column));
        let tasks: Vec<_> = self.tasks.iter().map(|task| Arc::clone(&task.shared)).collect();
        let syncer = std::thread::Builder::new().name(format!("{} sync", column.name));
        syncer.spawn(move || sync_all(&column, &tasks, &weak))?;
        let weak = Arc::downgrade(cell);
        let writer = std::thread::Builder::new().name(format!("{} log", self.column.name));
        writer.spawn(move || self.write_all(&weak)).map(drop)
    }

    fn write_all(mut self, cell: &Weak<Cell>) {
        let mut later = VecDeque::new();
        let mut left = self.tasks.len();
        while let Some(Order { member, command }) = later.pop_front().or_else(|| self.commands.recv().ok()) {
            let Some(cell) = cell.upgrade() else { break };
            if let JournalCommand::Stop = command {
                left -= 1;
                if left == 0 {
                    break;
                }
                continue;
            }
            let Some(task) = self.tasks.get(member.0 as usize) else { continue };
            let (shared, span) = (Arc::clone(&task.shared), task.span.clone());
            if let Err(error) = span.in_scope(|| self.write(&cell, member, command, &mut later)) {
                fail(&cell, &shared.name, &error);
                break;
            }
        }
        // Whatever it ends for, it is no death of what is in flight.
        self.journal().leave();
        self.tasks.iter().for_each(|task| task.shared.close());
        self.column.close();
    }

    fn write(
        &mut self,
        cell: &Arc<Cell>,
        member: Member,
        command: JournalCommand,
        later: &mut VecDeque<Order>,
    ) -> Result<(), String> {
        match command {
            JournalCommand::Commit(commit, asked) => {
                let appended = self.append(cell, (member, &commit), asked, later);
                if let Some(task) = self.tasks.get(member.0 as usize) {
                    task.shared.taken(commit.memory_cost());
                }
                appended
            }
            JournalCommand::Note(attempt) => self
                .until_there_is_room(cell, (member, later), |s| s.journal().note_of(member, &attempt))
                .map(drop),
            command @ (JournalCommand::Acknowledged(..)
            | JournalCommand::Load(..)
            | JournalCommand::Unstage(_)
            | JournalCommand::Window(..)
            | JournalCommand::Then(_)
            | JournalCommand::GiveBack
            | JournalCommand::Stop
            | JournalCommand::Fence(_)) => self.needs_no_room(cell, member, command),
        }
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, AnyJournal> {
        lock(&self.column.journal)
    }

    /// Dead letters are on stable storage before the commit that has them.
    fn append(
        &mut self,
        cell: &Arc<Cell>,
        (member, commit): (Member, &Commit),
        asked: Instant,
        later: &mut VecDeque<Order>,
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
            dead_len = Some(self.until_there_is_room(cell, (member, later), |s| {
                match s.tasks.get_mut(member.0 as usize) {
                    Some(task) => task.dead.append(&letters),
                    None => Ok(0),
                }
            })?);
        }
        self.until_there_is_room(cell, (member, later), |s| {
            let mut journal = s.journal();
            let position = journal.append_of(member, commit, dead_len)?;
            // Under the journal's lock: a sync that covers it knows whose it is.
            let appended = Appended { position, member, commit: commit.id, asked };
            lock(&s.column.unsynced).commits.push_back(appended);
            Ok::<_, JournalError>(())
        })?;
        if let Some(task) = self.tasks.get(member.0 as usize) {
            task.shared.commits.fetch_add(1, Relaxed);
            cell.mark(Mark::Appended { task: task.shared.task, commit: commit.id });
        }
        self.column.appended.notify_one();
        Ok(())
    }

    /// Tries again and again while the disk is full; meanwhile it does what needs no room, and keeps the rest for `later`.
    fn until_there_is_room<T, E: MayBeFull>(
        &mut self,
        cell: &Arc<Cell>,
        (blocked, later): (Member, &mut VecDeque<Order>),
        mut attempt: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, String> {
        loop {
            match attempt(self) {
                Ok(done) => return Ok(done),
                Err(error) if error.is_full() => {
                    let to: Weak<dyn Tell> = Arc::downgrade(&(Arc::clone(cell) as Arc<dyn Tell>));
                    if !error.is_about_descriptors() {
                        let has_reserve = self.column.storage.is_full_now(&to, &error.to_string());
                        // Before the reserve is written to: what is live may need room to move.
                        if self.gives_back().map_err(|error| error.to_string())? || has_reserve {
                            continue;
                        }
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
            match self.commands.recv_timeout(FULL_DISK_WAIT) {
                Ok(order @ Order { member, command: JournalCommand::Note(Attempt { records: 0, .. }) }) => {
                    // The process may end before there is room for the commit that it stands behind.
                    self.journal().leave_of(member);
                    later.push_back(order);
                }
                Ok(
                    order @ Order {
                        command:
                            JournalCommand::Commit(..)
                            | JournalCommand::Note(_)
                            | JournalCommand::Fence(_)
                            | JournalCommand::Window(..)
                            | JournalCommand::Then(_),
                        ..
                    },
                ) => later.push_back(order),
                // Within a column an output may be wanted, and be done with, before there is room for its commit, or for the commit that
                // is done with it.
                Ok(order)
                    if is_behind(&*self.journal(), &order.command)
                        || is_ahead(&order.command, self.receiver(&order.command), blocked, later) =>
                {
                    later.push_back(order);
                }
                Ok(Order { command: JournalCommand::Stop, .. }) => {
                    return Err("stopped while the disk was full".into());
                }
                Ok(Order { member, command }) => self.needs_no_room(cell, member, command)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("stopped while the disk was full".into()),
            }
        }
    }

    /// Who of this column has acknowledged.
    fn receiver(&self, command: &JournalCommand) -> Option<Member> {
        let JournalCommand::Acknowledged(link, _) = command else { return None };
        let to = self.graph.link(*link).to;
        self.tasks
            .iter()
            .map(|task| &task.shared)
            .find(|shared| shared.task == to)
            .map(|shared| shared.member)
    }

    fn needs_no_room(&self, cell: &Arc<Cell>, member: Member, command: JournalCommand) -> Result<(), String> {
        match command {
            JournalCommand::Acknowledged(link, through) => self.journal().acknowledged(link, through),
            JournalCommand::Unstage(place) => self.journal().unstage(place),
            JournalCommand::Load(link, first_seq, records) => {
                let extents = self.journal().locate(link, first_seq, records).map_err(|e| e.to_string())?;
                let task = self.tasks.get(member.0 as usize).map(|task| task.shared.name.clone());
                let order = ReadBack { task: task.unwrap_or_default(), link, first_seq, extents };
                self.reader.read(&self.column.name, cell, order);
            }
            JournalCommand::Fence(done) => drop(done),
            JournalCommand::Then(Then(act)) => act(),
            // Nobody listens when the child was killed meanwhile.
            JournalCommand::Window(window, asker) => drop(asker.send(self.replayed(member, window))),
            JournalCommand::GiveBack => {
                return self.gives_back().map(drop).map_err(|error| error.to_string());
            }
            JournalCommand::Commit(..) | JournalCommand::Note(_) | JournalCommand::Stop => {}
        }
        Ok(())
    }

    /// Segments go when a checkpoint that does not need them is durable: one after the other, while that gives room. Says whether it has.
    fn gives_back(&self) -> Result<bool, JournalError> {
        let before = self.journal().disk_bytes();
        loop {
            let (ticket, bytes) = {
                let mut journal = self.journal();
                match journal.give_back() {
                    Ok(true) => (journal.to_sync(), journal.disk_bytes()),
                    Ok(false) => break,
                    Err(error) if error.is_full() => break,
                    Err(error) => return Err(error),
                }
            };
            if let Some(ticket) = ticket {
                let position = ticket.run()?;
                self.journal().synced(position);
            }
            if self.journal().disk_bytes() >= bytes {
                break;
            }
        }
        Ok(self.journal().disk_bytes() < before)
    }

    fn replayed(&self, member: Member, window: u64) -> Result<Replayed, String> {
        let (printed, extents) = {
            let journal = self.journal();
            let admitted = journal.admitted_of(member, window).map_err(|error| error.to_string())?;
            (journal.printed_of(member, window), admitted)
        };
        let (sender, input) = mpsc::channel(REPLAY_AHEAD);
        let read = move || {
            for extent in extents {
                let batch = match extent.read() {
                    Ok(batch) => batch,
                    Err(error) => return drop(sender.blocking_send(Err(error.to_string()))),
                };
                if !in_pieces(batch).all(|piece| sender.blocking_send(Ok(piece)).is_ok()) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("{} again", self.column.name));
        thread
            .spawn(read)
            .map_err(|error| format!("cannot start a thread to read its input back: {error}"))?;
        Ok(Replayed { printed, input })
    }
}

/// A batch as it is given again: what a reference names may be many times what was admitted at once.
fn in_pieces(batch: Batch) -> impl Iterator<Item = Batch> {
    let mut left = batch;
    std::iter::from_fn(move || {
        let records = left.fitting(REPLAY_BYTES).max(1).min(left.len());
        let piece = left.slice(0..records);
        left = left.slice(records..left.len());
        (!piece.is_empty()).then_some(piece)
    })
}

/// Whether an order is about outputs whose commit is not appended yet.
fn is_behind<S: Storage, F: Fold>(journal: &Journal<S, F>, command: &JournalCommand) -> bool {
    let (link, end) = match command {
        JournalCommand::Acknowledged(link, through) => (*link, through.next()),
        JournalCommand::Load(link, first, records) => (*link, first.plus(*records)),
        JournalCommand::Commit(..)
        | JournalCommand::Note(_)
        | JournalCommand::Unstage(_)
        | JournalCommand::Window(..)
        | JournalCommand::Then(_)
        | JournalCommand::Fence(_)
        | JournalCommand::GiveBack
        | JournalCommand::Stop => return false,
    };
    journal.next_output(link).is_some_and(|next| end > next)
}

/// Whether an acknowledgement comes from a task of this column, the receiver, that has a commit which is not appended yet. A crash would lose
/// that commit, and what it has done with must be there then: of those outside everything acknowledged is durable.
fn is_ahead(
    command: &JournalCommand,
    receiver: Option<Member>,
    blocked: Member,
    later: &VecDeque<Order>,
) -> bool {
    let JournalCommand::Acknowledged(..) = command else { return false };
    let waits =
        |order: &Order| Some(order.member) == receiver && matches!(order.command, JournalCommand::Commit(..));
    receiver == Some(blocked) || later.iter().any(waits)
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

#[cfg(test)]
mod tests {
    use super::*;
    use worker_core::event::{Body, Chunk, CommitId};
    use worker_journal::{Identity, MemStorage, NewestPosition, Settings};
    use worker_proto::{Fingerprint, JournalId, LinkId, Seq};

    #[test]
    fn what_is_given_again_comes_in_pieces() {
        let text: String = (0..30_000).map(|n| format!("record {n:020}\n")).collect();
        let long = "x".repeat(300_000) + "\n";
        let all = Batch::from_terminated((long + &text).into_bytes().into(), b'\n');
        let pieces: Vec<Batch> = in_pieces(all.clone()).collect();
        assert_eq!(pieces[0].len(), 1, "a record that is larger is a piece by itself");
        assert!(pieces.len() > 3 && pieces[1..].iter().all(|piece| piece.cost() <= REPLAY_BYTES));
        assert!(pieces.iter().flat_map(Batch::iter).eq(all.iter()));
        assert_eq!(in_pieces(Batch::empty()).count(), 0);
    }

    /// What a full disk keeps from being appended is neither read back nor given free meanwhile.
    #[test]
    fn what_is_not_appended_is_waited_for() {
        let link = LinkId(1);
        let identity = Identity {
            task: "a/0".to_owned(),
            fingerprint: Fingerprint(1),
            outputs: vec![link],
            new_id: JournalId(7),
        };
        let opened =
            Journal::open(MemStorage::new(), &identity, Settings::default(), NewestPosition::default());
        let mut journal = opened.unwrap().journal;
        let chunk = Chunk { link, body: Body::Memory(Batch::from_terminated("a\nb\n".into(), b'\n')) };
        let load = |first, records| JournalCommand::Load(link, Seq(first), records);
        let done = |through| JournalCommand::Acknowledged(link, Seq(through));
        assert!(is_behind(&journal, &load(1, 2)) && is_behind(&journal, &done(1)));
        let commit = Commit { outputs: vec![(Seq(1), chunk)], ..Commit::empty(CommitId(1)) };
        journal.append(&commit, None).unwrap();
        assert!(!is_behind(&journal, &load(1, 2)) && !is_behind(&journal, &done(2)));
        assert!(is_behind(&journal, &load(2, 2)) && is_behind(&journal, &done(3)));
        journal.append(&Commit { ended: true, ..Commit::empty(CommitId(2)) }, None).unwrap();
        assert!(!is_behind(&journal, &done(3)), "the end has a number, too");
        assert!(!is_behind(&journal, &JournalCommand::GiveBack));
    }

    /// While the disk was full the sender's output was given free before the receiver's commit was appended, and a crash lost both.
    #[test]
    fn an_acknowledgement_waits_for_the_commit_that_it_comes_from() {
        let done = JournalCommand::Acknowledged(LinkId(1), Seq(1));
        let [sender, receiver, third] = [0, 1, 2].map(Member);
        let commit = || {
            let commit = Box::new(Commit::empty(CommitId(1)));
            Order { member: receiver, command: JournalCommand::Commit(commit, Instant::now()) }
        };
        let note = Order { member: receiver, command: JournalCommand::Note(Attempt::default()) };
        assert!(
            is_ahead(&done, Some(receiver), receiver, &VecDeque::new()),
            "it is what there is no room for"
        );
        assert!(is_ahead(&done, Some(receiver), third, &[commit()].into()));
        assert!(!is_ahead(&done, Some(receiver), third, &[note].into()), "its commits are appended");
        assert!(!is_ahead(&done, Some(sender), third, &[commit()].into()));
        assert!(!is_ahead(&done, None, third, &[commit()].into()), "from outside");
        assert!(!is_ahead(&JournalCommand::GiveBack, None, receiver, &[commit()].into()));
    }
}
