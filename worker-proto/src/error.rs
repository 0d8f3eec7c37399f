//! What can be wrong with bytes and with frames.

use crate::BatchError;
use crate::limits::{FRAME_BYTES_MAX, PROTOCOL, SEQ_MAX, TEXT_BYTES_MAX};
use thiserror::Error;

/// Why received bytes are not a frame: the peer broke the protocol, and the connection must end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The length prefix exceeds the limit that holds now; nothing was allocated for it.
    #[error("a frame of {bytes} bytes was announced, expected at most {limit}: is the peer a worker?")]
    TooLong {
        /// The announced length of the body, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body is not a MessagePack array that begins with a frame kind.
    #[error("a frame's body does not begin as [kind, fields…]: is the peer a worker?")]
    NotAFrame,
    /// The kind is none that this version knows.
    #[error("frame kind {kind} is unknown, expected a kind of protocol {PROTOCOL}")]
    UnknownKind {
        /// The kind found.
        kind: u64,
    },
    /// The frame ends before all fields of this version have come.
    #[error("{frame} has no field {field}: it ends too early")]
    MissingField {
        /// The frame's name.
        frame: &'static str,
        /// The missing field.
        field: &'static str,
    },
    /// A field is not of the type, or not in the range, that this version expects.
    #[error("{frame}: field {field} is malformed: {why}")]
    BadField {
        /// The frame's name.
        frame: &'static str,
        /// The field.
        field: &'static str,
        /// What the MessagePack decoder says, or which values were expected.
        why: String,
    },
    /// A text is longer than allowed.
    #[error("{frame}: field {field} has {bytes} bytes, expected at most {TEXT_BYTES_MAX}")]
    LongText {
        /// The frame's name.
        frame: &'static str,
        /// The field.
        field: &'static str,
        /// The text's length in bytes.
        bytes: usize,
    },
    /// A position, or a position after the records of a batch, is out of range.
    #[error("{frame}: field {field} is {value}, expected a position up to {SEQ_MAX}")]
    OutOfRange {
        /// The frame's name.
        frame: &'static str,
        /// The field.
        field: &'static str,
        /// The value found.
        value: u64,
    },
    /// Two fields contradict each other.
    #[error("{frame} breaks the rule: {rule}")]
    Rule {
        /// The frame's name.
        frame: &'static str,
        /// The rule, as it should hold.
        rule: &'static str,
    },
    /// The records' end offsets do not fit the payload.
    #[error("Batch: {0}")]
    Batch(#[from] BatchError),
    /// Bytes follow the frame's array inside the body.
    #[error("{frame}: {bytes} bytes follow the last field")]
    Trailing {
        /// The frame's name.
        frame: &'static str,
        /// How many.
        bytes: usize,
    },
}

/// Why a frame cannot be sent: our own side broke a rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// No receiver would take a frame of this size.
    #[error(
        "a frame of {bytes} bytes cannot be sent, the limit is {FRAME_BYTES_MAX}: split the batch, or lower max_record"
    )]
    TooLong {
        /// The body's length in bytes.
        bytes: usize,
    },
    /// A batch frame carries at least one record.
    #[error("a batch frame without records cannot be sent")]
    EmptyBatch,
}
