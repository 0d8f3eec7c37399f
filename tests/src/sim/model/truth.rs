//! What is known of a link, of each life of its sender, and of a task.

use super::journaled::EffectWhen;
use super::window::Admitted;
use crate::sim::in_order::InOrder;
use crate::sim::program::is_no_record;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use worker_core::event::{Commit, CommitId, DeadLetter, InputDone};
use worker_proto::{Epoch, LinkId, Seq};

/// One link, all lives of its sender.
#[derive(Debug, Default)]
pub(in crate::sim) struct LinkTruth {
    pub(in crate::sim) lives: BTreeMap<Epoch, Life>,
    /// What senders reported lost.
    pub(in crate::sim) reported_lost: u64,
    /// Cost of the largest chunk that one commit put on it.
    pub(in crate::sim) largest_output: u64,
    /// The receiver wanted nothing more.
    pub(in crate::sim) cancelled: bool,
    /// Both ends are on one node: no frames.
    pub(in crate::sim) local: bool,
    /// Both ends share a journal: what one of them asks to commit may be acted upon by the other.
    pub(in crate::sim) in_column: bool,
    /// The same, and the receiver is no end.
    pub(super) goes_on_appended: bool,
    /// Both ends are on one node, and the receiver may want nothing more.
    pub(super) local_cancelled: bool,
}

/// A link in one life of its sender.
#[derive(Debug, Default)]
pub(in crate::sim) struct Life {
    /// What was committed, in order; its first has number 1.
    pub(in crate::sim) records: Vec<Bytes>,
    /// Cost of all records before each, so that differences are the cost of a range.
    pub(super) costs: Vec<u64>,
    pub(in crate::sim) end: Option<Seq>,
    /// Durable at the sender through, end included; or asked for, where that is enough.
    pub(in crate::sim) pushed: Seq,
    /// The sender heard that this much is acknowledged.
    pub(in crate::sim) acked: Seq,
    /// The receiver was given this much, without a gap.
    pub(in crate::sim) received: Seq,
    /// The receiver's programs were given this much.
    pub(in crate::sim) given: Seq,
    /// Where the present life of the receiver began.
    pub(super) base: Seq,
    pub(super) effects: Vec<Effect>,
    /// The last one effected, in order.
    pub(super) last_effect: Seq,
    /// Commits of the receiving task cover this much.
    pub(super) done: Seq,
    /// Effects are acknowledged downstream through.
    pub(in crate::sim) finished: Seq,
    /// With a journal: durable commits of the receiving task cover this much, end included.
    pub(in crate::sim) durable_done: Seq,
    /// The same of commits that were asked for.
    pub(super) asked_done: Seq,
    /// With a journal: the highest life of the sender that is durable at the receiver.
    pub(in crate::sim) durable_epoch: Epoch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Done {
        receiver_life: u64,
    },
    Dead {
        receiver_life: u64,
    },
    /// It is the end of a chunk, or a header, and has none.
    Boundary,
}

/// One task.
#[derive(Debug, Default)]
pub(in crate::sim) struct TaskTruth {
    pub(in crate::sim) life: u64,
    /// Outputs it was given and has not committed.
    pub(super) uncommitted: BTreeMap<LinkId, VecDeque<Bytes>>,
    pub(super) uncommitted_dead: usize,
    /// Commits that have not taken effect yet, in order, and which of them are durable.
    pub(super) pending: VecDeque<Commit>,
    pub(super) durable: BTreeSet<CommitId>,
    /// Durable commits whose outputs are not all acknowledged.
    pub(super) steps: VecDeque<Step>,
    /// It stopped reading its input early, so records that it did not process are no loss.
    pub(in crate::sim) stops_early: bool,
    /// Its end is durable.
    pub(in crate::sim) ended: bool,
    pub(in crate::sim) dead: u64,
    pub(super) effect_when: EffectWhen,
    /// Records that were answered and that no commit covers yet.
    pub(super) answered: BTreeSet<Bytes>,
    /// Number of the last commit that is durable.
    pub(super) commits_durable: u64,
    /// The last window whose cut is durable; 0: none.
    pub(super) cut: u64,
    /// Of a stream, with a journal: what was admitted, in order.
    pub(super) admitted: Vec<Admitted>,
    /// Of a stream, with a journal: what programs that ended well had been given.
    pub(in crate::sim) taken: BTreeSet<Bytes>,
    /// Dead letters of commits that were asked for, in order, and which of those.
    pub(in crate::sim) letters: Vec<DeadLetter>,
    pub(super) letters_of: Vec<CommitId>,
    /// In memory: it is a sink that is to write in the order of the source, and how far that has come.
    pub(super) writes_in_order: bool,
    pub(super) in_order: InOrder,
    /// It is a sink that writes by itself.
    pub(in crate::sim) writes: bool,
    /// What heads all that it is given.
    pub(in crate::sim) heads: Option<Bytes>,
    /// What heads the window of its stream that is under way.
    pub(in crate::sim) window_header: Option<Bytes>,
    /// In this life of it that was written.
    pub(in crate::sim) is_headed: bool,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) inputs: Vec<InputDone>,
    pub(super) needs: Vec<(LinkId, Seq)>,
}

impl Life {
    /// Cost of the records in `(from, to]`.
    pub(in crate::sim) fn cost(&self, from: Seq, to: Seq) -> u64 {
        let at = |seq: Seq| {
            let index = usize::try_from(seq.0).expect("few records").min(self.records.len());
            if index == 0 { 0 } else { self.costs[index - 1] }
        };
        at(to).saturating_sub(at(from))
    }

    pub(in crate::sim) fn record(&self, seq: Seq) -> Option<&Bytes> {
        self.records.get(index(seq)?)
    }

    /// How far records were given to a program, and what is no record behind that, which is taken without anything to see.
    pub(in crate::sim) fn taken(&self) -> Seq {
        let mut taken = self.given;
        while self.record(taken.next()).is_some_and(|record| is_no_record(record)) {
            taken = taken.next();
        }
        taken
    }

    pub(super) fn push(&mut self, record: Bytes) {
        let before = self.costs.last().copied().unwrap_or(0);
        self.costs.push(before + record.len() as u64 + 4);
        self.effects.push(if is_no_record(&record) { Effect::Boundary } else { Effect::None });
        self.records.push(record);
    }

    /// Records that were not effected in any life of the receiver.
    pub(in crate::sim) fn missing(&self) -> impl Iterator<Item = Seq> + '_ {
        let none = self.effects.iter().enumerate().filter(|(_, effect)| **effect == Effect::None);
        none.map(|(index, _)| Seq(index as u64 + 1))
    }

    pub(in crate::sim) fn is_dead(&self, seq: Seq) -> bool {
        index(seq).is_some_and(|i| matches!(self.effects[i], Effect::Dead { .. }))
    }

    pub(in crate::sim) fn is_effected(&self, seq: Seq) -> bool {
        index(seq).is_some_and(|i| self.effects[i] != Effect::None)
    }
}

pub(super) fn index(seq: Seq) -> Option<usize> {
    usize::try_from(seq.0).ok()?.checked_sub(1)
}
