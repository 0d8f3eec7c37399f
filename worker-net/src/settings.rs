//! Times and sizes of connections.

use std::time::Duration;

/// Times and sizes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often each side pings, on its own clock.
    pub ping_every: Duration,
    /// After this long without any received byte the peer is taken for dead. A few times `ping_every`.
    pub dead_after: Duration,
    /// How long a connection may last without a `Welcome` in either direction.
    pub handshake_max: Duration,
    /// How long [`dial`](crate::dial()) may take, name resolution included.
    pub connect_max: Duration,
    /// How long a connection that is being closed may take to write what is left and to see the peer's end.
    pub close_max: Duration,
    /// About how much is gathered for one vectored write, in bytes.
    pub write_bytes: usize,
    /// About how much is read before the endpoint gets the frames in it, in bytes.
    pub burst_bytes: usize,
    /// How long an accepted connection may take for its `Hello`.
    pub hello_max: Duration,
    /// How long a frame may take from its first byte to its last, beside a second for each 16 KiB of it.
    pub frame_max: Duration,
    /// How many accepted connections may be without a `Welcome` at the same time; beyond that the oldest one is dropped.
    pub strangers_max: usize,
    /// The same of one address.
    pub strangers_per_address_max: usize,
    /// How much the large frames may take that are being received on accepted connections, of all of them together, in bytes.
    pub receive_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(2),
            dead_after: Duration::from_secs(6),
            handshake_max: Duration::from_secs(5),
            connect_max: Duration::from_secs(3),
            close_max: Duration::from_secs(2),
            write_bytes: 64 * 1024,
            burst_bytes: 256 * 1024,
            hello_max: Duration::from_secs(1),
            frame_max: Duration::from_secs(10),
            strangers_max: 256,
            strangers_per_address_max: 64,
            receive_bytes_max: 32 * 1024 * 1024,
        }
    }
}
