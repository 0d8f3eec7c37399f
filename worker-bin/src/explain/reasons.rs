//! From the core's reasons to waits with names.

use super::model::{Wait, Why};
use super::sampler::Outline;
use super::words;
use std::time::Duration;
use worker_core::Time;
use worker_core::config::NodeIx;
use worker_core::stall::{PeerCause, Reason};
use worker_core::status::LinkStatus;
use worker_proto::LinkId;

/// What the figures of a reason are completed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) outline: &'a Outline,
    pub(super) now: Time,
    pub(super) links: &'a [LinkStatus],
}

impl Context<'_> {
    /// A reason with names and figures; `unmoved` is how long nothing has moved, where the core does not say since when it is so.
    pub(super) fn wait(&self, reason: &Reason, unmoved: Duration) -> Wait {
        let age = reason.since().map_or(unmoved, |since| self.now.since(since));
        let why = self.why(reason);
        let (on, on_node) = match (reason, reason.link()) {
            (Reason::UpstreamDown { peer, .. }, Some(link)) => self.sender(link, *peer),
            (_, Some(link)) => self.receiver(link),
            (_, None) => (None, None),
        };
        let for_s = age.as_secs_f64();
        let mut wait = Wait { for_s, stalled: false, text: String::new(), on, on_node, why };
        wait.text = words::wait(&wait);
        wait
    }

    /// The one that is waited for is the sender here.
    fn sender(&self, link: LinkId, peer: NodeIx) -> (Option<String>, Option<String>) {
        let from = self.outline.graph.link(link).from;
        let node = self.outline.nodes[usize::from(peer.0)].clone();
        (Some(self.outline.graph.task(from).name.clone()), Some(node))
    }

    fn receiver(&self, link: LinkId) -> (Option<String>, Option<String>) {
        let to = self.outline.graph.task(self.outline.graph.link(link).to);
        (Some(to.name.clone()), Some(self.outline.nodes[usize::from(to.node.0)].clone()))
    }

    fn link(&self, link: LinkId) -> Option<&LinkStatus> {
        self.links.binary_search_by_key(&link, |l| l.link).ok().map(|at| &self.links[at])
    }

    fn in_s(&self, at: Time) -> f64 {
        at.since(self.now).as_secs_f64()
    }

    fn why(&self, reason: &Reason) -> Why {
        match reason {
            Reason::PeerDown { link, cause, why, attempts, next, held_records, .. } => {
                let status = self.link(*link);
                Why::PeerDown {
                    cause: cause_name(*cause).to_owned(),
                    error: why.clone(),
                    attempts: *attempts,
                    next_in_s: next.map(|at| self.in_s(at)),
                    held_records: *held_records,
                    memory_bytes: status.map_or(0, |l| l.memory_bytes),
                    memory_limit_bytes: self.outline.limits.outbox_bytes,
                    spilled_bytes: status.map_or(0, |l| l.stored_bytes),
                }
            }
            Reason::UpstreamDown { .. } => Why::UpstreamDown {},
            Reason::NotOpen { held_records, .. } => Why::NotOpen { held_records: *held_records },
            Reason::Unacknowledged { held_records, .. } => {
                Why::Unacknowledged { held_records: *held_records }
            }
            Reason::NoCredit { held_records, .. } => Why::NoCredit { held_records: *held_records },
            Reason::OutboxFull { memory_bytes, stored_bytes, budget_bytes, .. } => Why::OutboxFull {
                memory_bytes: *memory_bytes,
                memory_limit_bytes: *budget_bytes,
                spilled_bytes: *stored_bytes,
            },
            Reason::SpillLimit { stored_bytes, limit_bytes, .. } => {
                Why::SpillLimit { spilled_bytes: *stored_bytes, spill_limit_bytes: *limit_bytes }
            }
            Reason::StorageFull => Why::StorageFull {},
            Reason::DiskFull { what, .. } => Why::DiskFull { error: what.clone() },
            Reason::Committing { commits, bytes } => {
                Why::Committing { commits: *commits as u64, bytes: *bytes }
            }
            Reason::NoSlot { ahead, slots, .. } => Why::NoSlot { ahead: *ahead as u64, slots: *slots as u64 },
            Reason::Backoff { attempts, until, why, records } => Why::Backoff {
                attempts: *attempts,
                next_in_s: self.in_s(*until),
                error: why.clone(),
                records: *records as u64,
            },
            Reason::ChildBusy { .. } => Why::ChildBusy {},
            Reason::ChildHung { unread_bytes, closed, .. } => {
                Why::ChildHung { unread_bytes: *unread_bytes, closed: *closed }
            }
            Reason::ChildBuffers { fed_bytes, .. } => Why::ChildBuffers { fed_bytes: *fed_bytes },
            Reason::Writing { .. } => Why::Writing {},
            Reason::WriteHung { .. } => Why::WriteHung {},
            Reason::ChildNotReading { bytes } => Why::ChildNotReading { bytes: *bytes },
            Reason::AwaitingEnd { fed_records } => Why::AwaitingEnd { fed_records: *fed_records },
            Reason::Paused { .. } => Why::Paused {},
            Reason::DeadLimit { dead, records } => Why::DeadLimit { dead_records: *dead, records: *records },
            Reason::SourceIdle => Why::SourceIdle {},
            Reason::Linger { .. } => Why::Linger {},
        }
    }
}

/// A cause's name in JSON.
pub(super) fn cause_name(cause: PeerCause) -> &'static str {
    match cause {
        PeerCause::NotYet => "not_yet",
        PeerCause::Unreachable => "unreachable",
        PeerCause::Refused => "refused",
        PeerCause::Silent => "silent",
        PeerCause::Lost => "lost",
    }
}
