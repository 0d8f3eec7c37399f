//! Noting what is in flight, so that the next life knows what this one may have died of.

use super::error::JournalError;
use super::fold::Fold;
use super::format::{Position, RecordKind, file_name};
use super::images::Member;
use super::record::{AttemptHead, Payload};
use super::storage::Storage;
use super::writer::Journal;
use worker_core::event::Attempt;

impl<S: Storage, F: Fold> Journal<S, F> {
    /// Notes what is about to be in flight; this need not become durable by itself.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn note(&mut self, attempt: &Attempt) -> Result<Position, JournalError> {
        self.note_of(Member(0), attempt)
    }

    /// Notes it of one of several tasks.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn note_of(&mut self, member: Member, attempt: &Attempt) -> Result<Position, JournalError> {
        self.poison.check()?;
        let head = AttemptHead::from(attempt);
        self.write(member, RecordKind::Note, &Payload::default().with_head(&head))?;
        if let Some(image) = self.images.task_mut(member) {
            image.attempt = head;
        }
        Ok(self.end())
    }

    /// The process ends in good order, whatever has become of its journal: what is in flight does not die of it. A failed sync or a full disk
    /// ends a process, too, and no record is to blame for that.
    ///
    /// Nothing relies on these notes, so they are written also behind a failed sync, and where there is no room for them they are left out.
    pub fn leave(&mut self) {
        let members = (0..self.images.tasks().len()).map(Member::at);
        members.collect::<Vec<_>>().into_iter().for_each(|member| self.leave_of(member));
    }

    /// The same of one of several tasks, which has nothing in flight any more.
    pub fn leave_of(&mut self, member: Member) {
        let Some(AttemptHead { records: 1.., first, alone, suspects }) =
            self.images.task(member).map(|i| i.attempt)
        else {
            return;
        };
        // What was suspected before it was tried still is.
        let suspected = AttemptHead { records: 0, first, alone, suspects };
        let head = if suspects > 0 { suspected } else { AttemptHead::default() };
        let payload = Payload::default().with_head(&head);
        if !self.active.has_room(member, payload.bytes()) || self.is_gone_on_with() {
            return;
        }
        let noted = self.active.append_of(member, RecordKind::Note, self.durable, &payload);
        if let (Ok(_), Some(image)) = (noted, self.images.task_mut(member)) {
            image.attempt = head;
        }
    }

    /// Another process has, or may have, gone on behind this segment: its end is known to that.
    fn is_gone_on_with(&self) -> bool {
        let next = file_name(self.active.header.number + 1);
        let names = self.storage.list();
        self.unused.is_none() && names.map_or(true, |names| names.contains(&next))
    }
}
