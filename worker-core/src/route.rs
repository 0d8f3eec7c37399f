//! Which link each record of a task's output goes to.
//!
//! A task has one [`Edge`] for every stage or sink named after it, and an edge one link for every partition. Every edge
//! gets every record. Within an edge a record goes to one link:
//!
//! - **keyed** ([`Edge::by`]): key bytes → [`key_group`] → [`partition_of`]. Equal keys take one link, in the order in which
//!   they came. A record that lacks the key of one edge is a dead letter for that edge; the other edges still get it.
//! - **keyless, one link**: the batch as it is, nothing copied.
//! - **keyless, several links**: a large batch goes whole to the next link in turn; a small one is dealt in contiguous,
//!   equal shares, each a copy, so that one slow link does not hold the memory of the others. A node puts another link of the edge in
//!   the place of one whose receiver has more to do ([`Graph::keyless`](crate::config::Graph::keyless)).
//!
//! ```
//! use std::num::NonZeroUsize;
//! use worker_core::event::Output;
//! use worker_core::route::{Edge, PartitionBy, Router};
//! use worker_proto::{Batch, LinkId};
//!
//! let field = PartitionBy::Field { index: NonZeroUsize::MIN, delimiter: None };
//! let mut router = Router::new(vec![Edge { links: vec![LinkId(0), LinkId(1)], by: Some(field) }], b'\n');
//! let mut output = Output::default();
//! router.route(Batch::from_terminated("a 1\nb 2\n\na 3\n".into(), b'\n'), &mut output);
//! assert_eq!(output.records, 4);
//! assert_eq!(output.dead[0].reason, "no field 1: the record has 0");
//! ```

mod csv;
mod envelope;
mod field;
mod group;
#[cfg(feature = "json-keys")]
mod json;
mod key;
#[cfg(test)]
mod tests;

use crate::event::{Body, Chunk, DeadLetter, Output};
use bytes::Bytes;
pub use envelope::Envelope;
pub use group::{KEY_GROUPS, KeyGroup, key_group, partition_of};
use key::KeyReader;
pub use key::{NoKey, PartitionBy, RecordKey};
use worker_proto::{Batch, LinkId};

/// From this size on, in bytes of payload, a keyless batch goes whole to one link instead of being dealt to all.
pub const WHOLE_BYTES_MIN: usize = 64 * 1024;

/// The way from a task to one stage or sink named after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// One link a partition: `links[i]` leads to partition `i`. With none, nothing goes this way.
    pub links: Vec<LinkId>,
    /// The key that decides the partition; `None`: shares as equal as possible.
    pub by: Option<PartitionBy>,
}

/// Decides the link of every record a task produces. One per task; it holds no records between calls.
#[derive(Debug)]
pub struct Router {
    ways: Vec<Way>,
    envelope: Envelope,
}

#[derive(Debug)]
struct Way {
    links: Vec<LinkId>,
    /// The stage or sink at its end, for people.
    receiver: Option<String>,
    choice: Choice,
}

#[derive(Debug)]
enum Choice {
    Keyed(Keyed),
    /// The position in `links` whose turn it is.
    Turns(usize),
}

/// A keyed edge's key and its scratch space, kept so that a batch allocates only what leaves with it.
#[derive(Debug)]
struct Keyed {
    reader: KeyReader,
    /// Partition of each record of the batch at hand; [`NOWHERE`] for a dead letter.
    choices: Vec<usize>,
    /// Records and payload bytes of the batch at hand, by partition.
    sizes: Vec<(usize, usize)>,
}

const NOWHERE: usize = usize::MAX;

impl Router {
    /// A router for a task with these edges, whose records have their content in `envelope`: a byte that ends them, say.
    #[must_use]
    pub fn new(edges: Vec<Edge>, envelope: impl Into<Envelope>) -> Self {
        let envelope = envelope.into();
        let way = |edge: Edge| Way {
            choice: match edge.by {
                Some(by) => Choice::Keyed(Keyed::new(by, edge.links.len(), envelope)),
                None => Choice::Turns(0),
            },
            links: edge.links,
            receiver: None,
        };
        let ways = edges.into_iter().filter(|edge| !edge.links.is_empty()).map(way).collect();
        Self { ways, envelope }
    }

    /// The same with names for the stages and sinks at the ends of its edges, by a link to each; dead letters say them.
    #[must_use]
    pub fn named(mut self, name: impl Fn(LinkId) -> String) -> Self {
        for way in &mut self.ways {
            way.receiver = way.links.first().map(|&link| name(link));
        }
        self
    }

    /// Adds the records of `batch` to `out`, behind what is there already.
    pub fn route(&mut self, batch: Batch, out: &mut Output) {
        self.route_given(batch, &[], out);
    }

    /// The same for records that have keys beside them, for edges by [`PartitionBy::Given`]; a record beyond the end of
    /// `keys` has none.
    pub fn route_given(&mut self, batch: Batch, keys: &[Option<Bytes>], out: &mut Output) {
        if batch.is_empty() {
            return;
        }
        out.records += batch.len() as u64;
        let edges = self.ways.len();
        for (index, way) in self.ways.iter_mut().enumerate() {
            match &mut way.choice {
                Choice::Turns(turn) => deal(&batch, &way.links, turn, out),
                Choice::Keyed(keyed) => {
                    let first_dead = out.dead.len();
                    keyed.route(&batch, keys, &way.links, self.envelope, out);
                    if edges > 1 {
                        let receiver = way.receiver.clone();
                        let receiver =
                            receiver.unwrap_or_else(|| format!("receiver {} of {edges}", index + 1));
                        name_receiver(&mut out.dead[first_dead..], &receiver);
                    }
                }
            }
        }
    }
}

/// Says of new dead letters who does not get them, as the others do.
fn name_receiver(dead: &mut [DeadLetter], receiver: &str) {
    for letter in dead {
        letter.reason.push_str(&format!(" (needed by {receiver}; the others have the record)"));
    }
}

/// Shares a batch without keys among `links`, beginning with the one whose turn it is.
fn deal(batch: &Batch, links: &[LinkId], turn: &mut usize, out: &mut Output) {
    if links.len() == 1 || batch.bytes() >= WHOLE_BYTES_MIN {
        send(links[*turn], batch.clone(), out);
        *turn = (*turn + 1) % links.len();
        return;
    }
    let (share, larger) = (batch.len() / links.len(), batch.len() % links.len());
    let mut start = 0;
    for step in 0..links.len() {
        let end = start + share + usize::from(step < larger);
        if start == end {
            break;
        }
        send(links[(*turn + step) % links.len()], batch.slice(start..end).compact(), out);
        start = end;
    }
    *turn = (*turn + larger) % links.len();
}

fn send(link: LinkId, batch: Batch, out: &mut Output) {
    out.chunks.push(Chunk { link, body: Body::Memory(batch) });
}

impl Keyed {
    fn new(by: PartitionBy, partitions: usize, envelope: Envelope) -> Self {
        Self { reader: KeyReader::new(by, envelope), choices: Vec::new(), sizes: vec![(0, 0); partitions] }
    }

    fn route(
        &mut self,
        batch: &Batch,
        keys: &[Option<Bytes>],
        links: &[LinkId],
        envelope: Envelope,
        out: &mut Output,
    ) {
        self.choose(batch, keys, envelope, out);
        if let Some(all) = self.sizes.iter().position(|&(records, _)| records == batch.len()) {
            send(links[all], batch.clone(), out);
            return;
        }
        let mut parts: Vec<Part> = self.sizes.iter().map(|&size| Part::with_size(size)).collect();
        for (record, &choice) in batch.iter().zip(&self.choices) {
            if let Some(part) = parts.get_mut(choice) {
                part.push(record);
            }
        }
        for (part, &link) in parts.into_iter().zip(links) {
            if let Some(batch) = part.into_batch() {
                send(link, batch, out);
            }
        }
    }

    /// Fills `choices` and `sizes`; records without the key become dead letters.
    fn choose(&mut self, batch: &Batch, keys: &[Option<Bytes>], envelope: Envelope, out: &mut Output) {
        self.choices.clear();
        self.sizes.fill((0, 0));
        let partitions = self.sizes.len();
        for (index, record) in batch.iter().enumerate() {
            let given = keys.get(index).and_then(Option::as_deref);
            let choice = match self.reader.key(envelope.content(record), given) {
                Ok(key) => {
                    // Where there is one way, only whether it has a key matters.
                    let partition =
                        if partitions == 1 { 0 } else { partition_of(key_group(key), partitions) };
                    self.sizes[partition].0 += 1;
                    self.sizes[partition].1 += record.len();
                    partition
                }
                Err(missing) => {
                    out.dead.push(DeadLetter::new(Bytes::copy_from_slice(record), missing.to_string()));
                    NOWHERE
                }
            };
            self.choices.push(choice);
        }
    }
}

/// One link's records of a batch, in buffers of exactly their size.
#[derive(Debug)]
struct Part {
    payload: Vec<u8>,
    ends: Vec<u8>,
}

impl Part {
    fn with_size((records, bytes): (usize, usize)) -> Self {
        Self { payload: Vec::with_capacity(bytes), ends: Vec::with_capacity(records * size_of::<u32>()) }
    }

    fn push(&mut self, record: &[u8]) {
        self.payload.extend_from_slice(record);
        let end = u32::try_from(self.payload.len()).expect("a part of a batch is no larger than the batch");
        self.ends.extend_from_slice(&end.to_le_bytes());
    }

    fn into_batch(self) -> Option<Batch> {
        if self.ends.is_empty() {
            return None;
        }
        let batch = Batch::from_parts(self.payload.into(), self.ends.into(), 0);
        Some(batch.expect("a batch's records have at least one byte each"))
    }
}
