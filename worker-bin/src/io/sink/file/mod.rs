//! A file, or a directory with one for each partition.

mod durable;
mod plain;

pub use durable::{DurableFileSink, SinkSync};
pub use plain::{Exists, FileSink};
