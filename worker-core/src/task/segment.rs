//! A batch of inputs on its way through a program, and its halves when it keeps failing.

use crate::event::Run;
use crate::inbox::Pieces;
use bytes::Bytes;
use worker_proto::{LinkId, Seq};

/// Consecutive inputs that are run together.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) pieces: Pieces,
    /// In memory mode counted from 1; with a journal made of the positions, so that the same records have the same number in
    /// every life.
    pub(crate) batch_id: u64,
    pub(crate) attempts: u32,
    /// Runs its records were in, those of the batches it was cut from included.
    pub(crate) tried: u32,
    /// It is a part of a batch that used up its attempts: one attempt, then halved again.
    pub(crate) bisecting: bool,
}

impl Segment {
    pub(crate) fn new(pieces: Pieces, number: u64, journaled: bool) -> Self {
        let batch_id = if journaled { positions_hash(&pieces) } else { number };
        Self { pieces, batch_id, attempts: 0, tried: 0, bisecting: false }
    }

    /// The last run of it counts for nothing.
    pub(crate) fn not_tried(self) -> Self {
        Self { attempts: self.attempts - 1, tried: self.tried - 1, ..self }
    }

    /// Where its first record comes from.
    pub(crate) fn first(&self) -> Option<(LinkId, Seq)> {
        self.pieces.front().map(|piece| (piece.link, piece.first_seq))
    }

    /// Whether a record is among its records.
    pub(crate) fn has(&self, link: LinkId, seq: Seq) -> bool {
        self.pieces
            .iter()
            .any(|piece| piece.link == link && (piece.first_seq..=piece.last_seq()).contains(&seq))
    }

    pub(crate) fn records(&self) -> u64 {
        self.pieces.records()
    }

    /// The left and the right half, in order; `self` has at least two records.
    pub(crate) fn halve(self, left_id: u64, right_id: u64, journaled: bool) -> (Segment, Segment) {
        debug_assert!(self.records() > 1, "a single record has no halves");
        let (mut left, mut right) = (Pieces::default(), self.pieces);
        let half = right.records() / 2;
        while let Some(piece) = right.take(u64::MAX, half - left.records()) {
            left.push(piece);
        }
        let tried = self.tried;
        let part = |pieces, id| Segment { bisecting: true, tried, ..Segment::new(pieces, id, journaled) };
        (part(left, left_id), part(right, right_id))
    }

    pub(crate) fn to_run(&self, work: crate::event::WorkId, header: Option<Bytes>) -> Run {
        let input = self.pieces.iter().map(|p| p.batch.clone()).collect();
        Run { work, batch_id: self.batch_id, attempt: self.attempts, header, input }
    }
}

fn positions_hash(pieces: &Pieces) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    let mut next = None;
    for piece in pieces {
        // How the records came in pieces is chance; where they begin and end is not.
        if next != Some((piece.link, piece.first_seq)) {
            hash.update(&piece.link.0.to_le_bytes());
            hash.update(&piece.first_seq.0.to_le_bytes());
        }
        next = Some((piece.link, piece.last_seq().next()));
    }
    if let Some((_, end)) = next {
        hash.update(&end.0.to_le_bytes());
    }
    hash.digest()
}
