//! From the core's reasons to waits with names.

use super::model::Wait;
use super::outline::{Followed, Outline};
use super::reasons::Why;
use super::words;
use std::time::Duration;
use worker_core::Time;
use worker_core::config::{NodeIx, TaskId};
use worker_core::stall::Reason;
use worker_core::status::LinkStatus;
use worker_proto::LinkId;

/// What the figures of a reason are completed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) outline: &'a Outline,
    pub(super) now: Time,
    pub(super) links: &'a [LinkStatus],
    /// Who waits is a program that lives on: it has no batches, and no attempts that are used up.
    pub(super) is_stream: bool,
    /// How far it has read, of a source that follows files.
    pub(super) followed: Option<&'a Followed>,
}

impl Context<'_> {
    /// A reason with names and figures; `unmoved` is how long nothing has moved, where the core does not say since when it is so.
    pub(super) fn wait(&self, reason: &Reason, unmoved: Duration) -> Wait {
        let age = reason.since().map_or(unmoved, |since| self.now.since(since));
        let why = Why::of(reason, self);
        let (on, on_node) = match (reason, reason.link()) {
            (Reason::UpstreamDown { peer, .. }, Some(link)) => self.sender(link, *peer),
            (_, Some(link)) => self.receiver(link),
            (_, None) => reason.awaited().map_or((None, None), |link| self.sender_of(link)),
        };
        let for_s = age.as_secs_f64();
        let mut wait = Wait { for_s, stalled: false, text: String::new(), on, on_node, why };
        wait.text = words::wait(&wait);
        wait
    }

    /// The one that is waited for is the sender here.
    fn sender(&self, link: LinkId, peer: NodeIx) -> (Option<String>, Option<String>) {
        let from = self.outline.graph.link(link).from;
        (Some(self.task(from)), Some(self.outline.nodes[usize::from(peer.0)].clone()))
    }

    fn sender_of(&self, link: LinkId) -> (Option<String>, Option<String>) {
        let from = self.outline.graph.link(link).from;
        self.sender(link, self.outline.graph.task(from).node)
    }

    fn receiver(&self, link: LinkId) -> (Option<String>, Option<String>) {
        let to = self.outline.graph.task(self.outline.graph.link(link).to);
        (Some(to.name.clone()), Some(self.outline.nodes[usize::from(to.node.0)].clone()))
    }

    pub(super) fn task(&self, task: TaskId) -> String {
        self.outline.graph.task(task).name.clone()
    }

    /// What is held for a link, in memory and on disk.
    pub(super) fn held_bytes(&self, link: LinkId) -> (u64, u64) {
        let at = self.links.binary_search_by_key(&link, |l| l.link);
        at.map_or((0, 0), |at| (self.links[at].counters.memory_bytes, self.links[at].counters.spilled_bytes))
    }

    pub(super) fn in_s(&self, at: Time) -> f64 {
        at.since(self.now).as_secs_f64()
    }
}
