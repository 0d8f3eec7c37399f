//! How a task gives its output in chunks to those who read from it in order.
//!
//! A chunk ends where it is large enough, or old enough while another reader has nothing to do. For programs that are started for each
//! batch, so for each chunk at least, that is all: as long as everybody is busy the chunk grows, as a batch does that waits for the
//! one before it. Who is busy is passed over with an empty chunk while another is not. Other readers take turns by time alone.

use super::close;
use crate::config::{LinkOrder, NodeConfig, TaskId, TaskKind};
use crate::event::{Body, Chunk};
use crate::route::WHOLE_BYTES_MIN;
use crate::time::Time;
use std::time::Duration;
use worker_proto::LinkId;

/// Chunks for readers that have no largest batch.
const CHUNK_BYTES_MAX: u64 = 1024 * 1024;

/// A chunk is so small a part of what each partition was given before that its end finds all of them busy.
const PARTS: u64 = 8;

/// After so long the next partition gets what comes, where the reader has no linger of its own.
const LINGER: Duration = Duration::from_millis(20);

/// So many readers are looked at for one that has nothing to do.
const LOOKED_AT_MAX: u64 = 16;

/// The way to one stage or sink that reads in order.
#[derive(Debug)]
pub(super) struct Giving {
    links: Vec<LinkId>,
    /// Its first task.
    reader: TaskId,
    order: LinkOrder,
    /// The first chunk that is this task's, and how many there are to the next.
    first: u64,
    step: u64,
    /// Chunks closed.
    given: u64,
    /// The chunk that is under way, of a task that deals.
    open: Option<Open>,
    /// Bytes of cost dealt in this life, and when the last were.
    dealt_bytes: u64,
    last: Option<Time>,
    bytes_max: u64,
    records_max: u64,
    linger: Duration,
    /// The readers start a program for each chunk.
    starts: bool,
}

/// The readers, when something is given to them.
pub(super) struct Readers<'a> {
    pub(super) now: Time,
    /// What a batch of theirs is to cost, in bytes, as far as it is known.
    pub(super) batch_bytes: u64,
    pub(super) is_busy: &'a dyn Fn(LinkId) -> bool,
}

/// A chunk that is not closed; bytes are of cost.
#[derive(Clone, Copy, Debug)]
struct Open {
    bytes: u64,
    records: u64,
    since: Time,
}

impl Giving {
    pub(super) fn new(
        link: LinkId,
        reader: TaskId,
        order: LinkOrder,
        turns: (u64, u64),
        config: &NodeConfig,
    ) -> Self {
        let kind = &config.graph.task(reader).kind;
        Self::to(link, reader, order, turns, kind, config.limits.outbox_bytes)
    }

    fn to(
        link: LinkId,
        reader: TaskId,
        order: LinkOrder,
        (first, step): (u64, u64),
        kind: &TaskKind,
        outbox_bytes: u64,
    ) -> Self {
        let (bytes, records_max, linger, starts) = match kind {
            TaskKind::Batch(spec) => (spec.max_bytes, spec.max_records, spec.linger, true),
            TaskKind::Source | TaskKind::Stream(_) | TaskKind::Records(_) | TaskKind::Sink => {
                (CHUNK_BYTES_MAX, u64::MAX, LINGER, false)
            }
        };
        Self {
            links: vec![link],
            reader,
            order,
            first,
            step,
            given: 0,
            open: None,
            dealt_bytes: 0,
            last: None,
            // Past that a link would take no more while the others have nothing.
            bytes_max: bytes.min(outbox_bytes / 4),
            records_max: records_max.max(1),
            linger,
            starts,
        }
    }

    pub(super) fn add(&mut self, link: LinkId) {
        self.links.push(link);
    }

    pub(super) fn restore(&mut self, given: u64) {
        self.given = given;
    }

    pub(super) fn reader(&self) -> TaskId {
        self.reader
    }

    pub(super) fn links(&self) -> &[LinkId] {
        &self.links
    }

    /// Links to one reader have numbers that grow.
    pub(super) fn has(&self, link: LinkId) -> bool {
        self.links.binary_search(&link).is_ok()
    }

    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// How many boundaries all links together had.
    pub(super) fn boundaries(&self) -> u64 {
        match self.order {
            LinkOrder::Shared => self.given * self.links.len() as u64,
            LinkOrder::Dealt | LinkOrder::Any => self.given,
        }
    }

    /// The links that hear of the end of a chunk.
    pub(super) fn ends(&self) -> impl Iterator<Item = LinkId> {
        let hear = match self.order {
            LinkOrder::Shared => self.links.as_slice(),
            LinkOrder::Dealt | LinkOrder::Any => &self.links[..1],
        };
        hear.iter().copied()
    }

    /// The present chunk is over.
    pub(super) fn closed(&mut self) {
        self.given += 1;
        self.open = None;
    }

    /// Sends a part of the present chunk on its way.
    pub(super) fn in_turn(&self, chunk: Chunk) -> Chunk {
        match self.order {
            LinkOrder::Dealt => Chunk { link: self.present(), ..chunk },
            LinkOrder::Shared | LinkOrder::Any => chunk,
        }
    }

    /// Deals records: into the present chunk until it is large or old enough; after a rest at once to everybody, in equal shares.
    pub(super) fn deal(&mut self, readers: &Readers<'_>, chunk: Chunk, dealt: &mut Vec<Chunk>) {
        let now = readers.now;
        if self.open.is_some_and(|open| now >= open.since + self.linger) && self.is_anybody_idle(readers) {
            self.close(dealt);
        }
        self.pass_over_busy(readers, dealt);
        let rested = self.last.is_none_or(|last| now >= last + self.linger) && self.are_all_idle(readers);
        self.last = Some(now);
        let Body::Memory(batch) = &chunk.body else {
            let (records, cost) = (chunk.body.records(), chunk.body.cost());
            dealt.push(self.in_turn(chunk));
            return self.grew(readers, records, cost, dealt);
        };
        let few = rested && batch.bytes() < WHOLE_BYTES_MIN * self.links.len();
        let share = if few { (batch.len() as u64).div_ceil(self.links.len() as u64) } else { u64::MAX };
        let (mut start, len) = (0, batch.len());
        while start < len {
            let room = self.records_max - self.open.map_or(0, |open| open.records);
            let end = usize::try_from(share.min(room)).map_or(len, |records| len.min(start + records));
            let part =
                if start == 0 && end == len { batch.clone() } else { batch.slice(start..end).compact() };
            let (records, cost) = (part.records(), part.cost());
            dealt.push(Chunk { link: self.present(), body: Body::Memory(part) });
            self.grew(readers, records, cost, dealt);
            if end < len && self.open.is_some() {
                self.close(dealt);
            }
            start = end;
        }
    }

    /// Who begins a chunk and is busy gets an empty one while another is not.
    fn pass_over_busy(&mut self, readers: &Readers<'_>, dealt: &mut Vec<Chunk>) {
        if self.open.is_some() || !self.starts {
            return;
        }
        let idle = self.looked_at().position(|link| !(readers.is_busy)(link));
        (0..idle.unwrap_or(0)).for_each(|_| self.close(dealt));
    }

    /// Whether a chunk may go to somebody who has nothing to do, as far as that counts.
    fn is_anybody_idle(&self, readers: &Readers<'_>) -> bool {
        !self.starts || self.looked_at().skip(1).any(|link| !(readers.is_busy)(link))
    }

    fn are_all_idle(&self, readers: &Readers<'_>) -> bool {
        !self.starts || !self.looked_at().any(readers.is_busy)
    }

    /// The links of the present chunk and of those that come next.
    fn looked_at(&self) -> impl Iterator<Item = LinkId> {
        let count = LOOKED_AT_MAX.min(self.links.len() as u64);
        (self.given..self.given + count).map(|chunk| self.link_of(chunk))
    }

    /// The present chunk has so much more.
    fn grew(&mut self, readers: &Readers<'_>, records: u64, cost: u64, dealt: &mut Vec<Chunk>) {
        let open = self.open.get_or_insert(Open { bytes: 0, records: 0, since: readers.now });
        open.records += records;
        open.bytes += cost;
        let Open { records, bytes: so_far, .. } = *open;
        self.dealt_bytes += cost;
        if so_far >= self.bytes_wanted(readers) || records >= self.records_max {
            self.close(dealt);
        }
    }

    /// How large a chunk is to become, in bytes of cost: it grows with what was dealt, and at once to what batches aim at.
    fn bytes_wanted(&self, readers: &Readers<'_>) -> u64 {
        let part = self.dealt_bytes / (PARTS * self.links.len() as u64);
        part.max(readers.batch_bytes).max(WHOLE_BYTES_MIN as u64).min(self.bytes_max)
    }

    fn close(&mut self, dealt: &mut Vec<Chunk>) {
        dealt.push(close(self.present()));
        self.closed();
    }

    /// The link that the present chunk goes by.
    fn present(&self) -> LinkId {
        self.link_of(self.given)
    }

    /// That of the chunk behind so many that this task has given.
    fn link_of(&self, given: u64) -> LinkId {
        let turn = (self.first + self.step * given) % self.links.len() as u64;
        self.links[usize::try_from(turn).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests;
