//! What a receiver may not say.

use thiserror::Error;
use worker_proto::Seq;

/// The receiver contradicts what this end knows: its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It claims to have what was never sent.
    #[error("the receiver has {received}, but the next number to send is {next}")]
    Ahead {
        /// What it claims.
        received: Seq,
        /// What this end would send next.
        next: Seq,
    },
    /// It forgot what it acknowledged.
    #[error(
        "the receiver acknowledges through {committed} only, but through {through} was acknowledged and released before"
    )]
    Behind {
        /// What it says now.
        committed: Seq,
        /// What was acknowledged before.
        through: Seq,
    },
    /// Its positions contradict each other.
    #[error("finished {finished} is past acknowledged {through}")]
    Disorder {
        /// Claimed finished.
        finished: Seq,
        /// Claimed acknowledged.
        through: Seq,
    },
}
