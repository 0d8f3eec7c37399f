//! A task that writes to the outside.
//!
//! ```text
//!   idle ──tuples──▶ writing ──Written──▶ idle ──inputs exhausted──▶ closing ──SinkClosed──▶ end commit
//! ```
//! With a journal a write to a pipe is done when its reader has taken it, and may be in parts (`Partly`): what lies in the pipe when
//! the reader leaves is written again in the next life.
//!
//! Limit: one write of at most [`WRITE_BYTES`] is under way; with a journal [`WRITES_AHEAD`], because a write is done only when
//! it is on stable storage.

use super::Base;
use super::header::Heard;
use crate::check::{Inconsistency, rule};
use crate::ctx::Ctx;
use crate::event::{Action, Blocker, InputDone, Output, Report, SinkAction, WorkId};
use crate::fault::Bug;
use crate::inbox::Piece;
use crate::time::Time;
use bytes::Bytes;
use std::collections::VecDeque;
use worker_proto::Seq;

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
    /// What of it is not done, in the order of its records.
    parts: VecDeque<Part>,
    /// Bytes of that.
    bytes: u64,
    since: Time,
}

/// Records of one link, to the position through which they are done.
#[derive(Debug)]
struct Part {
    through: InputDone,
    /// None of a header, which is done with what is before it.
    records: u64,
}

impl Part {
    fn of(ctx: &Ctx, piece: &Piece) -> Option<Self> {
        let through = Base::positions(ctx, [piece]).pop()?;
        Some(Self { through, records: piece.batch.len() as u64 })
    }
}

impl Writing {
    fn records(&self) -> u64 {
        self.parts.iter().map(|part| part.records).sum()
    }

    /// The first `records` are done: through where each link is.
    fn done(&mut self, mut records: u64) -> Vec<InputDone> {
        let mut done: Vec<InputDone> = Vec::new();
        while self.parts.front().is_some_and(|part| records > 0 || part.records == 0)
            && let Some(mut part) = self.parts.pop_front()
        {
            let left = part.records.saturating_sub(records);
            records = records.saturating_sub(part.records);
            let last = Seq(part.through.through.0.saturating_sub(left));
            let through = InputDone { through: last, ..part.through };
            match done.iter_mut().find(|d| (d.link, d.epoch) == (through.link, through.epoch)) {
                Some(mine) => *mine = through,
                None => done.push(through),
            }
            if left > 0 {
                part.records = left;
                self.parts.push_front(part);
            }
        }
        done
    }
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

    /// The first header that comes is written; the others are as it is, and done when it is. Says whether one is to be written.
    fn hear_headers(&mut self, base: &mut Base, ctx: &mut Ctx) -> bool {
        while let Some(Heard { piece, header, is_first }) = base.next_header(ctx) {
            let through = Base::positions(ctx, [&piece]);
            let parts = through.iter().map(|&through| Part { through, records: 0 });
            if is_first {
                self.works += 1;
                let (work, bytes) = (WorkId(self.works), header.len() as u64);
                base.heads.known.taken = Some(header);
                self.writing.push_back(Writing { work, parts: parts.collect(), bytes, since: ctx.now });
                ctx.act(Action::task(base.id, SinkAction::Header { work, header: piece.batch.compact() }));
                return true;
            } else if let Some(last) = self.writing.back_mut() {
                last.parts.extend(parts);
            } else {
                base.heads.save();
                base.commit(ctx, through, Output::default(), false);
            }
        }
        false
    }

    /// Gives the driver what waits; says whether that was anything.
    fn write(&mut self, base: &mut Base, ctx: &mut Ctx) -> bool {
        let mut pieces = Vec::new();
        let mut cost = 0;
        loop {
            if pieces.is_empty() && self.hear_headers(base, ctx) {
                return true;
            }
            match base.take(ctx, WRITE_BYTES.saturating_sub(cost), u64::MAX) {
                Some(piece) => {
                    cost += piece.batch.cost();
                    pieces.push(piece);
                }
                None if pieces.is_empty() && base.has_next_header(ctx) => {}
                None => break,
            }
        }
        if pieces.is_empty() {
            return false;
        }
        self.works += 1;
        let work = WorkId(self.works);
        let bytes = pieces.iter().map(|p| p.batch.bytes() as u64).sum();
        let parts = pieces.iter().flat_map(|piece| Part::of(ctx, piece)).collect();
        let mut writing = Writing { work, parts, bytes, since: ctx.now };
        if ctx.planted.is(Bug::SinkDoneEarly) {
            let inputs = writing.done(writing.records());
            base.commit(ctx, inputs, Output::default(), false);
        }
        self.writing.push_back(writing);
        let batches = pieces.into_iter().map(|p| p.batch).collect();
        ctx.act(Action::task(base.id, SinkAction::Write { work, batches }));
        true
    }

    /// A write is done; the driver says so in the order of the writes.
    pub(crate) fn written(&mut self, base: &mut Base, ctx: &mut Ctx, work: WorkId, position: Option<Bytes>) {
        if self.writing.front().is_none_or(|w| w.work != work) {
            return;
        }
        let Some(mut writing) = self.writing.pop_front() else { return };
        base.counters.bytes_out += writing.bytes;
        let records = writing.records();
        if writing.parts.iter().any(|part| part.records == 0) {
            base.heads.save();
        }
        let output = Output { records, position, ..Output::default() };
        base.commit(ctx, writing.done(records), output, false);
        self.step(base, ctx);
    }

    /// The next `records` of the first write, and their bytes, are done; the rest of it is not.
    pub(crate) fn partly(&mut self, base: &mut Base, ctx: &mut Ctx, work: WorkId, records: u64, bytes: u64) {
        let Some(writing) = self.writing.front_mut().filter(|w| w.work == work) else { return };
        let records = records.min(writing.records());
        if records == 0 {
            return;
        }
        let bytes = bytes.min(writing.bytes);
        writing.bytes -= bytes;
        base.counters.bytes_out += bytes;
        let inputs = writing.done(records);
        base.commit(ctx, inputs, Output { records, ..Output::default() }, false);
    }

    /// A write that was under way when the node was over is done: it counts, as what is in a file or at a reader. With a journal it
    /// does not: without a commit it is taken back, and written again by the next life.
    pub(crate) fn written_afterwards(&mut self, base: &mut Base, ctx: &Ctx, work: WorkId) {
        if ctx.journaled || self.writing.front().is_none_or(|w| w.work != work) {
            return;
        }
        if let Some(writing) = self.writing.pop_front() {
            base.counters.records_out += writing.records();
            base.counters.bytes_out += writing.bytes;
        }
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
        if ctx.journaled && !ctx.planted.is(Bug::ReaderGoneIsEnd) {
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
        self.writing.iter().flat_map(|writing| &writing.parts).map(|part| &part.through)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.writing.is_empty()
    }

    /// Whether nothing is lost if the node stops now, with a journal: what there is no reader for is not done, and is written in the
    /// next life.
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

#[cfg(test)]
mod tests {
    use super::*;
    use worker_proto::{Epoch, JournalId, LinkId};

    #[test]
    fn of_each_link_what_is_done_is_told_through_where_it_is() {
        // Records of two links in turn: 1 to 3 of the first, 7 and 8 of the second, 4 and 5 of the first.
        let part = |link, through, records| {
            let (link, epoch, journal) = (LinkId(link), Epoch(1), JournalId(1));
            Part { through: InputDone { link, epoch, journal, through: Seq(through), ended: false }, records }
        };
        for (done, first, second) in [
            (0, None, None),
            (2, Some(2), None),
            (3, Some(3), None),
            (4, Some(3), Some(7)),
            (6, Some(4), Some(8)),
            (7, Some(5), Some(8)),
            (9, Some(5), Some(8)),
        ] {
            let parts = [part(1, 3, 3), part(2, 8, 2), part(1, 5, 2)].into();
            let mut writing = Writing { work: WorkId(1), parts, bytes: 0, since: Time::ZERO };
            let through = |inputs: &[InputDone], link| {
                inputs
                    .iter()
                    .filter(|input| input.link == LinkId(link))
                    .map(|input| input.through.0)
                    .next_back()
            };
            let inputs = writing.done(done);
            assert_eq!((through(&inputs, 1), through(&inputs, 2)), (first, second), "{done}");
            assert_eq!(inputs.len(), usize::from(first.is_some()) + usize::from(second.is_some()), "{done}");
            assert_eq!(writing.records(), 7_u64.saturating_sub(done), "{done}");
            if done < 7 {
                let rest = writing.done(7 - done);
                assert_eq!((through(&rest, 1), writing.records()), (Some(5), 0), "{done}");
            }
        }
    }
}
