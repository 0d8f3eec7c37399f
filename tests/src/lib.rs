//! What crosses crates: a deterministic simulation of several nodes, and a harness for whole processes.

pub mod distance;
pub mod fuzz;
pub mod meddling;
pub mod process;
pub mod sim;
mod spread;

pub use spread::spread;
