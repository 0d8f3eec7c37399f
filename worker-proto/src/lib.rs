//! Frames, ids and limits of the worker's link protocol. No I/O and no clock: bytes in, frames out.
//!
//! A *link* is the ordered stream of tuples from one task to one task. All links between two nodes in one direction
//! share a connection; what travels on it are the [`Frame`]s of this crate. Records travel in a [`Batch`]: one contiguous buffer
//! and the end offset of each record in it, so that neither sending nor receiving touches single records.
//!
//! # On the wire
//!
//! A frame is a big-endian `u32`, the body's length in bytes, and the body: a MessagePack array `[kind, fields…]` in the order in
//! which the structs of [`frame`] declare them. `Batch` is `[6, link, epoch, first_seq, base, bin(ends), bin(payload)]`. Fields that a
//! newer version appends are skipped, an unknown kind is an error. Sizes and positions are bounded by [`limits`]. The files in `tests/golden` hold
//! an encoded example of every kind.
//!
//! # Use
//!
//! [`SendBuffer`] takes frames and gives the pieces of a vectored write; [`RecvBuffer`] gives space to read into and cuts
//! frames out of what was read. Neither copies the records of a large batch. With the feature
//! `codec`, `FrameCodec` does the same for `tokio_util::codec::Framed`, with copies.
//!
//! ```
//! use bytes::{Buf, BufMut};
//! use worker_proto::frame::{BatchFrame, Frame};
//! use worker_proto::{Batch, Epoch, LinkId, RecvBuffer, Seq, SendBuffer};
//!
//! let batch = Batch::from_terminated("one\ntwo\n".into(), b'\n');
//! let sent = Frame::Batch(BatchFrame { link: LinkId(0), epoch: Epoch(1), first_seq: Seq(1), batch });
//!
//! let mut out = SendBuffer::new();
//! out.push(&sent)?;
//!
//! let mut input = RecvBuffer::new();
//! input.handshake_done();
//! let mut received = Vec::new();
//! while out.has_remaining() {
//!     // A socket would be written from `out.chunks_vectored` and read into `input.space()`.
//!     let mut space = input.space();
//!     let moved = out.chunk().len().min(space.remaining_mut());
//!     space.put_slice(&out.chunk()[..moved]);
//!     out.advance(moved);
//!     while let Some(frame) = input.next_frame()? {
//!         received.push(frame);
//!     }
//! }
//! assert_eq!(received, [sent]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
#[cfg(feature = "codec")]
mod codec;
mod codes;
mod decode;
mod encode;
mod error;
pub mod frame;
mod ids;
pub mod limits;
mod recv_buffer;
mod send_buffer;

pub use batch::{Batch, BatchBuilder, BatchError};
#[cfg(feature = "codec")]
pub use codec::{CodecError, FrameCodec};
pub use error::{DecodeError, EncodeError};
pub use frame::Frame;
pub use ids::{ConnNo, Epoch, Fingerprint, Incarnation, JournalId, LinkId, Seq};
pub use recv_buffer::RecvBuffer;
pub use send_buffer::SendBuffer;
