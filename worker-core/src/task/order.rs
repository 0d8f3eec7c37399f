//! The order of the source, kept over tasks that work side by side.
//!
//! Records come in chunks, numbered from 0 over a whole stage. Who has them in order deals them: chunk `c` goes to partition `c mod n`
//! of the next stage, and behind it a boundary, which is a tuple like any other: it has a number, is journaled, stored outside, sent
//! again and acknowledged, and counts as no record.
//!
//! ```text
//!               ┌── 0 │ 3 ──▶ work/0 ──┐
//!   deals ──────┼── 1 │ 4 ──▶ work/1 ──┼──▶ takes 0 │ 1 │ 2 │ 3 …
//!               └── 2 │ 5 ──▶ work/2 ──┘
//! ```
//!
//! - A task with neighbours *passes boundaries on*, each behind all that came of what was before it, and gives what came of chunk `c` to
//!   partition `c mod m` of its readers. Of its chunks it takes one after the other, each from the task that has it.
//! - A task that is alone takes all chunks in turn, forgets their boundaries, and deals what it makes of them in chunks of its own. No
//!   batch has more than one chunk, so a chunk is as large as batches want to be while their tasks have enough to do, and a task that
//!   is busy is given an empty one where another is not.
//! - Where a key decides the way each partition gets a part of each chunk, and its boundary.
//!
//! Whoever waits, waits for the first chunk that is not taken yet. Whoever has that has taken and given all before it, so what is
//! full of what comes later is never in its way. So a task with neighbours also closes the chunk that it ends in, which has what its
//! program prints at its end: the end of a link would not do, for a reader goes on only when all links that may have the next chunk
//! have ended. A link that has ended is passed over: nothing comes behind the end of a source.
//!
//! A boundary is committed with what is before it on its link, and a commit says how many were taken and given: a life goes on with
//! the chunk that the one before it was in. In memory nobody else knows that, so a node that comes back ends the run.
//!
//! Limits: credit for what is taken later, and half an outbox of work ahead on each link.

mod dealing;
mod passing;

pub(super) use passing::Passing;

use super::Base;
use super::demand::is_busy;
use super::header::Heads;
use crate::config::{LinkOrder, NodeConfig, TaskId, TaskKind, TaskName};
use crate::ctx::Ctx;
use crate::event::{Body, Chunk, InputDone, Output, Turn};
use crate::fault::Bug;
use crate::inbox::Piece;
use crate::recovery::TaskState;
use dealing::{Giving, Readers};
use std::collections::{BTreeMap, VecDeque};
use worker_proto::{Batch, Epoch, LinkId, Seq};

/// In memory nobody but the process that is gone knows what it had of which chunk.
pub(crate) const ORDER_IS_LOST: &str = "its process was restarted, and in memory nobody else knows which records it had: what comes now could not be \
     brought into the order that order = \"input\" asks for; with --state a node that comes back goes on in order";

/// Where a task is in the order of the source; empty for one whose links are not kept in order.
#[derive(Debug, Default)]
pub(crate) struct Order {
    takes: Option<Taking>,
    /// For each stage and sink that reads from it in order.
    gives: Vec<Giving>,
    /// It has neighbours: what came of a chunk keeps its number.
    passes: bool,
}

/// How chunks are taken.
#[derive(Debug)]
struct Taking {
    /// From each task of the stage before.
    links: Vec<LinkId>,
    /// The first chunk that is this task's, and how many there are to the next.
    first: u64,
    step: u64,
    /// Chunks taken to their boundaries, and how many of them are committed, or asked to be.
    taken: u64,
    committed: u64,
    /// Boundaries taken and not asked to be committed, in order.
    open: VecDeque<Boundary>,
    /// Through where each link is asked to be committed.
    asked: BTreeMap<LinkId, Seq>,
}

/// The end of a chunk that a task has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary {
    link: LinkId,
    epoch: Epoch,
    seq: Seq,
}

impl Order {
    pub(crate) fn of(config: &NodeConfig, task: TaskId, inputs: &[LinkId], outputs: &[LinkId]) -> Self {
        let graph = &config.graph;
        let in_order = |link: &&LinkId| graph.link(**link).order != LinkOrder::Any;
        if !inputs.iter().chain(outputs).any(|link| in_order(&link)) {
            return Self::default();
        }
        let stage = |task: TaskId| TaskName::of(&graph.task(task).name).stage;
        let neighbours =
            || (0..).zip(&graph.tasks).filter(|(_, spec)| TaskName::of(&spec.name).stage == stage(task));
        let tasks = neighbours().count() as u64;
        let own = neighbours().position(|(at, _)| at == task.0).unwrap_or(0) as u64;
        let mut links: Vec<LinkId> = inputs.iter().filter(in_order).copied().collect();
        links.sort_by_key(|&link| graph.link(link).from);
        let order = links.first().map(|&link| graph.link(link).order);
        let takes = order.map(|order| match order {
            LinkOrder::Dealt | LinkOrder::Any => Taking::new(links, own, tasks),
            LinkOrder::Shared => Taking::new(links, 0, 1),
        });
        let mut gives: Vec<Giving> = Vec::new();
        for &link in outputs.iter().filter(in_order) {
            let (reader, order) = (graph.link(link).to, graph.link(link).order);
            match gives.last_mut().filter(|giving| stage(giving.reader()) == stage(reader)) {
                Some(giving) => giving.add(link),
                None => gives.push(Giving::new(link, reader, order, (own, tasks), config)),
            }
        }
        let may_pass = matches!(graph.task(task).kind, TaskKind::Batch(_) | TaskKind::Records(_));
        let passes = tasks > 1 && may_pass && takes.is_some() && !gives.is_empty();
        Self { takes, gives, passes }
    }

    pub(super) fn restore(&mut self, state: &TaskState) {
        let turn = state.turn.as_deref().cloned().unwrap_or_default();
        if let Some(takes) = &mut self.takes {
            (takes.taken, takes.committed) = (turn.taken, turn.taken);
            takes.asked = state.inputs.iter().map(|(link, input)| (*link, input.through)).collect();
        }
        for (giving, given) in self.gives.iter_mut().zip(turn.given) {
            giving.restore(given);
        }
    }

    /// Whether the task takes its inputs one after the other.
    pub(super) fn is_taking(&self) -> bool {
        self.takes.is_some()
    }

    /// Whether what it makes of each chunk is a chunk again.
    pub(super) fn passes(&self) -> bool {
        self.passes
    }

    /// Chunks whose boundaries the task has taken and committed: so many of the tuples that it was given are no records.
    pub(super) fn boundaries_in(&self) -> u64 {
        self.takes.as_ref().map_or(0, |takes| takes.committed)
    }

    /// The same of what was given to a stage or sink.
    pub(super) fn boundaries_out(&self, link: LinkId) -> u64 {
        self.giving(link).map_or(0, Giving::boundaries)
    }

    fn giving(&self, link: LinkId) -> Option<&Giving> {
        self.gives.iter().find(|giving| giving.has(link))
    }

    pub(crate) fn gives(&self) -> impl Iterator<Item = &[LinkId]> {
        self.gives.iter().map(Giving::links)
    }

    /// The link that has what comes next; `None`: none of them comes to be taken from.
    pub(crate) fn wanted(&self, ctx: &Ctx) -> Option<LinkId> {
        let takes = self.takes.as_ref()?;
        let next = takes.first + takes.step * takes.taken;
        let count = takes.links.len() as u64;
        let mut turns =
            (next..next + count).filter_map(|turn| takes.links.get(usize::try_from(turn % count).ok()?));
        let link = *turns.find(|&&link| !ctx.inbox_ref(link).is_exhausted())?;
        let waits = ctx.inbox_ref(link).is_empty() && ctx.planted.is(Bug::TakesOutOfTurn);
        let other = || takes.links.iter().find(|&&other| !ctx.inbox_ref(other).is_empty());
        Some(if waits { other().copied().unwrap_or(link) } else { link })
    }

    /// Boundaries of a link that are taken and not asked to be committed.
    pub(super) fn open(&self, link: LinkId) -> impl Iterator<Item = Seq> {
        let open = self.takes.iter().flat_map(|takes| &takes.open);
        open.filter(move |boundary| boundary.link == link).map(|boundary| boundary.seq)
    }

    /// What is asked to be committed covers boundaries, one chunk after the other, for a life goes on with the first that is not
    /// covered: those that come next on their links, too, unless they are passed on.
    ///
    /// A header that is taken and not committed is before the boundary that follows it.
    pub(super) fn cover(&mut self, ctx: &Ctx, heads: &Heads, inputs: &mut Vec<InputDone>) {
        let Some(takes) = &mut self.takes else { return };
        for input in inputs.iter() {
            let asked = takes.asked.entry(input.link).or_default();
            *asked = input.through.max(*asked);
        }
        while let Some(boundary) = takes.covered(self.passes, |link| heads.open(link)) {
            match inputs.iter_mut().rfind(|input| input.link == boundary.link) {
                Some(input) => input.through = boundary.seq.max(input.through),
                None => inputs.push(boundary.done(ctx)),
            }
        }
    }

    /// Sends what a task gives on its way: as the router gives it, on the first link to each stage or sink that reads in order.
    pub(super) fn deal(&mut self, ctx: &Ctx, chunks: Vec<Chunk>) -> Vec<Chunk> {
        if self.gives.is_empty() {
            return chunks;
        }
        let closes = chunks.iter().any(|chunk| chunk.body.boundaries() > 0);
        let is_busy = |link| is_busy(ctx, link);
        let mut dealt = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            match self.gives.iter_mut().find(|giving| giving.has(chunk.link)) {
                Some(giving) if self.passes => dealt.push(giving.in_turn(chunk)),
                Some(giving) => {
                    let batch_bytes = ctx.stages.batch_bytes(giving.reader());
                    giving.deal(&Readers { now: ctx.now, batch_bytes, is_busy: &is_busy }, chunk, &mut dealt);
                }
                None => dealt.push(chunk),
            }
        }
        if closes {
            self.gives.iter_mut().for_each(Giving::closed);
        }
        dealt
    }

    /// The ends of the last chunk of a task with neighbours: its readers go on with theirs before they hear that all tasks have ended.
    pub(super) fn last_ends(&self, ctx: &Ctx) -> Vec<Chunk> {
        if !self.passes || ctx.planted.is(Bug::LastChunkOpen) {
            return Vec::new();
        }
        self.gives.iter().flat_map(Giving::ends).map(close).collect()
    }

    /// For the journal, with what is asked to be committed.
    pub(super) fn turn(&self, ctx: &Ctx) -> Option<Box<Turn>> {
        if (self.takes.is_none() && self.gives.is_empty()) || ctx.planted.is(Bug::TurnForgotten) {
            return None;
        }
        let given = self.gives.iter().map(Giving::given).collect();
        Some(Box::new(Turn { taken: self.boundaries_in(), given }))
    }
}

impl Taking {
    fn new(links: Vec<LinkId>, first: u64, step: u64) -> Self {
        let (open, asked) = (VecDeque::new(), BTreeMap::new());
        Self { links, first, step, taken: 0, committed: 0, open, asked }
    }

    /// The first chunk that is not covered is, with its boundary; `header`: one of a link that is taken and not asked to be committed.
    fn covered(&mut self, passes: bool, header: impl Fn(LinkId) -> Option<Seq>) -> Option<Boundary> {
        let boundary = *self.open.front()?;
        let asked = self.asked.entry(boundary.link).or_default();
        let before = header(boundary.link).filter(|&at| at == asked.next()).unwrap_or(*asked);
        let is_next = !passes && boundary.seq == before.next();
        if boundary.seq > *asked && !is_next {
            return None;
        }
        *asked = boundary.seq.max(*asked);
        self.committed += 1;
        self.open.pop_front()
    }
}

impl Base {
    /// Whether a record, or the end of a chunk, waits where the next has to come from.
    pub(crate) fn is_next_here(&self, ctx: &Ctx) -> bool {
        self.order.wanted(ctx).is_some_and(|link| !ctx.inbox_ref(link).is_empty())
    }

    /// Where what comes next has to come from, while something else waits.
    pub(crate) fn awaits_turn_of(&self, ctx: &Ctx) -> Option<LinkId> {
        let link = self.order.wanted(ctx)?;
        let others_wait = self.inputs.iter().any(|&input| !ctx.inbox_ref(input).is_empty());
        (others_wait && ctx.inbox_ref(link).is_empty()).then_some(link)
    }

    /// Records of the chunk whose turn it is, to its end; behind ends that are not passed on, of the next.
    pub(super) fn take_in_turn(&mut self, ctx: &mut Ctx, cost_max: u64, records_max: u64) -> Option<Piece> {
        if cost_max == 0 || records_max == 0 {
            return None;
        }
        loop {
            self.hear_headers(ctx);
            let link = self.order.wanted(ctx)?;
            if ctx.inbox_ref(link).is_at_boundary() {
                if self.order.passes && !ctx.planted.is(Bug::BatchOverBoundary) {
                    return None;
                }
                self.forget_boundary(ctx)?;
                continue;
            }
            if ctx.inbox_ref(link).is_empty() || self.is_at_header(ctx, link) {
                return None;
            }
            let (cost_max, records_max) = ctx.allowance(self.id).within(cost_max, records_max)?;
            let piece = ctx.inbox(link).take(cost_max, records_max)?;
            ctx.rates.took(self.id, piece.batch.len() as u64, piece.batch.bytes() as u64);
            self.taken_from(ctx, link);
            return Some(piece);
        }
    }

    /// The task passes boundaries on, and one comes next.
    pub(super) fn is_at_boundary(&self, ctx: &Ctx) -> bool {
        let at_boundary = |link| ctx.inbox_ref(link).is_at_boundary();
        self.order.passes && self.order.wanted(ctx).is_some_and(at_boundary)
    }

    /// Takes the boundary that comes next.
    pub(super) fn take_boundary(&mut self, ctx: &mut Ctx) -> Option<Boundary> {
        let link = self.order.wanted(ctx)?;
        let (epoch, seq) = ctx.inbox(link).take_boundary()?;
        self.taken_from(ctx, link);
        let takes = self.order.takes.as_mut()?;
        takes.taken += 1;
        let boundary = Boundary { link, epoch, seq };
        takes.open.push_back(boundary);
        Some(boundary)
    }

    /// The end of a chunk that nobody has to hear of is committed as soon as all before it is, with its last records if it has any.
    fn forget_boundary(&mut self, ctx: &mut Ctx) -> Option<()> {
        let boundary = self.take_boundary(ctx)?;
        let takes = self.order.takes.as_ref()?;
        let is_first = takes.open.len() == 1 || ctx.planted.is(Bug::BoundaryForgottenAhead);
        let asked = takes.asked.get(&boundary.link).copied().unwrap_or_default();
        if is_first && asked.next() == boundary.seq {
            let input = boundary.done(ctx);
            self.commit(ctx, vec![input], Output::default(), false);
        }
        Some(())
    }

    /// All that came of a chunk is asked to be committed: so is its end, with one for each reader.
    pub(super) fn pass_boundary(&mut self, ctx: &mut Ctx, boundary: Boundary) {
        let chunks = self.order.gives.iter().flat_map(Giving::ends).map(close).collect();
        let input = boundary.done(ctx);
        self.commit(ctx, vec![input], Output { chunks, ..Output::default() }, false);
    }

    /// Tuples of an input were taken in order.
    fn taken_from(&mut self, ctx: &mut Ctx, link: LinkId) {
        if ctx.inbox_ref(link).is_empty() {
            self.ring.retain(|&turn| turn != link);
        }
        ctx.inbox_changed(link);
    }
}

impl Boundary {
    fn done(self, ctx: &Ctx) -> InputDone {
        let inbox = ctx.inbox_ref(self.link);
        let epoch = inbox.epoch().filter(|_| ctx.journaled).unwrap_or(self.epoch);
        InputDone { link: self.link, epoch, journal: inbox.journal(), through: self.seq, ended: false }
    }
}

/// The end of a chunk.
fn close(link: LinkId) -> Chunk {
    Chunk { link, body: Body::Memory(Batch::boundary()) }
}

#[cfg(test)]
mod tests;
