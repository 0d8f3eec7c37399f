//! What may be found wrong, by name.

use std::fmt;

/// What a run broke, when, and the details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub check: Check,
    /// What exactly.
    pub detail: String,
}

/// The rules (DESIGN.md section 6) that every run is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// I4: effects of a link in sequence order, nothing skipped.
    Order,
    /// Where a sink is to write in the order of the source, it does.
    InOrder,
    /// Who is given records that stand under a header has that, once and before all of them.
    Header,
    /// No record is effected twice within one life of the processes.
    Duplicate,
    /// No record disappears within one life of the processes.
    Loss,
    /// A record's bytes, link and number never change once committed (I6).
    Bytes,
    /// I1: nothing leaves, and nothing is acknowledged, before the commit that covers it is durable.
    Durable,
    /// I3: a sink's file is what was committed to it, each record once.
    SinkFile,
    /// I5: after the first durable effect of a life of a task there is none of an older one.
    Fence,
    /// What a life is given of the one before is what that had committed.
    Recovery,
    /// A records program is given what is committed under its keys and, inline, the newest of its own answers.
    State,
    /// A stream's window has the input that it had when it was cut, in every life, and does not end without a cut.
    Window,
    /// A sink, or a window, is done with what its program or the outside has taken, and with no more.
    Taken,
    /// What the program of a source says when it is asked to end is not lost by a stop in good order.
    LastWords,
    /// Each dead letter of a commit is kept, once and in order, and durable with it.
    Letters,
    /// The pipeline stops at `max_dead`, at `replay_limit`, and where `on_error` says so.
    Limits,
    /// The records of one key are sent to one partition, in every life.
    Routing,
    /// I2: what a sink has in the end is what the sources' records come to.
    Result,
    /// A record is dead-lettered only for what is its own fault, and one that kills the worker is not tried for ever.
    Condemned,
    /// A sender keeps its credit, and a receiver never holds more than its window.
    Credit,
    /// What links are promised beyond what each has is no more than they may share, and comes back when it is not used.
    SharedCredit,
    /// I7: what a node holds stays within its budgets.
    Memory,
    /// I8a: what was sent before is sent again as soon as connection and credit allow.
    RetryWaits,
    /// Fresh tuples are sent as soon as connection and credit allow.
    DataWaits,
    /// I8b: an acknowledgement is written as soon as the connection takes it.
    AckWaits,
    /// The newest connection of the newest process owns the links of a pair of nodes.
    StaleConnection,
    /// An acknowledgement claims no more than what is so.
    FalseAck,
    /// Who has everything is not needed again.
    FinishedNeeded,
    /// I8d: after the heal everything drains in time, and every process ends.
    Drain,
    /// I8e: retries are bounded by what was in flight.
    RetryTraffic,
    /// I8c: healthy links do not notice a dead one.
    Healthy,
    /// What is reported lost is an upper bound of what is lost.
    LossBound,
    /// At most `slots` batch children run.
    Slots,
    /// The pipeline failed for no reason.
    Halt,
    /// Stored batches are found again, once, and forgotten at the end.
    Store,
    /// What the core keeps sums of is what a recount gives.
    Sums,
    /// The core asked its driver for something senseless.
    Driver,
    /// It panicked.
    Panic,
    /// Time stood still while events went on.
    Livelock,
}

impl Violation {
    pub(super) fn new(check: Check, detail: impl Into<String>) -> Self {
        Self { check, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.detail)
    }
}

pub(super) type Checked<T = ()> = Result<T, Violation>;

/// Fails with `check` unless `holds`.
pub(super) fn require(holds: bool, check: Check, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation::new(check, detail())) }
}
