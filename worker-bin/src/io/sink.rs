//! Where records go: a folder for each kind of sink, and what they have in common.

mod end;
mod error;
pub mod file;
pub mod program;
mod reader;
pub mod stdout;
mod stream;
mod vectored;
mod writer;

pub use end::{AnySink, Lives, SinkEnd, Tasks};

pub use error::SinkError;
pub use file::{DurableFileSink, Exists, FifoSink, FileSink, SinkSync};
pub use reader::{PipeReader, Seen};
pub use stream::StreamSink;
pub use vectored::Moved;
pub use writer::SinkWriter;

use crate::pipeline::keys::kind::Kind;

/// All kinds of sinks, in the order in which messages list them.
pub(crate) const KINDS: &[&dyn Kind<AnySink>] = &[&file::KIND, &stdout::KIND, &program::ReadsKind];

#[cfg(test)]
mod tests;
