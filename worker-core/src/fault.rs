//! Test-only hook: protocol bugs that a simulation plants to show that it would catch them.

/// One bug to plant with `Node::plant`. It can always be, so that what a simulation tests is what is shipped; no part of the
/// public API, it costs a comparison of one byte a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A retry waits for room in the budget, as fresh output does: the failure the project began from.
    RetryThroughBoundedQueue,
    /// Acknowledgements are written only when no data waits to be sent to that peer.
    AckBehindData,
    /// Sequence numbers start again at 1 on every connection.
    SequenceResetOnReconnect,
    /// Credit used on a lost connection stays used on the next.
    CreditLeakedOnDisconnect,
    /// Frames of a connection that a newer one replaced still count.
    StaleOpenTakesLink,
    /// The end of input is sent once, not once a connection.
    EndForgottenOnReconnect,
    /// `Opened.received` releases tuples, as if it were `committed`.
    ReceivedTakenForAck,
    /// A receiver exits when its tasks are done, without waiting for its peers' goodbyes.
    ExitWithoutBye,
    /// What was received before is received again.
    DuplicateNotDropped,
    /// A peer's restart is not counted as a possible loss.
    LossNotReported,
    /// Acknowledgements release what was sent last, not what they name.
    AckNamesNothing,
    /// With a journal: the lives of senders are not compared.
    EpochUnchecked,
    /// With a journal: input is acknowledged when its commit is asked for, not when it is durable.
    AckBeforeDurable,
    /// With a journal: outputs leave when their commit is asked for, not when it is durable.
    OutputBeforeDurable,
    /// With a journal: what a task has asked to commit is taken before it is durable by one with another journal (C1).
    AppendedAcrossColumns,
    /// With a journal: what a task has asked to commit leaves its column before it is durable (C1).
    ColumnLeftBeforeDurable,
    /// With a journal: the positions reached are left out of commits.
    PositionNotPersisted,
    /// With a journal: what was not acknowledged is produced again after a restart, not resent. The journal plants it: commits
    /// go back to where everything was acknowledged.
    RecomputeInsteadOfResend,
    /// With a journal: what is not acknowledged is given free as if it were.
    UnacknowledgedDropped,
    /// A dead link's outputs stop the whole task instead of being stored outside.
    DeadLinkBlocksTask,
    /// With a journal: where a stream's input was cut for a window is not kept.
    CutLost,
    /// Of two processes of one name the one whose clock is ahead counts, whether it lives or not.
    LivesOrderedByClock,
    /// In memory mode: a process that was replaced is let in again.
    ReplacedLifeReturns,
    /// With a journal: two processes that go on from copies of one state are not told apart.
    CopyTakenForItself,
    /// With a journal: the journals of receivers are not compared.
    ReceiversUnknown,
    /// With a journal: that a peer has everything is forgotten when the node starts again.
    FinishedPeerForgotten,
    /// A node that is told to drain forgets what it had accepted and not begun.
    DrainDropsInput,
    /// With a journal: a record is condemned for the first death that it was alone in flight in.
    CondemnedEarly,
    /// With a journal: a record is tried again however often the process dies of it.
    NeverCondemned,
    /// With a journal: a record that was in flight in two deaths in a row is tried beside what else is in flight, so that no death counts.
    TriedBesideOthers,
    /// A record that fails alone is condemned before a program of its stage has ever succeeded.
    CondemnedUnproven,
    /// A run that fails keeps its slot.
    SlotLeaked,
    /// A sink is done with what it was given, whether the outside has taken it or not.
    SinkDoneEarly,
    /// A sink's program that fails at a stop is taken for one that ended well.
    FailedStopIsDone,
    /// With a journal: a stream's program is fed before what it is fed is asked to be admitted.
    FedBeforeAdmitted,
    /// A source that reads on at a stop, because its program has last words, is not let read on.
    LastWordsLost,
    /// With a journal: a reader that leaves a sink is taken for the end of what the sink is to take.
    ReaderGoneIsEnd,
    /// A task whose receiver is not connected waits for it as for one that is slow.
    UnconnectedStopsTask,
    /// What a stream's window was admitted may grow past `replay_limit`.
    ReplayUnlimited,
    /// Dead letters are not counted against `max_dead`.
    DeadUncounted,
    /// A link that drops what has waited longest drops also what was sent and is not acknowledged.
    DropsSent,
    /// What a full link drops of what comes is not counted.
    DropsUncounted,
    /// A record that fails alone is dead-lettered where the user wants a halt.
    HaltIgnored,
    /// Who reads in order takes what is there when the next chunk is not.
    TakesOutOfTurn,
    /// A batch stage passes a chunk's boundary on before what came before it is committed.
    BoundaryAhead,
    /// A task with neighbours leaves the chunk that it ends in open.
    LastChunkOpen,
    /// Who does not pass boundaries on commits that of an empty chunk before what it has of chunks before it.
    BoundaryForgottenAhead,
    /// With a journal: where a task was in the order of the source is not kept.
    TurnForgotten,
    /// A batch goes on behind a boundary.
    BatchOverBoundary,
    /// With a journal: what headers a task has taken and given is not kept.
    HeaderForgotten,
    /// A link over a long distance is given the credit that it needs, whether the node has it or not.
    SharedCreditUnlimited,
    /// Credit over a long distance that is not used is not given back.
    SharedCreditKept,
    /// Who gives credit back sends on before the receiver has answered.
    SentWhileGivenUp,
}

/// Which bug is planted, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted {
    bug: Option<Bug>,
}

impl Planted {
    pub(crate) fn plant(&mut self, bug: Bug) {
        self.bug = Some(bug);
    }

    /// Whether any is planted.
    #[cfg(debug_assertions)]
    pub(crate) fn is_any(self) -> bool {
        self.bug.is_some()
    }

    #[inline]
    pub(crate) fn is(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
