//! Where records go: a folder for each kind of sink, and what they have in common.

mod end;
mod error;
pub mod file;
pub mod program;
pub mod stdout;
mod stream;
mod vectored;
mod writer;

pub use end::{Lives, Opened, SinkEnd, Tasks};
pub use error::SinkError;
pub use file::{DurableFileSink, Exists, FileSink, SinkSync};
pub use stream::StreamSink;
pub use vectored::Moved;
pub use writer::SinkWriter;

#[cfg(test)]
mod tests;
