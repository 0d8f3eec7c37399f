//! Limits that hold on the wire. Units are in the names.

/// Version of the protocol this crate speaks.
pub const PROTOCOL: u16 = 1;

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
