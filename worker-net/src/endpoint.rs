//! The other side of a connection within this process.

use crate::breach::Breach;
use std::time::Duration;
use worker_proto::Frame;

/// What a connection talks to: a core, behind whatever lock its owner chose. Calls come from the connection's task and must
/// not block for long. For one connection they never overlap.
pub trait Endpoint: Send + Sync + 'static {
    /// Takes the frames of one burst of reads, in order, heartbeats removed; never empty. What is left in `frames` is dropped.
    fn frames(&self, conn: u64, frames: &mut Vec<Frame>);

    /// Appends frames to send to `out`, about `bytes_max` bytes of them.
    ///
    /// Called as late as possible: when everything before is written, and then only at the connection's start, after
    /// [`Endpoint::frames`], after a wake-up, and again until it gives none.
    fn transmit(&self, conn: u64, bytes_max: usize, out: &mut Vec<Frame>) -> Transmit;

    /// A heartbeat was answered after so long.
    fn round_trip(&self, _conn: u64, _took: Duration) {}

    /// The connection is gone; `why` is for people. The last call for it.
    fn closed(&self, conn: u64, cause: CloseCause, why: String);
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// Nothing was heard of the peer for [`Settings::dead_after`](crate::Settings::dead_after), or ever within
    /// [`Settings::handshake_max`](crate::Settings::handshake_max).
    Silent,
    /// A side closed it, or the network did.
    Lost,
    /// The peer has broken a rule, or used up a limit.
    Breach(Breach),
}

/// What becomes of a connection after the frames that [`Endpoint::transmit`] gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// It stays open.
    Open,
    /// It is closed once they are written; frames that still arrive are dropped.
    Close,
}
