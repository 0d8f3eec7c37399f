//! What crosses crates: a deterministic simulation of several nodes, and the shared parts of whole-process tests.

pub mod sim;
