//! Limits that hold on the wire. Units are in the names.

/// Version of the protocol this crate speaks.
pub const PROTOCOL: u16 = 2;

/// Largest frame body accepted before the handshake is done, in bytes.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 4 * 1024;

/// Largest frame body accepted after the handshake, in bytes.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a batch frame adds to its payload at most for one record, in bytes: envelope and one end offset.
pub const FRAME_OVERHEAD_BYTES: usize = 128;

/// Size a batch frame aims at, payload and end offsets together, in bytes; only a single larger record exceeds it.
pub const FRAME_BYTES_TARGET: usize = 128 * 1024;

/// Longest text (node name, cluster name, reason) in a frame, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Length of the prefix before every frame's body, in bytes: a big-endian `u32`.
pub const LENGTH_BYTES: usize = 4;

/// Largest position, and largest credit in bytes, that may travel: sums of two never overflow.
pub const SEQ_MAX: u64 = u64::MAX >> 1;

/// Largest frame body that is received into a shared buffer and copied out of it, in bytes; larger ones get their own.
pub const SHARED_FRAME_BYTES_MAX: usize = 16 * 1024;

/// Deepest nesting of MessagePack values that is skipped in fields of a newer version.
pub const DEPTH_MAX: usize = 64;
