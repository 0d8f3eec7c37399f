//! What a worker says about itself: a [`Snapshot`] of one node as data, and what follows from one or several of them.
//!
//! The core gives counters, queues and reasons to wait ([`worker_core::stall`]). [`Sampler`] turns them into snapshots with names,
//! ages and rates; [`explain`] follows each wait to its root, across nodes where there are snapshots of several; [`words`] says it
//! to people. The same snapshot is behind `worker why`, `top`, `status`, the page, `/readyz`, the log and the report, so that all
//! tell the same story.
//!
//! ```text
//!   Node ──Status, Stalls──▶ Sampler ──Snapshot──▶ explain() ──Explanation──▶ words ──▶ terminal, page, log
//! ```

mod chain;
mod history;
mod model;
mod past;
mod reasons;
#[cfg(test)]
pub(crate) mod sample;
mod sampler;
mod standing;
pub mod words;

pub use chain::{Chain, Explanation, Limit, Step, explain};
pub use history::{History, Point};
pub use model::{
    End, InLink, Kind, Link, Memory, Peer, RunState, Slots, Snapshot, Stage, Task, Wait, WaitClass, WaitKind,
    Why,
};
pub use past::{PAST_MAX, PastStall, PastStalls};
pub use sampler::{Outline, Sample, Sampler, kind_of};
pub use standing::StallChange;
