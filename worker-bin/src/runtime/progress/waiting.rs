//! What is waited for, as lines of progress say it, and whether a line says anything new.

use crate::explain::{Explanation, Peer, Snapshot, words};
use crate::mutex::lock;
use std::sync::Mutex;

/// What waits, by a name that stays while its age grows, and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    root: String,
    pub(super) text: String,
}

impl Waiting {
    /// What waits for something that is in its way; where nothing moves at all, who is not connected, or what gives no input.
    pub(super) fn of(now: &Snapshot, explanation: &Explanation) -> Option<Self> {
        let groups = explanation.groups();
        let stalled = groups.iter().find_map(|group| group.iter().find(|chain| chain.stalled));
        let stalled = stalled.map(|chain| Self { root: chain.root.clone(), text: words::chain(chain) });
        stalled.or_else(|| now.is_idle().then(|| disconnected(&now.peers).or_else(|| idle(now)))?)
    }
}

/// Peers that are not connected, though nothing waits for them yet.
fn disconnected(peers: &[Peer]) -> Option<Waiting> {
    let down = || peers.iter().filter(|peer| !peer.up);
    let state = |peer: &Peer| {
        let state = peer.cause_text.as_deref().unwrap_or("not connected");
        words::foreign(&format!("node {} {state}", peer.node))
    };
    let since = |peer: &Peer| {
        let since = peer.down_s.map_or_else(String::new, |s| format!(" for {}", words::duration(s)));
        format!("{}{since}", state(peer))
    };
    let root = down().map(state).collect::<Vec<_>>().join("; ");
    (!root.is_empty()).then(|| Waiting { root, text: down().map(since).collect::<Vec<_>>().join("; ") })
}

/// The first task that has no input.
fn idle(now: &Snapshot) -> Option<Waiting> {
    let (task, wait) = now.tasks.iter().find_map(|task| Some((task, task.waits.first()?)))?;
    let root = format!("{}: {}", task.name, wait.why.kind().row().name);
    Some(Waiting { root, text: words::foreign(&format!("{} waits: {}", task.name, wait.text)) })
}

/// What the last line said, of a node that is idle.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<Option<(u64, Option<String>)>>);

impl Said {
    /// Whether a line has news: always, unless nothing moves, nothing has moved and what is waited for is what the last line said.
    pub(super) fn is_news(&self, now: &Snapshot, waiting: Option<&Waiting>) -> bool {
        let says = now.is_idle().then(|| (now.moved_records(), waiting.map(|waiting| waiting.root.clone())));
        let before = std::mem::replace(&mut *lock(&self.0), says.clone());
        says.is_none() || before != says
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{explain, sample};

    /// Nothing moves, and both peers are as `up` says.
    fn idle_with(up: bool) -> Snapshot {
        let mut now = sample::calm();
        for task in &mut now.tasks {
            (task.in_per_s, task.out_per_s) = (0.0, 0.0);
        }
        for peer in &mut now.peers {
            (peer.up, peer.cause_text, peer.down_s) = (up, Some("silent".to_owned()), Some(7.0));
        }
        now
    }

    fn said(now: &Snapshot) -> Option<String> {
        Waiting::of(now, &explain(std::slice::from_ref(now))).map(|waiting| waiting.text)
    }

    #[test]
    fn a_peer_that_is_away_is_named_though_nothing_waits_for_it_yet() {
        let down = idle_with(false);
        let node = &down.peers[0].node;
        assert_eq!(said(&down).as_deref(), Some(format!("node {node} silent for 7.0 s").as_str()));
        assert_eq!(said(&idle_with(true)), None);
        let mut works = down.clone();
        works.tasks[0].out_per_s = 5.0;
        assert_eq!(said(&works), None, "the rest goes on");
    }

    #[test]
    fn an_idle_node_says_a_line_when_something_moved_or_what_it_waits_for_changes_and_a_working_one_always() {
        let (lines, up, down) = (Said::default(), idle_with(true), idle_with(false));
        let is_news = |now: &Snapshot| {
            let waiting = Waiting::of(now, &explain(std::slice::from_ref(now)));
            lines.is_news(now, waiting.as_ref())
        };
        assert_eq!([is_news(&up), is_news(&up)], [true, false]);
        let mut later = down.clone();
        later.peers[0].down_s = Some(60.0);
        assert_eq!([is_news(&down), is_news(&later), is_news(&up)], [true, false, true]);
        let mut moved = up.clone();
        moved.tasks[0].counters.records_in += 1;
        assert_eq!([is_news(&moved), is_news(&moved)], [true, false]);
        let mut works = moved.clone();
        works.tasks[0].in_per_s = 1.0;
        assert_eq!([is_news(&works), is_news(&works), is_news(&moved)], [true, true, true]);
    }
}
