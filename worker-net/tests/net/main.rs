//! Connections over memory, split at every byte, and over real sockets.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod endings;
mod flow;
mod life;
mod mock;
mod sockets;
mod tls;
