//! Test-only hook: protocol bugs that a simulation plants to show that it would catch them.

/// One bug to plant with `Node::plant`, which is there with the feature `planted-bugs` only.
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
    /// A dead link's outputs stop the whole task instead of being stored outside.
    DeadLinkBlocksTask,
}

/// Which bug is planted; without the feature none can be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "planted-bugs")]
    bug: Option<Bug>,
}

impl Planted {
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn plant(&mut self, bug: Bug) {
        self.bug = Some(bug);
    }

    #[inline]
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn is(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    #[inline]
    #[cfg(not(feature = "planted-bugs"))]
    #[expect(clippy::unused_self, reason = "the twin with the feature uses it")]
    pub(crate) fn is(self, _: Bug) -> bool {
        false
    }
}
