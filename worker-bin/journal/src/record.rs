//! What records say: their heads, and how a payload is put together without copying batches.

use super::image::Image;
use super::images::Member;
use bytes::Bytes;
use crc32fast::Hasher;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use worker_core::words::number;
use worker_proto::{Batch, Epoch, JournalId, LinkId, Seq};

/// Deepest nesting of values in a head.
const DEPTH_MAX: usize = 24;

/// What stands before every head: its length.
pub(super) const HEAD_LENGTH_BYTES: u64 = HEAD_LENGTH_LEN as u64;
pub(super) const HEAD_LENGTH_LEN: usize = 4;

/// A batch as it lies in a file: its end offsets, then its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) base: u32,
    pub(super) ends_bytes: u64,
    pub(super) payload_bytes: u64,
    /// CRC-32 of both.
    pub(super) crc: u32,
}

/// Set in what a [`Location`] names as its segment where that is a file of a source's input. No segment has such a number.
const OF_INPUT: u64 = 1 << 63;

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Location {
    /// Number of the segment; or the source's task and its file ([`Location::input`]).
    pub(super) segment: u64,
    /// Offset in the file.
    pub(super) offset: u64,
    pub(super) span: Span,
}

/// Head of a commit; what it says by its sizes follows it: position, inline outputs, admitted batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommitHead {
    pub(super) id: u64,
    pub(super) inputs: Vec<InputHead>,
    pub(super) outputs: Vec<OutputHead>,
    pub(super) dead: u64,
    /// Length of the task's file of dead letters.
    pub(super) dead_bytes: Option<u64>,
    pub(super) ended: bool,
    pub(super) position_bytes: Option<u64>,
    pub(super) step: Option<StepHead>,
    /// What is still in flight with it.
    pub(super) attempt: AttemptHead,
    /// Left out where nothing is kept in order and no header is new, so that it is what older versions know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) turn: Option<TurnHead>,
}

/// Where a task is in the order of the source, and what is new of headers. One value, because only the last field of an older
/// version's head may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TurnHead {
    pub(super) taken: u64,
    pub(super) given: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) headers: Option<HeadersHead>,
}

/// Headers of what a task reads and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadersHead {
    pub(super) taken: Option<Vec<u8>>,
    pub(super) given: Option<Vec<u8>>,
    pub(super) at: BTreeMap<LinkId, Seq>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InputHead {
    pub(super) link: LinkId,
    pub(super) epoch: Epoch,
    pub(super) journal: JournalId,
    pub(super) through: Seq,
    pub(super) ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutputHead {
    pub(super) link: LinkId,
    pub(super) first: Seq,
    pub(super) body: BodyHead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum BodyHead {
    Inline(Span),
    /// In an earlier record, or in a file that a source reads. All versions of the format name it so.
    #[serde(rename = "Staged")]
    Elsewhere(Location),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StepHead {
    Admit {
        window: u64,
        batches: Vec<Span>,
    },
    Printed {
        window: u64,
        records: u64,
        hash: u64,
    },
    Cut {
        window: u64,
    },
    Done {
        window: u64,
    },
    /// Admits what lies in this journal already: outputs of another of its tasks.
    Refer {
        window: u64,
        admitted: Vec<Admitted>,
    },
}

/// Records that were admitted to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AdmittedRow", into = "AdmittedRow")]
pub(super) struct Admitted {
    /// The batch that they are in.
    pub(super) at: Location,
    /// Which of it; `None`: all.
    pub(super) part: Option<Part>,
}

/// Consecutive records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// So many are before them.
    pub(super) skip: u64,
    pub(super) records: u64,
    /// What they cost, in bytes.
    pub(super) cost: u64,
}

/// How it is written: older versions have the place alone.
#[derive(Serialize, Deserialize)]
struct AdmittedRow(u64, u64, Span, #[serde(default, skip_serializing_if = "Option::is_none")] Option<Part>);

impl From<AdmittedRow> for Admitted {
    fn from(AdmittedRow(segment, offset, span, part): AdmittedRow) -> Self {
        Self { at: Location { segment, offset, span }, part }
    }
}

impl From<Admitted> for AdmittedRow {
    fn from(Admitted { at: Location { segment, offset, span }, part }: Admitted) -> Self {
        Self(segment, offset, span, part)
    }
}

impl Admitted {
    /// All of a batch.
    pub(super) fn whole(at: Location) -> Self {
        Self { at, part: None }
    }

    /// `records` behind the first `skip` of a batch, which cost so much.
    pub(super) fn part(at: Location, skip: u64, records: u64, cost: u64) -> Self {
        let part = Part { skip, records, cost };
        Self { at, part: Some(part).filter(|_| records < at.span.records()) }
    }

    pub(super) fn skip(&self) -> u64 {
        self.part.map_or(0, |part| part.skip)
    }

    pub(super) fn records(&self) -> u64 {
        self.part.map_or(self.at.span.records(), |part| part.records)
    }

    /// In bytes.
    pub(super) fn cost(&self) -> u64 {
        self.part.map_or(self.at.span.bytes(), |part| part.cost)
    }

    /// Both together, if `next` follows in the same batch.
    pub(super) fn joined(&self, next: &Self) -> Option<Self> {
        let follows = self.at == next.at && self.skip() + self.records() == next.skip();
        follows.then(|| {
            Self::part(self.at, self.skip(), self.records() + next.records(), self.cost() + next.cost())
        })
    }
}

/// Head of a copied batch, which follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopiedHead {
    pub(super) span: Span,
    /// The output it is; `None` if only the next checkpoint says what it is.
    pub(super) output: Option<(LinkId, Seq)>,
}

/// Head of a checkpoint; the [`Image`] follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointHead {
    /// Segments with live batches, and how far each must be whole.
    pub(super) needs: Vec<(u64, u64)>,
    /// How many of the records before it are its keyed state.
    pub(super) states: u64,
}

/// What is in flight: head of a note, part of a commit's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AttemptHead {
    pub(super) records: u64,
    pub(super) first: Option<(LinkId, Seq)>,
    pub(super) alone: u32,
    pub(super) suspects: u64,
}

/// Head of the record that says whose those behind it are. A segment begins with the first task's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OfHead {
    pub(super) member: u32,
}

/// Head of the record that begins a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LifeHead {
    pub(super) epoch: Epoch,
}

impl CommitHead {
    /// Bytes of the batches that follow it.
    pub(super) fn inline_bytes(&self) -> u64 {
        let outputs = self.outputs.iter().map(|o| match &o.body {
            BodyHead::Inline(span) => span.bytes(),
            BodyHead::Elsewhere(_) => 0,
        });
        let admitted = match &self.step {
            Some(StepHead::Admit { batches, .. }) => batches.as_slice(),
            Some(
                StepHead::Refer { .. }
                | StepHead::Printed { .. }
                | StepHead::Cut { .. }
                | StepHead::Done { .. },
            )
            | None => &[],
        };
        outputs.sum::<u64>() + admitted.iter().map(Span::bytes).sum::<u64>()
    }
}

impl BodyHead {
    pub(super) fn records(&self) -> u64 {
        match self {
            Self::Inline(span) => span.records(),
            Self::Elsewhere(at) => at.span.records(),
        }
    }
}

impl Span {
    pub(super) fn bytes(&self) -> u64 {
        self.ends_bytes + self.payload_bytes
    }

    pub(super) fn records(&self) -> u64 {
        self.ends_bytes / 4
    }
}

impl Location {
    /// In a file of what a task of the journal reads: only the records lie there, not their ends.
    pub(super) fn in_input(member: Member, file: u32, offset: u64, span: Span) -> Self {
        // Members are numbered from 0 and far fewer than 2^31.
        let segment = OF_INPUT | (u64::from(member.0) << 32) | u64::from(file);
        Self { segment, offset, span }
    }

    /// The task whose input it lies in, and which of its files, if it lies there.
    pub(super) fn input(&self) -> Option<(Member, u32)> {
        let file = u32::try_from(self.segment & u64::from(u32::MAX)).unwrap_or_default();
        let member = u32::try_from((self.segment & !OF_INPUT) >> 32).unwrap_or_default();
        (self.segment & OF_INPUT != 0).then_some((Member(member), file))
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.span.bytes()
    }

    pub(super) fn key(&self) -> (u64, u64) {
        (self.segment, self.offset)
    }
}

/// A payload in parts that stay where they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Payload<'a> {
    head: Vec<u8>,
    parts: Vec<&'a [u8]>,
    hashes: Vec<Hasher>,
}

impl<'a> Payload<'a> {
    /// Adds bytes behind the head.
    pub(super) fn push(&mut self, bytes: &'a [u8]) {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        self.hashes.push(hasher);
        self.parts.push(bytes);
    }

    /// What says of a batch whether it is the same; nothing is added.
    pub(super) fn span_of(batch: &Batch) -> Span {
        Self::default().push_batch(batch)
    }

    /// Adds a batch behind the head.
    pub(super) fn push_batch(&mut self, batch: &'a Batch) -> Span {
        let (ends, payload) = (batch.raw_ends(), batch.payload());
        let mut hasher = Hasher::new();
        hasher.update(ends);
        hasher.update(payload);
        let crc = hasher.clone().finalize();
        self.hashes.push(hasher);
        self.parts.push(ends);
        self.parts.push(payload);
        Span { base: batch.base(), ends_bytes: ends.len() as u64, payload_bytes: payload.len() as u64, crc }
    }

    /// Gives it its head; the last step.
    pub(super) fn with_head(mut self, head: &impl Serialize) -> Self {
        let mut bytes = vec![0; HEAD_LENGTH_LEN];
        rmp_serde::encode::write(&mut bytes, head).expect("writing to memory does not fail");
        let len = u32::try_from(bytes.len() - HEAD_LENGTH_LEN).expect("a head is far below 4 GiB");
        bytes[..HEAD_LENGTH_LEN].copy_from_slice(&len.to_le_bytes());
        self.head = bytes;
        self
    }

    /// Length of the head with what says its length, in bytes.
    pub(super) fn head_bytes(&self) -> u64 {
        self.head.len() as u64
    }

    /// Length of everything, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.head_bytes() + self.parts.iter().map(|p| p.len() as u64).sum::<u64>()
    }

    /// CRC-32 of everything, begun with `seed`.
    pub(super) fn crc(&self, seed: u32) -> u32 {
        let mut hasher = Hasher::new_with_initial(seed);
        hasher.update(&self.head);
        self.hashes.iter().for_each(|part| hasher.combine(part));
        hasher.finalize()
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head.as_slice()).chain(self.parts.iter().copied()).filter(|p| !p.is_empty())
    }
}

/// A head from its bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    decoder.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut decoder).map_err(|e| e.to_string())
}

/// The bytes of an image.
pub(super) fn encode_image(image: &Image) -> Vec<u8> {
    rmp_serde::to_vec(image).expect("writing to memory does not fail")
}

/// The batch in `bytes`, which must be what `span` says.
pub(super) fn batch(bytes: Bytes, span: &Span) -> Result<Batch, String> {
    if bytes.len() as u64 != span.bytes() {
        let (found, written) = (number(bytes.len() as u64), number(span.bytes()));
        return Err(format!("{found} bytes where {written} were written"));
    }
    if crc32fast::hash(&bytes) != span.crc {
        return Err(format!("{} bytes do not match their checksum", number(bytes.len() as u64)));
    }
    let ends = usize::try_from(span.ends_bytes).map_err(|e| e.to_string())?;
    Batch::from_parts(bytes.slice(ends..), bytes.slice(..ends), span.base).map_err(|e| e.to_string())
}
