//! Frames, ids and limits of the worker's link protocol. No I/O and no clock: bytes in, frames out.
//!
//! A *link* is the ordered stream of tuples from one task to one task. All links between two nodes in one direction
//! share a connection; what travels on it are the [`Frame`]s of this crate, length-prefixed, with MessagePack bodies.
//! Records travel in a [`Batch`]: one contiguous buffer and the end offset of each record in it, so that neither
//! sending nor receiving touches single records.

mod batch;
pub mod frame;
mod ids;
pub mod limits;

pub use batch::{Batch, BatchBuilder, BatchError};
pub use frame::Frame;
pub use ids::{ConnNo, Epoch, Fingerprint, Incarnation, JournalId, LinkId, Seq};
