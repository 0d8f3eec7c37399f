//! What was given, and what of it a commit has to say.

use super::{CHANGES_MAX, Catalog};
use crate::io::source::file::follow::content::Content;
use crate::io::source::file::follow::known::{Change, LogId, Packed};
use bytes::Bytes;

impl Catalog {
    /// What was given of a log goes on to here.
    pub(in super::super) fn given(&mut self, id: LogId, content: Content, records: u64, is_torn: bool) {
        if let Some(log) = self.logs.get_mut(&id) {
            (log.known.content, log.known.records, log.known.is_torn) = (content, records, is_torn);
            log.partial.0 = 0;
            self.dirty.insert(id);
            self.note_behind(id);
        }
    }

    /// A packed file was read to its end.
    pub(in super::super) fn is_done(&mut self, id: LogId) {
        if let Some(Packed { is_done, .. }) = self.logs.get_mut(&id).and_then(|log| log.known.packed.as_mut())
        {
            *is_done = true;
            self.dirty.insert(id);
            self.note_behind(id);
        }
    }

    /// What has changed since this was asked last, of `id` in any case.
    pub(in super::super) fn take_changes(&mut self, given: u64, id: Option<LogId>) -> Bytes {
        let others = self.dirty.iter().copied().filter(|other| Some(*other) != id);
        let ids: Vec<LogId> = id.into_iter().chain(others.take(CHANGES_MAX)).collect();
        let forgotten = std::mem::take(&mut self.forgotten);
        let change = self.change(given, &ids, forgotten);
        for id in ids {
            self.dirty.remove(&id);
        }
        change
    }

    /// All that has changed.
    pub(in super::super) fn take_all_changes(&mut self, given: u64) -> Bytes {
        let ids: Vec<LogId> = std::mem::take(&mut self.dirty).into_iter().collect();
        let forgotten = std::mem::take(&mut self.forgotten);
        self.change(given, &ids, forgotten)
    }

    fn change(&self, given: u64, ids: &[LogId], forgotten: Vec<LogId>) -> Bytes {
        let known = ids.iter().filter_map(|id| Some((*id, &self.logs.get(id)?.known))).collect();
        Change { given, known, forgotten }.encode()
    }
}
