//! Wires the core to children, sockets, files and the clock.
//!
//! One `Cell` a process: the core's `Node` behind a lock that is held for microseconds, never across waiting. Whoever has
//! news (a child's end, a chunk read, a frame) hands it in, and what the node asks for is carried out: each action goes,
//! still under the lock and therefore in order, to the thread or tokio task whose work it is.
//!
//! ```text
//!   source thread ─┐                       ┌─▶ tokio task per batch run, per stream child, per connection
//!   child tasks   ─┼─▶ Cell::tell ─▶ Node ─┼─▶ sink thread, source thread (channels)
//!   connections   ─┘        ▲              └─▶ spill thread (store, load), journal threads
//!                        timer task
//! ```
//!
//! Nobody here knows who made it: `cell` knows no other file, `dispatch` says who is asked for what, `ports` and `connections`
//! do it and hold the cell (or a `Reporter`, which tells it of one task), `carry` joins them, `observe` and what shows a run
//! look at the cell, and `engine` makes them all and ends them. `tests/layers.rs` holds the files to it.

mod admin_listener;
mod batch;
mod blockers;
mod carry;
mod cell;
mod collect;
mod complaints;
mod context;
mod dead;
mod delivered;
mod dispatch;
mod driver;
mod durable;
mod ended;
mod engine;
mod finished;
mod first_start;
mod identity;
mod journal;
mod journaled;
mod letters;
mod link;
mod log;
mod measure;
mod observe;
mod open;
mod options;
mod peers;
mod ports;
mod process;
pub mod progress;
mod records;
mod refusals;
mod report;
mod run;
mod scrape;
mod scratch;
mod service;
mod signals;
mod sink;
mod source;
mod spill;
mod storage;
mod stream;
mod subject;
mod tap;
mod trace;
mod window;

/// What does without a system, for the simulation, which drives it as a run does; and the ports, for their tests.
#[doc(hidden)]
pub mod parts {
    pub use super::batch::BatchPort;
    pub use super::blockers::Blockers;
    pub use super::cell::Tell;
    pub use super::collect::{Collector, Staging, Waits};
    pub use super::context::{Reporter, StageProgram, TaskContext};
    pub use super::dispatch::{Carrier, ToJournal, ToSpill, When, dispatch};
    pub use super::journal::TaskJournal;
    pub use super::measure::TaskMeasure;
    pub use super::records::RecordsPort;
    pub use super::sink::{SinkPort, SinkThread};
    pub use super::source::{Input, SourcePort, SourceThread};
    pub use super::storage::StorageGuard;
    pub use super::stream::StreamPort;
    pub use super::tap::Taps;
    pub use super::window::WindowOutput;
}

pub use delivered::no_longer_there;
pub use driver::try_spill_dir;
pub use durable::{Durable, DurableError, Found, dead_dir, not_foreign};
pub use ended::{Ended, RunError, Summary};
pub use open::{Opened, open};
pub use options::Options;
pub use run::run;
pub(crate) use run::{DRAINED, SIGPIPE};
pub(crate) use signals::{Signals, survive_file_size_limit};
