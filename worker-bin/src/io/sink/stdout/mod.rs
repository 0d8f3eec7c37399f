//! The worker's own standard output.

use super::{Lives, Opened, SinkEnd, SinkError, StreamSink, Tasks};
use crate::io::resource::Resource;
use std::path::Path;

#[derive(Debug)]
pub struct StandardOutput;

impl SinkEnd for StandardOutput {
    fn describe(&self, _: &Path) -> String {
        "prints to standard output".to_owned()
    }

    fn holds(&self) -> Vec<Resource> {
        vec![Resource::StandardOutput]
    }

    fn local(&self) -> Option<&'static str> {
        Some("writes standard output")
    }

    fn tasks(&self) -> Tasks {
        Tasks::One("standard output has one sink task")
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        Some("after a crash, the last records may be printed again (a `file` gets each once)")
    }

    fn open(&self, _: Option<Lives<'_>>) -> Result<Opened, SinkError> {
        Ok(Opened::Writer(Box::new(StreamSink::stdout()?)))
    }
}
