//! Why work waits, as data: no text is made up outside.

use crate::config::{NodeIx, Rate, TaskId};
use crate::event::Loss;
use crate::time::Time;
use worker_proto::LinkId;

/// A task that has work and cannot do it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Which task.
    pub task: TaskId,
    /// Why; the first reason is the nearest.
    pub reasons: Vec<Reason>,
}

/// What keeps a peer's connection from being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerCause {
    /// It was not dialled yet, or the first dial is under way.
    NotYet,
    /// Nothing answers at its address.
    Unreachable,
    /// It answered and said why it takes no connection.
    Refused,
    /// It took a connection and nothing was heard of it for too long: it, or the network to it, is stopped.
    Silent,
    /// It was connected, and the connection was lost.
    Lost,
}

impl PeerCause {
    pub(crate) fn of(loss: Loss) -> Self {
        match loss {
            Loss::Unreachable | Loss::NoAnswer | Loss::NobodyListens => PeerCause::Unreachable,
            Loss::Silent => PeerCause::Silent,
            Loss::Lost => PeerCause::Lost,
        }
    }
}

/// One reason to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer that takes this link's tuples is not connected.
    PeerDown {
        /// Which link.
        link: LinkId,
        /// Which node.
        peer: NodeIx,
        /// Since when.
        since: Time,
        /// The kind of reason.
        cause: PeerCause,
        /// Why, in the words of the last failed attempt.
        why: String,
        /// Attempts failed since.
        attempts: u32,
        /// When the next begins; `None` while one is under way.
        next: Option<Time>,
        /// Tuples held for the link.
        held_records: u64,
    },
    /// The peer that gives this link's tuples has no connection to this node, and its end has not come.
    UpstreamDown {
        /// One link from there.
        link: LinkId,
        /// Which node.
        peer: NodeIx,
        /// Since when.
        since: Time,
        /// Why.
        cause: PeerCause,
    },
    /// The receiver has not opened the link yet.
    NotOpen {
        /// Which link.
        link: LinkId,
        /// Tuples held for the link.
        held_records: u64,
    },
    /// Everything was sent, and the receiver has not acknowledged it.
    Unacknowledged {
        /// Which link.
        link: LinkId,
        /// Tuples held for the link.
        held_records: u64,
    },
    /// The receiving task takes no more for now.
    NoCredit {
        /// Which link.
        link: LinkId,
        /// Tuples held for the link.
        held_records: u64,
    },
    /// All outputs are past their memory budget.
    OutboxFull {
        /// One of them, the fullest.
        link: LinkId,
        /// Bytes it holds in memory.
        memory_bytes: u64,
        /// Bytes stored outside: none may be for new work to start.
        stored_bytes: u64,
        /// Its budget.
        budget_bytes: u64,
    },
    /// An output is past what may be stored outside memory.
    SpillLimit {
        /// Which link.
        link: LinkId,
        /// Bytes stored.
        stored_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The disk that commits go to is full: only what was admitted goes on.
    StorageFull,
    /// What the task has done is not on stable storage yet.
    Committing {
        /// Commits that wait for it.
        commits: usize,
        /// What they hold in memory, in bytes.
        bytes: u64,
    },
    /// All slots are in use.
    NoSlot {
        /// Since when.
        since: Time,
        /// Tasks before this one.
        ahead: usize,
        /// Slots of this node.
        slots: usize,
        /// The tasks that have them, in the order in which they got them.
        holders: Vec<TaskId>,
    },
    /// Nothing begins, because a record with which the process may have died is tried alone.
    Quarantined {
        /// The task whose turn it is; where that is this one, those that have something in flight.
        tried: Vec<TaskId>,
    },
    /// Records are here, and others, which are not, come before them in the order of the source.
    AwaitingTurn {
        /// The link that the next ones come by.
        link: LinkId,
        /// Records that wait here meanwhile.
        queued_records: u64,
    },
    /// Records failed, and no program of the stage has succeeded yet: whether they or the program are at fault shows with the
    /// next one that succeeds.
    Undecided {
        /// How many.
        records: usize,
    },
    /// A batch failed and waits for its next attempt.
    Backoff {
        /// Attempts so far.
        attempts: u32,
        /// When the next begins.
        until: Time,
        /// Why the last failed.
        why: String,
        /// Records in the batch.
        records: usize,
    },
    /// The task may take no more for now, by the rate that the user has given its stage.
    RateLimited {
        /// Which.
        rate: Rate,
        /// When it may take more.
        until: Time,
    },
    /// A program runs.
    ChildBusy {
        /// Since when.
        since: Time,
    },
    /// The task's driver sees something in its way.
    Blocked(Blocker),
    /// A sink writes.
    Writing {
        /// Since when.
        since: Time,
    },
    /// A stream's program has not taken what it was given.
    ChildNotReading {
        /// Bytes on their way to it.
        bytes: u64,
    },
    /// A stream's program has printed nothing yet, and its input has not ended.
    AwaitingEnd {
        /// Records it was given.
        fed_records: u64,
    },
    /// The user holds the task up.
    Paused {
        /// Since when.
        since: Time,
    },
    /// More records were dead-lettered than `max_dead` allows: the pipeline has failed.
    DeadLimit {
        /// Records dead-lettered.
        dead: u64,
        /// Records taken.
        records: u64,
    },
    /// The source has nothing to give for now.
    SourceIdle,
    /// Records wait for more, to make a larger batch.
    Linger {
        /// Until when.
        until: Option<Time>,
    },
}

impl Reason {
    /// Since when this has been so, where the core knows.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        match self {
            Reason::PeerDown { since, .. }
            | Reason::UpstreamDown { since, .. }
            | Reason::NoSlot { since, .. }
            | Reason::ChildBusy { since }
            | Reason::Paused { since }
            | Reason::Writing { since } => Some(*since),
            Reason::Blocked(by) => Some(by.since()),
            Reason::NotOpen { .. }
            | Reason::NoCredit { .. }
            | Reason::Unacknowledged { .. }
            | Reason::OutboxFull { .. }
            | Reason::SpillLimit { .. }
            | Reason::Quarantined { .. }
            | Reason::AwaitingTurn { .. }
            | Reason::Undecided { .. }
            | Reason::Backoff { .. }
            | Reason::RateLimited { .. }
            | Reason::ChildNotReading { .. }
            | Reason::AwaitingEnd { .. }
            | Reason::DeadLimit { .. }
            | Reason::SourceIdle
            | Reason::StorageFull
            | Reason::Committing { .. }
            | Reason::Linger { .. } => None,
        }
    }

    /// The link whose sending task is waited for, where it is one: what it gives comes before what is here.
    #[must_use]
    pub fn awaited(&self) -> Option<LinkId> {
        if let Reason::AwaitingTurn { link, .. } = self { Some(*link) } else { None }
    }

    /// The link whose receiving task is waited for, where it is one.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        match self {
            Reason::PeerDown { link, .. }
            | Reason::UpstreamDown { link, .. }
            | Reason::NotOpen { link, .. }
            | Reason::Unacknowledged { link, .. }
            | Reason::NoCredit { link, .. }
            | Reason::OutboxFull { link, .. }
            | Reason::SpillLimit { link, .. } => Some(*link),
            Reason::StorageFull
            | Reason::Committing { .. }
            | Reason::NoSlot { .. }
            | Reason::Quarantined { .. }
            | Reason::AwaitingTurn { .. }
            | Reason::Undecided { .. }
            | Reason::Backoff { .. }
            | Reason::RateLimited { .. }
            | Reason::Blocked(_)
            | Reason::ChildBusy { .. }
            | Reason::Writing { .. }
            | Reason::ChildNotReading { .. }
            | Reason::AwaitingEnd { .. }
            | Reason::Paused { .. }
            | Reason::DeadLimit { .. }
            | Reason::SourceIdle
            | Reason::Linger { .. } => None,
        }
    }
}

/// What a driver sees in the way of a task's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// Its program has work (unread input, an answer owed, or its end) and has neither moved a byte nor used the processor.
    ChildHung {
        /// Since when.
        since: Time,
        /// Input it has not read, in bytes.
        unread_bytes: u64,
        /// Its standard input is closed.
        closed: bool,
    },
    /// Its program does not run until somebody lets it.
    ChildStopped {
        /// Since when.
        since: Time,
        /// The process.
        pid: u32,
        /// By what, in words.
        by: String,
    },
    /// Its program has read all it was given and printed nothing of it, and rests.
    ChildBuffers {
        /// Since when.
        since: Time,
        /// Bytes it was given since it last printed.
        fed_bytes: u64,
    },
    /// A write of it is under way, and nothing of it is taken.
    WriteHung {
        /// Since when.
        since: Time,
    },
    /// Its program has ended, and is started again.
    Restarting {
        /// Since when.
        since: Time,
        /// When.
        at: Time,
        /// How often in a row it has failed.
        failures: u32,
        /// How it ended.
        what: String,
    },
    /// Nobody reads what it writes to; it goes on when somebody does.
    NoReader {
        /// Since when.
        since: Time,
        /// What it writes to.
        what: String,
    },
    /// The disk its output goes to has no room.
    DiskFull {
        /// Since when.
        since: Time,
        /// Where, and what the system says.
        what: String,
    },
}

impl Blocker {
    /// A program has something to do and does nothing: it needs no slot.
    pub(crate) fn is_idle_program(&self) -> bool {
        matches!(self, Self::ChildHung { .. } | Self::ChildStopped { .. })
    }

    fn since(&self) -> Time {
        match self {
            Blocker::ChildHung { since, .. }
            | Blocker::ChildStopped { since, .. }
            | Blocker::ChildBuffers { since, .. }
            | Blocker::WriteHung { since }
            | Blocker::Restarting { since, .. }
            | Blocker::NoReader { since, .. }
            | Blocker::DiskFull { since, .. } => *since,
        }
    }
}
