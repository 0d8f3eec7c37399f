//! A task that writes to the outside.
//!
//! ```text
//!   idle ──tuples──▶ writing ──Written──▶ idle ──inputs exhausted──▶ closing ──SinkClosed──▶ end commit
//! ```
//! Limit: one write of at most [`WRITE_BYTES`] is under way; with a journal [`WRITES_AHEAD`], because a write is done only when
//! it is on stable storage.

use super::Base;
use crate::check::{Inconsistency, rule};
use crate::ctx::Ctx;
use crate::event::{Action, Blocker, InputDone, Output, Report, SinkAction, WorkId};
use crate::time::Time;
use bytes::Bytes;
use std::collections::VecDeque;

/// Largest write, in bytes of cost.
const WRITE_BYTES: u64 = 1024 * 1024;

/// How many writes may wait for stable storage.
const WRITES_AHEAD: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct SinkTask {
    works: u64,
    writing: VecDeque<Writing>,
    /// Since when.
    closing: Option<Time>,
    closed: bool,
    /// Its reader has gone, and with a journal that ends nothing but this life.
    gone: bool,
}

#[derive(Debug)]
struct Writing {
    work: WorkId,
    inputs: Vec<InputDone>,
    records: u64,
    bytes: u64,
    since: Time,
}

impl SinkTask {
    pub(super) fn step(&mut self, base: &mut Base, ctx: &mut Ctx) {
        if self.gone {
            return;
        }
        let held_up = base.paused.is_some() || (ctx.journaled && ctx.draining);
        while self.writing.len() < writes_ahead(ctx) && self.closing.is_none() && !held_up {
            if !self.write(base, ctx) {
                break;
            }
        }
        if self.writing.is_empty() && self.closing.is_none() && base.is_exhausted() && base.paused.is_none() {
            self.closing = Some(ctx.now);
            ctx.act(Action::task(base.id, SinkAction::Close));
        }
    }

    /// Gives the driver what waits; says whether that was anything.
    fn write(&mut self, base: &mut Base, ctx: &mut Ctx) -> bool {
        let mut pieces = Vec::new();
        let mut cost = 0;
        while let Some(piece) = base.take(ctx, WRITE_BYTES.saturating_sub(cost), u64::MAX) {
            cost += piece.batch.cost();
            pieces.push(piece);
        }
        if pieces.is_empty() {
            return false;
        }
        self.works += 1;
        let work = WorkId(self.works);
        let records = pieces.iter().map(|p| p.batch.len() as u64).sum();
        let bytes = pieces.iter().map(|p| p.batch.bytes() as u64).sum();
        let inputs = Base::positions(ctx, &pieces);
        self.writing.push_back(Writing { work, inputs, records, bytes, since: ctx.now });
        let batches = pieces.into_iter().map(|p| p.batch).collect();
        ctx.act(Action::task(base.id, SinkAction::Write { work, batches }));
        true
    }

    /// A write is done; the driver says so in the order of the writes.
    pub(crate) fn written(&mut self, base: &mut Base, ctx: &mut Ctx, work: WorkId, position: Option<Bytes>) {
        if self.writing.front().is_none_or(|w| w.work != work) {
            return;
        }
        let Some(writing) = self.writing.pop_front() else { return };
        base.counters.bytes_out += writing.bytes;
        let output = Output { records: writing.records, position, ..Output::default() };
        base.commit(ctx, writing.inputs, output, false);
        self.step(base, ctx);
    }

    pub(crate) fn closed(&mut self, base: &mut Base, ctx: &mut Ctx) {
        self.closed = true;
        if base.is_exhausted() && base.life == super::Life::Running {
            base.commit_end(ctx, Vec::new(), Output::default());
        }
    }

    /// The node leaves before the input's end: what was taken is written and closed. Says whether that is done.
    pub(crate) fn leave(&mut self, base: &Base, ctx: &mut Ctx) -> bool {
        if self.closing.is_none() && self.writing.is_empty() {
            self.closing = Some(ctx.now);
            ctx.act(Action::task(base.id, SinkAction::Close));
        }
        self.closed
    }

    /// The reader of this sink is gone: it takes nothing more, and says so upstream. With a journal the input has not ended by
    /// that: what is not committed is written in the next life.
    pub(crate) fn reader_gone(&mut self, base: &mut Base, ctx: &mut Ctx) {
        ctx.act(Report::ReaderGone { task: base.id });
        if ctx.journaled {
            self.gone = true;
            return;
        }
        self.writing.clear();
        self.closing = Some(ctx.now);
        self.closed = true;
        if base.life == super::Life::Running {
            base.finish_early(ctx, Output::default(), None);
        }
    }

    /// Writes are numbered in order, and no more are under way than may be.
    pub(super) fn check(&self, ctx: &Ctx) -> Result<(), Inconsistency> {
        let ids = self.writing.iter().rev().map(|writing| writing.work.0);
        let in_order = ids.zip((0..=self.works).rev()).all(|(id, expected)| id == expected);
        rule("numbers of writes", in_order, || format!("{:?} of {}", self.writing, self.works))?;
        rule("writes ahead", self.writing.len() <= writes_ahead(ctx), || format!("{:?}", self.writing))
    }

    /// Through where is written, in order.
    pub(super) fn positions(&self) -> impl Iterator<Item = &InputDone> {
        self.writing.iter().flat_map(|writing| &writing.inputs)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.writing.is_empty()
    }

    /// Whether nothing is lost if the node stops now, with a journal: a write for which there is no reader is done in the next life.
    pub(crate) fn is_at_rest(&self, base: &Base) -> bool {
        self.is_idle() || self.gone || matches!(base.blocker, Some(Blocker::NoReader { .. }))
    }

    /// Since when one write, or the close behind the last, has been under way.
    pub(crate) fn writing_since(&self) -> Option<Time> {
        self.writing.front().map(|w| w.since).or(self.closing.filter(|_| !self.closed))
    }
}

fn writes_ahead(ctx: &Ctx) -> usize {
    if ctx.journaled { WRITES_AHEAD } else { 1 }
}
