//! What a worker says about itself: a [`Snapshot`] of one node as data, and what follows from one or several of them.
//!
//! The core gives counters, queues and reasons to wait ([`worker_core::stall`]). [`Sampler`] turns them into snapshots with names,
//! ages and rates; [`explain`] follows each wait to its root, across nodes where there are snapshots of several, and names what
//! limits the throughput ([`Limit`]); [`words`] says it to people, with the words of each reason's [`Row`]. The same snapshot is behind `worker why`, `top`, `status`, the page, `/readyz`, the log and the report, so that all
//! tell the same story.
//!
//! ```text
//!   Node ──Status, Stalls──▶ Sampler ──Snapshot──▶ explain() ──Explanation──▶ words ──▶ terminal, page, log
//! ```

mod chain;
mod context;
mod history;
mod limit;
mod model;
mod outline;
mod past;
mod peer;
mod rate;
mod reasons;
#[cfg(test)]
pub(crate) mod sample;
mod sampler;
mod standing;
mod table;
mod trail;
pub mod words;

pub(crate) use chain::also_held;
pub use chain::{Chain, Explanation, Held, Step, explain};
pub use history::{History, Point};
pub use limit::Limit;
pub(crate) use limit::Window;
pub use model::{
    Drain, End, InLink, Link, Memory, OwnStop, Peer, RunState, Slots, Snapshot, Stage, StageKind, Task, Wait,
};
pub use outline::{Followed, Outline, Sample};
pub use past::{PAST_MAX, PastStall, PastStalls};
pub(crate) use peer::{Words as Cause, causes};
pub use reasons::{WaitKind, Why};
pub use sampler::{Sampler, kind_of};
pub use standing::StallChange;
pub use table::{Row, Scope, Side, WaitClass};
