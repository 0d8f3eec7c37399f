//! What tasks wait for, in two or three words each.

use crate::explain::{WaitClass, WaitKind};

/// Whether a task is at work rather than waiting.
pub(super) fn is_work(kind: WaitKind) -> bool {
    matches!(kind, WaitKind::ChildBusy | WaitKind::Writing | WaitKind::ChildNotReading)
}

/// Whether a task that waits so has nothing to do, rather than something in its way.
pub(super) fn is_idle(kind: WaitKind) -> bool {
    kind.class() == WaitClass::Idle || kind == WaitKind::Linger
}

/// What is waited for, to be read behind "waited for".
pub(super) fn words(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::PeerDown => "a node that is not connected",
        WaitKind::UpstreamDown => "a node that feeds it",
        WaitKind::NotOpen => "the next stage to answer",
        WaitKind::Unacknowledged => "the next stage to confirm",
        WaitKind::NoCredit => "the next stage to take more",
        WaitKind::OutboxFull => "room in its outputs",
        WaitKind::SpillLimit => "room in its outputs on disk",
        WaitKind::StorageFull | WaitKind::DiskFull => "room on a full disk",
        WaitKind::Committing => "the disk to store",
        WaitKind::NoSlot => "a free slot",
        WaitKind::Backoff => "its next attempt",
        WaitKind::ChildBusy => "its program",
        WaitKind::ChildHung => "a program that hangs",
        WaitKind::ChildBuffers => "output its program holds back",
        WaitKind::Writing => "a write",
        WaitKind::WriteHung => "a reader that takes nothing",
        WaitKind::ChildNotReading => "its program to read",
        WaitKind::AwaitingEnd => "the end of input",
        WaitKind::Paused => "the user, who paused it",
        WaitKind::DeadLimit => "nothing more: too many dead letters",
        WaitKind::SourceIdle => "input",
        WaitKind::Linger => "more records for a batch",
    }
}
