//! What a receiver says no to.

use thiserror::Error;
use worker_proto::frame::RefusedWhy;
use worker_proto::{Epoch, LinkId, Seq};

/// Why a link is not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The class.
    pub why: RefusedWhy,
    /// For people.
    pub message: String,
}

/// The peer broke a rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// Tuples for a link that is not open on this connection, or of another epoch.
    #[error("link {link}: tuples of epoch {epoch}, but that epoch is not open")]
    NotOpen {
        /// Which link.
        link: LinkId,
        /// The epoch named.
        epoch: Epoch,
    },
    /// A gap: tuples are missing.
    #[error("link {link}: expected sequence number {expected}, got {got}")]
    Gap {
        /// Which link.
        link: LinkId,
        /// Next number expected.
        expected: Seq,
        /// First number that came.
        got: Seq,
    },
    /// More than credit allows.
    #[error("link {link}: {cost} bytes are more than the credit left")]
    OverCredit {
        /// Which link.
        link: LinkId,
        /// What came, in bytes of cost.
        cost: u64,
    },
    /// Tuples behind the link's end.
    #[error("link {link}: tuples behind the end at {end}")]
    BehindEnd {
        /// Which link.
        link: LinkId,
        /// The end's number.
        end: Seq,
    },
    /// A boundary where none may be.
    #[error("link {link}: a tuple without bytes, and the link is not kept in order")]
    Boundary {
        /// Which link.
        link: LinkId,
    },
}
