//! How a task gives its output in chunks to those who read from it in order.

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
    /// Bytes dealt in this life, and when the last were.
    dealt_bytes: u64,
    last: Option<Time>,
    bytes_max: u64,
    records_max: u64,
    linger: Duration,
}

/// A chunk that is not closed.
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
        let (bytes, records_max, linger) = match kind {
            TaskKind::Batch(spec) => (spec.max_bytes, spec.max_records, spec.linger),
            TaskKind::Source | TaskKind::Stream(_) | TaskKind::Records(_) | TaskKind::Sink => {
                (CHUNK_BYTES_MAX, u64::MAX, LINGER)
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
    pub(super) fn deal(&mut self, now: Time, chunk: Chunk, dealt: &mut Vec<Chunk>) {
        if self.open.is_some_and(|open| now >= open.since + self.linger) {
            self.close(dealt);
        }
        let rested = self.last.is_none_or(|last| now >= last + self.linger);
        self.last = Some(now);
        let Body::Memory(batch) = &chunk.body else {
            let (records, bytes) = (chunk.body.records(), chunk.body.bytes());
            dealt.push(self.in_turn(chunk));
            return self.grew(now, records, bytes, dealt);
        };
        let few = rested && batch.bytes() < WHOLE_BYTES_MIN * self.links.len();
        let share = if few { (batch.len() as u64).div_ceil(self.links.len() as u64) } else { u64::MAX };
        let (mut start, len) = (0, batch.len());
        while start < len {
            let room = self.records_max - self.open.map_or(0, |open| open.records);
            let end = usize::try_from(share.min(room)).map_or(len, |records| len.min(start + records));
            let part =
                if start == 0 && end == len { batch.clone() } else { batch.slice(start..end).compact() };
            let (records, bytes) = (part.records(), part.bytes() as u64);
            dealt.push(Chunk { link: self.present(), body: Body::Memory(part) });
            self.grew(now, records, bytes, dealt);
            if end < len && self.open.is_some() {
                self.close(dealt);
            }
            start = end;
        }
    }

    /// The present chunk has so much more.
    fn grew(&mut self, now: Time, records: u64, bytes: u64, dealt: &mut Vec<Chunk>) {
        let open = self.open.get_or_insert(Open { bytes: 0, records: 0, since: now });
        open.records += records;
        open.bytes += bytes;
        let Open { records, bytes: so_far, .. } = *open;
        self.dealt_bytes += bytes;
        if so_far >= self.bytes_wanted() || records >= self.records_max {
            self.close(dealt);
        }
    }

    /// How large a chunk is to become, in bytes: it grows with what was dealt.
    fn bytes_wanted(&self) -> u64 {
        let part = self.dealt_bytes / (PARTS * self.links.len() as u64);
        part.max(WHOLE_BYTES_MIN as u64).min(self.bytes_max)
    }

    fn close(&mut self, dealt: &mut Vec<Chunk>) {
        dealt.push(close(self.present()));
        self.closed();
    }

    /// The link that the present chunk goes by.
    fn present(&self) -> LinkId {
        let turn = (self.first + self.step * self.given) % self.links.len() as u64;
        self.links[usize::try_from(turn).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests;
