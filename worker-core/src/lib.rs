//! The deterministic core of the streaming worker: scheduling of outputs and retries without I/O, clock or threads.

pub mod config;
pub mod event;
pub mod route;
pub mod time;

pub use time::Time;
/// Placeholder until the node machine lands.
#[derive(Debug)]
pub struct Node;
impl Node {
    /// Placeholder.
    pub fn poll_transmit(&self) {}
}
