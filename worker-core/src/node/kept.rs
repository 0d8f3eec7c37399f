//! What is kept of a peer that is sent to, with a journal: the journals of its tasks, so that a state that was lost there is seen, and
//! that it has everything, so that it is not needed again. Nothing is sent on a link, and no goodbye said, before that is durable.

use crate::config::NodeIx;
use crate::ctx::Ctx;
use crate::event::{Action, NodeAction};
use crate::recovery::PeerState;
use std::collections::BTreeMap;
use worker_proto::frame::Opened;
use worker_proto::{JournalId, LinkId};

/// One request is under way at a time; what comes meanwhile goes with the next one.
#[derive(Debug)]
pub(super) struct Kept {
    peer: NodeIx,
    /// With the version that has it first.
    receivers: BTreeMap<LinkId, (JournalId, u64)>,
    finished: Option<u64>,
    /// Asked for, and durable.
    asked: u64,
    durable: u64,
    /// Answers of the receiver that wait until its journals are known durably.
    answers: Vec<(u64, Opened)>,
}

/// What is known of a receiver's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is this one, durably.
    Same,
    /// The answer waits until it is kept.
    New,
    /// It was another one.
    Other(JournalId),
}

impl Kept {
    pub(super) fn new(peer: NodeIx) -> Self {
        Self { peer, receivers: BTreeMap::new(), finished: None, asked: 0, durable: 0, answers: Vec::new() }
    }

    /// Takes over what an earlier life has kept.
    pub(super) fn remember(&mut self, state: &PeerState) {
        self.receivers = state.receivers.iter().map(|(link, journal)| (*link, (*journal, 0))).collect();
        self.finished = state.finished.then_some(0);
    }

    /// A receiver has answered with its journal.
    pub(super) fn heard(&mut self, ctx: &mut Ctx, opened: &Opened) -> Known {
        let next = self.durable.max(self.asked) + 1;
        let (journal, version) = *self.receivers.entry(opened.link).or_insert((opened.journal, next));
        if journal != opened.journal {
            return Known::Other(journal);
        }
        if version <= self.durable {
            return Known::Same;
        }
        self.answers.push((version, opened.clone()));
        self.ask(ctx);
        Known::New
    }

    /// All links are finished; whether that is durable.
    pub(super) fn is_finished(&mut self, ctx: &mut Ctx) -> bool {
        let next = self.durable.max(self.asked) + 1;
        let version = *self.finished.get_or_insert(next);
        if version > self.durable {
            self.ask(ctx);
        }
        version <= self.durable
    }

    /// A version is durable: gives the answers that waited for it.
    pub(super) fn durable(&mut self, ctx: &mut Ctx, version: u64) -> Vec<Opened> {
        self.durable = self.durable.max(version);
        let durable = self.durable;
        let newest = self.receivers.values().map(|(_, version)| *version).chain(self.finished).max();
        if newest.is_some_and(|newest| newest > durable) {
            self.ask(ctx);
        }
        let answers = std::mem::take(&mut self.answers);
        let (ready, waiting) = answers.into_iter().partition::<Vec<_>, _>(|(version, _)| *version <= durable);
        self.answers = waiting;
        ready.into_iter().map(|(_, opened)| opened).collect()
    }

    /// The connection that the answers came on is gone.
    pub(super) fn forget_answers(&mut self) {
        self.answers.clear();
    }

    fn ask(&mut self, ctx: &mut Ctx) {
        if self.asked > self.durable {
            return;
        }
        self.asked = self.durable + 1;
        let state = PeerState {
            receivers: self.receivers.iter().map(|(link, (journal, _))| (*link, *journal)).collect(),
            finished: self.finished.is_some(),
        };
        ctx.act(Action::Node(NodeAction::KeepPeer { peer: self.peer, state, version: self.asked }));
    }
}
