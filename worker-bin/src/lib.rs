//! The streaming worker as a library: pipeline files, children, sources, sinks, the runtime and the command line.

#![expect(
    missing_docs,
    reason = "internal to the binary: a comment stands where it says what the code cannot"
)]

pub mod admin;
mod awake;
pub mod chaos;
pub mod child;
pub mod cli;
mod descriptors;
#[cfg(test)]
mod documents;
pub mod explain;
mod full;
#[doc(hidden)]
pub mod fuzzing;
mod hints;
pub mod io;
pub mod logging;
pub mod manifest;
pub mod metrics;
mod mutex;
pub mod otel;
pub mod pipeline;
pub mod report;
pub mod runtime;
pub mod stderr;
mod stdout;
pub mod stopped;
pub mod text;

pub use worker_journal::fault;
