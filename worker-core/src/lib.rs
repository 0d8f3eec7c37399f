//! The deterministic core of the streaming worker: scheduling of outputs and retries without I/O, clock or threads.
//!
//! Time and events go in, actions come out; whoever drives the core does what they say. It comes in two sizes:
//!
//! - [`Node`] is a whole node of a pipeline: tasks, links and peers. Its law of use is written on the type.
//! - [`Outbox`] and [`Inbox`] are the two ends of one link, with credit, resending after a reconnect, deduplication and
//!   an orderly end. Any service that must deliver in order and survive a lost connection can use them alone.
//!
//! ```
//! use bytes::Bytes;
//! use worker_core::inbox::{AckWhen, Inbox};
//! use worker_core::outbox::{Outbox, Standing};
//! use worker_core::frame::{BatchFrame, Open};
//! use worker_core::{Batch, Epoch, JournalId, LinkId, Seq};
//!
//! let (link, epoch, journal) = (LinkId(0), Epoch(1), JournalId(1));
//! let mut outbox = Outbox::new(1 << 20);
//! let mut inbox = Inbox::new(link, 1 << 16, AckWhen::Received);
//! outbox.push(Batch::from_terminated(Bytes::from_static(b"one\ntwo\n"), b'\n'));
//!
//! let open = Open { link, epoch, journal, first_unacked: outbox.first_unacked(), next: outbox.next_seq() };
//! let at = inbox.open(&open, journal).expect("the first life of the sender");
//! let standing =
//!     Standing { committed: at.committed, received: at.received, finished: at.finished, credit: at.credit };
//! outbox.open(standing).expect("both ends are new");
//! while let Some(pulled) = outbox.pull_frame() {
//!     let frame = BatchFrame { link, epoch, first_seq: pulled.first_seq, batch: pulled.batch };
//!     inbox.accept(frame).expect("in order and within credit");
//! }
//! let ack = inbox.poll_ack().expect("something arrived");
//! outbox.acked(ack.through, ack.finished, ack.credit).expect("it was sent");
//! assert_eq!(outbox.through(), Seq(2));
//! assert_eq!(inbox.take(u64::MAX, 1).expect("two records").batch.record(0), b"one\n");
//! ```
//!
//! Beside them: [`route`] decides which link a record goes to; [`stall`] says why work waits, as data.

mod alone;
pub mod backoff;
mod check;
pub mod config;
pub mod credit;
mod ctx;
pub mod event;
#[doc(hidden)]
pub mod fault;
pub mod inbox;
mod node;
pub mod outbox;
mod outboxes;
mod rate;
pub mod recovery;
pub mod replay;
pub mod rng;
pub mod route;
mod slots;
mod stages;
pub mod stall;
pub mod status;
mod task;
pub mod time;
pub mod timers;
pub mod words;

pub use check::Inconsistency;
pub use inbox::Inbox;
pub use node::Node;
pub use outbox::Outbox;
pub use time::Time;
pub use worker_proto::{
    Batch, BatchBuilder, BatchError, ConnNo, Epoch, Fingerprint, Frame, Incarnation, JournalId, LinkId, Seq,
    frame,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
