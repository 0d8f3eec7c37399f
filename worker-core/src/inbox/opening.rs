//! How a link is opened: who may send on it, and where both ends stand.

use super::{AckWhen, Inbox, Refusal};
use crate::credit::ReceiveWindow;
use crate::fault::Bug;
use worker_proto::frame::{Open, Opened, RefusedWhy};
use worker_proto::{Epoch, JournalId};

impl Inbox {
    /// Binds the link to a connection and says where this end stands. With a journal the epoch must be durable here before
    /// the answer leaves: see [`needs_epoch`](Self::needs_epoch).
    ///
    /// # Errors
    /// [`Refusal`] with its class: an older epoch, or positions that contradict each other.
    pub fn open(&mut self, open: &Open, journal: JournalId) -> Result<Opened, Refusal> {
        if self.closed && self.end.is_none() {
            return Err(Refusal { why: RefusedWhy::Done, message: "the receiving task is done".into() });
        }
        self.check_journal(open)?;
        self.check_epoch(open)?;
        if self.ack_when == AckWhen::Committed {
            self.check_positions(open)?;
            (self.epoch, self.journal) = (Some(open.epoch), Some(open.journal));
        } else if self.epoch == Some(open.epoch) {
            self.check_positions(open)?;
        } else {
            self.begin_epoch(open);
        }
        let window = ReceiveWindow::open(self.capacity, self.queue.cost());
        self.window = Some(window);
        self.ack_due = false;
        Ok(Opened {
            link: self.link,
            epoch: open.epoch,
            committed: self.acknowledged(),
            received: self.received,
            finished: self.finished.min(self.acknowledged()),
            ended: self.end.is_some(),
            journal,
            credit: window.granted(),
        })
    }

    /// Whether the sender's epoch must be made durable here before [`open`](Self::open) may answer: it is higher than any that
    /// was heard of, and nothing else speaks against it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn needs_epoch(&self, open: &Open) -> Result<bool, Refusal> {
        if self.ack_when != AckWhen::Committed || (self.closed && self.end.is_none()) {
            return Ok(false);
        }
        self.check_journal(open)?;
        self.check_epoch(open)?;
        self.check_positions(open)?;
        Ok(self.epoch.is_none_or(|epoch| open.epoch > epoch))
    }

    /// The sender's life is durable here: no older one counts from now on.
    pub fn epoch_durable(&mut self, epoch: Epoch, journal: JournalId) {
        if self.epoch.is_none_or(|e| epoch > e) {
            (self.epoch, self.journal) = (Some(epoch), Some(journal));
        }
    }

    /// In memory mode lives are no epochs that grow: whose connection owns the links has been decided by then.
    fn check_epoch(&self, open: &Open) -> Result<(), Refusal> {
        match self.epoch.filter(|_| self.ack_when == AckWhen::Committed) {
            Some(epoch) if open.epoch < epoch && !self.planted.is(Bug::EpochUnchecked) => {
                let message = format!("epoch {} of the sending task was replaced by {epoch}", open.epoch);
                Err(Refusal { why: RefusedWhy::StaleEpoch, message })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The sender has let go of tuples that this end does not have: what this end has acknowledged is more than it knows of.
    #[must_use]
    pub fn is_behind(&self, open: &Open) -> bool {
        self.ack_when == AckWhen::Committed && open.first_unacked > self.received.next()
    }

    fn check_journal(&self, open: &Open) -> Result<(), Refusal> {
        match self.journal {
            Some(known) if self.ack_when == AckWhen::Committed && known != open.journal => {
                let message = format!(
                    "the sending task has another journal ({:016x}) than the one its tuples came from until now ({known:016x}): \
                     put its state directory back, or start every node over with --fresh",
                    open.journal.0,
                    known = known.0
                );
                Err(Refusal { why: RefusedWhy::UnknownJournal, message })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_positions(&self, open: &Open) -> Result<(), Refusal> {
        if open.first_unacked <= self.received.next() && self.received < open.next {
            return Ok(());
        }
        let message = format!(
            "the sender holds {} up to {}, the receiver has everything through {}: the state of the sending node is an older copy, or was \
             gone on with elsewhere; put the newest one back and stop what else uses it, or start every node over with --fresh",
            open.first_unacked,
            open.next.before(),
            self.received
        );
        Err(Refusal { why: RefusedWhy::Position, message })
    }

    /// A new life of the sending task: it begins where its own numbers say; what was accepted of the old one stays.
    fn begin_epoch(&mut self, open: &Open) {
        self.epoch = Some(open.epoch);
        self.journal = Some(open.journal);
        self.received = open.first_unacked.before();
        self.committed = self.received;
        self.finished = self.received;
        self.end = None;
    }
}
