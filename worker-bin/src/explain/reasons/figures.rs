//! A reason's figures, of what the core says.

use super::Why;
use crate::explain::context::Context;
use crate::explain::peer;
use crate::explain::words::rate_of;
use worker_core::stall::{Blocker, Reason};

impl Why {
    /// What the core says, with its figures completed.
    pub(in crate::explain) fn of(reason: &Reason, context: &Context<'_>) -> Self {
        match reason {
            Reason::PeerDown { link, cause, why, attempts, next, held_records, .. } => {
                let (memory_bytes, spilled_bytes) = context.held_bytes(*link);
                Why::PeerDown {
                    cause: peer::words(*cause).name.to_owned(),
                    error: why.clone(),
                    attempts: *attempts,
                    next_in_s: next.map(|at| context.in_s(at)),
                    held_records: *held_records,
                    memory_bytes,
                    memory_limit_bytes: context.outline.limits.outbox_bytes,
                    spilled_bytes,
                }
            }
            Reason::UpstreamDown { cause, .. } => {
                Why::UpstreamDown { cause: peer::words(*cause).name.to_owned() }
            }
            &Reason::NotOpen { held_records, .. } => Why::NotOpen { held_records },
            &Reason::Unacknowledged { held_records, .. } => Why::Unacknowledged { held_records },
            &Reason::NoCredit { held_records, .. } => Why::NoCredit { held_records },
            &Reason::OutboxFull { memory_bytes, stored_bytes, budget_bytes, .. } => Why::OutboxFull {
                memory_bytes,
                memory_limit_bytes: budget_bytes,
                spilled_bytes: stored_bytes,
            },
            &Reason::SpillLimit { stored_bytes, limit_bytes, .. } => {
                Why::SpillLimit { spilled_bytes: stored_bytes, spill_limit_bytes: limit_bytes }
            }
            Reason::StorageFull => Why::StorageFull {},
            &Reason::Committing { commits, bytes } => Why::Committing { commits: commits as u64, bytes },
            Reason::NoSlot { ahead, slots, holders, .. } => Why::NoSlot {
                ahead: *ahead as u64,
                slots: *slots as u64,
                held_by: holders.iter().map(|&task| context.task(task)).collect(),
            },
            Reason::Quarantined { tried } => {
                Why::Quarantined { held_by: tried.iter().map(|&task| context.task(task)).collect() }
            }
            Reason::Backoff { attempts, until, why, .. } if context.is_stream => {
                Why::Restarting { next_in_s: context.in_s(*until), failures: *attempts, error: why.clone() }
            }
            Reason::Backoff { attempts, until, why, records } => Why::Backoff {
                attempts: *attempts,
                next_in_s: context.in_s(*until),
                error: why.clone(),
                records: *records as u64,
            },
            Reason::RateLimited { rate, until } => {
                Why::RateLimited { rate: rate_of(rate), next_in_s: context.in_s(*until) }
            }
            Reason::ChildBusy { .. } => Why::ChildBusy {},
            Reason::Blocked(by) => Why::of_blocker(by, context),
            Reason::Writing { .. } => Why::Writing {},
            &Reason::ChildNotReading { bytes } => Why::ChildNotReading { bytes },
            &Reason::AwaitingEnd { fed_records } => Why::AwaitingEnd { fed_records },
            Reason::Paused { .. } => Why::Paused {},
            &Reason::DeadLimit { dead, records } => Why::DeadLimit { dead_records: dead, records },
            Reason::SourceIdle => match context.followed.filter(|followed| followed.waits) {
                Some(followed) => {
                    Why::AwaitingLines { files: followed.files.clone(), unread_bytes: followed.lag_bytes }
                }
                None => Why::SourceIdle {},
            },
            &Reason::AwaitingTurn { queued_records, .. } => Why::AwaitingTurn { queued_records },
            &Reason::Undecided { records } => Why::Undecided { records: records as u64 },
            Reason::Linger { .. } => Why::Linger {},
        }
    }

    /// What its driver sees in a task's way.
    fn of_blocker(by: &Blocker, context: &Context<'_>) -> Self {
        match by {
            &Blocker::ChildHung { unread_bytes, closed, .. } => Why::ChildHung { unread_bytes, closed },
            Blocker::ChildStopped { pid, by, .. } => {
                Why::ChildStopped { pid: u64::from(*pid), by: by.clone() }
            }
            &Blocker::ChildBuffers { fed_bytes, .. } => Why::ChildBuffers { fed_bytes },
            Blocker::WriteHung { .. } => Why::WriteHung {},
            Blocker::Restarting { at, failures, what, .. } => {
                Why::Restarting { next_in_s: context.in_s(*at), failures: *failures, error: what.clone() }
            }
            Blocker::NoReader { what, .. } => Why::NoReader { path: what.clone() },
            Blocker::DiskFull { what, .. } => Why::DiskFull { error: what.clone() },
        }
    }
}
