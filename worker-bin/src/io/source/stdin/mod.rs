//! The worker's own standard input.

use super::{Ending, Opened, Opening, SourceEnd, SourceError, StreamSource};
use crate::io::resource::Resource;
use std::path::Path;

#[derive(Debug)]
pub struct StandardInput;

impl SourceEnd for StandardInput {
    fn describe(&self) -> String {
        "reads standard input".to_owned()
    }

    fn holds(&self, _: &Path) -> Vec<Resource> {
        vec![Resource::StandardInput]
    }

    fn local(&self) -> Option<&'static str> {
        Some("reads standard input")
    }

    fn ending(&self) -> Ending {
        Ending::Unknown
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        Some(
            "standard input is journaled as it is read; at a crash, what was not read yet is lost, and what is piped in \
             again counts again (a `file` is continued by itself)",
        )
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, SourceError> {
        let stdin = StreamSource::stdin(&opening.options, opening.stop.clone())?;
        Ok(Opened::Reader(Box::new(opening.resume(stdin)?)))
    }
}
