//! Headers that programs print: of what each batch prints the first record, passed on once.
//!
//! ```text
//!   sending:    not known ──a batch has printed it──▶ given, before all records, on every link
//!   receiving:  not known ──the first tuple of a link, by whichever it comes first──▶ known ──that of each other link──▶ the same, or the run ends
//! ```
//! On a link whose sender has one the first tuple that is no boundary is the header: it is numbered, journaled, stored outside, sent
//! again and acknowledged like any other, and is no record. A stage that reads it is given it before each batch and process; a sink
//! writes it once, before all records. What a batch prints under another header than the first one's is not taken: the batch has failed.
//!
//! A commit that follows says what the header is and where it came on each link, so a later life has it, and knows the tuple again that
//! comes once more. In memory a receiver that was restarted has lost it, if it does not come again.
//!
//! Limits: one record of `max_record` a task for what it reads, and one for what it gives.

use super::Base;
use crate::config::{NodeConfig, TaskId, TaskKind};
use crate::ctx::Ctx;
use crate::event::{Body, Chunk, DeadLetter, Failure, FailureKind, Headers, Output};
use crate::fault::Bug;
use crate::inbox::Piece;
use bytes::Bytes;
use std::collections::BTreeMap;
use worker_proto::{Batch, Epoch, LinkId, Seq};

/// What of a header is shown where two differ.
const SHOWN_BYTES_MAX: usize = 80;

/// In memory nobody gives it again.
const HEADER_IS_LOST: &str = "its process was restarted, and in memory nobody gives it the header of these records again; with --state a node \
     that comes back goes on";

/// What a task knows of headers.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// The inputs that begin with one.
    links: Vec<LinkId>,
    pub(super) known: Headers,
    /// In which life of each sender its header has come.
    heard: BTreeMap<LinkId, Epoch>,
    /// What is known is yet to be committed.
    unsaved: bool,
    /// Taken and not asked to be committed, for what is before it is not yet.
    open: BTreeMap<LinkId, Seq>,
    /// It is written to the outside, and committed once it was.
    is_written: bool,
}

impl Heads {
    pub(crate) fn of(config: &NodeConfig, task: TaskId, inputs: &[LinkId]) -> Self {
        let links = inputs.iter().filter(|link| config.graph.headed.contains(link)).copied().collect();
        let is_written = matches!(config.graph.task(task).kind, TaskKind::Sink);
        Self { links, is_written, ..Self::default() }
    }

    /// What headed the records that the task was given.
    pub(super) fn taken(&self) -> Option<&Bytes> {
        self.known.taken.as_ref()
    }

    pub(super) fn restore(&mut self, known: &Headers) {
        self.known = known.clone();
    }

    /// How many tuples through there, by link, were headers.
    pub(super) fn within(&self, link: LinkId, through: Seq) -> u64 {
        u64::from(self.known.at.get(&link).is_some_and(|&at| at <= through))
    }

    /// Headers given on each link.
    pub(super) fn given(&self) -> u64 {
        u64::from(self.known.given.is_some())
    }

    /// One of a link that is taken and not asked to be committed.
    pub(super) fn open(&self, link: LinkId) -> Option<Seq> {
        self.open.get(&link).copied()
    }

    /// What the next commit says, if that is new.
    pub(super) fn take_new(&mut self, ctx: &Ctx) -> Option<Box<Headers>> {
        let is_new = std::mem::take(&mut self.unsaved) && !ctx.planted.is(Bug::HeaderForgotten);
        is_new.then(|| Box::new(self.known.clone()))
    }

    pub(super) fn save(&mut self) {
        self.unsaved = true;
    }

    /// Through there a link is asked to be committed.
    pub(super) fn covered(&mut self, link: LinkId, through: Seq) {
        if self.open.get(&link).is_some_and(|&at| at <= through) {
            self.open.remove(&link);
        }
    }

    /// A letter says what its record stands under: one that the task was given, or one that it has made.
    pub(super) fn entitle(&self, letter: &mut DeadLetter) {
        let header = if letter.origin.is_some() { &self.known.taken } else { &self.known.given };
        letter.header.clone_from(header);
    }

    /// The header of what the task gives, where nobody has it yet: one for each link.
    pub(super) fn give(&mut self, header: Option<Bytes>, outputs: &[LinkId]) -> Vec<Chunk> {
        let Some(header) = header.filter(|_| self.known.given.is_none()) else { return Vec::new() };
        let chunk = |&link: &LinkId| Chunk { link, body: Body::Memory(Batch::of_one(header.clone())) };
        let chunks = outputs.iter().map(chunk).collect();
        self.known.given = Some(header);
        self.unsaved = true;
        chunks
    }
}

/// A header that has come.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) piece: Piece,
    pub(super) header: Bytes,
    /// What is read had none before.
    pub(super) is_first: bool,
}

impl Base {
    /// Takes the headers that come next on their links; records come behind them.
    pub(super) fn hear_headers(&mut self, ctx: &mut Ctx) {
        if self.heads.is_written {
            return;
        }
        while let Some(Heard { piece, header, .. }) = self.next_header(ctx) {
            self.heads.known.taken.get_or_insert(header);
            self.heads.unsaved = true;
            if self.order.open(piece.link).next().is_some() {
                self.heads.open.insert(piece.link, piece.first_seq);
            } else {
                let done = Self::positions(ctx, [&piece]);
                self.commit(ctx, done, Output::default(), false);
            }
        }
    }

    /// Takes a header that comes next on its link, unless it is another than the one before: then the run ends.
    pub(super) fn next_header(&mut self, ctx: &mut Ctx) -> Option<Heard> {
        let at = (0..self.heads.links.len()).find(|&at| self.is_at_header(ctx, self.heads.links[at]))?;
        let link = self.heads.links[at];
        let piece = ctx.inbox(link).take(u64::MAX, 1)?;
        if ctx.inbox_ref(link).is_empty() {
            self.ring.retain(|&turn| turn != link);
        }
        ctx.inbox_changed(link);
        let header = piece.batch.compact().payload().clone();
        self.heads.heard.insert(link, piece.epoch);
        self.heads.known.at.insert(link, piece.first_seq);
        let known = self.heads.taken();
        if let Some(known) = known.filter(|known| !is_same(known, &header)) {
            let why = format!(
                "{} gives records under the header {}, and others came under {}: one table has one header; let the programs before it \
                 print the same columns on all nodes, also where they are given no record",
                ctx.config.graph.link_name(link),
                shown(&header),
                shown(known)
            );
            ctx.fail_task(&self.name, why);
            return None;
        }
        let is_first = known.is_none();
        Some(Heard { piece, header, is_first })
    }

    /// A header comes next on some link.
    pub(super) fn has_next_header(&mut self, ctx: &mut Ctx) -> bool {
        (0..self.heads.links.len()).any(|at| self.is_at_header(ctx, self.heads.links[at]))
    }

    pub(super) fn is_at_header(&mut self, ctx: &mut Ctx, link: LinkId) -> bool {
        let inbox = ctx.inbox_ref(link);
        let Some(next) = inbox.front().filter(|_| !inbox.is_at_boundary()) else { return false };
        let (epoch, seq) = (next.epoch, next.first_seq);
        if ctx.is_halted() || !self.heads.links.contains(&link) {
            return false;
        }
        if ctx.journaled {
            return match self.heads.known.at.get(&link) {
                Some(&at) => at == seq,
                None => true,
            };
        }
        if self.heads.heard.get(&link) == Some(&epoch) {
            return false;
        }
        if seq == Seq(1) || self.order.is_taking() {
            return true;
        }
        // A receiver that was restarted begins behind it.
        if self.heads.known.taken.is_some() {
            self.heads.heard.insert(link, epoch);
        } else {
            ctx.fail_task(&self.name, HEADER_IS_LOST.into());
        }
        false
    }

    /// What the task gives has a header, and nobody has printed it.
    pub(super) fn lacks_header(&self, ctx: &Ctx) -> bool {
        let gives_one = self.outputs.iter().any(|link| ctx.config.graph.headed.contains(link));
        gives_one && self.heads.known.given.is_none() && ctx.stages.header(self.id).is_none()
    }

    /// What a batch has printed, unless it stands under another header than what the stage has printed before.
    pub(super) fn under_one_header(&self, ctx: &mut Ctx, output: Output) -> Result<Output, Failure> {
        let Some(header) = &output.header else { return Ok(output) };
        let known = self.heads.known.given.as_ref().or_else(|| ctx.stages.header(self.id));
        let Some(known) = known.filter(|known| !is_same(known, header)) else {
            ctx.has_header(self.id, header);
            return Ok(output);
        };
        let message = format!(
            "what it printed stands under the header {}, and what other batches printed under {}: a table has one header; let the \
             program print the same columns for every batch, or leave output_header out",
            shown(header),
            shown(known)
        );
        ctx.discard(output);
        let stderr_tail = String::new();
        Err(Failure { kind: FailureKind::Records, message, stderr_tail, silent: false })
    }
}

fn is_same(one: &[u8], other: &[u8]) -> bool {
    Headers::text(one) == Headers::text(other)
}

fn shown(header: &[u8]) -> String {
    let text = Headers::text(header);
    let short = String::from_utf8_lossy(&text[..text.len().min(SHOWN_BYTES_MAX)]).into_owned();
    let more = if text.len() > SHOWN_BYTES_MAX { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug())
}
